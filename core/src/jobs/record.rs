//! What is known of a job: its specification, which never changes, and its state, which does.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{JobId, Kind};
use crate::{rng::Rng, time::Timestamp};

/// How long to wait before another attempt: `base_ms` · 2^(attempt-1), at most `max_ms`, spread
/// by ± `jitter` of itself so that jobs that failed together do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backoff {
    /// Delay after the first failed attempt, milliseconds.
    pub base_ms: u64,
    /// Longest delay, milliseconds.
    pub max_ms: u64,
    /// Fraction of the delay that is random, 0..=1.
    pub jitter: f32,
}

impl Default for Backoff {
    /// One second, doubled up to an hour, ± 10 %.
    fn default() -> Self {
        Self {
            base_ms: 1000,
            max_ms: 3_600_000,
            jitter: 0.1,
        }
    }
}

impl Backoff {
    /// The delay after failed attempt number `attempt` (from 1). The same seed gives the same
    /// delay.
    #[must_use]
    pub fn delay_ms(&self, attempt: u32, seed: u64) -> u64 {
        let doublings = attempt.saturating_sub(1).min(63);
        let plain = self.base_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let jitter = f64::from(self.jitter).clamp(0.0, 1.0);
        if jitter == 0.0 {
            return plain;
        }
        let spread = Rng::new(seed ^ u64::from(attempt))
            .unit_f64()
            .mul_add(2.0, -1.0);
        ((plain as f64 * spread.mul_add(jitter, 1.0)) as u64).min(self.max_ms)
    }
}

/// What to run, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Job or task; chunks are submitted through their batch.
    pub kind: Kind,
    /// Which handler runs it.
    pub job_type: Box<str>,
    /// Higher runs first.
    pub priority: i32,
    /// Not before this long after its submission, milliseconds.
    pub delay_ms: u64,
    /// Longest run of one attempt, milliseconds; 0 stands for the longest that is accepted.
    pub timeout_ms: u64,
    /// Attempts in all, retries + 1; 0 counts as 1.
    pub max_attempts: u32,
    /// Wait between attempts.
    pub backoff: Backoff,
    /// A second submission with the same key (and kind) gets the first one's id.
    pub idempotency_key: Option<Box<str>>,
    /// Estimated work, in units of the caller ([`super::Config::large_cost`] compares with it); of
    /// a chunk the number of its items.
    pub cost: u64,
    /// Size of the payload in the shell's store, bytes.
    pub payload_bytes: u64,
}

impl JobSpec {
    /// A specification with SommOS's defaults: priority 0, 30 minutes, one attempt and three
    /// retries (tasks: 5 minutes, no retry).
    #[must_use]
    pub fn new(kind: Kind, job_type: &str) -> Self {
        let job = kind == Kind::Job;
        Self {
            kind,
            job_type: job_type.into(),
            priority: 0,
            delay_ms: 0,
            timeout_ms: if job { 1_800_000 } else { 300_000 },
            max_attempts: if job { 4 } else { 1 },
            backoff: Backoff::default(),
            idempotency_key: None,
            cost: 0,
            payload_bytes: 0,
        }
    }
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits: for a worker, its delay or its next attempt.
    #[default]
    Queued,
    /// A worker has it.
    Running,
    /// Done; its result is in the store.
    Completed,
    /// Failed for good.
    Failed,
    /// Cancelled by a caller.
    Cancelled,
}

impl Status {
    /// Whether it will not change any more (but for a retry by hand).
    #[must_use]
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

/// The changing half of a record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Where it is.
    pub status: Status,
    /// Failed because its attempts ran out: a dead letter.
    pub dead: bool,
    /// Attempts begun.
    pub attempts: u32,
    /// Fencing token of the last claim; 0 before the first.
    pub token: u64,
    /// Not to run before.
    pub run_at: Timestamp,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it completed or was cancelled.
    pub completed_at: Option<Timestamp>,
    /// When it failed for good.
    pub failed_at: Option<Timestamp>,
    /// Percent done of the running attempt, 0..=100.
    pub progress: u8,
    /// Why the last attempt failed.
    pub error: Option<Box<str>>,
    /// The same as a code for programs.
    pub code: Option<Box<str>>,
    /// Size of the result in the shell's store, bytes.
    pub result_bytes: u64,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// For people: what was wrong.
    pub message: &'a str,
    /// For programs: `TIMED_OUT` and `WORKER_LOST` are the scheduler's own.
    pub code: &'a str,
    /// Whether another attempt may help.
    pub retryable: bool,
}

/// One job as the store keeps it and callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Order of submission; never used twice. The store's primary key.
    pub seq: u64,
    /// Its public id.
    pub id: JobId,
    /// The batch's key for a chunk, else 0.
    pub group: u64,
    /// What to run.
    pub spec: JobSpec,
    /// How far it is.
    pub state: State,
}

impl Record {
    /// When it was submitted. For a chunk: when its batch was opened.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.id.created
    }

    /// Attempts allowed.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.spec.max_attempts.max(1)
    }

    /// When it ended; `None` while it waits or runs.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self.state.status {
            Status::Failed => self.state.failed_at,
            Status::Completed | Status::Cancelled => self.state.completed_at,
            Status::Queued | Status::Running => None,
        }
    }
}
