//! Health: whether the process lives, and whether it takes work.

use serde::Serialize;
use sommos_core::{
    distributed::BreakerState,
    wire::{ApiError, ErrorCode, envelope},
};

use super::{Call, reply::Reply};

/// The answer of GET /health/ready with Redis.
#[derive(Serialize)]
struct ReadyResponse {
    status: &'static str,
    redis: RedisHealth,
}

#[derive(Serialize)]
struct RedisHealth {
    breaker: BreakerState,
}

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
    Ok(match &call.app.shared {
        None => Reply::json(r#"{"status":"ready"}"#),
        // Copies and the local queue go on without Redis: that is told, and no reason to be away.
        Some(shared) => Reply::json(envelope::encode(&ReadyResponse {
            status: "ready",
            redis: RedisHealth {
                breaker: shared.breaker(),
            },
        })?),
    })
}
