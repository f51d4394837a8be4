//! The book of one batch: a state machine over the outcomes of its chunks.

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use crate::{
    jobs::{Backoff, BatchId},
    time::Timestamp,
};

/// Chunk errors whose text is kept; the others are only counted.
pub const ERRORS_KEPT: usize = 100;

/// How a batch runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// Which handler runs its chunks.
    pub job_type: Box<str>,
    /// Higher runs first.
    pub priority: i32,
    /// Chunks at work at once.
    pub max_concurrency: u32,
    /// Longest time from its start to its end, milliseconds; 0 stands for the longest accepted.
    pub timeout_ms: u64,
    /// Longest run of one chunk, milliseconds; 0 likewise.
    pub chunk_timeout_ms: u64,
    /// Attempts of a chunk.
    pub max_attempts: u32,
    /// Wait between attempts of a chunk.
    pub backoff: Backoff,
    /// Whether the first failed chunk ends the batch.
    pub stop_on_error: bool,
}

impl Default for BatchOptions {
    /// SommOS's: 5 chunks at once, 30 minutes; a chunk has one attempt.
    fn default() -> Self {
        Self {
            job_type: "batch".into(),
            priority: 0,
            max_concurrency: 5,
            timeout_ms: 1_800_000,
            chunk_timeout_ms: 1_800_000,
            max_attempts: 1,
            backoff: Backoff::default(),
            stop_on_error: false,
        }
    }
}

/// Where a batch is in its life; SommOS's words.
pub use crate::jobs::Status as BatchStatus;

/// One chunk that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkError {
    /// Its index.
    pub chunk: u32,
    /// Why.
    pub error: Box<str>,
}

/// A batch as the store keeps it and callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// Its key: the store's primary key and the scheduler's group.
    pub key: u64,
    /// Its public id.
    pub id: BatchId,
    /// How it runs.
    pub options: BatchOptions,
    /// Where it is.
    pub status: BatchStatus,
    /// Whether all its chunks are known.
    pub sealed: bool,
    /// Items of all chunks so far.
    pub total_items: u64,
    /// Items of completed chunks.
    pub processed_items: u64,
    /// Chunks so far.
    pub total_chunks: u32,
    /// Chunks that completed.
    pub completed_chunks: u32,
    /// Chunks that failed.
    pub failed_chunks: u32,
    /// Chunks that were cancelled.
    pub cancelled_chunks: u32,
    /// The first 100 errors, in the order they happened.
    pub errors: Vec<ChunkError>,
    /// Why the whole batch failed.
    pub error: Option<Box<str>>,
    /// Bytes of the results kept.
    pub result_bytes: u64,
    /// When its first chunk began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When it must be over: its timeout from its start (until then from its opening).
    pub deadline: Timestamp,
}

/// How a chunk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome<'a> {
    Completed { result_bytes: u64 },
    Failed { error: &'a str },
    Cancelled,
}

impl Book {
    /// The book of a batch opened at `now`, which has no chunk yet.
    #[must_use]
    pub fn new(key: u64, id: BatchId, now: Timestamp, options: BatchOptions) -> Self {
        Self {
            key,
            id,
            deadline: now.plus_ms(options.timeout_ms),
            options,
            status: BatchStatus::Queued,
            sealed: false,
            total_items: 0,
            processed_items: 0,
            total_chunks: 0,
            completed_chunks: 0,
            failed_chunks: 0,
            cancelled_chunks: 0,
            errors: Vec::new(),
            error: None,
            result_bytes: 0,
            started_at: None,
            completed_at: None,
        }
    }

    /// When it was opened.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.id.created
    }

    /// Chunks that have ended, however.
    #[must_use]
    pub const fn ended_chunks(&self) -> u32 {
        self.completed_chunks + self.failed_chunks + self.cancelled_chunks
    }

    /// Percent of its chunks that have ended, 0..=100; of an unsealed batch at most 99.
    #[must_use]
    pub fn progress(&self) -> u8 {
        if self.status == BatchStatus::Completed {
            return 100;
        }
        percent(self.ended_chunks(), self.total_chunks, self.sealed)
    }

    /// From its start to its end, or to `now` while it runs, milliseconds.
    #[must_use]
    pub fn processing_ms(&self, now: Timestamp) -> u64 {
        let end = self.completed_at.unwrap_or(now);
        self.started_at.map_or(0, |start| end.ms_since(start))
    }

    pub(super) fn start(&mut self, now: Timestamp) {
        if self.status == BatchStatus::Queued {
            self.status = BatchStatus::Running;
            self.started_at = Some(now);
            self.deadline = now.plus_ms(self.options.timeout_ms);
        }
    }

    /// Enters how a chunk of `items` items ended.
    pub(super) fn enter(&mut self, chunk: u32, items: u64, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Completed { result_bytes } => {
                self.completed_chunks += 1;
                self.processed_items += items;
                self.result_bytes += result_bytes;
            }
            Outcome::Cancelled => self.cancelled_chunks += 1,
            Outcome::Failed { error } => {
                self.failed_chunks += 1;
                if self.errors.len() < ERRORS_KEPT {
                    self.errors.push(ChunkError {
                        chunk,
                        error: error.into(),
                    });
                }
            }
        }
    }

    /// The last status, and why it failed, once nothing more can change it: every chunk has ended,
    /// or one failed and the batch was to stop at the first that does.
    #[must_use]
    pub fn conclusion(&self) -> Option<(BatchStatus, Option<String>)> {
        if self.status.ended() {
            return None;
        }
        if let Some(ChunkError { chunk, error }) = self.errors.first()
            && self.options.stop_on_error
        {
            let reason = Reason::Chunk {
                chunk: *chunk,
                error,
            };
            return Some((BatchStatus::Failed, Some(reason.to_string())));
        }
        if !self.sealed || self.ended_chunks() < self.total_chunks {
            return None;
        }
        if self.failed_chunks > 0 && self.failed_chunks == self.total_chunks {
            return Some((BatchStatus::Failed, Some(Reason::EveryChunk.to_string())));
        }
        Some((BatchStatus::Completed, None))
    }
}

/// Percent of chunks that have ended, 0..=100; while more may come at most 99.
#[must_use]
pub fn percent(ended: u32, total: u32, sealed: bool) -> u8 {
    let done = u64::from(ended) * 100 / u64::from(total.max(1));
    done.min(if sealed { 100 } else { 99 }) as u8
}
