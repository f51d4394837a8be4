//! The job scheduler as a state machine: it never reads a clock, waits, computes a job or stores
//! a byte. It knows what should run next, who may report on it, and what has to be written down.
//!
//! # The drive loop
//!
//! A shell owns one [`Scheduler`] and a store, and goes round this loop:
//!
//! 1. Apply every waiting command: [`Scheduler::submit`], [`Scheduler::complete`],
//!    [`Scheduler::cancel`] and so on, each with `now`.
//! 2. [`Scheduler::tick`], then [`Scheduler::claim`] for as many workers as are free.
//! 3. Write what [`Scheduler::drain_changes`] tells, and [`Scheduler::marks`], in one transaction.
//! 4. Only after the commit: answer the commands, publish [`Scheduler::drain_events`], start the
//!    claims and stop what [`Scheduler::drain_actions`] names.
//! 5. Sleep until [`Scheduler::next_deadline`] or the next command.
//!
//! If the write fails, the machine is thrown away, every command of the round is answered with an
//! error, and [`Scheduler::restore`] rebuilds it from the store: nothing acknowledged is lost and
//! nothing lost was acknowledged.
//!
//! ```
//! use sommos_core::{jobs::*, time::Timestamp};
//!
//! let now = Timestamp(1_000);
//! let mut scheduler = Scheduler::new(Config::default());
//! let submitted = scheduler.submit(now, [7; 16], JobSpec::new(Kind::Job, "similarity"))?;
//! let claim = &scheduler.claim(now, 0, 1)[0];
//! assert_eq!(claim.id, submitted.id);
//! let mut rows = 0;
//! scheduler.drain_changes(|change| rows += usize::from(matches!(change, Change::Insert(_))));
//! assert_eq!(rows, 1);
//! scheduler.complete(now.plus_ms(5), claim.id, claim.token, 0)?;
//! # Ok::<(), JobError>(())
//! ```
//!
//! # Invariants
//!
//! - A job has at most one live token; a report with another is refused ([`JobError::Stale`]).
//! - Tokens grow for ever, across restarts.
//! - An attempt is counted when it is claimed, so a job that kills its process ends as a dead
//!   letter too. Only [`Scheduler::release`] takes the count back.
//! - Higher priority first; within a priority in order of submission. A batch stands in that order
//!   with one chunk at a time, so that 10,000 chunks do not hold up the job that came after them.
//!
//! # Cost
//!
//! Every operation on one job is O(log n). A job costs about 340 bytes of state and at most two
//! B-tree entries (40 bytes each), so 100,000 jobs take some 42 MB.

mod event;
mod id;
mod metrics;
mod outcome;
mod ready;
mod record;
mod restore;
mod scheduler;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod submit;
mod sweep;
#[cfg(test)]
mod tests;
mod timers;

use thiserror::Error;

pub use event::{Action, Change, Event, EventKind, Interruption};
pub use id::{BatchId, JobId, Kind, ParseIdError};
pub use metrics::Metrics;
pub use outcome::truncated;
pub use record::{Backoff, Fault, JobSpec, Record, State, Status};
pub use restore::{GroupRecord, Marks};
pub use scheduler::{Claim, Config, Scheduler, Submitted};
pub use sweep::Retention;
pub(crate) use timers::SLEW_MS;

/// Why a command on a job was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JobError {
    /// Too many jobs wait or run already.
    #[error("the queue is full: {limit} jobs wait or run; try again when some have ended")]
    Full {
        /// The limit that was reached.
        limit: usize,
    },
    /// The payloads of waiting and running work take too much room.
    #[error("the queue is full: payloads of {limit} bytes wait or run; try again later")]
    FullBytes {
        /// The limit that was reached, bytes.
        limit: u64,
    },
    /// No such job: never submitted, or swept after its retention.
    #[error("no job {0}: it was never submitted or its retention has passed")]
    NotFound(JobId),
    /// No such batch.
    #[error("no batch {0}: it was never submitted or its retention has passed")]
    NoBatch(BatchId),
    /// The token is not the job's live one: its lease ended or the job was cancelled.
    #[error("token {token} of {id} is stale: the claim ended before this report")]
    Stale {
        /// The job reported on.
        id: JobId,
        /// The token refused.
        token: u64,
    },
    /// The job has ended and the command needs one that has not.
    #[error("{id} is {status} already")]
    Ended {
        /// The job.
        id: JobId,
        /// How it ended.
        status: Status,
    },
    /// A dead letter was asked to run again but the job has not failed.
    #[error("{id} is {status}; only a failed job can be retried")]
    NotFailed {
        /// The job.
        id: JobId,
        /// What it is.
        status: Status,
    },
    /// A field of the specification is out of its range.
    #[error("{field} is {value}; at most {limit}")]
    OverLimit {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Its limit.
        limit: u64,
    },
    /// The batch takes no more chunks.
    #[error("batch {0} is sealed or has ended: it takes no more chunks")]
    Sealed(BatchId),
}

/// Slots and keys by time: one type for all, since each costs some 5 kB of code in a page.
pub(crate) type Timeline = std::collections::BTreeSet<(crate::time::Timestamp, u64)>;

/// The map of ids: fixed hashing, for their keys are entropy of our own.
pub(crate) type IdMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
