//! What the ledger tells its shell.

use super::book::{BatchStatus, Book};
use crate::{jobs::BatchId, time::Timestamp};

/// What must be written down of a batch.
#[derive(Debug)]
pub enum BatchChange<'a> {
    /// A book to insert or replace.
    Upsert(&'a Book),
    /// A batch to delete, with all that belongs to it.
    Remove {
        /// Its primary key.
        key: u64,
        /// Its id.
        id: BatchId,
    },
}

/// Something to announce of a batch after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// When.
    pub at: Timestamp,
    /// Which batch.
    pub id: BatchId,
    /// What.
    pub kind: BatchEventKind,
}

/// What happened to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchEventKind {
    /// It was opened.
    Queued,
    /// Its first chunk began.
    Started,
    /// It came further.
    Progress {
        /// Percent of its chunks.
        percent: u8,
        /// Items of its completed chunks.
        processed_items: u64,
    },
    /// It ended.
    Ended(BatchStatus),
}

/// SommOS's counters of batches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BatchMetrics {
    /// Ever opened.
    pub total: u64,
    /// Completed, perhaps with errors.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Queued or running now.
    pub active: u64,
    /// Items of completed chunks, all batches together.
    pub items: u64,
    /// Mean processing time of those that ended, milliseconds.
    pub average_ms: f64,
}
