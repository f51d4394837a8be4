//! The embedded queue's handle: what is asked.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use bytes::Bytes;
use sommos_core::{
    batch::{BatchMetrics, Book},
    jobs::{BatchId, JobId, Kind, Record, Status},
};

use super::{
    handle::Embedded,
    reader::Reader,
    store::StoreError,
    types::{ChunkResult, Filter, JobView, QueueError, QueueMetrics},
};

/// Places in line counted for a job's position.
const POSITION_MAX: usize = 10_000;
/// Chunk results read for one page, bytes.
const PAGE_BYTES: usize = 16 << 20;

impl Embedded {
    /// A job, task or chunk that has not ended.
    ///
    /// # Errors
    /// [`QueueError`]; [`JobError::NotFound`] in it.
    pub(super) async fn job(&self, id: JobId) -> Result<JobView, QueueError> {
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
    pub(super) async fn result(&self, id: JobId) -> Result<Option<Bytes>, QueueError> {
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
    pub(super) async fn batch(&self, id: BatchId) -> Result<Book, QueueError> {
        self.call(move |machine, _| Ok(machine.ledger.get(id)?.clone()))
            .await
    }

    /// Ended chunks of a batch from index `from`, in order: at most `limit`, and not many more
    /// than 16 MiB.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn batch_results(
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

    /// Jobs, newest first, at most `limit`. O(all jobs).
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn list(
        &self,
        filter: Filter,
        limit: usize,
    ) -> Result<Vec<Record>, QueueError> {
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
    pub(super) async fn list_batches(&self, limit: usize) -> Result<Vec<Book>, QueueError> {
        self.call(move |machine, _| Ok(machine.ledger.books().rev().take(limit).cloned().collect()))
            .await
    }

    /// The counters.
    ///
    /// # Errors
    /// [`QueueError`].
    pub(super) async fn metrics(&self) -> Result<QueueMetrics, QueueError> {
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
    pub(super) async fn batch_metrics(&self) -> Result<BatchMetrics, QueueError> {
        self.call(|machine, _| Ok(machine.ledger.metrics())).await
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
