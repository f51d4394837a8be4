//! Chunks at work, and the parent that assembles.
//!
//! A chunk's outcome is written before its job ends, and only once: a worker that was taken for
//! dead finds that another has written the same bytes, or that the batch has ended.

use std::{sync::Arc, time::Duration};

use bullmq::{Error, Job};
use bytes::Bytes;
use redis::Value;
use serde_json::json;
use sommos_core::{
    batch::{BatchStatus, Book, ERRORS_KEPT, Reason},
    jobs::{BatchId, JobId, Kind, truncated},
    time::Timestamp,
};
use tokio::{sync::watch, time::Instant};

use super::{Recipe, flow, state, store, submit::at};
use crate::queue::{
    bull::{Bull, link::unreachable, options::CHUNKS, runner::Ended},
    control::WorkControl,
    timings::Timed,
    types::{QueueError, Work},
};

/// Wait before Redis is asked again by a worker.
const PAUSE: Duration = Duration::from_millis(200);

/// A chunk that this server is to run.
struct Chunk {
    batch: BatchId,
    work: Work,
    items: i64,
    deadline: Timestamp,
    recipe: Arc<Recipe>,
    /// Whether no other attempt follows.
    last: bool,
}

/// What is to be done with a chunk.
enum Begin {
    Run(Chunk),
    /// Its worker was lost too often.
    Lost(Chunk, i64),
    /// Its outcome is there; the chunk that it lets in may not be.
    Recorded {
        next: i64,
        error: Option<String>,
        recipe: Arc<Recipe>,
    },
    /// Its batch has ended.
    Over,
}

/// How a chunk ended: with a result, or why without.
type Outcome = Result<Bytes, String>;

impl Bull {
    /// BullMQ's processor of the children.
    pub(super) async fn chunk(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Error> {
        let id: JobId = job.id().parse().map_err(|_| not_ours(job.id()))?;
        let batch = id.batch().ok_or_else(|| not_ours(job.id()))?;
        // Before Redis is asked: then no end is missed.
        let ended = self.batches.enter(batch);
        match self.until_answered(|| self.begin(id, batch, &job)).await? {
            Begin::Run(chunk) => {
                let began = Instant::now();
                let outcome = self.run_chunk(&chunk, ended).await;
                self.conclude(&chunk, outcome, began.elapsed()).await
            }
            Begin::Lost(chunk, times) => {
                let error = format!("its worker was lost {times} times");
                self.settle(&chunk, Err(error), Duration::ZERO).await
            }
            Begin::Recorded {
                next,
                error,
                recipe,
            } => {
                let failed = error.is_some();
                self.follow(batch, next, failed, &recipe).await?;
                answer(error.map_or(Ok(0), Err), 0)
            }
            Begin::Over => Ok(cancelled()),
        }
    }

    async fn begin(&self, id: JobId, batch: BatchId, job: &Job) -> Result<Begin, QueueError> {
        let known = self.batches.recipe(batch);
        let key = format!("{}:{}", self.options.base(CHUNKS), job.id());
        let name = batch.to_string();
        let asked = self.script_within(self.options.lease, &store::BEGIN, &name, |call| {
            call.arg(id.chunk).arg(key).arg(u8::from(known.is_some()));
        });
        let answer: Vec<Value> = asked.await?;
        let code = at(&answer, 0);
        let (options, params) = if code == 2 { (3, 4) } else { (5, 6) };
        let recipe = known.or_else(|| read_recipe(&answer, options, params));
        let recipe = match (code, recipe) {
            (1 | 2, Some(recipe)) => recipe,
            (1 | 2, None) => return Err(damaged(batch)),
            _ => return Ok(Begin::Over),
        };
        if code == 2 {
            let error = answer.get(2).and_then(state::text);
            return Ok(Begin::Recorded {
                next: at(&answer, 1),
                error: error.filter(|text| !text.is_empty()).map(str::to_owned),
                recipe,
            });
        }
        self.batches.learn(batch, Arc::clone(&recipe));
        let (items, lost) = (at(&answer, 2), at(&answer, 4));
        let deadline = Timestamp(u64::try_from(at(&answer, 3)).unwrap_or(0));
        let work = Work {
            id,
            kind: Kind::Chunk,
            job_type: recipe.0.job_type.clone(),
            payload: blob(answer, 1).ok_or_else(|| damaged(batch))?,
            params: recipe.1.clone(),
            attempt: job.attempts_made() + 1,
        };
        let last = work.attempt >= recipe.0.max_attempts;
        let chunk = Chunk {
            batch,
            work,
            items,
            deadline,
            recipe,
            last,
        };
        Ok(match lost > i64::from(self.options.stalled_max) {
            true => Begin::Lost(chunk, lost),
            false => Begin::Run(chunk),
        })
    }

    async fn run_chunk(&self, chunk: &Chunk, mut ended: watch::Receiver<bool>) -> Ended {
        let left = chunk.deadline.ms_since(self.now());
        let own = match chunk.recipe.0.chunk_timeout_ms {
            0 => self.config.scheduler.timeout_max_ms,
            ms => ms,
        };
        let over = async {
            if ended.wait_for(|ended| *ended).await.is_err() {
                // Nobody is left to tell it; the time limit does.
                std::future::pending::<()>().await;
            }
        };
        let interrupted = async {
            tokio::select! {
                () = over => {}
                () = self.drained() => {}
            }
        };
        let control = Arc::<WorkControl>::default();
        let limit = Duration::from_millis(own.min(left));
        self.runner
            .run(chunk.work.clone(), control, limit, interrupted, || ())
            .await
    }

    /// What the end of an attempt means to the chunk.
    async fn conclude(
        &self,
        chunk: &Chunk,
        ended: Ended,
        ran: Duration,
    ) -> Result<serde_json::Value, Error> {
        self.time_chunk(chunk, &ended, ran);
        let options = &chunk.recipe.0;
        let limit = self.config.result_bytes_max;
        let (message, retryable) = match ended {
            Ended::Done(data) if data.len() > limit => {
                let bytes = data.len();
                (
                    format!("the result has {bytes} bytes; at most {limit}"),
                    false,
                )
            }
            Ended::Done(data) => return self.settle(chunk, Ok(data), ran).await,
            Ended::Failed(failure) => (failure.message, failure.retryable),
            Ended::TimedOut if self.now() >= chunk.deadline => {
                let ms = options.timeout_ms;
                let late = || self.fail(chunk.batch, Reason::TimedOut { ms });
                self.until_answered(late).await?;
                return Ok(cancelled());
            }
            Ended::TimedOut => {
                let ms = options.chunk_timeout_ms;
                (format!("timed out after {ms} ms"), true)
            }
            // Back in line: another server goes on.
            Ended::Interrupted if self.draining() => {
                return Err(Error::RateLimited { delay_ms: 0 });
            }
            Ended::Interrupted => return Ok(cancelled()),
        };
        if retryable && !chunk.last {
            return Err(Error::ProcessingError(message));
        }
        self.settle(chunk, Err(message), ran).await
    }

    fn time_chunk(&self, chunk: &Chunk, ended: &Ended, ran: Duration) {
        let ms = u64::try_from(ran.as_millis()).unwrap_or(u64::MAX);
        let timings = self.local.timings();
        match ended {
            Ended::Failed(failure) if failure.retryable && chunk.last => {
                timings.record(Timed::Died(Kind::Chunk, ms));
            }
            Ended::Done(_) | Ended::Failed(_) => timings.record(Timed::Ran(Kind::Chunk, ms)),
            Ended::TimedOut => timings.record(Timed::Overran(Kind::Chunk)),
            Ended::Interrupted => {}
        }
    }

    /// Writes how a chunk ended, lets the next one in, and tells BullMQ.
    async fn settle(
        &self,
        chunk: &Chunk,
        outcome: Outcome,
        ran: Duration,
    ) -> Result<serde_json::Value, Error> {
        let longest = self.config.scheduler.error_bytes;
        let outcome = outcome.map_err(|error| truncated(&error, longest).to_owned());
        let record = || self.record(chunk, &outcome, ran);
        let Some(next) = self.until_answered(record).await? else {
            return Ok(cancelled());
        };
        self.follow(chunk.batch, next, outcome.is_err(), &chunk.recipe)
            .await?;
        answer(outcome.map(|data| data.len()), chunk.items)
    }

    /// Gives the chunk to let in, or -1; `None` when the batch has ended.
    async fn record(
        &self,
        chunk: &Chunk,
        outcome: &Outcome,
        ran: Duration,
    ) -> Result<Option<i64>, QueueError> {
        let data = match outcome {
            Ok(data) => &data[..],
            Err(error) => error.as_bytes(),
        };
        let name = chunk.batch.to_string();
        let asked = self.script_within(self.options.lease, &store::RECORD, &name, |call| {
            call.arg(chunk.work.id.chunk)
                .arg(chunk.items)
                .arg(u8::from(outcome.is_ok()))
                .arg(data)
                .arg(ERRORS_KEPT)
                .arg(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX));
        });
        let answer: Vec<i64> = asked.await?;
        let entered = answer.first().is_some_and(|code| *code != 0);
        Ok(answer.get(1).copied().filter(|_| entered))
    }

    /// What the end of a chunk brings about: the next one, or the end of all.
    async fn follow(
        &self,
        batch: BatchId,
        next: i64,
        failed: bool,
        recipe: &Recipe,
    ) -> Result<(), Error> {
        if failed && recipe.0.stop_on_error {
            let end = || self.concluded(batch);
            return self.until_answered(end).await.map(drop);
        }
        let Ok(next) = u32::try_from(next) else {
            return Ok(());
        };
        let let_in = || async {
            let child = flow::child(batch, &recipe.0, next, true)?;
            self.add_flow(child).await
        };
        self.until_answered(let_in).await
    }

    /// Fails a batch as a whole, unless it has ended.
    pub(super) async fn fail(&self, id: BatchId, reason: Reason<'_>) -> Result<(), QueueError> {
        let error = Some(reason.to_string());
        match self.finish(id, BatchStatus::Failed, error, false).await {
            Err(QueueError::Job(_)) => Ok(()),
            answer => answer,
        }
    }

    /// The book of a batch. One whose chunks have all ended has ended too, for whoever looks: the
    /// parent need not have run.
    pub(super) async fn concluded(&self, id: BatchId) -> Result<Book, QueueError> {
        let book = self.book_of(id).await?;
        let Some((status, error)) = book.conclusion() else {
            return Ok(book);
        };
        match self.finish(id, status, error, true).await {
            // Somebody else was faster.
            Ok(()) | Err(QueueError::Job(_)) => self.book_of(id).await,
            Err(error) => Err(error),
        }
    }

    /// BullMQ's processor of the parents: every chunk has ended, or the batch has.
    pub(super) async fn assemble(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Error> {
        let id: BatchId = job.id().parse().map_err(|_| not_ours(job.id()))?;
        let assembled = async {
            match self.concluded(id).await? {
                book if book.status.ended() => Ok(book),
                _ => Err(unreachable("some of its chunks have not ended")),
            }
        };
        match assembled.await {
            Ok(book) => Ok(serde_json::to_value(book)?),
            // It was never visible, or somebody ended it meanwhile.
            Err(QueueError::Job(_)) => Ok(serde_json::Value::Null),
            Err(error) => Err(Error::ProcessingError(error.to_string())),
        }
    }

    /// Asks until Redis answers, or this server ends: then somebody else takes over.
    async fn until_answered<T, F: Future<Output = Result<T, QueueError>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, Error> {
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error @ (QueueError::Unreachable(_) | QueueError::NoRoom(_))) => {
                    if self.draining() {
                        return Err(Error::RateLimited { delay_ms: 0 });
                    }
                    tracing::debug!(%error, "a chunk waits for Redis");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Error::Unrecoverable(error.to_string())),
            }
        }
    }

    fn draining(&self) -> bool {
        *self.drained.borrow()
    }
}

/// What BullMQ keeps of a chunk: its data is elsewhere.
fn answer(outcome: Result<usize, String>, items: i64) -> Result<serde_json::Value, Error> {
    match outcome {
        Ok(bytes) => Ok(json!({"items": items, "bytes": bytes})),
        Err(error) => Err(Error::Unrecoverable(error)),
    }
}

/// Of a chunk whose batch ended before it.
fn cancelled() -> serde_json::Value {
    json!({"cancelled": true})
}

fn read_recipe(answer: &[Value], options: usize, params: usize) -> Option<Arc<Recipe>> {
    let options = serde_json::from_str(state::text(answer.get(options)?)?).ok()?;
    let params = match answer.get(params) {
        Some(Value::BulkString(bytes)) => Bytes::copy_from_slice(bytes),
        _ => Bytes::new(),
    };
    Some(Arc::new((options, params)))
}

/// A blob of an answer, without a copy.
fn blob(answer: Vec<Value>, place: usize) -> Option<Bytes> {
    match answer.into_iter().nth(place)? {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}

fn not_ours(id: &str) -> Error {
    Error::Unrecoverable(format!("{id:?} is no id of a chunk or a batch"))
}

fn damaged(id: BatchId) -> QueueError {
    QueueError::Store(format!("what is kept of {id} cannot be understood").into())
}
