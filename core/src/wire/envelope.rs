//! The envelope of every answer: `{"success":true,"data":...}` or `{"success":true,"message":...}`.

use serde::Serialize;

use super::error::{ApiError, ErrorCode};

/// `{"success":true,"data":T}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Data<T> {
    /// Always true.
    pub success: bool,
    /// The answer.
    pub data: T,
}

/// `{"success":true,"message":...}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message<'a> {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: &'a str,
}

/// Encodes `data` in its envelope.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn data<T: Serialize>(data: &T) -> Result<Vec<u8>, ApiError> {
    encode(&Data {
        success: true,
        data,
    })
}

/// Encodes a message in its envelope.
#[must_use]
pub fn message(message: &str) -> Vec<u8> {
    // Two plain fields always serialize.
    serde_json::to_vec(&Message {
        success: true,
        message,
    })
    .unwrap_or_default()
}

/// What stands before `data` in its envelope.
pub const DATA_HEAD: &[u8] = br#"{"success":true,"data":"#;
/// Bytes of the envelope around `data`.
pub const DATA_BYTES: usize = DATA_HEAD.len() + 1;

/// Wraps bytes that are JSON already, without parsing them.
#[must_use]
pub fn raw_data(json: &[u8]) -> Vec<u8> {
    const HEAD: &[u8] = DATA_HEAD;
    let mut out = Vec::with_capacity(HEAD.len() + json.len() + 1);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(json);
    out.push(b'}');
    out
}

/// Serializes any answer.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value)
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("cannot encode: {error}")))
}
