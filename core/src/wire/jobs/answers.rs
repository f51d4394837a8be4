//! What the calls of jobs and tasks answer.

use serde::Serialize;
use serde_json::value::RawValue;

use super::WorkKind;
use crate::{
    jobs::{JobError, JobId, Kind, Metrics, Record, Status},
    time::Timestamp,
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// Encodes the answer of a submission.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn encode_submit_answer(
    kind: WorkKind,
    id: JobId,
    status: Status,
    deduplicated: bool,
) -> Result<Vec<u8>, ApiError> {
    let (id, status) = (&*id.to_string(), status_word(status));
    match kind {
        WorkKind::Job => encode_submitted(&JobSubmitResponse {
            job_id: id,
            status,
            deduplicated,
        }),
        WorkKind::Task => encode_submitted(&TaskSubmitResponse {
            task_id: id,
            status,
            deduplicated,
        }),
    }
}

/// Which jobs GET /async/jobs lists.
#[derive(Debug, Clone, Copy)]
pub struct ListFilter {
    /// Only of this status.
    pub status: Option<Status>,
    /// Only dead letters.
    pub dead: bool,
    /// At most so many.
    pub limit: usize,
}

impl ListFilter {
    /// Reads it from a query string.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub fn decode(query: &str) -> Result<Self, ApiError> {
        let limit = decode::query_number(query, "limit", 1..=1000, "jobs", 100)? as usize;
        let status = match decode::query_value(query, "status") {
            None => None,
            Some(word) => Some(decode_status(&word)?),
        };
        let dead = match decode::query_value(query, "dead").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                let what = format!("expected true or false, got {other:?}");
                return Err(ApiError::invalid("dead", what));
            }
        };
        Ok(Self {
            status,
            dead,
            limit,
        })
    }

    /// Whether a job is listed.
    #[must_use]
    pub fn accepts(&self, record: &Record) -> bool {
        self.status.is_none_or(|s| s == record.state.status) && (!self.dead || record.state.dead)
    }
}

/// Encodes the answer of GET /async/jobs.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn encode_list<'a>(records: impl Iterator<Item = &'a Record>) -> Result<Vec<u8>, ApiError> {
    let records: Vec<_> = records.map(|r| (r.id.to_string(), r)).collect();
    let jobs: Vec<_> = records
        .iter()
        .map(|(id, r)| JobResponse::new(id, r, None, None))
        .collect();
    crate::wire::envelope::data(&jobs)
}

/// Whether a result can be asked for.
///
/// # Errors
/// `CONFLICT` naming the status.
pub fn check_completed(status: Status) -> Result<(), ApiError> {
    if status == Status::Completed {
        return Ok(());
    }
    let message = format!("no result: the status is {}", status_word(status));
    Err(ApiError::new(ErrorCode::Conflict, message))
}

/// The answer for a result that is gone.
#[must_use]
pub fn result_expired() -> ApiError {
    ApiError::new(
        ErrorCode::ResultExpired,
        "the result was kept for its time and then swept",
    )
}

/// `data` of POST /async/job, also beside `data` as SommOS's frontend reads it there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSubmitResponse<'a> {
    /// Ask for it at /async/job/{jobId}.
    pub job_id: &'a str,
    /// `queued`, or the state of the job that had the idempotency key already.
    pub status: &'a str,
    /// Whether an earlier submission had the idempotency key.
    pub deduplicated: bool,
}

/// `data` of POST /parallel/task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskSubmitResponse<'a> {
    /// Ask for it at /parallel/task/{taskId}.
    pub task_id: &'a str,
    /// `queued`.
    pub status: &'a str,
    /// Whether an earlier submission had the idempotency key.
    pub deduplicated: bool,
}

/// An answer whose fields stand both in `data` and beside it.
#[derive(Debug, Serialize)]
struct Both<'a, T> {
    success: bool,
    data: &'a T,
    #[serde(flatten)]
    beside: &'a T,
}

/// Encodes a submission's answer. The seed's examples read `jobId`, `batchId` and `taskId` beside
/// `data`, its response shapes show them within: both hold.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn encode_submitted<T: Serialize>(answer: &T) -> Result<Vec<u8>, ApiError> {
    crate::wire::envelope::encode(&Both {
        success: true,
        data: answer,
        beside: answer,
    })
}

/// `data` of GET /async/job/{id} and GET /parallel/task/{id}.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobResponse<'a> {
    /// `job_...` or `task_...`.
    pub id: &'a str,
    /// Which work.
    #[serde(rename = "type")]
    pub job_type: &'a str,
    /// queued, running, completed, failed or cancelled.
    pub status: &'a str,
    /// How it runs.
    pub options: JobOptionsResponse,
    /// How many would start before it; null once it has started.
    pub position: Option<u64>,
    /// 0..100.
    pub progress: u8,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts at most.
    pub max_attempts: u32,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds; null before the first attempt.
    pub started_at: Option<u64>,
    /// Unix milliseconds; null unless completed or cancelled.
    pub completed_at: Option<u64>,
    /// Unix milliseconds; null unless failed.
    pub failed_at: Option<u64>,
    /// Unix milliseconds of the next attempt while it waits for a delay or a retry.
    pub next_attempt_at: Option<u64>,
    /// The result; null until completed.
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    pub result: Option<&'a RawValue>,
    /// Why the last attempt failed.
    pub error: Option<&'a str>,
    /// Whether its attempts are used up (dead letter).
    pub dead: bool,
}

impl<'a> JobResponse<'a> {
    /// The answer for a record. `id` is its text, `result` its result's JSON.
    #[must_use]
    pub fn new(
        id: &'a str,
        record: &'a Record,
        position: Option<usize>,
        result: Option<&'a RawValue>,
    ) -> Self {
        let (spec, state) = (&record.spec, &record.state);
        let millis = |at: Option<Timestamp>| at.map(|t| t.0);
        let waits = state.status == Status::Queued && state.attempts > 0 || spec.delay_ms > 0;
        Self {
            id,
            job_type: &spec.job_type,
            status: status_word(state.status),
            options: JobOptionsResponse {
                priority: spec.priority,
                timeout: spec.timeout_ms,
                retries: record.max_attempts() - 1,
                delay: spec.delay_ms,
            },
            position: position.map(|p| p as u64),
            progress: state.progress,
            attempts: state.attempts,
            max_attempts: record.max_attempts(),
            created_at: record.created_at().0,
            started_at: millis(state.started_at),
            completed_at: millis(state.completed_at),
            failed_at: millis(state.failed_at),
            next_attempt_at: (waits && state.status == Status::Queued).then_some(state.run_at.0),
            result,
            error: state.error.as_deref(),
            dead: state.dead,
        }
    }
}

/// SommOS's word for a status.
#[must_use]
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

/// What the scheduler refused, on the wire.
#[must_use]
pub fn job_refused(error: &JobError) -> ApiError {
    let message = error.to_string();
    match error {
        JobError::NotFound(id) if id.kind == Kind::Task => WorkKind::Task.not_found(),
        JobError::NotFound(_) => WorkKind::Job.not_found(),
        JobError::NoBatch(_) => crate::wire::batch::not_found(),
        JobError::Full { .. } => ApiError::new(ErrorCode::QueueFull, message),
        JobError::OverLimit {
            field: field @ "data",
            value,
            limit,
        } => ApiError::too_large(field, value, *limit),
        _ => ApiError::new(ErrorCode::Conflict, message),
    }
}

/// The id of a path: one that is none of ours names no job.
///
/// # Errors
/// `JOB_NOT_FOUND` or `TASK_NOT_FOUND`.
pub fn decode_id(kind: WorkKind, text: &str) -> Result<JobId, ApiError> {
    let wanted = match kind {
        WorkKind::Job => Kind::Job,
        WorkKind::Task => Kind::Task,
    };
    text.parse()
        .ok()
        .filter(|id: &JobId| id.kind == wanted)
        .ok_or_else(|| kind.not_found())
}

/// A status word of a query.
///
/// # Errors
/// `UNKNOWN_NAME` listing the valid ones.
pub fn decode_status(word: &str) -> Result<Status, ApiError> {
    const NAMES: [&str; 5] = ["queued", "running", "completed", "failed", "cancelled"];
    const ALL: [Status; 5] = [
        Status::Queued,
        Status::Running,
        Status::Completed,
        Status::Failed,
        Status::Cancelled,
    ];
    NAMES
        .iter()
        .position(|name| *name == word)
        .map(|index| ALL[index])
        .ok_or_else(|| ApiError::unknown("status", "status", word, &NAMES))
}

/// `options` of a job's answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobOptionsResponse {
    /// Higher first.
    pub priority: i32,
    /// Milliseconds until an attempt is stopped.
    pub timeout: u64,
    /// Retries after the first attempt.
    pub retries: u32,
    /// Milliseconds before the first attempt.
    pub delay: u64,
}

/// `data` of GET /async/metrics.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobMetricsResponse {
    /// Submitted since the store was made.
    pub total_jobs: u64,
    /// Completed.
    pub completed_jobs: u64,
    /// Failed for good.
    pub failed_jobs: u64,
    /// Cancelled.
    pub cancelled_jobs: u64,
    /// Running now.
    pub active_jobs: u64,
    /// Waiting now.
    pub queue_size: u64,
    /// Attempts that were repeated.
    pub retries: u64,
    /// Milliseconds, mean of `processingTimes`; null before the first.
    pub average_processing_time: Option<f64>,
    /// Milliseconds of the last completed ones, newest last, at most 100.
    pub processing_times: Vec<u64>,
    /// The pool that runs them.
    pub workers: WorkerMetricsResponse,
}

/// `data` of GET /parallel/metrics.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskMetricsResponse {
    /// Submitted since the store was made.
    pub total_tasks: u64,
    /// Completed.
    pub completed_tasks: u64,
    /// Failed for good.
    pub failed_tasks: u64,
    /// Cancelled.
    pub cancelled_tasks: u64,
    /// Running now.
    pub active_tasks: u64,
    /// Waiting now.
    pub queue_size: u64,
    /// Milliseconds; null before the first.
    pub average_task_time: Option<f64>,
    /// Busy share of the workers, 0..1.
    pub worker_utilization: f64,
    /// The pool that runs them.
    pub workers: WorkerMetricsResponse,
}

impl JobMetricsResponse {
    /// The answer for these counters.
    #[must_use]
    pub fn new(metrics: Metrics, workers: WorkerMetricsResponse) -> Self {
        Self {
            total_jobs: metrics.total,
            completed_jobs: metrics.completed,
            failed_jobs: metrics.failed,
            cancelled_jobs: metrics.cancelled,
            active_jobs: metrics.active,
            queue_size: metrics.queued,
            retries: metrics.retried,
            average_processing_time: average(&metrics),
            processing_times: metrics.times_ms,
            workers,
        }
    }
}

impl TaskMetricsResponse {
    /// The answer for these counters.
    #[must_use]
    pub fn new(metrics: &Metrics, workers: WorkerMetricsResponse) -> Self {
        Self {
            total_tasks: metrics.total,
            completed_tasks: metrics.completed,
            failed_tasks: metrics.failed,
            cancelled_tasks: metrics.cancelled,
            active_tasks: metrics.active,
            queue_size: metrics.queued,
            average_task_time: average(metrics),
            worker_utilization: workers.utilization,
            workers,
        }
    }
}

/// Nothing has an average before the first.
fn average(metrics: &Metrics) -> Option<f64> {
    (metrics.completed > 0).then_some(metrics.average_ms)
}

/// The worker pool.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkerMetricsResponse {
    /// Threads now.
    pub current: usize,
    /// Of these at work.
    pub busy: usize,
    /// Fewest threads.
    pub min: usize,
    /// Most threads.
    pub max: usize,
    /// busy / current, 0..1.
    pub utilization: f64,
}
