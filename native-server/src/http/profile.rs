//! GET /monitoring/profile.

use std::time::Duration;

use hyper::header::{self, HeaderValue};
use sommos_core::wire::{ApiError, ErrorCode, testing::decode_profile};

use super::{Call, reply::Reply};
use crate::profile::{self, ProfileError};

/// The drawing's own script zooms and searches. It runs in an origin of its own, that may load
/// nothing and reach nothing of this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      sandbox allow-scripts";

pub(super) async fn flame_graph(call: Call) -> Result<Reply, ApiError> {
    let seconds = decode_profile(call.query())?;
    let svg = profile::flame_graph(Duration::from_secs(seconds)).await;
    let fixed = HeaderValue::from_static;
    Ok(Reply::typed("image/svg+xml", svg.map_err(refused)?)
        .header(header::CONTENT_SECURITY_POLICY, fixed(POLICY))
        .header(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"))
        .header(header::CACHE_CONTROL, fixed("no-store")))
}

fn refused(error: ProfileError) -> ApiError {
    let code = match &error {
        ProfileError::Busy => ErrorCode::RateLimited,
        ProfileError::Unsupported => ErrorCode::NotImplemented,
        ProfileError::Idle => ErrorCode::Unavailable,
        ProfileError::Failed(_) => ErrorCode::Internal,
    };
    ApiError::new(code, error.to_string())
}
