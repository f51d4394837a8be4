//! What the rest of the server holds.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use sommos_core::{
    batch::{BatchMetrics, BatchOptions, Book},
    jobs::{BatchId, JobError, JobId, Kind, Status, Submitted},
    time::Timestamp,
};
use tokio::sync::oneshot;

use super::{
    events::{Events, Subscription},
    inbox::Inbox,
    machine::Machine,
    pool::Pool,
    store::{Reader, Store, StoreError},
    types::{
        ChunkResult, Executor, Filter, JobView, NewBatch, NewJob, QueueConfig, QueueError,
        QueueMetrics,
    },
    writer::{Reply, Shared, Step, Writer},
};

/// Places in line counted for a job's position.
const POSITION_MAX: usize = 10_000;
/// Chunk results read for one page, bytes.
const PAGE_BYTES: usize = 16 << 20;
/// Chunks of one batch: what the ids of their results have room for.
const CHUNKS_MAX: usize = 1 << 20;

/// A handle of the queue; clones share it. When the last one is dropped the queue ends at once,
/// as in a crash: call [`Queue::drain`] first.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    path: PathBuf,
    reader: Mutex<Option<Reader>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.inbox.close();
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // It ends after its round; a panic there has been reported by the thread itself.
            let _ = writer.join();
        }
    }
}

impl Queue {
    /// Opens or creates the database and starts the writer. What ran when the last process died
    /// goes back in line, its attempt counted.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, read or understood.
    pub fn open(config: QueueConfig, executor: Arc<dyn Executor>) -> Result<Self, StoreError> {
        let path = config.path.clone();
        let store = Store::open(&path)?;
        let now = (config.clock)();
        let inbox = Arc::new(Inbox::new(config.commands_max));
        let pool = Pool::new(&config, executor, Arc::clone(&inbox));
        let shared = Arc::new(Shared {
            inbox,
            events: Events::new(config.events_max),
            pool,
            healthy: AtomicBool::new(true),
            commits: AtomicU64::new(0),
            write_failures: AtomicU64::new(0),
            drain: Mutex::new(None),
            #[cfg(test)]
            sql: Mutex::default(),
        });
        let mut machine = Machine::load(config, &store, now, Default::default())?;
        machine.ledger.abandon_unsealed(now, &mut machine.scheduler);
        let writer = Writer {
            machine,
            store,
            shared: Arc::clone(&shared),
            again: Vec::new(),
            returning: Vec::new(),
            failures: 0,
            sampled: Instant::now(),
            more_to_sweep: false,
        };
        let thread = std::thread::Builder::new().name("queue-writer".into());
        let thread = thread
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        shared.inbox.poke();
        let (reader, writer) = (Mutex::new(None), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Inner {
            shared,
            path,
            reader,
            writer,
        })))
    }

    /// Runs `step` in the writer and answers when its round is committed.
    async fn call<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Machine, Timestamp) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let (sender, receiver) = oneshot::channel();
        let step: Step = Box::new(move |machine, now| {
            let answer = step(machine, now);
            let reply: Reply = Box::new(move |committed| {
                // A caller that went away needs no answer.
                let _ = sender.send(committed.and(answer));
            });
            reply
        });
        self.0.shared.inbox.command(step)?;
        receiver.await.map_err(|_| QueueError::Closed)?
    }

    /// Takes a job or task. When this answers, it is on the disk.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn submit(&self, job: NewJob) -> Result<Submitted, QueueError> {
        let entropy = entropy()?;
        self.call(move |machine, now| Ok(machine.submit(now, entropy, job)?))
            .await
    }

    /// Takes a whole batch, all or nothing.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn submit_batch(&self, batch: NewBatch) -> Result<BatchId, QueueError> {
        let count = batch.chunks.len();
        if count == 0 || count > CHUNKS_MAX {
            return Err(QueueError::Chunks(count, CHUNKS_MAX));
        }
        let entropy = entropy()?;
        self.call(move |machine, now| {
            machine.scheduler.check_room(Kind::Chunk, count)?;
            let id = machine.open_batch(now, entropy, batch.options, batch.params);
            for (payload, items) in batch.chunks {
                if let Err(error) = machine.append(now, id, payload, items) {
                    let _ = machine.ledger.cancel(now, id, &mut machine.scheduler);
                    return Err(error.into());
                }
            }
            machine.ledger.seal(now, id, &mut machine.scheduler)?;
            Ok(id)
        })
        .await
    }

    /// Opens a batch whose chunks come one by one; they start to run at once. A batch that is
    /// never sealed ends with its timeout or with the process.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn open_batch(
        &self,
        options: BatchOptions,
        params: Bytes,
    ) -> Result<BatchId, QueueError> {
        let entropy = entropy()?;
        self.call(move |machine, now| Ok(machine.open_batch(now, entropy, options, params)))
            .await
    }

    /// Adds a chunk of `items` items; gives its index. [`JobError::Full`] asks to wait.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn append_chunk(
        &self,
        id: BatchId,
        payload: Bytes,
        items: u64,
    ) -> Result<u32, QueueError> {
        self.call(move |machine, now| {
            let chunks = machine.ledger.get(id)?.total_chunks as usize;
            if chunks >= CHUNKS_MAX {
                return Err(QueueError::Chunks(chunks + 1, CHUNKS_MAX));
            }
            Ok(machine.append(now, id, payload, items)?)
        })
        .await
    }

    /// Says that a batch has all its chunks.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn seal_batch(&self, id: BatchId) -> Result<(), QueueError> {
        self.call(move |m, now| Ok(m.ledger.seal(now, id, &mut m.scheduler)?))
            .await
    }

    /// A job, task or chunk that has not ended.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFound`] in it.
    pub async fn job(&self, id: JobId) -> Result<JobView, QueueError> {
        self.call(move |machine, _| {
            let record = machine.scheduler.get(id)?.clone();
            let position = machine.scheduler.position(id, POSITION_MAX);
            Ok(JobView { record, position })
        })
        .await
    }

    /// The result of a completed job; `None` while it has none.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn result(&self, id: JobId) -> Result<Option<Bytes>, QueueError> {
        let (seq, status) = self
            .call(move |machine, _| {
                let record = machine.scheduler.get(id)?;
                Ok((record.seq, record.state.status))
            })
            .await?;
        if status != Status::Completed {
            return Ok(None);
        }
        self.read(move |reader| reader.result(seq)).await
    }

    /// The book of a batch.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn batch(&self, id: BatchId) -> Result<Book, QueueError> {
        self.call(move |machine, _| Ok(machine.ledger.get(id)?.clone()))
            .await
    }

    /// Ended chunks of a batch from index `from`, in order: at most `limit`, and not many more
    /// than 16 MiB.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn batch_results(
        &self,
        id: BatchId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<ChunkResult>, QueueError> {
        let key = self
            .call(move |machine, _| Ok(machine.ledger.get(id)?.key))
            .await?;
        self.read(move |reader| reader.chunks(key, from, limit, PAGE_BYTES))
            .await
    }

    /// Cancels a job; gives whether it was running. Its slot is free at once.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::Ended`] in it.
    pub async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        self.call(move |machine, now| Ok(machine.scheduler.cancel(now, id)?))
            .await
    }

    /// Cancels a batch and its chunks.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn cancel_batch(&self, id: BatchId) -> Result<(), QueueError> {
        self.call(move |m, now| Ok(m.ledger.cancel(now, id, &mut m.scheduler)?))
            .await
    }

    /// Puts a failed job back in line.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFailed`] in it.
    pub async fn retry(&self, id: JobId) -> Result<(), QueueError> {
        self.call(move |machine, now| Ok(machine.scheduler.retry_dead(now, id)?))
            .await
    }

    /// Forgets ended jobs older than `older_than_ms`; gives how many.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn clear(&self, older_than_ms: u64) -> Result<usize, QueueError> {
        self.call(move |machine, now| {
            let mut retention = machine.config.retention;
            retention.age_ms = older_than_ms;
            Ok(machine.scheduler.sweep(now, &retention, usize::MAX))
        })
        .await
    }

    /// Jobs, newest first, at most `limit`. O(all jobs).
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<sommos_core::jobs::Record>, QueueError> {
        self.call(move |machine, _| {
            let mut found: Vec<_> = machine
                .scheduler
                .records()
                .filter(|r| filter.kind.is_none_or(|kind| r.id.kind == kind))
                .filter(|r| filter.status.is_none_or(|status| r.state.status == status))
                .filter(|r| !filter.dead || r.state.dead)
                .collect();
            found.sort_unstable_by_key(|record| std::cmp::Reverse(record.seq));
            Ok(found.into_iter().take(limit).cloned().collect())
        })
        .await
    }

    /// Batches, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn list_batches(&self, limit: usize) -> Result<Vec<Book>, QueueError> {
        self.call(move |machine, _| Ok(machine.ledger.books().rev().take(limit).cloned().collect()))
            .await
    }

    /// The counters.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn metrics(&self) -> Result<QueueMetrics, QueueError> {
        let shared = Arc::clone(&self.0.shared);
        self.call(move |machine, _| {
            Ok(QueueMetrics {
                jobs: machine.scheduler.metrics(Kind::Job),
                tasks: machine.scheduler.metrics(Kind::Task),
                chunks: machine.scheduler.metrics(Kind::Chunk),
                batches: machine.ledger.metrics(),
                pool: shared.pool.stats(),
                kept: machine.scheduler.kept(),
                commits: shared.commits.load(Ordering::Relaxed),
                write_failures: shared.write_failures.load(Ordering::Relaxed),
            })
        })
        .await
    }

    /// The counters of batches.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn batch_metrics(&self) -> Result<BatchMetrics, QueueError> {
        self.call(|machine, _| Ok(machine.ledger.metrics())).await
    }

    /// Events from now on, and those after the given number that are still kept.
    #[must_use]
    pub fn events(&self, after: Option<u64>) -> Subscription {
        self.0.shared.events.subscribe(after)
    }

    /// Whether the last write succeeded: readiness.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.0.shared.healthy.load(Ordering::Relaxed)
    }

    /// Lets the writer look at the clock: for clocks that tests move by hand.
    pub fn wake(&self) {
        self.0.shared.inbox.poke();
    }

    /// Ends the queue: nothing new starts, what runs has `grace` to end and then goes back in
    /// line, its attempt not counted. Answers when all is written.
    pub async fn drain(&self, grace: Duration) {
        {
            let shared = &self.0.shared;
            let mut drain = shared.drain.lock().unwrap_or_else(PoisonError::into_inner);
            drain.get_or_insert(Instant::now() + grace);
        }
        self.wake();
        let inner = Arc::clone(&self.0);
        let join = tokio::task::spawn_blocking(move || {
            let writer = inner
                .writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            writer.map(std::thread::JoinHandle::join)
        });
        if let Err(error) = join.await {
            tracing::error!(%error, "the queue's writer did not end well");
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let mut reader = inner.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let reader = match &mut *reader {
                Some(reader) => reader,
                none => none.insert(Reader::open(&inner.path)?),
            };
            query(reader)
        });
        let read = read.await.map_err(|_| QueueError::Closed)?;
        read.map_err(|error| QueueError::Store(error.to_string().into()))
    }
}

fn entropy() -> Result<[u8; 16], QueueError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| QueueError::Store(format!("no randomness for an id: {error}").into()))?;
    Ok(bytes)
}

impl QueueError {
    /// The scheduler's refusal, if it was one.
    #[must_use]
    pub fn job(&self) -> Option<&JobError> {
        match self {
            Self::Job(error) => Some(error),
            _ => None,
        }
    }
}

/// Faults and looks for tests. They go to the writer's own connection.
#[cfg(test)]
impl Queue {
    pub(super) async fn limit_pages(&self, pages: i64) -> Result<(), QueueError> {
        self.sql(format!("PRAGMA max_page_count = {pages}"))
            .await
            .map(drop)
    }

    pub(super) async fn read_only(&self, on: bool) -> Result<(), QueueError> {
        self.sql(format!("PRAGMA query_only = {}", u8::from(on)))
            .await
            .map(drop)
    }

    /// Rows in all tables of work.
    pub(super) async fn rows(&self) -> Result<i64, QueueError> {
        let tables = ["jobs", "payloads", "results", "batches", "chunk_results"];
        let counts = tables
            .map(|table| format!("(SELECT count(*) FROM {table})"))
            .join(" + ");
        self.sql(format!("SELECT {counts}")).await
    }

    async fn sql(&self, sql: String) -> Result<i64, QueueError> {
        let (sender, receiver) = oneshot::channel();
        self.0.shared.sql.lock().unwrap().push((sql, sender));
        self.wake();
        receiver.await.map_err(|_| QueueError::Closed)
    }
}
