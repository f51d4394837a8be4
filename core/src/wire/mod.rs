//! The wire: every request and response, their validation, the route list and the error codes.
//!
//! Shells hand bytes in and get bytes out; nothing outside this module knows a JSON field name.

pub mod access;
pub mod batch;
pub mod cache;
pub mod decode;
pub mod envelope;
pub mod error;
pub mod jobs;
pub mod memory;
pub mod monitoring;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod request_id;
pub mod routes;
pub mod tasks;
pub mod testing;
#[cfg(feature = "openapi")]
pub mod units;

pub use error::{ApiError, ErrorCode};
