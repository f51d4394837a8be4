//! What a load test found.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// What ended a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum EndedBy {
    /// All requests were over.
    Requests,
    /// The duration had passed.
    Duration,
    /// The caller cancelled it.
    Cancel,
}

/// Requests without an answer, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadErrors {
    /// No connection: refused, unreachable.
    pub connect: u64,
    /// No whole answer within the timeout.
    pub timeout: u64,
    /// The server closed the connection before the whole answer.
    pub closed: u64,
    /// The answer was not HTTP.
    pub protocol: u64,
}

/// A distribution of times, milliseconds, within 0.1 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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

/// What a load test found. Times in milliseconds, rates per second; none where nothing was
/// measured. Response times are those of answers, whatever their status, and of timeouts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// Requests that are over: `successful_requests` + `failed_requests`.
    pub total_requests: u64,
    /// Answered with a status below 400.
    pub successful_requests: u64,
    /// Answered with another status, or not at all.
    pub failed_requests: u64,
    /// Percent of `total_requests`.
    pub success_rate: Option<f64>,
    /// Mean response time, from when a request was due (open model) or begun (closed model).
    pub average_response_time: Option<f64>,
    /// Longest response time.
    pub max_response_time: Option<f64>,
    /// Shortest response time.
    pub min_response_time: Option<f64>,
    /// From the start to the end of the last request.
    pub total_time: f64,
    /// `total_requests` over `total_time`.
    pub requests_per_second: Option<f64>,

    /// Requests asked for.
    pub planned_requests: u64,
    /// Requests that were due before the end but found no free connection (open model).
    pub dropped_requests: u64,
    /// Requests in flight when the test was cancelled.
    pub abandoned_requests: u64,
    /// Rate at which requests were due (open model).
    pub offered_rate: Option<f64>,
    /// Answers, of any status, over `total_time`.
    pub achieved_rate: Option<f64>,
    /// Response times from when requests were due.
    pub response_times: Option<ResponseTimes>,
    /// Times from when requests were sent: what a test that omits waiting would tell.
    pub service_times: Option<ResponseTimes>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub errors: LoadErrors,
    /// Connections opened.
    pub connections: u64,
    /// Bytes of request bodies that were sent.
    pub bytes_sent: u64,
    /// Bytes of response bodies that were received.
    pub bytes_received: u64,
    /// What ended it.
    pub ended_by: EndedBy,
}
