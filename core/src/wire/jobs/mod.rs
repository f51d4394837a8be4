//! Calls of the asynchronous jobs and of the parallel tasks, which are the same work under two
//! names: a job answers at once and is retried, a task has no retries.

mod answers;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
    tasks::{PAYLOAD_JSON, PAYLOAD_MSGPACK, PAYLOAD_NPY, Task, TaskType},
};
use crate::{
    jobs::{Backoff, JobSpec, Kind},
    limits::Limits,
};

pub use answers::{
    JobMetricsResponse, JobOptionsResponse, JobResponse, JobSubmitResponse, ListFilter,
    TaskMetricsResponse, TaskSubmitResponse, WorkerMetricsResponse, check_completed, decode_id,
    decode_status, encode_list, encode_submit_answer, encode_submitted, job_refused,
    result_expired, status_word,
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
    /// Which work: the name of a [`TaskType`], or of a type that other workers run.
    pub job_type: Box<str>,
    /// Its estimated work ([`Task::cost`]); 0 of a type that other workers run.
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
/// `external` are the types that other workers run: their input may be any JSON.
///
/// # Errors
/// 400, 413 or 422 naming the field.
pub fn decode_submit(
    kind: WorkKind,
    bytes: &[u8],
    external: &[String],
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
    let (job_type, task_type) = match external.iter().find(|known| **known == *name) {
        Some(known) => (known.as_str(), None),
        None => {
            let task_type = TaskType::parse(kind.type_field(), &name)?;
            (task_type.as_str(), Some(task_type))
        }
    };
    let submission = options.unwrap_or_default().check(defaults, limits)?;
    let cost = match task_type {
        Some(task_type) => Task::parse(task_type, data, limits)?.cost(),
        None => 0,
    };
    let payload = tagged(PAYLOAD_JSON, &[data.get().as_bytes()]);
    Ok(Submitted {
        job_type: job_type.into(),
        cost,
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
        job_type: task_type.as_str().into(),
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
        job_type: task_type.as_str().into(),
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
            ..JobSpec::new(kind.kind(), &self.job_type)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(body: &str) -> Result<Submitted, ApiError> {
        submit_with(body, &[])
    }

    fn submit_with(body: &str, external: &[String]) -> Result<Submitted, ApiError> {
        let defaults = SubmitDefaults {
            timeout_ms: 1000,
            retries: 3,
            retry_delay_ms: 100,
        };
        decode_submit(
            WorkKind::Job,
            body.as_bytes(),
            external,
            &defaults,
            &Limits::default(),
        )
    }

    #[test]
    fn types_of_other_workers_take_any_json() {
        let external = ["send-mail".to_owned()];
        let body = r#"{"jobType":"send-mail","data":[1],"options":{"retries":0}}"#;
        let submitted = submit_with(body, &external).unwrap();
        assert_eq!(&*submitted.job_type, "send-mail");
        assert_eq!(submitted.payload, b"J[1]");
        assert_eq!(submitted.submission.max_attempts, 1);
        let error = submit_with(r#"{"jobType":"send-mail"}"#, &external).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("data"));
        let native = r#"{"jobType":"data_processing","data":1}"#;
        assert_eq!(
            submit_with(native, &external).unwrap_err(),
            submit(native).unwrap_err()
        );
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
