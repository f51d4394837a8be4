//! The embedded queue's handle: what goes in.

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
    batch::BatchOptions,
    jobs::{BatchId, JobError, JobId, Kind, Submitted},
    time::Timestamp,
};
use tokio::sync::oneshot;

use super::{
    events::{Events, Subscription},
    inbox::Inbox,
    machine::Machine,
    pool::Pool,
    reader::Reader,
    store::{Store, StoreError},
    timings::Timings,
    types::{Executor, NewBatch, NewJob, QueueConfig, QueueError},
    writer::{Reply, Shared, Step, Writer},
};

/// Chunks of one batch: what the ids of their results have room for.
pub(super) const CHUNKS_MAX: usize = 1 << 20;

/// A handle of the queue; clones share it. When the last one is dropped the queue ends at once,
/// as in a crash: call [`Embedded::drain`] first.
#[derive(Clone)]
pub(super) struct Embedded(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) path: PathBuf,
    pub(super) reader: Mutex<Option<Reader>>,
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

impl Embedded {
    /// Opens or creates the database and starts the writer. What ran when the last process died
    /// goes back in line, its attempt counted.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, read or understood.
    pub(super) fn open(
        config: QueueConfig,
        executor: Arc<dyn Executor>,
    ) -> Result<Self, StoreError> {
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
            timings: Timings::default(),
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
    pub(super) async fn call<T: Send + 'static>(
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
    pub(super) async fn submit(&self, job: NewJob) -> Result<Submitted, QueueError> {
        let entropy = entropy()?;
        self.call(move |machine, now| Ok(machine.submit(now, entropy, job)?))
            .await
    }

    /// Takes a whole batch, all or nothing.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn submit_batch(&self, batch: NewBatch) -> Result<BatchId, QueueError> {
        let count = batch.chunks.len();
        if count == 0 || count > CHUNKS_MAX {
            return Err(QueueError::Chunks(count, CHUNKS_MAX));
        }
        let bytes = batch.chunks.iter().map(|chunk| chunk.0.len() as u64).sum();
        let entropy = entropy()?;
        self.call(move |machine, now| {
            machine.scheduler.check_room(Kind::Chunk, count, bytes)?;
            let id = machine.open_batch(now, entropy, batch.options, batch.params)?;
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
    pub(super) async fn open_batch(
        &self,
        options: BatchOptions,
        params: Bytes,
    ) -> Result<BatchId, QueueError> {
        let entropy = entropy()?;
        self.call(move |machine, now| Ok(machine.open_batch(now, entropy, options, params)?))
            .await
    }

    /// Adds a chunk of `items` items; gives its index. [`JobError::Full`] or
    /// [`JobError::FullBytes`] asks to wait until chunks have ended.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn append_chunk(
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
    pub(super) async fn seal_batch(&self, id: BatchId) -> Result<(), QueueError> {
        self.call(move |m, now| Ok(m.ledger.seal(now, id, &mut m.scheduler)?))
            .await
    }

    /// Cancels a job; gives whether it was running. Its slot is free at once.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::Ended`] in it.
    pub(super) async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        self.call(move |machine, now| Ok(machine.scheduler.cancel(now, id)?))
            .await
    }

    /// Cancels a batch and its chunks.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn cancel_batch(&self, id: BatchId) -> Result<(), QueueError> {
        self.call(move |m, now| Ok(m.ledger.cancel(now, id, &mut m.scheduler)?))
            .await
    }

    /// Puts a failed job back in line.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFailed`] in it.
    pub(super) async fn retry(&self, id: JobId) -> Result<(), QueueError> {
        self.call(move |machine, now| Ok(machine.scheduler.retry_dead(now, id)?))
            .await
    }

    /// Forgets ended jobs older than `older_than_ms`; gives how many.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn clear(&self, older_than_ms: u64) -> Result<usize, QueueError> {
        self.call(move |machine, now| {
            let mut retention = machine.config.retention;
            retention.age_ms = older_than_ms;
            Ok(machine.scheduler.sweep(now, &retention, usize::MAX))
        })
        .await
    }

    /// Events from now on, and those after the given number that are still kept.
    #[must_use]
    pub(super) fn events(&self, after: Option<u64>) -> Subscription {
        self.0.shared.events.subscribe(after)
    }

    /// Announces something of another part of the server among the events.
    pub(super) fn announce(&self, at: Timestamp, name: &'static str, fields: serde_json::Value) {
        let what = super::events::What::Other(name, fields);
        self.0.shared.events.publish(std::iter::once((at, what)));
    }

    /// How long work waits and runs, and how long commits take, since the start.
    #[must_use]
    pub(super) fn timings(&self) -> &Timings {
        &self.0.shared.timings
    }

    /// The database file.
    #[must_use]
    pub(super) fn path(&self) -> &std::path::Path {
        &self.0.path
    }

    /// Whether the last write succeeded: readiness.
    #[must_use]
    pub(super) fn healthy(&self) -> bool {
        self.0.shared.healthy.load(Ordering::Relaxed)
    }

    /// Lets the writer look at the clock: for clocks that tests move by hand.
    pub(super) fn wake(&self) {
        self.0.shared.inbox.poke();
    }

    /// Ends the queue: nothing new starts, what runs has `grace` to end and then goes back in
    /// line, its attempt not counted. Answers when all is written.
    pub(super) async fn drain(&self, grace: Duration) {
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
}

pub(super) fn entropy() -> Result<[u8; 16], QueueError> {
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
