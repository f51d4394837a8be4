//! What the scheduler tells its shell.

use super::{JobId, Record};
use crate::time::Timestamp;

/// What must be written down. Each changed record comes once per drain, in no special order.
#[derive(Debug)]
pub enum Change<'a> {
    /// A record that the store does not have.
    Insert(&'a Record),
    /// A record whose state changed.
    Update(&'a Record),
    /// A record to delete, with its payload and result.
    Remove {
        /// Its primary key.
        seq: u64,
        /// Its id.
        id: JobId,
    },
}

/// Something to announce after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Which job.
    pub id: JobId,
    /// Its primary key.
    pub seq: u64,
    /// Its batch's key, or 0.
    pub group: u64,
    /// The cost from its specification: of a chunk, its items.
    pub cost: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It was submitted, or a dead letter was put back.
    Queued,
    /// A worker has it.
    Started {
        /// Which attempt, from 1.
        attempt: u32,
    },
    /// It came further.
    Progress(u8),
    /// Its attempt took too long; [`Self::Retry`] or [`Self::Failed`] follows.
    TimedOut {
        /// The limit that passed, milliseconds.
        limit_ms: u64,
    },
    /// An attempt failed and another will follow.
    Retry {
        /// How long until then, milliseconds.
        delay_ms: u64,
        /// Why it failed.
        error: Box<str>,
    },
    /// It went back to the queue without a failure of its own: drained, or its worker was lost.
    Requeued,
    /// It is done.
    Completed {
        /// How long the last attempt ran, milliseconds.
        run_ms: u64,
        /// Size of its result.
        result_bytes: u64,
    },
    /// It failed for good.
    Failed {
        /// Why.
        error: Box<str>,
        /// Its attempts ran out.
        dead: bool,
    },
    /// It was cancelled.
    Cancelled,
}

/// Something to do after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stop the computation that holds this token; its report would be refused.
    Interrupt {
        /// The job.
        id: JobId,
        /// The token of the claim that ended.
        token: u64,
        /// Why.
        why: Interruption,
    },
}

/// Why a running computation has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// A caller cancelled it.
    Cancelled,
    /// Its time limit passed.
    TimedOut,
    /// Its lease was not kept.
    LeaseLost,
}
