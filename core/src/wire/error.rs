//! Error codes and the one error that every call may answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::control::Stopped;

/// What went wrong, as a stable word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum ErrorCode {
    /// The body is not JSON.
    InvalidJson,
    /// A required field is absent.
    MissingField,
    /// A field has a wrong type or value.
    InvalidField,
    /// A name is not one of those known (job type, algorithm, codec, ...).
    UnknownName,
    /// No or a wrong token.
    Unauthorized,
    /// The token's scopes do not allow this call.
    Forbidden,
    /// No such path.
    RouteNotFound,
    /// The cache has no live value under this key.
    KeyNotFound,
    /// No job of this id.
    JobNotFound,
    /// No batch of this id.
    BatchNotFound,
    /// No parallel task of this id.
    TaskNotFound,
    /// No open alert of this id.
    AlertNotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The job's state does not allow this.
    Conflict,
    /// The result was kept for its time and then swept.
    ResultExpired,
    /// A body, value or output is larger than its limit.
    TooLarge,
    /// The body's media type is not one that this call reads.
    UnsupportedMediaType,
    /// A count, size or depth is over its limit.
    LimitExceeded,
    /// Well-formed input that cannot be worked on: corrupt or truncated compressed data.
    CorruptData,
    /// The user's processor failed.
    ProcessorFailed,
    /// Too many requests from this client.
    RateLimited,
    /// The caller cancelled the work.
    Cancelled,
    /// The work's time limit passed.
    TimedOut,
    /// A defect of ours.
    Internal,
    /// This shell does not offer the call.
    NotImplemented,
    /// The queue is at its limit; try again later.
    QueueFull,
    /// Shutting down, starting up, or the store cannot be written.
    Unavailable,
    /// The request took longer than the server allows.
    RequestTimeout,
    /// The work needs more processor time than the platform gives.
    CpuLimit,
}

impl ErrorCode {
    /// The one mapping of codes to HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidJson | Self::MissingField | Self::InvalidField | Self::UnknownName => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::RouteNotFound
            | Self::KeyNotFound
            | Self::JobNotFound
            | Self::BatchNotFound
            | Self::TaskNotFound
            | Self::AlertNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::Cancelled => 409,
            Self::ResultExpired => 410,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::LimitExceeded | Self::CorruptData | Self::ProcessorFailed => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::QueueFull | Self::Unavailable | Self::RequestTimeout | Self::CpuLimit => 503,
            Self::TimedOut => 504,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "INVALID_JSON",
            Self::MissingField => "MISSING_FIELD",
            Self::InvalidField => "INVALID_FIELD",
            Self::UnknownName => "UNKNOWN_NAME",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Forbidden => "FORBIDDEN",
            Self::RouteNotFound => "ROUTE_NOT_FOUND",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::JobNotFound => "JOB_NOT_FOUND",
            Self::BatchNotFound => "BATCH_NOT_FOUND",
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::AlertNotFound => "ALERT_NOT_FOUND",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::Conflict => "CONFLICT",
            Self::ResultExpired => "RESULT_EXPIRED",
            Self::TooLarge => "TOO_LARGE",
            Self::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::CorruptData => "CORRUPT_DATA",
            Self::ProcessorFailed => "PROCESSOR_FAILED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Cancelled => "CANCELLED",
            Self::TimedOut => "TIMED_OUT",
            Self::Internal => "INTERNAL",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::QueueFull => "QUEUE_FULL",
            Self::Unavailable => "UNAVAILABLE",
            Self::RequestTimeout => "REQUEST_TIMEOUT",
            Self::CpuLimit => "CPU_LIMIT",
        }
    }
}

impl ErrorCode {
    /// The code of a word on the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        use serde::de::IntoDeserializer as _;
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            word.into_deserializer();
        Self::deserialize(word).ok()
    }
}

/// Why a call failed: the code, a sentence that says what would be right, and the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// Path of the wrong field, such as `options.batchSize`.
    pub field: Option<Cow<'static, str>>,
}

/// `{"success":false,"code":...,"error":...,"field":...}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody<'a> {
    /// Always false.
    pub success: bool,
    /// A stable word for programs.
    pub code: ErrorCode,
    /// A sentence for people.
    pub error: &'a str,
    /// Path of the wrong field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
}

impl ApiError {
    /// An error without a field.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            field: None,
        }
    }

    /// The same error, blaming a field.
    #[must_use]
    pub fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// 400: a required field is absent. `message` is SommOS's own wording where it has one.
    pub fn missing(field: &'static str, message: &'static str) -> Self {
        Self::new(ErrorCode::MissingField, message).at(field)
    }

    /// 400: `field` is wrong; the message begins with its name.
    pub fn invalid(field: &str, what: impl core::fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidField, format!("{field}: {what}")).at(field.to_owned())
    }

    /// 400: `name` is not one of `valid`.
    pub fn unknown(field: &'static str, what: &str, name: &str, valid: &[&str]) -> Self {
        let name: String = name.chars().take(64).collect();
        let message = format!("unknown {what} {name:?}; valid: {}", valid.join(", "));
        Self::new(ErrorCode::UnknownName, message).at(field)
    }

    /// 422: a count or size over its limit.
    pub fn over(field: &str, unit: &str, got: impl core::fmt::Display, limit: u64) -> Self {
        let message = format!("{field}: {got} {unit} is over the limit of {limit} {unit}");
        Self::new(ErrorCode::LimitExceeded, message).at(field.to_owned())
    }

    /// 413: a size over its limit.
    pub fn too_large(field: &str, got: impl core::fmt::Display, limit: u64) -> Self {
        let message = format!("{field}: {got} bytes is over the limit of {limit} bytes");
        Self::new(ErrorCode::TooLarge, message).at(field.to_owned())
    }

    /// The JSON body of the answer.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body = ErrorBody {
            success: false,
            code: self.code,
            error: &self.message,
            field: self.field.as_deref(),
        };
        // Strings and an enum always serialize.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<Stopped> for ApiError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Cancelled => Self::new(ErrorCode::Cancelled, "cancelled"),
            Stopped::TimedOut => Self::new(ErrorCode::TimedOut, "time limit exceeded"),
            Stopped::Exhausted => Self::new(ErrorCode::CpuLimit, stopped.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_code_is_its_serialized_form() {
        for code in [
            ErrorCode::InvalidJson,
            ErrorCode::QueueFull,
            ErrorCode::KeyNotFound,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(ErrorCode::from_word(code.as_str()), Some(code));
        }
    }

    #[test]
    fn a_field_is_named_in_the_body() {
        let body = ApiError::missing("key", "Key and value are required").body();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"success":false,"code":"MISSING_FIELD","error":"Key and value are required","field":"key"}"#
        );
    }
}
