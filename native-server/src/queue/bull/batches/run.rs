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
    batch::{BatchStatus, ERRORS_KEPT, Reason},
    jobs::{BatchId, JobId, Kind, truncated},
    time::Timestamp,
};
use tokio::{sync::watch, time::Instant};

use super::{
    Recipe, flow,
    link::{self, Link},
    state,
    submit::at,
};
use crate::queue::{
    bull::{Bull, runner::Ended},
    control::WorkControl,
    types::{QueueError, Work},
};

/// Wait before Redis is asked again by a worker.
const PAUSE: Duration = Duration::from_millis(200);

/// A chunk that this server is to run.
struct Chunk {
    work: Work,
    items: i64,
    deadline: Timestamp,
    recipe: Arc<Recipe>,
}

/// What is to be done with a chunk.
enum Begin {
    Run(Chunk),
    /// Its outcome is there; what it lets in may not be.
    Recorded {
        next: i64,
        error: Option<String>,
        recipe: Arc<Recipe>,
    },
    /// Its worker was lost too often.
    Lost(Chunk, i64),
    /// Its batch has ended.
    Over,
}

/// How a chunk ended.
type Outcome = Result<Bytes, String>;

impl Bull {
    /// BullMQ's processor of the children.
    pub(super) async fn chunk(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Error> {
        let id: JobId = job.id().parse().map_err(|_| not_ours(job.id()))?;
        let batch = id.batch().ok_or_else(|| not_ours(job.id()))?;
        let ended = self.batches.enter(batch);
        let mut stop = self.batches.stop.subscribe();
        let chunk = match self.until_answered(|| self.begin(id, batch, &job)).await? {
            Begin::Over => return Ok(json!({"cancelled": true})),
            Begin::Recorded {
                next,
                error,
                recipe,
            } => {
                self.follow(batch, id.chunk, next, error.as_deref(), &recipe)
                    .await?;
                return answer(error.map_or(Ok(0), Err), 0);
            }
            Begin::Lost(chunk, times) => {
                let error = format!("its worker was lost {times} times");
                return self.settle(batch, &chunk, Err(error), Duration::ZERO).await;
            }
            Begin::Run(chunk) => chunk,
        };
        let began = Instant::now();
        let outcome = self.attempt(&chunk, ended, &mut stop).await;
        let ran = began.elapsed();
        self.local.timings().of(Kind::Chunk).run.record(ran);
        let options = &chunk.recipe.0;
        let last = job.attempts_made() + 1 >= options.max_attempts;
        let outcome = match outcome {
            Ended::Done(data) if data.len() > self.config.result_bytes_max => {
                let limit = self.config.result_bytes_max;
                Err(format!(
                    "the result has {} bytes; at most {limit}",
                    data.len()
                ))
            }
            Ended::Done(data) => Ok(data),
            Ended::Failed(failure) if failure.retryable && !last => {
                return Err(Error::ProcessingError(failure.message));
            }
            Ended::Failed(failure) => Err(failure.message),
            Ended::TimedOut if (self.config.clock)() >= chunk.deadline => {
                let ms = options.timeout_ms;
                self.until_answered(|| self.fail(batch, Reason::TimedOut { ms }))
                    .await?;
                return Ok(json!({"cancelled": true}));
            }
            Ended::TimedOut => {
                let error = format!("timed out after {} ms", options.chunk_timeout_ms);
                if !last {
                    return Err(Error::ProcessingError(error));
                }
                Err(error)
            }
            // Back in line; another server goes on.
            Ended::Interrupted if *stop.borrow() => return Err(Error::RateLimited { delay_ms: 0 }),
            Ended::Interrupted => return Ok(json!({"cancelled": true})),
        };
        self.settle(batch, &chunk, outcome, ran).await
    }

    async fn attempt(
        &self,
        chunk: &Chunk,
        mut ended: watch::Receiver<bool>,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let left = chunk.deadline.ms_since((self.config.clock)());
        let own = match chunk.recipe.0.chunk_timeout_ms {
            0 => self.config.scheduler.timeout_max_ms,
            ms => ms,
        };
        let interrupted = async {
            // A sender that is gone cannot tell any more; the time limit does.
            let gone = tokio::select! {
                told = ended.wait_for(|ended| *ended) => told.is_err(),
                told = stop.wait_for(|stop| *stop) => told.is_err(),
            };
            if gone {
                std::future::pending::<()>().await;
            }
        };
        let control = Arc::<WorkControl>::default();
        let limit = Duration::from_millis(own.min(left));
        self.runner
            .run(chunk.work.clone(), control, limit, interrupted, || ())
            .await
    }

    async fn begin(&self, id: JobId, batch: BatchId, job: &Job) -> Result<Begin, QueueError> {
        let link = self.batches.link()?;
        let known = self.batches.recipe(batch);
        let answer: Vec<Value> = link
            .script(
                &link::BEGIN,
                &batch.to_string(),
                (self.config.clock)(),
                |call| {
                    call.arg(id.chunk)
                        .arg(link.child(job.id()))
                        .arg(u8::from(known.is_some()));
                },
            )
            .await?;
        let recipe = |options: usize, params: usize| {
            known
                .clone()
                .or_else(|| read_recipe(&answer, options, params))
        };
        match at(&answer, 0) {
            2 => {
                let recipe = recipe(3, 4).ok_or_else(|| damaged(batch))?;
                let error = answer
                    .get(2)
                    .and_then(state::text)
                    .filter(|text| !text.is_empty());
                let error = error.map(str::to_owned);
                Ok(Begin::Recorded {
                    next: at(&answer, 1),
                    error,
                    recipe,
                })
            }
            1 => {
                let recipe = recipe(5, 6).ok_or_else(|| damaged(batch))?;
                self.batches.learn(batch, Arc::clone(&recipe));
                let items = at(&answer, 2);
                let deadline = Timestamp(u64::try_from(at(&answer, 3)).unwrap_or(0));
                let lost = at(&answer, 4);
                let payload = bytes(answer, 1).ok_or_else(|| damaged(batch))?;
                let work = Work {
                    id,
                    kind: Kind::Chunk,
                    job_type: recipe.0.job_type.clone(),
                    payload,
                    params: recipe.1.clone(),
                    attempt: job.attempts_made() + 1,
                };
                let chunk = Chunk {
                    work,
                    items,
                    deadline,
                    recipe,
                };
                if lost > i64::from(self.options.stalled_max) {
                    return Ok(Begin::Lost(chunk, lost));
                }
                Ok(Begin::Run(chunk))
            }
            _ => Ok(Begin::Over),
        }
    }

    /// Writes how a chunk ended, lets the next one in, and tells BullMQ.
    async fn settle(
        &self,
        batch: BatchId,
        chunk: &Chunk,
        outcome: Outcome,
        ran: Duration,
    ) -> Result<serde_json::Value, Error> {
        let longest = self.config.scheduler.error_bytes;
        let outcome = outcome.map_err(|error| truncated(&error, longest).to_owned());
        let index = chunk.work.id.chunk;
        let entered = self
            .until_answered(|| self.record(batch, index, chunk.items, &outcome, ran))
            .await?;
        let Some(next) = entered else {
            return Ok(json!({"cancelled": true}));
        };
        let error = outcome.as_ref().err().map(String::as_str);
        self.follow(batch, index, next, error, &chunk.recipe)
            .await?;
        answer(outcome.map(|data| data.len()), chunk.items)
    }

    /// Gives the chunk to let in, or -1; `None` when the batch has ended.
    async fn record(
        &self,
        batch: BatchId,
        chunk: u32,
        items: i64,
        outcome: &Outcome,
        ran: Duration,
    ) -> Result<Option<i64>, QueueError> {
        let link = self.batches.link()?;
        let data = match outcome {
            Ok(data) => &data[..],
            Err(error) => error.as_bytes(),
        };
        let answer: Vec<i64> = link
            .script(
                &link::RECORD,
                &batch.to_string(),
                (self.config.clock)(),
                |call| {
                    call.arg(chunk)
                        .arg(items)
                        .arg(u8::from(outcome.is_ok()))
                        .arg(data)
                        .arg(ERRORS_KEPT)
                        .arg(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX));
                },
            )
            .await?;
        let entered = answer.first().is_some_and(|code| *code != 0);
        Ok(answer.get(1).copied().filter(|_| entered))
    }

    /// What the end of a chunk brings about: the next one, or the end of all.
    async fn follow(
        &self,
        batch: BatchId,
        chunk: u32,
        next: i64,
        error: Option<&str>,
        recipe: &Recipe,
    ) -> Result<(), Error> {
        if let Some(error) = error.filter(|_| recipe.0.stop_on_error) {
            let reason = Reason::Chunk { chunk, error };
            return self.until_answered(|| self.fail(batch, reason)).await;
        }
        let Ok(next) = u32::try_from(next) else {
            return Ok(());
        };
        self.until_answered(|| async {
            let link = self.batches.link()?;
            let child = flow::child(batch, &recipe.0, next, true)?;
            link.within(link.flows.add(child)).await.map(drop)
        })
        .await
    }

    /// Fails a batch as a whole, unless it has ended.
    pub(super) async fn fail(&self, id: BatchId, reason: Reason<'_>) -> Result<(), QueueError> {
        let link = self.batches.link()?;
        let end = (BatchStatus::Failed, Some(reason.to_string()));
        self.end(&link, id, end).await.map(drop)
    }

    /// Gives a batch its last status.
    pub(super) async fn end(
        &self,
        link: &Link,
        id: BatchId,
        end: (BatchStatus, Option<String>),
    ) -> Result<i64, QueueError> {
        let kept = self.config.retention.age_ms;
        link.finish(id, (self.config.clock)(), end, kept).await
    }

    /// BullMQ's processor of the parents: every chunk has ended, or the batch has.
    pub(super) async fn assemble(self: Arc<Self>, job: Job) -> Result<serde_json::Value, Error> {
        let id: BatchId = job.id().parse().map_err(|_| not_ours(job.id()))?;
        let assembled = async {
            let link = self.batches.link()?;
            let book = link.book(id).await?;
            if let Some(status) = book.verdict() {
                let failed = status == BatchStatus::Failed;
                let error = failed.then(|| Reason::EveryChunk.to_string());
                self.end(&link, id, (status, error)).await?;
            } else if !book.status.ended() {
                return Err(link::unreachable("some of its chunks have not ended"));
            }
            link.book(id).await
        };
        match assembled.await {
            Ok(book) => Ok(serde_json::to_value(book)?),
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
                Err(QueueError::Unreachable(why)) => {
                    if *self.batches.stop.borrow() {
                        return Err(Error::RateLimited { delay_ms: 0 });
                    }
                    tracing::debug!(%why, "a chunk waits for Redis");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(Error::Unrecoverable(error.to_string())),
            }
        }
    }
}

/// What BullMQ keeps of a chunk: its data is elsewhere.
fn answer(outcome: Result<usize, String>, items: i64) -> Result<serde_json::Value, Error> {
    match outcome {
        Ok(bytes) => Ok(json!({"items": items, "bytes": bytes})),
        Err(error) => Err(Error::Unrecoverable(error)),
    }
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
fn bytes(answer: Vec<Value>, place: usize) -> Option<Bytes> {
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
