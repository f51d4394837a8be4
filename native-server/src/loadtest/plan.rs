//! What to send, how often and for how long.

use std::{net::SocketAddr, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::{Method, Uri, header::HeaderValue};
use sommos_core::wire::testing::{OriginError, TargetOrigin};
use thiserror::Error;

/// Most requests of one test.
pub const REQUESTS_MAX: u64 = 100_000_000;
/// Most connections of one test.
pub const CONCURRENCY_MAX: usize = 10_000;
/// Longest test, and the length of one that has no duration of its own.
pub const DURATION_MAX: Duration = Duration::from_secs(600);
/// Greatest rate, requests a second.
const RATE_MAX: f64 = 10_000_000.0;

/// One load test.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// The server's address.
    pub target: SocketAddr,
    /// Its name, for the `Host` header and for redirects; none: the address.
    pub origin: Option<TargetOrigin>,
    /// Most requests, 1 to [`REQUESTS_MAX`].
    pub requests: u64,
    /// Connections, 1 to [`CONCURRENCY_MAX`]; never more than requests.
    pub concurrency: usize,
    /// Method of every request.
    pub method: String,
    /// Path and query of every request, from the first slash.
    pub path: String,
    /// Authorization header, whole.
    pub authorization: Option<String>,
    /// Body, sent as application/json.
    pub body: Option<Bytes>,
    /// Requests a second (open model); none: as fast as the connections go (closed model).
    pub rate: Option<f64>,
    /// No request begins later than this after the start; none: [`DURATION_MAX`].
    pub duration: Option<Duration>,
    /// A request without a whole answer after this has failed and its connection is closed.
    pub timeout: Duration,
}

/// Why a plan cannot be carried out.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A count, rate or time out of range.
    #[error("load test {field} is {value}: must be {range}")]
    Range {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// The values allowed.
        range: &'static str,
    },
    /// A method, path or header that HTTP does not allow.
    #[error("load test {field} cannot be sent: {reason}")]
    Request {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server's name or address cannot be tested.
    #[error(transparent)]
    Target(#[from] OriginError),
    /// The server's name has no address.
    #[error("{host} has no address: {reason}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The first answer leads to another origin: there is nothing to test here.
    #[error("the endpoint redirects to another origin, which is not followed: {0}")]
    Redirect(String),
}

impl LoadPlan {
    /// The length of the test.
    pub(super) fn length(&self) -> Duration {
        self.duration.unwrap_or(DURATION_MAX)
    }

    /// The bytes of the request that the plan means.
    pub(crate) fn check(&self) -> Result<Bytes, LoadError> {
        let rate = self.rate.unwrap_or(1.0);
        let length = self.length();
        let ranges = [
            (
                (1..=REQUESTS_MAX).contains(&self.requests),
                "requests",
                self.requests as f64,
                "1 to 100000000",
            ),
            (
                (1..=CONCURRENCY_MAX).contains(&self.concurrency),
                "concurrency",
                self.concurrency as f64,
                "1 to 10000",
            ),
            (
                rate > 0.0 && rate <= RATE_MAX,
                "rate",
                rate,
                "above 0, at most 10000000 a second",
            ),
            (
                !length.is_zero() && length <= DURATION_MAX,
                "duration",
                length.as_secs_f64(),
                "above 0, at most 600 seconds",
            ),
            (
                !self.timeout.is_zero() && self.timeout <= DURATION_MAX,
                "timeout",
                self.timeout.as_secs_f64(),
                "above 0, at most 600 seconds",
            ),
        ];
        if let Some(&(_, field, value, range)) = ranges.iter().find(|(fits, ..)| !fits) {
            return Err(LoadError::Range {
                field,
                value,
                range,
            });
        }
        self.request()
    }

    /// The origin that requests name.
    pub(super) fn named(&self) -> TargetOrigin {
        let address = || TargetOrigin::from(self.target);
        self.origin.clone().unwrap_or_else(address)
    }

    fn request(&self) -> Result<Bytes, LoadError> {
        let refused = |field, reason: String| LoadError::Request { field, reason };
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|error| refused("method", error.to_string()))?;
        if !self.path.starts_with('/') {
            return Err(refused("path", "it must begin with a slash".to_owned()));
        }
        self.path
            .parse::<Uri>()
            .map_err(|error| refused("path", error.to_string()))?;
        let mut request = BytesMut::new();
        let mut put = |parts: [&[u8]; 3]| parts.iter().for_each(|part| request.put_slice(part));
        put([method.as_str().as_bytes(), b" ", self.path.as_bytes()]);
        put([
            b" HTTP/1.1\r\nhost: ",
            self.named().authority().as_bytes(),
            b"\r\n",
        ]);
        put([b"user-agent: sommos-loadtest\r\n", b"", b""]);
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_str(authorization)
                .map_err(|error| refused("authorization", error.to_string()))?;
            put([b"authorization: ", value.as_bytes(), b"\r\n"]);
        }
        let body = self.body.as_deref();
        if body.is_some() {
            put([b"content-type: application/json\r\n", b"", b""]);
        }
        if body.is_some() || !matches!(method, Method::GET | Method::HEAD) {
            let length = body.map_or(0, <[u8]>::len).to_string();
            put([b"content-length: ", length.as_bytes(), b"\r\n"]);
        }
        put([b"\r\n", body.unwrap_or_default(), b""]);
        Ok(request.freeze())
    }
}
