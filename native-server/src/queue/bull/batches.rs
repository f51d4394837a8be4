//! Batches as flows: the chunks are children, the parent assembles.
//!
//! What a batch is stands in a hash of its own, and what its chunks take and give in two more; each
//! change is one script. BullMQ's jobs only say what is to be done: a chunk's job has no data but
//! its name.

mod flow;
mod run;
mod state;
mod store;
mod submit;
mod watch;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use redis::Value;
use sommos_core::{
    batch::{BatchOptions, BatchStatus, Book},
    jobs::{BatchId, Config, JobError, Metrics, Scheduler},
};
use tokio::sync::watch as signal;

use super::{Bull, options::CHUNKS};
use crate::queue::types::{ChunkResult, QueueError, QueueMetrics};
use submit::at;

/// Chunk results read for one page, bytes.
const PAGE_BYTES: usize = 16 << 20;
/// Batches read in one round trip for a list.
const LIST_STEP: usize = 100;
/// Batches whose recipe is remembered.
const RECIPES: usize = 256;

/// How chunks of a batch run, and what they all get.
type Recipe = (BatchOptions, Bytes);

/// What this server knows of a batch.
struct Known {
    recipe: Option<Arc<Recipe>>,
    ended: signal::Sender<bool>,
}

/// The state of batches in this server.
pub(super) struct Batches {
    /// Never filled: it says which options are accepted.
    rules: Scheduler,
    known: Mutex<HashMap<BatchId, Known>>,
    /// Batches to which this server is to bring more chunks.
    promises: Mutex<HashSet<BatchId>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Batches {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            rules: Scheduler::new(config.clone()),
            known: Mutex::default(),
            promises: Mutex::default(),
        }
    }

    /// Watches for the end of a batch. To be called before Redis is asked about it: then no end
    /// is missed.
    fn enter(&self, id: BatchId) -> signal::Receiver<bool> {
        let mut known = locked(&self.known);
        if known.len() >= RECIPES {
            known.retain(|_, batch| batch.ended.receiver_count() > 0);
        }
        let batch = known.entry(id).or_insert_with(|| Known {
            recipe: None,
            ended: signal::channel(false).0,
        });
        batch.ended.subscribe()
    }

    fn learn(&self, id: BatchId, recipe: Arc<Recipe>) {
        let mut known = locked(&self.known);
        let batch = known.entry(id).or_insert_with(|| Known {
            recipe: None,
            ended: signal::channel(false).0,
        });
        batch.recipe = Some(recipe);
    }

    fn recipe(&self, id: BatchId) -> Option<Arc<Recipe>> {
        locked(&self.known).get(&id)?.recipe.clone()
    }

    /// A batch has ended: its chunks stop.
    fn ended(&self, id: BatchId) {
        if let Some(batch) = locked(&self.known).remove(&id) {
            batch.ended.send_replace(true);
            // Whoever watches has been told when the sender goes.
        }
        self.keep_no_promise(id);
    }

    fn promise(&self, id: BatchId) {
        locked(&self.promises).insert(id);
    }

    fn keep_no_promise(&self, id: BatchId) {
        locked(&self.promises).remove(&id);
    }

    fn promised(&self) -> Vec<BatchId> {
        locked(&self.promises).iter().copied().collect()
    }
}

impl Bull {
    /// How long a promise to bring more chunks holds without being renewed, milliseconds.
    fn promise_ms(&self) -> u64 {
        let lease = self.options.lease.max(Duration::from_secs(2));
        u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
    }

    pub(in crate::queue) async fn cancel_batch(&self, id: BatchId) -> Result<(), QueueError> {
        self.finish(id, BatchStatus::Cancelled, None, false).await
    }

    pub(in crate::queue) async fn batch(&self, id: BatchId) -> Result<Book, QueueError> {
        self.concluded(id).await
    }

    pub(in crate::queue) async fn batch_results(
        &self,
        id: BatchId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<ChunkResult>, QueueError> {
        let found: Value = self
            .script(&store::PAGE, &id.to_string(), |call| {
                call.arg(from).arg(limit).arg(PAGE_BYTES);
            })
            .await?;
        let Value::Array(found) = found else {
            return Err(JobError::NoBatch(id).into());
        };
        let mut results = Vec::with_capacity(found.len() / 3);
        let mut found = found.into_iter();
        while let (Some(chunk), Some(ok), Some(Value::BulkString(data))) =
            (found.next(), found.next(), found.next())
        {
            let outcome = match state::number(&ok) {
                Some(1) => Ok(data.into()),
                _ => Err(String::from_utf8_lossy(&data).into_owned()),
            };
            let chunk = state::number(&chunk).and_then(|n| u32::try_from(n).ok());
            results.extend(chunk.map(|chunk| ChunkResult { chunk, outcome }));
        }
        Ok(results)
    }

    pub(in crate::queue) async fn list_batches(
        &self,
        limit: usize,
    ) -> Result<Vec<Book>, QueueError> {
        let mut pipe = redis::pipe();
        pipe.cmd("ZREVRANGE").arg(self.batch_key("", ".all"));
        pipe.arg(0).arg(limit.saturating_sub(1));
        let (ids,): (Vec<String>,) = self.pipe(&pipe).await?;
        let ids: Vec<BatchId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let mut books = Vec::with_capacity(ids.len());
        for some in ids.chunks(LIST_STEP) {
            books.extend(self.books(some).await?);
        }
        books.truncate(limit);
        Ok(books)
    }

    /// Adds the counters of all servers' batches and chunks to those of the embedded queue.
    pub(super) async fn count_batches(&self, metrics: &mut QueueMetrics) -> Result<(), QueueError> {
        let fields = [
            "total",
            "completed",
            "failed",
            "cancelled",
            "active",
            "items",
            "ended_ms",
            "chunks",
            "chunks_completed",
            "chunks_failed",
            "chunks_cancelled",
            "chunks_live",
            "chunks_ms",
        ];
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET")
            .arg(self.batch_key("", ".counts"))
            .arg(&fields);
        pipe.cmd("LLEN")
            .arg(format!("{}:active", self.options.base(CHUNKS)));
        let (counts, at_work): (Vec<Value>, u64) = self.pipe(&pipe).await?;
        let count = |name: &str| {
            let place = fields.iter().position(|field| *field == name);
            place.map_or(0, |place| u64::try_from(at(&counts, place)).unwrap_or(0))
        };
        let all = &mut metrics.batches;
        let ended = |total: u64, active: u64| total.saturating_sub(active) as f64;
        let ms = all.average_ms * ended(all.total, all.active) + count("ended_ms") as f64;
        all.total += count("total");
        all.completed += count("completed");
        all.failed += count("failed");
        all.cancelled += count("cancelled");
        all.active += count("active");
        all.items += count("items");
        all.average_ms = ms / ended(all.total, all.active).max(1.0);
        let chunks: &mut Metrics = &mut metrics.chunks;
        let ms = chunks.average_ms * chunks.completed as f64 + count("chunks_ms") as f64;
        let at_work = at_work.min(count("chunks_live"));
        chunks.total += count("chunks");
        chunks.completed += count("chunks_completed");
        chunks.failed += count("chunks_failed");
        chunks.cancelled += count("chunks_cancelled");
        chunks.active += at_work;
        chunks.queued += count("chunks_live") - at_work;
        chunks.average_ms = ms / (chunks.completed.max(1) as f64);
        Ok(())
    }
}
