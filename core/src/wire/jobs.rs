//! Calls of the asynchronous jobs and of the parallel tasks, which are the same work under two
//! names: a job answers at once and is retried, a task has no retries.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
    tasks::{PAYLOAD_JSON, PAYLOAD_MSGPACK, PAYLOAD_NPY, Task, TaskType},
};
use crate::{
    jobs::{Backoff, JobError, JobId, JobSpec, Kind, Metrics, Record, Status},
    limits::Limits,
    time::Timestamp,
};

/// Defaults of a submission that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SubmitDefaults {
    /// Milliseconds until an attempt is stopped.
    pub timeout_ms: u64,
    /// Retries after the first attempt.
    pub retries: u32,
    /// Milliseconds before the first retry; doubled for each further one.
    pub retry_delay_ms: u64,
}

impl Default for SubmitDefaults {
    /// SommOS's: 30 minutes, 3 retries, the first after a second.
    fn default() -> Self {
        Self {
            timeout_ms: 1_800_000,
            retries: 3,
            retry_delay_ms: 1000,
        }
    }
}

/// Highest priority.
pub const PRIORITY_MAX: u64 = 1_000_000;

/// Options of a job or task.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SubmitOptions<'a> {
    /// 0 (default) to 1,000,000; a higher number runs first.
    priority: Option<u64>,
    /// Milliseconds until an attempt is stopped.
    timeout: Option<u64>,
    /// Retries after the first attempt, with exponential backoff.
    retries: Option<u64>,
    /// Milliseconds before the first attempt.
    delay: Option<u64>,
    /// Milliseconds before the first retry; doubled for each further one.
    retry_delay: Option<u64>,
    /// A second submission with the same key answers the first one's id.
    #[serde(borrow)]
    idempotency_key: Option<Cow<'a, str>>,
}

/// Checked options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Higher first.
    pub priority: i32,
    /// Milliseconds until an attempt is stopped.
    pub timeout_ms: u64,
    /// Attempts in all.
    pub max_attempts: u32,
    /// Milliseconds before the first attempt.
    pub delay_ms: u64,
    /// Milliseconds before the first retry.
    pub retry_delay_ms: u64,
    /// Deduplicates submissions.
    pub idempotency_key: Option<String>,
}

impl SubmitOptions<'_> {
    /// The same options from a query string, for binary bodies.
    fn from_query(query: &str) -> Result<Self, ApiError> {
        let number = |name: &str| -> Result<Option<u64>, ApiError> {
            match decode::query_value(query, name) {
                None => Ok(None),
                Some(_) => decode::query_number(query, name, 0..=u64::MAX, "", 0).map(Some),
            }
        };
        Ok(Self {
            priority: number("priority")?,
            timeout: number("timeout")?,
            retries: number("retries")?,
            delay: number("delay")?,
            retry_delay: number("retryDelay")?,
            idempotency_key: decode::query_value(query, "idempotencyKey").map(Cow::Owned),
        })
    }

    fn check(self, defaults: &SubmitDefaults, limits: &Limits) -> Result<Submission, ApiError> {
        let number = decode::in_range;
        if let Some(key) = &self.idempotency_key {
            decode::name("options.idempotencyKey", key, limits.name_bytes)?;
        }
        let retries = number(
            "options.retries",
            self.retries,
            0..=u64::from(limits.retries),
            "retries",
            u64::from(defaults.retries),
        )?;
        Ok(Submission {
            priority: number("options.priority", self.priority, 0..=PRIORITY_MAX, "", 0)? as i32,
            timeout_ms: number(
                "options.timeout",
                self.timeout,
                1..=limits.timeout_ms,
                "milliseconds",
                defaults.timeout_ms,
            )?,
            max_attempts: retries as u32 + 1,
            delay_ms: number(
                "options.delay",
                self.delay,
                0..=limits.delay_ms,
                "milliseconds",
                0,
            )?,
            retry_delay_ms: number(
                "options.retryDelay",
                self.retry_delay,
                1..=limits.delay_ms,
                "milliseconds",
                defaults.retry_delay_ms,
            )?,
            idempotency_key: self.idempotency_key.map(Cow::into_owned),
        })
    }
}

/// POST /async/job.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobSubmitRequest<'a> {
    /// similarity_calculation, matrix_multiplication, matrix_similarity, feature_extraction,
    /// data_processing or model_training.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(required))]
    job_type: Option<Cow<'a, str>>,
    /// The input of this type of work.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    data: Option<&'a RawValue>,
    /// How to run it.
    #[serde(borrow)]
    options: Option<SubmitOptions<'a>>,
}

/// POST /parallel/task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TaskSubmitRequest<'a> {
    /// As jobType of a job.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(required))]
    task_type: Option<Cow<'a, str>>,
    /// The input of this type of work.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    data: Option<&'a RawValue>,
    /// How to run it.
    #[serde(borrow)]
    options: Option<SubmitOptions<'a>>,
}

/// A submission that has been checked to the last field.
#[derive(Debug)]
pub struct Submitted {
    /// Which work.
    pub task_type: TaskType,
    /// Its estimated work ([`Task::cost`]).
    pub cost: u64,
    /// Its input as the store keeps it ([`Task::parse_stored`]).
    pub payload: Vec<u8>,
    /// How to run it.
    pub submission: Submission,
}

/// Job or task: which wording and which defaults apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// An asynchronous job.
    Job,
    /// A parallel task.
    Task,
}

impl WorkKind {
    const fn type_field(self) -> &'static str {
        match self {
            Self::Job => "jobType",
            Self::Task => "taskType",
        }
    }

    const fn required(self) -> &'static str {
        match self {
            Self::Job => "Job type and data are required",
            Self::Task => "Task type and data are required",
        }
    }

    /// The scheduler's kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Job => Kind::Job,
            Self::Task => Kind::Task,
        }
    }

    /// SommOS's wording for a cancellation.
    #[must_use]
    pub const fn cancelled(self) -> &'static str {
        match self {
            Self::Job => "Job cancelled successfully",
            Self::Task => "Task cancelled successfully",
        }
    }

    /// SommOS's wording for an unknown id.
    #[must_use]
    pub fn not_found(self) -> ApiError {
        match self {
            Self::Job => ApiError::new(ErrorCode::JobNotFound, "Job not found"),
            Self::Task => ApiError::new(ErrorCode::TaskNotFound, "Task not found"),
        }
        .at("id")
    }
}

/// Decodes a submission and parses its input, so that whatever is wrong is said now and not by a
/// failed job later.
///
/// # Errors
/// 400, 413 or 422 naming the field.
pub fn decode_submit(
    kind: WorkKind,
    bytes: &[u8],
    defaults: &SubmitDefaults,
    limits: &Limits,
) -> Result<Submitted, ApiError> {
    let (name, data, options) = match kind {
        WorkKind::Job => {
            let r: JobSubmitRequest<'_> = decode::body(bytes, limits)?;
            (r.job_type, r.data, r.options)
        }
        WorkKind::Task => {
            let r: TaskSubmitRequest<'_> = decode::body(bytes, limits)?;
            (r.task_type, r.data, r.options)
        }
    };
    let name = name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| ApiError::missing(kind.type_field(), kind.required()))?;
    let data = data.ok_or_else(|| ApiError::missing("data", kind.required()))?;
    let task_type = TaskType::parse(kind.type_field(), &name)?;
    let submission = options.unwrap_or_default().check(defaults, limits)?;
    let task = Task::parse(task_type, data, limits)?;
    let payload = tagged(PAYLOAD_JSON, &[data.get().as_bytes()]);
    Ok(Submitted {
        task_type,
        cost: task.cost(),
        payload,
        submission,
    })
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    payload.push(tag);
    parts
        .iter()
        .for_each(|part| payload.extend_from_slice(part));
    payload
}

/// The same from `application/x-npy`: the arrays are the body, everything else is in the query
/// (`taskType` or `jobType`, `algorithm`, `topK`, `priority`, `timeout`, ...).
///
/// # Errors
/// As [`decode_submit`].
pub fn decode_submit_npy(
    kind: WorkKind,
    query: &str,
    bytes: &[u8],
    defaults: &SubmitDefaults,
    limits: &Limits,
) -> Result<Submitted, ApiError> {
    let field = kind.type_field();
    let name = decode::query_value(query, field)
        .ok_or_else(|| ApiError::missing(field, kind.required()))?;
    let task_type = TaskType::parse(field, &name)?;
    let submission = SubmitOptions::from_query(query)?.check(defaults, limits)?;
    let task = Task::parse_npy(task_type, query, bytes, limits)?;
    let payload = tagged(PAYLOAD_NPY, &[query.as_bytes(), b"\n", bytes]);
    Ok(Submitted {
        task_type,
        cost: task.cost(),
        payload,
        submission,
    })
}

/// The same from MessagePack, with the body's fields as in JSON; a matrix may be
/// `{rows, cols, data}` with the bytes of little-endian f64s.
///
/// # Errors
/// As [`decode_submit`].
pub fn decode_submit_msgpack(
    kind: WorkKind,
    bytes: &[u8],
    defaults: &SubmitDefaults,
    limits: &Limits,
) -> Result<Submitted, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'a> {
        #[serde(borrow, alias = "jobType")]
        task_type: Option<Cow<'a, str>>,
        #[serde(borrow)]
        options: Option<SubmitOptions<'a>>,
    }
    let head: Head<'_> = rmp_serde::from_slice(bytes)
        .map_err(|error| ApiError::invalid("body", format!("MessagePack: {error}")))?;
    let field = kind.type_field();
    let name = head
        .task_type
        .ok_or_else(|| ApiError::missing(field, kind.required()))?;
    let task_type = TaskType::parse(field, &name)?;
    let submission = head.options.unwrap_or_default().check(defaults, limits)?;
    let task = Task::parse_msgpack(task_type, bytes, limits)?;
    let payload = tagged(PAYLOAD_MSGPACK, &[bytes]);
    Ok(Submitted {
        task_type,
        cost: task.cost(),
        payload,
        submission,
    })
}

/// Most of a delay that backoff spreads, fraction.
const JITTER: f32 = 0.1;
/// Longest backoff, milliseconds.
const BACKOFF_MS_MAX: u64 = 3_600_000;
/// Places in line that a position counts.
pub const POSITION_MAX: usize = 10_000;
/// The message of POST /async/job/{id}/retry.
pub const RETRIED: &str = "Job queued again";

impl Submitted {
    /// What the scheduler is asked to run.
    #[must_use]
    pub fn spec(&self, kind: WorkKind) -> JobSpec {
        let options = &self.submission;
        JobSpec {
            priority: options.priority,
            delay_ms: options.delay_ms,
            timeout_ms: options.timeout_ms,
            max_attempts: options.max_attempts,
            backoff: Backoff {
                base_ms: options.retry_delay_ms,
                max_ms: BACKOFF_MS_MAX.max(options.retry_delay_ms),
                jitter: JITTER,
            },
            idempotency_key: options.idempotency_key.as_deref().map(Into::into),
            cost: self.cost,
            ..JobSpec::new(kind.kind(), self.task_type.as_str())
        }
    }
}

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
    super::envelope::data(&jobs)
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
    super::envelope::encode(&Both {
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
        JobError::NoBatch(_) => super::batch::not_found(),
        JobError::Full { .. } => ApiError::new(ErrorCode::QueueFull, message),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(body: &str) -> Result<Submitted, ApiError> {
        let defaults = SubmitDefaults {
            timeout_ms: 1000,
            retries: 3,
            retry_delay_ms: 100,
        };
        decode_submit(
            WorkKind::Job,
            body.as_bytes(),
            &defaults,
            &Limits::default(),
        )
    }

    #[test]
    fn missing_fields_have_the_words_of_today() {
        let error = submit("{}").unwrap_err();
        assert_eq!(error.message, "Job type and data are required");
        assert_eq!(error.field.as_deref(), Some("jobType"));
        let error = submit(r#"{"jobType":"data_processing"}"#).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("data"));
    }

    #[test]
    fn an_unknown_type_lists_the_valid_ones() {
        let error = submit(r#"{"jobType":"brew","data":{}}"#).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnknownName);
        assert!(error.message.contains("similarity_calculation"), "{error}");
    }

    #[test]
    fn a_negative_priority_is_refused() {
        let error = submit(r#"{"jobType":"data_processing","data":{},"options":{"priority":-1}}"#)
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("options.priority"));
    }
}
