//! What the rest of the server holds: the embedded queue and, with Redis, the one that servers
//! share.
//!
//! With Redis new work goes to the shared queue. While Redis is out it goes to the embedded one,
//! which is on this server's disk and run by this server: nothing is refused and nothing is lost.
//! So does work that only this server can run. What is asked for by its id is looked for here
//! first, which costs no round trip.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use sommos_core::{
    batch::{BatchMetrics, BatchOptions, Book},
    jobs::{BatchId, JobError, JobId, Record, Submitted},
    metrics::InstanceJobs,
    time::Timestamp,
};

use super::{
    bull::{Bull, BullOptions},
    events::Subscription,
    handle::Embedded,
    store::StoreError,
    timings::Timings,
    types::{
        ChunkResult, Executor, Filter, JobView, NewBatch, NewJob, QueueConfig, QueueError,
        QueueMetrics,
    },
};

/// A handle of the queue; clones share it. When the last one is dropped the queue ends at once,
/// as in a crash: call [`Queue::drain`] first.
#[derive(Clone)]
pub struct Queue {
    local: Embedded,
    shared: Option<Arc<Bull>>,
}

impl Queue {
    /// Opens or creates the database and starts the workers of the embedded queue. What ran when
    /// the last process died goes back in line, its attempt counted.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, read or understood.
    pub fn open(config: QueueConfig, executor: Arc<dyn Executor>) -> Result<Self, StoreError> {
        Ok(Self {
            local: Embedded::open(config, executor)?,
            shared: None,
        })
    }

    /// The same, and a queue that servers share. Redis need not answer yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_shared(
        config: QueueConfig,
        executor: Arc<dyn Executor>,
        options: BullOptions,
    ) -> Result<Self, StoreError> {
        let local = Embedded::open(config.clone(), Arc::clone(&executor))?;
        let shared = Bull::new(options, config, executor, local.clone());
        Ok(Self {
            local,
            shared: Some(shared),
        })
    }

    /// Starts what needs a runtime: the workers of the shared queue. Called once.
    pub async fn start(&self) {
        if let Some(shared) = &self.shared {
            shared.start().await;
        }
    }

    /// Types of jobs that workers outside of the servers run.
    #[must_use]
    pub fn external(&self) -> &[String] {
        self.shared.as_ref().map_or(&[], |shared| shared.external())
    }

    /// Takes a job or task. When this answers, it is on a disk.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn submit(&self, job: NewJob) -> Result<Submitted, QueueError> {
        let Some(shared) = self.shared.as_ref().filter(|_| !job.here) else {
            return self.local.submit(job).await;
        };
        let external = shared.is_external(&job.spec.job_type);
        match shared.submit(job.clone()).await {
            Err(QueueError::Unreachable(_)) if !external => self.local.submit(job).await,
            answer => answer,
        }
    }

    /// Takes a whole batch, all or nothing.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn submit_batch(&self, batch: NewBatch) -> Result<BatchId, QueueError> {
        let Some(shared) = &self.shared else {
            return self.local.submit_batch(batch).await;
        };
        match shared.submit_batch(batch.clone()).await {
            Err(QueueError::Unreachable(_)) => self.local.submit_batch(batch).await,
            answer => answer,
        }
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
        let Some(shared) = &self.shared else {
            return self.local.open_batch(options, params).await;
        };
        match shared.open_batch(options.clone(), params.clone()).await {
            Err(QueueError::Unreachable(_)) => self.local.open_batch(options, params).await,
            answer => answer,
        }
    }

    /// Adds a chunk of `items` items; gives its index. [`JobError::Full`] or
    /// [`JobError::FullBytes`] asks to wait until chunks have ended.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn append_chunk(
        &self,
        id: BatchId,
        payload: Bytes,
        items: u64,
    ) -> Result<u32, QueueError> {
        let local = self.local.append_chunk(id, payload.clone(), items).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.append_chunk(id, payload, items).await,
            None => local,
        }
    }

    /// Says that a batch has all its chunks.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn seal_batch(&self, id: BatchId) -> Result<(), QueueError> {
        let local = self.local.seal_batch(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.seal_batch(id).await,
            None => local,
        }
    }

    /// Cancels a job; gives whether it was running. Its slot is free at once.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::Ended`] in it.
    pub async fn cancel(&self, id: JobId) -> Result<bool, QueueError> {
        let local = self.local.cancel(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.cancel(id).await,
            None => local,
        }
    }

    /// Cancels a batch and its chunks.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn cancel_batch(&self, id: BatchId) -> Result<(), QueueError> {
        let local = self.local.cancel_batch(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.cancel_batch(id).await,
            None => local,
        }
    }

    /// Puts a failed job back in line.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFailed`] in it.
    pub async fn retry(&self, id: JobId) -> Result<(), QueueError> {
        let local = self.local.retry(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.retry(id).await,
            None => local,
        }
    }

    /// Forgets ended jobs older than `older_than_ms`; gives how many.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn clear(&self, older_than_ms: u64) -> Result<usize, QueueError> {
        let local = self.local.clear(older_than_ms).await?;
        Ok(local
            + self
                .also(|shared| async move { shared.clear(older_than_ms).await })
                .await?)
    }

    /// A job, task or chunk that is known.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFound`] in it.
    pub async fn job(&self, id: JobId) -> Result<JobView, QueueError> {
        let local = self.local.job(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.job(id).await,
            None => local,
        }
    }

    /// The result of a completed job; `None` while it has none.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn result(&self, id: JobId) -> Result<Option<Bytes>, QueueError> {
        let local = self.local.result(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.result(id).await,
            None => local,
        }
    }

    /// The book of a batch.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn batch(&self, id: BatchId) -> Result<Book, QueueError> {
        let local = self.local.batch(id).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.batch(id).await,
            None => local,
        }
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
        let local = self.local.batch_results(id, from, limit).await;
        match self.elsewhere(&local) {
            Some(shared) => shared.batch_results(id, from, limit).await,
            None => local,
        }
    }

    /// Jobs, newest first, at most `limit`. O(all jobs).
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn list(&self, filter: Filter, limit: usize) -> Result<Vec<Record>, QueueError> {
        let mut found = self.local.list(filter, limit).await?;
        let shared = self
            .also(|shared| async move { shared.list(filter, limit).await })
            .await?;
        if !shared.is_empty() {
            found.extend(shared);
            found.sort_by_key(|record| std::cmp::Reverse((record.created_at(), record.seq)));
            found.truncate(limit);
        }
        Ok(found)
    }

    /// Batches, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn list_batches(&self, limit: usize) -> Result<Vec<Book>, QueueError> {
        let mut found = self.local.list_batches(limit).await?;
        let shared = self
            .also(|shared| async move { shared.list_batches(limit).await })
            .await?;
        if !shared.is_empty() {
            found.extend(shared);
            found.sort_by_key(|book| std::cmp::Reverse(book.created_at()));
            found.truncate(limit);
        }
        Ok(found)
    }

    /// The counters: of this server and of what servers share, together.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn metrics(&self) -> Result<QueueMetrics, QueueError> {
        let local = self.local.metrics().await?;
        match &self.shared {
            Some(shared) => shared.metrics(local).await,
            None => Ok(local),
        }
    }

    /// What this server runs, from whichever queue, and what waits in its own: figures that add up
    /// over servers. Redis is not asked.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn own_work(&self) -> Result<InstanceJobs, QueueError> {
        let local = self.local.metrics().await?;
        let mut pool = local.pool;
        if let Some(shared) = &self.shared {
            shared.add_pool(&mut pool);
        }
        let kinds = [&local.jobs, &local.tasks, &local.chunks];
        let active: u64 = kinds.iter().map(|kind| kind.active).sum();
        Ok(InstanceJobs {
            active: active + pool.busy.saturating_sub(local.pool.busy) as u64,
            queued: kinds.iter().map(|kind| kind.queued).sum(),
        })
    }

    /// The counters of batches.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn batch_metrics(&self) -> Result<BatchMetrics, QueueError> {
        match &self.shared {
            Some(_) => Ok(self.metrics().await?.batches),
            None => self.local.batch_metrics().await,
        }
    }

    /// Events from now on, and those after the given number that are still kept.
    #[must_use]
    pub fn events(&self, after: Option<u64>) -> Subscription {
        self.local.events(after)
    }

    /// Announces something of another part of the server among the events.
    pub fn announce(&self, at: Timestamp, name: &'static str, fields: serde_json::Value) {
        self.local.announce(at, name, fields);
    }

    /// How long work waits and runs, and how long commits take, since the start.
    #[must_use]
    pub fn timings(&self) -> &Timings {
        self.local.timings()
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.local.path()
    }

    /// Whether the last write succeeded: readiness.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.local.healthy()
    }

    /// Lets the writer look at the clock: for clocks that tests move by hand.
    pub fn wake(&self) {
        self.local.wake();
    }

    /// Ends the queue: nothing new starts, what runs has `grace` to end and then goes back in
    /// line, its attempt not counted. Answers when all is written.
    pub async fn drain(&self, grace: Duration) {
        let local = self.local.drain(grace);
        match &self.shared {
            Some(shared) => {
                tokio::join!(local, shared.drain(grace));
            }
            None => local.await,
        }
    }

    /// What the shared queue adds to an answer; nothing while Redis is out.
    async fn also<T: Default, F: Future<Output = Result<T, QueueError>>>(
        &self,
        ask: impl FnOnce(Arc<Bull>) -> F,
    ) -> Result<T, QueueError> {
        let Some(shared) = &self.shared else {
            return Ok(T::default());
        };
        match ask(Arc::clone(shared)).await {
            Err(QueueError::Unreachable(_)) => Ok(T::default()),
            answer => answer,
        }
    }

    /// The shared queue, when this one does not know what was asked for.
    fn elsewhere<T>(&self, answer: &Result<T, QueueError>) -> Option<&Arc<Bull>> {
        let unknown = matches!(
            answer,
            Err(QueueError::Job(
                JobError::NotFound(_) | JobError::NoBatch(_)
            ))
        );
        self.shared.as_ref().filter(|_| unknown)
    }
}
