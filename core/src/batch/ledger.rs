//! All batches: their books, kept in step with the scheduler that runs their chunks.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    book::{BatchOptions, BatchStatus, Book, Outcome},
    event::{BatchChange, BatchEvent, BatchEventKind, BatchMetrics},
};
use crate::{
    jobs::{
        BatchId, Event, EventKind, IdMap, JobError, JobSpec, Kind, Scheduler, Submitted, Timeline,
        truncated,
    },
    time::Timestamp,
};

/// The books of all batches. Every method that concerns chunks takes the scheduler that holds
/// them; [`Self::apply`] must see all its events, in order and before the changes are drained.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) now: Timestamp,
    pub(super) books: BTreeMap<u64, Book>,
    pub(super) by_id: IdMap<BatchId, u64>,
    pub(super) deadlines: Timeline,
    pub(super) ended: Timeline,
    pub(super) ended_bytes: u64,
    pub(super) dirty: BTreeSet<u64>,
    pub(super) removed: Vec<(u64, BatchId)>,
    pub(super) events: Vec<BatchEvent>,
    pub(super) metrics: BatchMetrics,
    pub(super) ended_ms: u64,
}

impl Ledger {
    /// Opens a batch that takes chunks until it is sealed.
    ///
    /// # Errors
    /// [`JobError::Full`] when too many batches are open or running, or [`JobError::OverLimit`].
    pub fn open(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        options: BatchOptions,
        scheduler: &mut Scheduler,
    ) -> Result<(BatchId, u64), JobError> {
        let limit = scheduler.config().batches_max;
        if self.metrics.active as usize >= limit {
            return Err(JobError::Full { limit });
        }
        let options = accepted(options, scheduler)?;
        let id = BatchId::new(now, entropy);
        let key = scheduler.open_group(options.max_concurrency);
        let book = Book::new(key, id, now, options);
        self.deadlines.insert((book.deadline, key));
        self.by_id.insert(id, key);
        self.books.insert(key, book);
        self.metrics.total += 1;
        self.metrics.active += 1;
        self.dirty.insert(key);
        self.tell(now, id, BatchEventKind::Queued);
        Ok((id, key))
    }

    /// Adds the next chunk, of so many items and bytes; its index is in the id.
    ///
    /// # Errors
    /// [`JobError::NoBatch`], [`JobError::Sealed`], [`JobError::Full`] or what the scheduler says
    /// of the options.
    pub fn append(
        &mut self,
        now: Timestamp,
        id: BatchId,
        items: u64,
        payload_bytes: u64,
        scheduler: &mut Scheduler,
    ) -> Result<Submitted, JobError> {
        let key = self.key(id)?;
        let book = self.books.get_mut(&key).ok_or(JobError::NoBatch(id))?;
        if book.sealed || book.status.ended() {
            return Err(JobError::Sealed(id));
        }
        let spec = chunk_spec(&book.options, items, payload_bytes);
        let submitted = scheduler.submit_chunk(now, key, id, book.total_chunks, spec)?;
        book.total_chunks += 1;
        book.total_items += items;
        self.dirty.insert(key);
        Ok(submitted)
    }

    /// Says that the batch has all its chunks.
    ///
    /// # Errors
    /// [`JobError::NoBatch`] or [`JobError::Sealed`].
    pub fn seal(
        &mut self,
        now: Timestamp,
        id: BatchId,
        scheduler: &mut Scheduler,
    ) -> Result<(), JobError> {
        let key = self.key(id)?;
        let book = self.books.get_mut(&key).ok_or(JobError::NoBatch(id))?;
        if book.sealed || book.status.ended() {
            return Err(JobError::Sealed(id));
        }
        book.sealed = true;
        self.dirty.insert(key);
        self.conclude(now, key, scheduler);
        Ok(())
    }

    /// Cancels a batch and every chunk of it that has not ended.
    ///
    /// # Errors
    /// [`JobError::NoBatch`], or [`JobError::Sealed`] when it has ended.
    pub fn cancel(
        &mut self,
        now: Timestamp,
        id: BatchId,
        scheduler: &mut Scheduler,
    ) -> Result<(), JobError> {
        let key = self.key(id)?;
        let ended = self.books.get(&key).is_none_or(|book| book.status.ended());
        if ended {
            return Err(JobError::Sealed(id));
        }
        self.end(now, key, BatchStatus::Cancelled, None, scheduler);
        Ok(())
    }

    /// Fails a batch whose data could not be read, and cancels every chunk that has not ended.
    ///
    /// # Errors
    /// [`JobError::NoBatch`], or [`JobError::Sealed`] when it has ended.
    pub fn fail(
        &mut self,
        now: Timestamp,
        id: BatchId,
        error: &str,
        scheduler: &mut Scheduler,
    ) -> Result<(), JobError> {
        let key = self.key(id)?;
        if self.books.get(&key).is_none_or(|book| book.status.ended()) {
            return Err(JobError::Sealed(id));
        }
        let error = truncated(error, scheduler.config().error_bytes).to_owned();
        self.end(now, key, BatchStatus::Failed, Some(error), scheduler);
        Ok(())
    }

    /// Enters what happened to chunks; other events pass by. May cancel chunks, whose events then
    /// await the scheduler's next drain: call again until none is left.
    pub fn apply(&mut self, events: &[Event], scheduler: &mut Scheduler) {
        for event in events.iter().filter(|event| event.group != 0) {
            let Some(book) = self.books.get_mut(&event.group) else {
                continue;
            };
            let (key, chunk, id) = (event.group, event.id.chunk, book.id);
            let outcome = match &event.kind {
                EventKind::Started { .. } if book.status == BatchStatus::Queued => {
                    self.deadlines.remove(&(book.deadline, key));
                    book.start(event.at);
                    self.deadlines.insert((book.deadline, key));
                    self.dirty.insert(key);
                    self.tell(event.at, id, BatchEventKind::Started);
                    continue;
                }
                EventKind::Completed { result_bytes, .. } => Outcome::Completed {
                    result_bytes: *result_bytes,
                },
                EventKind::Failed { error, .. } => Outcome::Failed { error },
                EventKind::Cancelled => Outcome::Cancelled,
                _ => continue,
            };
            if matches!(outcome, Outcome::Completed { .. }) {
                self.metrics.items += event.cost;
            }
            if let (true, Outcome::Completed { result_bytes }) = (book.status.ended(), outcome) {
                self.ended_bytes += result_bytes;
            }
            book.enter(chunk, event.cost, outcome);
            self.dirty.insert(key);
            if !book.status.ended() {
                let (percent, processed_items) = (book.progress(), book.processed_items);
                self.tell(
                    event.at,
                    id,
                    BatchEventKind::Progress {
                        percent,
                        processed_items,
                    },
                );
            }
            self.conclude(event.at, key, scheduler);
        }
    }

    /// When to call [`Self::tick`] next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|d| d.0)
    }

    /// The book of a batch.
    ///
    /// # Errors
    /// [`JobError::NoBatch`].
    pub fn get(&self, id: BatchId) -> Result<&Book, JobError> {
        self.by_id
            .get(&id)
            .and_then(|key| self.books.get(key))
            .ok_or(JobError::NoBatch(id))
    }

    /// The book of a group.
    #[must_use]
    pub fn by_key(&self, key: u64) -> Option<&Book> {
        self.books.get(&key)
    }

    /// Every book, oldest first.
    pub fn books(&self) -> impl DoubleEndedIterator<Item = &Book> {
        self.books.values()
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> BatchMetrics {
        let ended = self.metrics.completed + self.metrics.failed + self.metrics.cancelled;
        BatchMetrics {
            average_ms: self.ended_ms as f64 / ended.max(1) as f64,
            ..self.metrics
        }
    }

    /// Hands out what must be written, each book once.
    pub fn drain_changes(&mut self, mut write: impl FnMut(BatchChange<'_>)) {
        for (key, id) in self.removed.drain(..) {
            write(BatchChange::Remove { key, id });
        }
        for key in core::mem::take(&mut self.dirty) {
            if let Some(book) = self.books.get(&key) {
                write(BatchChange::Upsert(book));
            }
        }
    }

    /// Whether [`Self::drain_changes`] would hand out something.
    #[must_use]
    pub fn changed(&self) -> bool {
        !self.dirty.is_empty() || !self.removed.is_empty()
    }

    /// What to announce, in order.
    pub fn drain_events(&mut self) -> Vec<BatchEvent> {
        core::mem::take(&mut self.events)
    }

    fn key(&self, id: BatchId) -> Result<u64, JobError> {
        self.by_id.get(&id).copied().ok_or(JobError::NoBatch(id))
    }

    pub(super) fn count(&mut self, status: BatchStatus) -> &mut u64 {
        match status {
            BatchStatus::Completed => &mut self.metrics.completed,
            BatchStatus::Failed => &mut self.metrics.failed,
            BatchStatus::Cancelled => &mut self.metrics.cancelled,
            BatchStatus::Queued | BatchStatus::Running => &mut self.metrics.active,
        }
    }

    fn conclude(&mut self, now: Timestamp, key: u64, scheduler: &mut Scheduler) {
        if let Some((status, error)) = self.books.get(&key).and_then(Book::conclusion) {
            self.end(now, key, status, error, scheduler);
        }
    }

    /// Gives a batch its last status at once and takes its remaining chunks back.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        key: u64,
        status: BatchStatus,
        error: Option<String>,
        scheduler: &mut Scheduler,
    ) {
        let Some(book) = self.books.get_mut(&key) else {
            return;
        };
        self.deadlines.remove(&(book.deadline, key));
        book.status = status;
        book.sealed = true;
        book.error = error.map(Into::into);
        book.completed_at = Some(now);
        let (id, chunks) = (book.id, book.total_chunks);
        let (ms, bytes) = (book.processing_ms(now), book.result_bytes);
        if book.ended_chunks() < chunks {
            for chunk in 0..chunks {
                // Most have ended already and are unknown to the scheduler.
                let _ = scheduler.cancel(now, id.chunk(chunk));
            }
        }
        scheduler.close_group(key);
        self.ended.insert((now, key));
        self.ended_bytes += bytes;
        self.ended_ms += ms;
        self.metrics.active -= 1;
        *self.count(status) += 1;
        self.dirty.insert(key);
        self.tell(now, id, BatchEventKind::Ended(status));
    }

    fn tell(&mut self, at: Timestamp, id: BatchId, kind: BatchEventKind) {
        self.events.push(BatchEvent { at, id, kind });
    }
}

/// The options of a batch as they count, with the longest timeout for none.
///
/// # Errors
/// [`JobError::OverLimit`].
pub fn accepted(
    mut options: BatchOptions,
    scheduler: &Scheduler,
) -> Result<BatchOptions, JobError> {
    let chunk = chunk_spec(&options, 0, 0);
    scheduler.check(&chunk)?;
    scheduler.check(&JobSpec {
        timeout_ms: options.timeout_ms,
        ..chunk
    })?;
    if options.timeout_ms == 0 {
        options.timeout_ms = scheduler.config().timeout_max_ms;
    }
    Ok(options)
}

fn chunk_spec(options: &BatchOptions, items: u64, payload_bytes: u64) -> JobSpec {
    JobSpec {
        priority: options.priority,
        timeout_ms: options.chunk_timeout_ms,
        max_attempts: options.max_attempts,
        backoff: options.backoff,
        cost: items,
        payload_bytes,
        ..JobSpec::new(Kind::Chunk, &options.job_type)
    }
}
