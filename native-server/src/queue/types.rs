//! What goes in and comes out.

use std::{borrow::Cow, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use rustix::time::ClockId;
use sommos_core::{
    batch::{BatchMetrics, BatchOptions},
    control::Stopped,
    jobs::{
        Config as SchedulerConfig, Fault, JobError, JobId, JobSpec, Kind, Metrics, Record,
        Retention,
    },
    time::Timestamp,
};
use thiserror::Error;

use super::control::WorkControl;

/// The time, as the queue sees it; tests hand in their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The wall clock.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(wall_now)
}

/// What the wall clock shows.
pub(crate) fn wall_now() -> Timestamp {
    // Without the standard library's way over nanoseconds: at two thirds of its cost.
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    let ms = now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000;
    Timestamp(u64::try_from(ms).unwrap_or(0))
}

/// How a queue runs.
#[derive(Clone)]
pub struct QueueConfig {
    /// The database file; `-wal` and `-shm` files stand beside it.
    pub path: PathBuf,
    /// Limits of the scheduler. Its `lease_ms` is not used (workers live and die with the process)
    /// and its `large_max` follows `max_workers`.
    pub scheduler: SchedulerConfig,
    /// How long ended jobs, and ended batches, are kept.
    pub retention: Retention,
    /// Workers that stay when idle.
    pub min_workers: usize,
    /// Workers at most.
    pub max_workers: usize,
    /// How long a worker above the minimum waits before it ends.
    pub idle_timeout: Duration,
    /// How long an interrupted computation may go on before its worker counts as lost and another
    /// takes its place.
    pub interrupt_grace: Duration,
    /// Commands that may wait for the writer, count; more get [`QueueError::Busy`].
    pub commands_max: usize,
    /// Events kept for those who come back with a Last-Event-ID, count.
    pub events_max: usize,
    /// Payloads of waiting jobs kept in memory, bytes; the others are read when claimed.
    pub payload_cache_bytes: usize,
    /// Largest result accepted, bytes.
    pub result_bytes_max: usize,
    /// Where the time comes from.
    pub clock: Clock,
}

impl QueueConfig {
    /// The defaults for a database at `path`: 1 to as many workers as cores.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            scheduler: SchedulerConfig::default(),
            retention: Retention::default(),
            min_workers: 1,
            max_workers: std::thread::available_parallelism().map_or(2, usize::from),
            idle_timeout: Duration::from_secs(30),
            interrupt_grace: Duration::from_secs(5),
            commands_max: 8192,
            events_max: 4096,
            payload_cache_bytes: 64 << 20,
            result_bytes_max: 128 << 20,
            clock: wall_clock(),
        }
    }
}

/// Why the queue did not do what it was asked.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The scheduler refused.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Too many commands wait for the writer.
    #[error("the queue is busy: {0} commands wait to be written; try again in a moment")]
    Busy(usize),
    /// It was not written: nothing of it happened.
    #[error("the queue's database could not be written, nothing was stored: {0}")]
    Store(Arc<str>),
    /// The queue drains or has ended.
    #[error("the queue is shutting down and takes nothing more")]
    Closed,
    /// The engine that servers share did not answer in time, or failed.
    #[error("the shared queue cannot be reached: {0}; try again in a moment")]
    Unreachable(Arc<str>),
    /// The engine that servers share has no room left.
    #[error("the shared queue is full: {0}; try again when some work has ended")]
    NoRoom(Arc<str>),
    /// A batch of no chunk, or of too many.
    #[error("a batch of {0} chunks: it must have 1..={1}")]
    Chunks(usize, usize),
}

/// Whose work it is and the work itself.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// What to run; its `payload_bytes` is set by the queue.
    pub spec: JobSpec,
    /// What the executor gets.
    pub payload: Bytes,
    /// Whether only this server may run it, for part of its input is in its memory.
    pub here: bool,
}

/// A whole batch at once.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// How it runs.
    pub options: BatchOptions,
    /// What every chunk's executor gets besides its chunk: processor, parameters.
    pub params: Bytes,
    /// The chunks, each with the number of its items.
    pub chunks: Vec<(Bytes, u64)>,
}

/// A job and its place in line.
#[derive(Debug, Clone)]
pub struct JobView {
    /// All that is known of it.
    pub record: Record,
    /// How many would start before it, counted up to 10,000; `None` unless it waits in line.
    pub position: Option<usize>,
}

/// One ended chunk of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkResult {
    /// Its index.
    pub chunk: u32,
    /// Its result, or why it failed.
    pub outcome: Result<Bytes, String>,
}

/// The workers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PoolStats {
    /// Threads there are, without the lost ones.
    pub threads: usize,
    /// Threads at work, without the lost ones.
    pub busy: usize,
    /// Threads that went on after their interruption.
    pub lost: usize,
    /// Lower bound.
    pub min: usize,
    /// Upper bound.
    pub max: usize,
    /// Busy over the upper bound, 0..=1.
    pub utilization: f64,
    /// Time spent in executors, all workers together, seconds.
    pub busy_seconds: f64,
}

/// What the queue measures.
#[derive(Debug, Clone, Default)]
pub struct QueueMetrics {
    /// Background jobs.
    pub jobs: Metrics,
    /// Parallel tasks.
    pub tasks: Metrics,
    /// Chunks of batches.
    pub chunks: Metrics,
    /// Batches.
    pub batches: BatchMetrics,
    /// Workers.
    pub pool: PoolStats,
    /// Ended jobs that are kept, count and bytes.
    pub kept: (usize, u64),
    /// Transactions committed.
    pub commits: u64,
    /// Transactions that failed.
    pub write_failures: u64,
}

/// A list of jobs by kind and status.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only in this status.
    pub status: Option<sommos_core::jobs::Status>,
    /// Only dead letters.
    pub dead: bool,
}

/// What an executor gets.
#[derive(Debug, Clone)]
pub struct Work {
    /// The job, task or chunk.
    pub id: JobId,
    /// Job, task or chunk.
    pub kind: Kind,
    /// Which handler.
    pub job_type: Box<str>,
    /// The payload it was submitted with.
    pub payload: Bytes,
    /// What its batch was submitted with; empty for jobs and tasks.
    pub params: Bytes,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// Why an executor has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For people: what was wrong.
    pub message: String,
    /// For programs, such as `INVALID_DATA`; `PANICKED` is the pool's own.
    pub code: Cow<'static, str>,
    /// Whether another attempt may help.
    pub retryable: bool,
}

impl Failure {
    /// A failure that another attempt would meet again.
    pub fn permanent(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code.into(),
            retryable: false,
        }
    }

    /// A failure that may be gone next time.
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: code.into(),
            retryable: true,
        }
    }

    pub(super) fn fault(&self) -> Fault<'_> {
        Fault {
            message: &self.message,
            code: &self.code,
            retryable: self.retryable,
        }
    }
}

/// What a stopped kernel returns; the queue throws it away, for it knows why it interrupted.
impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        Self::transient("STOPPED", stopped.to_string())
    }
}

/// Runs work. Called from worker threads, several at once.
pub trait Executor: Send + Sync + 'static {
    /// Runs one attempt. Must ask `control` every few milliseconds whether to go on. A panic
    /// counts as a failed attempt.
    ///
    /// # Errors
    /// [`Failure`]; after an interruption whatever it says is thrown away.
    fn run(&self, work: &Work, control: &WorkControl) -> Result<Bytes, Failure>;
}
