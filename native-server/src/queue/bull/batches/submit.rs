//! How batches come in: whole, or chunk by chunk.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;
use sommos_core::{
    batch::{BatchOptions, BatchStatus, accepted},
    jobs::{BatchId, JobError},
};

use super::{flow, state::number, store};
use crate::queue::{
    bull::{Bull, link::unreachable},
    handle::{CHUNKS_MAX, entropy},
    types::{NewBatch, QueueError},
};

/// Chunks go to Redis in pieces of about so many bytes, each in one round trip.
const PIECE_BYTES: usize = 1 << 20;
/// How long what is not visible yet stays when its server dies, milliseconds.
const WRITING_MS: u64 = 600_000;
/// How often a failed submission tries to take back what it wrote, once a second.
const TAKE_BACK_TRIES: u32 = 600;

/// What a batch is when it is opened.
struct Opening<'a> {
    options: &'a BatchOptions,
    params: &'a Bytes,
    /// All its chunks: how many, their items and bytes. `None` when they come one by one.
    whole: Option<(usize, u64, u64)>,
}

impl Bull {
    /// Takes a whole batch. Nobody sees it before all of it is there.
    pub(in crate::queue) async fn submit_batch(
        self: &Arc<Self>,
        batch: NewBatch,
    ) -> Result<BatchId, QueueError> {
        let count = batch.chunks.len();
        if count == 0 || count > CHUNKS_MAX {
            return Err(QueueError::Chunks(count, CHUNKS_MAX));
        }
        let options = accepted(batch.options, &self.batches.rules)?;
        for (payload, _) in &batch.chunks {
            self.check_size(payload)?;
        }
        let id = BatchId::new(self.now(), entropy()?);
        let items = batch.chunks.iter().map(|chunk| chunk.1).sum();
        let bytes = batch.chunks.iter().map(|chunk| chunk.0.len() as u64).sum();
        let opening = Opening {
            options: &options,
            params: &batch.params,
            whole: Some((count, items, bytes)),
        };
        self.open(id, opening).await?;
        let written = async {
            self.write(id, &batch.chunks).await?;
            let width = count.min(options.max_concurrency.max(1) as usize);
            let children = (0..width as u32)
                .map(|chunk| flow::child(id, &options, chunk, false))
                .collect::<Result<Vec<_>, _>>()?;
            let parent = flow::parent(id, &options, children, self.config.retention.age_ms)?;
            self.add_flow(parent).await?;
            let name = id.to_string();
            let there: i64 = self.script(&store::PUBLISH, &name, |_| {}).await?;
            (there == 1)
                .then_some(id)
                .ok_or_else(|| unreachable("it was taken away"))
        };
        let answer = written.await;
        if answer.is_err() {
            self.take_back(id);
        }
        answer
    }

    pub(in crate::queue) async fn open_batch(
        self: &Arc<Self>,
        options: BatchOptions,
        params: Bytes,
    ) -> Result<BatchId, QueueError> {
        let options = accepted(options, &self.batches.rules)?;
        let id = BatchId::new(self.now(), entropy()?);
        let opening = Opening {
            options: &options,
            params: &params,
            whole: None,
        };
        self.open(id, opening).await?;
        self.batches.promise(id);
        let children = vec![flow::intake(id)?];
        let parent = flow::parent(id, &options, children, self.config.retention.age_ms)?;
        if let Err(error) = self.add_flow(parent).await {
            self.take_back(id);
            return Err(error);
        }
        self.batches.learn(id, Arc::new((options, params)));
        Ok(id)
    }

    pub(in crate::queue) async fn append_chunk(
        &self,
        id: BatchId,
        payload: Bytes,
        items: u64,
    ) -> Result<u32, QueueError> {
        let bytes = payload.len() as u64;
        let limit = self.options.job_bytes_max as u64;
        if bytes > limit {
            // The batch is in Redis already: this chunk cannot go elsewhere.
            return Err(JobError::OverLimit {
                field: "chunk bytes",
                value: bytes,
                limit,
            }
            .into());
        }
        let limits = &self.config.scheduler;
        let answer: Vec<i64> = self
            .script(&store::APPEND, &id.to_string(), |call| {
                call.arg(&payload[..])
                    .arg(items)
                    .arg(CHUNKS_MAX)
                    .arg(limits.chunks_max)
                    .arg(limits.queued_bytes_max);
            })
            .await?;
        let (first, line) = (answer.first().copied(), answer.get(1) == Some(&1));
        let chunk = match first {
            Some(-1) | None => return Err(JobError::NoBatch(id).into()),
            Some(-2) => return Err(JobError::Sealed(id).into()),
            Some(-3) => return Err(QueueError::Chunks(CHUNKS_MAX + 1, CHUNKS_MAX)),
            Some(chunk) => u32::try_from(chunk).map_err(|_| self.full(chunk))?,
        };
        if line {
            let options = self.options_of(id).await?;
            let child = flow::child(id, &options, chunk, true)?;
            self.add_flow(child).await?;
        }
        Ok(chunk)
    }

    pub(in crate::queue) async fn seal_batch(&self, id: BatchId) -> Result<(), QueueError> {
        let name = id.to_string();
        match self.script(&store::SEAL, &name, |_| {}).await? {
            -1 => return Err(JobError::NoBatch(id).into()),
            -2 => return Err(JobError::Sealed(id).into()),
            _ => {}
        }
        self.batches.keep_no_promise(id);
        self.release(&name).await
    }

    async fn open(&self, id: BatchId, opening: Opening<'_>) -> Result<(), QueueError> {
        let options = serde_json::to_string(opening.options)
            .map_err(|error| QueueError::Store(error.to_string().into()))?;
        let (chunks, items, bytes) = opening.whole.unwrap_or_default();
        let limits = &self.config.scheduler;
        let life = opening
            .whole
            .map_or_else(|| self.promise_ms(), |_| WRITING_MS);
        let answer: Vec<i64> = self
            .script(&store::OPEN, &id.to_string(), |call| {
                call.arg(options)
                    .arg(&opening.params[..])
                    .arg(opening.options.timeout_ms)
                    .arg(u8::from(opening.whole.is_some()))
                    .arg(chunks)
                    .arg(items)
                    .arg(bytes)
                    .arg(opening.options.max_concurrency.max(1))
                    .arg(limits.batches_max)
                    .arg(limits.chunks_max)
                    .arg(limits.queued_bytes_max)
                    .arg(life);
            })
            .await?;
        match answer.first() {
            Some(-1) => Err(JobError::Full {
                limit: limits.batches_max,
            }
            .into()),
            Some(-2) => Err(self.full(-4)),
            Some(-3) => Err(self.full(-5)),
            _ => Ok(()),
        }
    }

    /// What the scripts' codes for a full queue mean.
    fn full(&self, code: i64) -> QueueError {
        let limits = &self.config.scheduler;
        let error = if code == -5 {
            JobError::FullBytes {
                limit: limits.queued_bytes_max,
            }
        } else {
            JobError::Full {
                limit: limits.chunks_max,
            }
        };
        error.into()
    }

    async fn write(&self, id: BatchId, chunks: &[(Bytes, u64)]) -> Result<(), QueueError> {
        let key = self.batch_key(id, ":in");
        let mut chunks = chunks.iter().enumerate().peekable();
        while chunks.peek().is_some() {
            let (mut pipe, mut bytes) = (redis::pipe(), 0);
            let piece = pipe.cmd("HSET").arg(&key);
            while bytes < PIECE_BYTES
                && let Some((chunk, (payload, items))) = chunks.next()
            {
                bytes += payload.len();
                piece.arg(chunk).arg(&payload[..]);
                piece.arg(format!("n{chunk}")).arg(*items);
            }
            pipe.cmd("PEXPIRE").arg(&key).arg(WRITING_MS);
            self.pipe::<Value>(&pipe).await?;
        }
        Ok(())
    }

    /// Chunks that Redis is not to hold go, with their batch, to the embedded queue.
    fn check_size(&self, payload: &Bytes) -> Result<(), QueueError> {
        let (bytes, limit) = (payload.len(), self.options.job_bytes_max);
        if bytes > limit {
            let why = format!("a chunk of {bytes} bytes; at most {limit} are shared");
            return Err(unreachable(&why));
        }
        Ok(())
    }

    /// Undoes a submission that failed on its way: its caller was told so, or had it done
    /// elsewhere. It may have been written all the same, and may run already.
    fn take_back(self: &Arc<Self>, id: BatchId) {
        let bull = Arc::clone(self);
        self.batches.keep_no_promise(id);
        tokio::spawn(async move {
            let name = id.to_string();
            for _ in 0..TAKE_BACK_TRIES {
                let tried = async {
                    let gone: i64 = bull.script(&store::DISCARD, &name, |_| {}).await?;
                    if gone == 1 {
                        return Ok(());
                    }
                    bull.finish(id, BatchStatus::Cancelled, None, false).await
                };
                match tried.await {
                    Ok(()) | Err(QueueError::Job(_)) => return,
                    Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
                }
            }
        });
    }

    /// How a known batch runs.
    async fn options_of(&self, id: BatchId) -> Result<BatchOptions, QueueError> {
        if let Some(recipe) = self.batches.recipe(id) {
            return Ok(recipe.0.clone());
        }
        Ok(self.book_of(id).await?.options)
    }
}

/// The number at this place of an answer.
pub(super) fn at(answer: &[Value], place: usize) -> i64 {
    answer.get(place).and_then(number).unwrap_or(0)
}
