//! What a load test tells: while it runs, and what it found.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::wire::jobs::JobResponse;

/// What ended a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EndedBy {
    /// All requests were over.
    Requests,
    /// The duration had passed.
    Duration,
    /// The caller cancelled it.
    Cancel,
}

/// Requests without an answer, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadErrors {
    /// No connection: refused, unreachable.
    pub connect: u64,
    /// No whole answer within the timeout.
    pub timeout: u64,
    /// The server closed the connection before the whole answer.
    pub closed: u64,
    /// The answer was not HTTP.
    pub protocol: u64,
    /// The answer redirects to another origin, which is not followed.
    pub redirect: u64,
}

/// A distribution of times, milliseconds, within 0.1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResponseTimes {
    /// Least.
    pub min: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Greatest.
    pub max: f64,
    /// Median.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 95 % took no longer.
    pub p95: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p999: f64,
}

/// A point of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatencyPoint {
    /// Percent of the requests, 0 to 100.
    pub percentile: f64,
    /// So many took no longer than this, milliseconds.
    pub latency: f64,
}

/// One second of a load test, by when answers came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadSecond {
    /// Seconds from the start of the test to its begin.
    pub second: u32,
    /// Requests that were over in it, a second.
    pub rate: f64,
    /// Median of their response times, milliseconds, within 1 %; null where none was measured.
    pub p50: Option<f64>,
    /// Their 99th percentile.
    pub p99: Option<f64>,
    /// Those that failed: answered with a status from 400 on, or not at all.
    pub errors: u64,
}

/// How far a load test is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadProgress {
    /// Requests that are over.
    pub done: u64,
    /// Requests planned; a duration may end the test before.
    pub total: u64,
    /// Requests a second, of the last whole second.
    pub rate: f64,
    /// 99th percentile of the response times so far, milliseconds; null before the first.
    pub p99: Option<f64>,
    /// Requests that failed so far.
    pub errors: u64,
    /// The same in words.
    pub message: String,
}

impl LoadProgress {
    /// Progress with its message.
    #[must_use]
    pub fn new(done: u64, total: u64, rate: f64, p99: Option<f64>, errors: u64) -> Self {
        let p99_text = p99.map_or_else(|| "none yet".to_owned(), |ms| format!("{ms:.1} ms"));
        let message = format!(
            "{done} of {total} requests, {rate:.0} a second, p99 {p99_text}, {errors} failed"
        );
        Self {
            done,
            total,
            rate,
            p99,
            errors,
            message,
        }
    }
}

/// A job that runs and tells more than a percentage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WithProgress<'a> {
    /// The job.
    #[serde(flatten)]
    pub job: JobResponse<'a>,
    /// How far it is; absent for other types of work, and unless it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<LoadProgress>,
}

/// What a load test found. Times in milliseconds, rates per second; none where nothing was
/// measured. Response times are those of answers, whatever their status, and of timeouts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadReport {
    /// Requests that are over: `successfulRequests` + `failedRequests`.
    pub total_requests: u64,
    /// Answered with a status below 400.
    pub successful_requests: u64,
    /// Answered with another status, or not at all.
    pub failed_requests: u64,
    /// Percent of `totalRequests`.
    pub success_rate: Option<f64>,
    /// Mean response time, from when a request was due (open model) or begun (closed model).
    pub average_response_time: Option<f64>,
    /// Longest response time.
    pub max_response_time: Option<f64>,
    /// Shortest response time.
    pub min_response_time: Option<f64>,
    /// From the start to the end of the last request.
    pub total_time: f64,
    /// `totalRequests` over `totalTime`.
    pub requests_per_second: Option<f64>,

    /// Requests asked for.
    pub planned_requests: u64,
    /// Requests that were due before the end: `totalRequests` + `droppedRequests` +
    /// `abandonedRequests`.
    pub offered_requests: u64,
    /// Requests that were due before the end but found no free connection (open model).
    pub dropped_requests: u64,
    /// Requests in flight when the test was cancelled.
    pub abandoned_requests: u64,
    /// Rate at which requests were due (open model).
    pub offered_rate: Option<f64>,
    /// Answers, of any status, over `totalTime`.
    pub achieved_rate: Option<f64>,
    /// Response times from when requests were due.
    pub response_times: Option<ResponseTimes>,
    /// Times from when requests were sent: what a test that omits waiting would tell.
    pub service_times: Option<ResponseTimes>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub errors: LoadErrors,
    /// Of each kind of error the first one's reason.
    pub reasons: BTreeMap<&'static str, String>,
    /// The distribution of the response times, from the least to the greatest; 200 points at most.
    pub latency_curve: Vec<LatencyPoint>,
    /// What happened in each second of the test; the last one has all that came after 600 s.
    pub series: Vec<LoadSecond>,
    /// Connections opened.
    pub connections: u64,
    /// Bytes of request bodies that were sent.
    pub bytes_sent: u64,
    /// Bytes of response bodies that were received.
    pub bytes_received: u64,
    /// What ended it.
    pub ended_by: EndedBy,
}
