//! Health: whether the process lives, and whether it takes work.

use sommos_core::wire::{ApiError, ErrorCode};

use super::{Call, reply::Reply};

pub(super) fn live() -> Reply {
    Reply::json(r#"{"status":"live"}"#)
}

pub(super) fn ready(call: &Call) -> Result<Reply, ApiError> {
    if call.app.is_draining() {
        return Err(ApiError::new(ErrorCode::Unavailable, "shutting down"));
    }
    if !call.app.queue.healthy() {
        let message = "the database cannot be written; see the log";
        return Err(ApiError::new(ErrorCode::Unavailable, message));
    }
    Ok(Reply::json(r#"{"status":"ready"}"#))
}
