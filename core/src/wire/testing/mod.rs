//! Load and memory tests.

mod address;
mod load;
mod memory;
mod target;
#[cfg(test)]
mod tests;

pub use address::check_address;
pub use load::{
    EndedBy, LatencyPoint, LoadErrors, LoadProgress, LoadReport, LoadSecond, ResponseTimes,
    WithProgress,
};
pub use memory::{MemoryReport, MemorySource};
pub use target::{OriginError, Target, TargetOrigin, TargetOrigins};

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{decode, error::ApiError};
use crate::limits::Limits;

/// The type of the job that a load test is.
pub const LOAD_TEST: &str = "load_test";

const REQUIRED: &str = "Requests, concurrency, and endpoint are required";

/// POST /test/load.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadTestRequest<'a> {
    /// How many requests.
    #[cfg_attr(feature = "openapi", schema(required))]
    requests: Option<u64>,
    /// Connections at once.
    #[cfg_attr(feature = "openapi", schema(required))]
    concurrency: Option<u64>,
    /// Path on this server, such as `/api/performance/cache/stats`, or a URL at an origin of
    /// --load-test-origin.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(required))]
    endpoint: Option<Cow<'a, str>>,
    /// GET (default), POST or DELETE.
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    /// JSON body of each request.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    body: Option<&'a RawValue>,
    /// Requests a second (open model); absent: as fast as the connections go (closed model).
    rate: Option<f64>,
    /// Milliseconds at most.
    duration: Option<u64>,
}

/// A checked load test.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadTest {
    /// How many requests.
    pub requests: u64,
    /// Connections at once.
    pub concurrency: usize,
    /// Where they go.
    pub target: Target,
    /// GET, POST or DELETE.
    pub method: &'static str,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Milliseconds at most.
    pub duration_ms: Option<u64>,
}

impl<'a> LoadTestRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(
        bytes: &'a [u8],
        origins: &TargetOrigins,
        limits: &Limits,
    ) -> Result<LoadTest, ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let missing = |field| ApiError::missing(field, REQUIRED);
        let requests = request.requests.ok_or_else(|| missing("requests"))?;
        let concurrency = request.concurrency.ok_or_else(|| missing("concurrency"))?;
        let endpoint = request.endpoint.ok_or_else(|| missing("endpoint"))?;
        decode::in_range(
            "requests",
            Some(requests),
            1..=limits.load_requests,
            "requests",
            0,
        )?;
        let most = limits.load_concurrency as u64;
        decode::in_range("concurrency", Some(concurrency), 1..=most, "connections", 0)?;
        let target = Target::parse(&endpoint, origins)?;
        let rate = request.rate;
        if rate.is_some_and(|r| !r.is_finite() || r <= 0.0 || r > 1e6) {
            return Err(ApiError::invalid(
                "rate",
                "expected requests a second within 0..=1000000",
            ));
        }
        let duration_ms = match request.duration {
            None => None,
            some => Some(decode::in_range(
                "duration",
                some,
                1..=limits.timeout_ms,
                "ms",
                0,
            )?),
        };
        Ok(LoadTest {
            requests,
            concurrency: concurrency as usize,
            target,
            method: check_method(request.method.as_deref().unwrap_or("GET"))?,
            body: request.body.map(|b| b.get().as_bytes().to_vec()),
            rate,
            duration_ms,
        })
    }
}

fn check_method(name: &str) -> Result<&'static str, ApiError> {
    const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
    METHODS
        .into_iter()
        .find(|m| *m == name)
        .ok_or_else(|| ApiError::unknown("method", "method", name, &METHODS))
}

/// Whether POST /test/load answers when the test is over (`wait` is absent or true), or at once.
///
/// # Errors
/// 400 for any other word.
pub fn decode_wait(query: &str) -> Result<bool, ApiError> {
    match decode::query_value(query, "wait").as_deref() {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let what = format!("expected true or false, got {shown:?}");
            Err(ApiError::invalid("wait", what))
        }
    }
}

/// Seconds of GET /monitoring/profile: 1 to 60, 5 when absent.
///
/// # Errors
/// 400 on `seconds`.
pub fn decode_profile(query: &str) -> Result<u64, ApiError> {
    decode::query_number(query, "seconds", 1..=60, "seconds", 5)
}

/// POST /test/memory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryTestRequest {
    /// How many values; 1,000 when absent.
    iterations: Option<u64>,
    /// Bytes of each value; 1,000 when absent.
    data_size: Option<u64>,
}

impl MemoryTestRequest {
    /// Decodes and checks a body: iterations and bytes of each.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<(u64, usize), ApiError> {
        let r: Self = decode::body(bytes, limits)?;
        let most = limits.memory_test_iterations;
        let iterations =
            decode::in_range("iterations", r.iterations, 1..=most, "iterations", 1000)?;
        let most = limits.memory_test_bytes;
        let size = decode::in_range("dataSize", r.data_size, 1..=most, "bytes", 1000)?;
        let total = iterations.saturating_mul(size);
        if total > most {
            return Err(ApiError::over("dataSize", "bytes in all", total, most));
        }
        Ok((iterations, size as usize))
    }
}
