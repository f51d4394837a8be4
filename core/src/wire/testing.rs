//! Load and memory tests.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{decode, error::ApiError};
use crate::limits::Limits;

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
    /// Path on this server, such as `/api/performance/cache/stats`.
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
    /// Path and query.
    pub endpoint: String,
    /// GET, POST or DELETE.
    pub method: &'static str,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Requests a second.
    pub rate: Option<f64>,
    /// Milliseconds at most.
    pub duration_ms: Option<u64>,
}

/// Paths that a load test must not call: they would test themselves, or end the test.
const FORBIDDEN: [&str; 3] = [
    "/api/performance/test/",
    "/api/performance/cache/clear",
    "/api/performance/events",
];

impl<'a> LoadTestRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<LoadTest, ApiError> {
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
        check_endpoint(&endpoint)?;
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
            endpoint: endpoint.into_owned(),
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

fn check_endpoint(endpoint: &str) -> Result<(), ApiError> {
    if !endpoint.starts_with('/') || endpoint.starts_with("//") {
        let what =
            "expected a path on this server that begins with one /; other origins are refused";
        return Err(ApiError::invalid("endpoint", what));
    }
    if endpoint.len() > 2048 || !endpoint.bytes().all(|b| b.is_ascii_graphic()) {
        let what = "expected at most 2048 printable ASCII characters without spaces";
        return Err(ApiError::invalid("endpoint", what));
    }
    if let Some(path) = FORBIDDEN.iter().find(|p| endpoint.starts_with(**p)) {
        return Err(ApiError::invalid(
            "endpoint",
            format!("{path} cannot be tested under load"),
        ));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_tested() {
        let decode = |endpoint: &str| {
            let body = format!(r#"{{"requests":1,"concurrency":1,"endpoint":{endpoint:?}}}"#);
            LoadTestRequest::decode(body.as_bytes(), &Limits::default())
        };
        assert!(decode("/api/wines").is_ok());
        for bad in [
            "http://example.com/",
            "//example.com/",
            "file:///etc",
            "/a b",
            "/api/performance/test/load",
        ] {
            assert_eq!(
                decode(bad).unwrap_err().field.as_deref(),
                Some("endpoint"),
                "{bad}"
            );
        }
    }
}
