//! Jobs, tasks and batches: the scheduler and its ledger over a store of the shell's.
//!
//! The drive loop: [`Work::tick`], a call, [`Work::commit`], then [`Work::claim`] for free
//! workers and [`Work::commit`] again. A worker asks for its claim's [`WorkItem`] by
//! [`Work::start`] and reports by [`Work::finish`]; a report with a stale token changes nothing.
//! After an error of `commit` the machine is ahead of its store: restore it from there.

mod batches;
mod calls;
mod item;
mod store;
mod submission;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    batch::{BatchChange, Book, Ledger},
    jobs::{
        Change, Claim, Config, EventKind, Fault, JobError, JobId, Marks, Record, Retention,
        Scheduler,
    },
    limits::Limits,
    time::Timestamp,
    wire::{ApiError, ErrorCode, batch::Processor, jobs},
};

pub use item::{Verdict, WorkFailure, WorkItem};
pub use store::{ChunkOutcome, MemoryStore, Store, Write};
pub use submission::{BatchSubmission, Defaults, Submission, javascript_not_offered};

/// Ended jobs and batches that one call forgets at most.
const SWEEP_STEPS: usize = 64;

/// How the work is done.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkConfig {
    /// The limits of every call.
    pub limits: Limits,
    /// The scheduler's.
    pub scheduler: Config,
    /// How long ended jobs and batches are kept.
    pub retention: Retention,
    /// Pieces of work that may run at once, count.
    pub workers: usize,
}

/// All that a machine is restored from, besides the blobs.
#[derive(Debug, Default)]
pub struct Saved {
    /// How far numbers are reserved.
    pub marks: Marks,
    /// Every record, in any order.
    pub records: Vec<Record>,
    /// Every batch.
    pub books: Vec<Book>,
}

/// Blobs that go with the next round.
#[derive(Debug, Default)]
struct Round {
    payloads: BTreeMap<u64, Vec<u8>>,
    results: BTreeMap<u64, Vec<u8>>,
    processors: BTreeMap<u64, Vec<u8>>,
    chunks: BTreeMap<(u64, u32), ChunkOutcome>,
}

/// The machine.
#[derive(Debug)]
pub struct Work<S> {
    config: WorkConfig,
    scheduler: Scheduler,
    ledger: Ledger,
    store: S,
    round: Round,
    marks: Marks,
    /// Of batches that have chunks to run.
    processors: BTreeMap<u64, Processor>,
    /// Claims whose work was handed out.
    started: BTreeMap<u64, JobId>,
}

impl<S: Store> Work<S> {
    /// An empty machine over an empty store.
    pub fn new(config: WorkConfig, store: S) -> Self {
        Self::restore(config, Timestamp::ZERO, Saved::default(), store)
    }

    /// The machine that the store tells of. What ran still runs: its worker is elsewhere and has
    /// until its lease ends to report.
    pub fn restore(config: WorkConfig, now: Timestamp, saved: Saved, store: S) -> Self {
        let Saved {
            marks,
            records,
            books,
        } = saved;
        let groups = Ledger::groups(&books);
        let scheduling = config.scheduler.clone();
        let scheduler = Scheduler::restore(scheduling, now, marks, groups, records, |_| true);
        Self {
            config,
            scheduler,
            ledger: Ledger::restore(books),
            store,
            round: Round::default(),
            marks,
            processors: BTreeMap::new(),
            started: BTreeMap::new(),
        }
    }

    /// Lets time pass: delays, retries, leases, timeouts, retention.
    pub fn tick(&mut self, now: Timestamp) {
        self.scheduler.tick(now);
        self.ledger.tick(now, &mut self.scheduler);
        self.scheduler
            .sweep(now, &self.config.retention, SWEEP_STEPS);
        self.ledger.sweep(now, &self.config.retention, SWEEP_STEPS);
    }

    /// When [`Self::tick`] is due next; `None`: not before a call.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let deadlines = [self.scheduler.next_deadline(), self.ledger.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Pieces of work that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.scheduler.running()
    }

    /// Claims work for the workers that are free.
    pub fn claim(&mut self, now: Timestamp) -> Vec<Claim> {
        let free = self.config.workers.saturating_sub(self.running());
        self.scheduler.claim(now, 0, free)
    }

    /// Gives a claim back: nobody got to hear of it. Its attempt is not counted. A stale claim is
    /// nothing to give back.
    pub fn unclaim(&mut self, now: Timestamp, id: JobId, token: u64) {
        let _ = self.scheduler.release(now, id, token);
    }

    /// What a worker runs for a claim, whose lease begins anew; `None` when the claim is stale, so
    /// that there is nothing to do. The second to ask for the same claim gets nothing either: the
    /// first was lost with it, and the attempt counts as failed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
    ) -> Result<Option<WorkItem>, ApiError> {
        if self.started.contains_key(&token) {
            let failure = WorkFailure {
                code: "WORKER_LOST".into(),
                message: "the worker ended without a report: it ran out of time or memory".into(),
                verdict: Verdict::Retry,
            };
            self.finish(now, id, token, 0, Err(failure));
            return Ok(None);
        }
        if self.scheduler.heartbeat(now, id, token).is_err() {
            return Ok(None);
        }
        let item = self.item(id, token)?;
        self.started.retain(|token, id| {
            let state = self.scheduler.get(*id).map(|record| &record.state);
            state.is_ok_and(|s| !s.status.ended() && s.token == *token)
        });
        self.started.insert(token, id);
        Ok(Some(item))
    }

    fn item(&mut self, id: JobId, token: u64) -> Result<WorkItem, ApiError> {
        let record = self.scheduler.get(id).map_err(refused)?;
        let processor = match record.group {
            0 => None,
            key => Some(self.processor(key)?),
        };
        let record = self.scheduler.get(id).map_err(refused)?;
        Ok(WorkItem {
            id,
            token,
            attempt: record.state.attempts,
            job_type: record.spec.job_type.clone(),
            processor,
            payload: self.store.payload(record.seq).map_err(unreadable)?,
        })
    }

    fn processor(&mut self, key: u64) -> Result<Processor, ApiError> {
        if let Some(processor) = self.processors.get(&key) {
            return Ok(processor.clone());
        }
        let json = self.store.processor(key).map_err(unreadable)?;
        let processor: Processor = serde_json::from_slice(&json).map_err(unreadable)?;
        self.processors.insert(key, processor.clone());
        Ok(processor)
    }

    /// Enters how an attempt ended; whether it counted. A stale report changes nothing. `percent`
    /// is how far it came.
    pub fn finish(
        &mut self,
        now: Timestamp,
        id: JobId,
        token: u64,
        percent: u8,
        outcome: Result<Vec<u8>, WorkFailure>,
    ) -> bool {
        self.started.remove(&token);
        let Ok(record) = self.scheduler.get(id) else {
            return false;
        };
        let (seq, group) = (record.seq, record.group);
        let outcome = outcome.and_then(|result| self.fitting(result));
        if outcome.is_err() && self.scheduler.progress(now, id, token, percent).is_err() {
            return false;
        }
        let accepted = match &outcome {
            Ok(result) => {
                let bytes = result.len() as u64;
                self.scheduler.complete(now, id, token, bytes)
            }
            Err(failure) if failure.verdict == Verdict::Release => {
                self.scheduler.release(now, id, token)
            }
            Err(failure) => {
                let fault = Fault {
                    message: &failure.message,
                    code: &failure.code,
                    retryable: failure.verdict == Verdict::Retry,
                };
                self.scheduler.fail(now, id, token, fault)
            }
        };
        if let (Ok(()), Ok(result)) = (&accepted, outcome) {
            if group == 0 {
                self.round.results.insert(seq, result);
            } else {
                self.round.chunks.insert((group, id.chunk), Ok(result));
            }
        }
        accepted.is_ok()
    }

    fn fitting(&self, result: Vec<u8>) -> Result<Vec<u8>, WorkFailure> {
        let limit = self.config.limits.result_bytes;
        if result.len() <= limit {
            return Ok(result);
        }
        let bytes = result.len();
        Err(WorkFailure {
            code: "RESULT_TOO_LARGE".into(),
            message: format!("the result has {bytes} bytes; at most {limit}").into(),
            verdict: Verdict::Final,
        })
    }

    /// Writes what changed since the last commit, as one round.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store did not take it: nothing of the round was kept there, and this
    /// machine, which is ahead of it, must not be used any more.
    pub fn commit(&mut self) -> Result<(), ApiError> {
        self.settle();
        let marks = self.scheduler.marks();
        if !self.scheduler.changed() && !self.ledger.changed() && marks == self.marks {
            return Ok(());
        }
        self.write(marks)
            .and_then(|()| self.store.commit())
            .map_err(|error| {
                let message = format!("the store could not be written, nothing was kept: {error}");
                ApiError::new(ErrorCode::Unavailable, message)
            })
    }

    /// Passes events through the ledger until both are quiet: batches count their chunks.
    fn settle(&mut self) {
        loop {
            let events = self.scheduler.drain_events();
            if events.is_empty() {
                break;
            }
            self.ledger.apply(&events, &mut self.scheduler);
            for event in events.iter().filter(|event| event.group != 0) {
                if let EventKind::Failed { error, .. } = &event.kind {
                    let key = (event.group, event.id.chunk);
                    self.round.chunks.insert(key, Err(error.to_string()));
                }
            }
        }
        self.ledger.drain_events();
        // Whoever runs the work asks before it starts; what has started is not interrupted.
        self.scheduler.drain_actions();
    }

    fn write(&mut self, marks: Marks) -> Result<(), S::Error> {
        let Self {
            store,
            round,
            processors,
            ..
        } = self;
        let mut outcome = Ok(());
        self.scheduler.drain_changes(|change| {
            if outcome.is_err() {
                return;
            }
            outcome = store.write(match change {
                Change::Insert(record) => Write::Insert {
                    record,
                    payload: round.payloads.remove(&record.seq).unwrap_or_default(),
                    result: round.results.remove(&record.seq),
                },
                Change::Update(record) => Write::Update {
                    record,
                    result: round.results.remove(&record.seq),
                },
                Change::Remove { seq, .. } => Write::Remove { seq },
            });
        });
        self.ledger.drain_changes(|change| {
            if outcome.is_err() {
                return;
            }
            outcome = store.write(match change {
                BatchChange::Upsert(book) => {
                    if book.status.ended() {
                        processors.remove(&book.key);
                    }
                    let processor = round.processors.remove(&book.key);
                    Write::Book { book, processor }
                }
                BatchChange::Remove { key, .. } => Write::RemoveBook { key },
            });
        });
        outcome?;
        for ((key, chunk), outcome) in core::mem::take(&mut round.chunks) {
            store.write(Write::Chunk {
                key,
                chunk,
                outcome,
            })?;
        }
        *round = Round::default();
        if marks != self.marks {
            store.write(Write::Marks(marks))?;
            self.marks = marks;
        }
        Ok(())
    }
}

fn refused(error: JobError) -> ApiError {
    jobs::job_refused(&error)
}

fn unreadable(error: impl core::fmt::Display) -> ApiError {
    let message = format!("the store could not be read: {error}");
    ApiError::new(ErrorCode::Unavailable, message)
}
