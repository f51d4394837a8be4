//! Request bodies, bounded while they are read.

use futures_util::StreamExt as _;
use sommos_core::wire::{ApiError, ErrorCode};
use worker::ByteStream;

use crate::http::Asked;

/// Reads a whole body.
///
/// # Errors
/// `TOO_LARGE` before or while reading, `UNAVAILABLE` when it breaks off.
pub(crate) async fn read(asked: &mut Asked<'_>) -> Result<Vec<u8>, ApiError> {
    let limit = asked.call.settings.limits.body_bytes;
    let header = asked.request.headers().get("content-length").ok().flatten();
    let announced = header.and_then(|l| l.parse::<u64>().ok());
    if let Some(bytes) = announced.filter(|n| *n > limit as u64) {
        return Err(ApiError::too_large("body", bytes, limit as u64));
    }
    if asked.request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    let mut stream = asked.request.stream().map_err(broken)?;
    let mut body = Vec::with_capacity(announced.unwrap_or(0) as usize);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(broken)?;
        if body.len() + piece.len() > limit {
            drain(&mut stream).await;
            let size = format!("more than {limit}");
            return Err(ApiError::too_large("body", size, limit as u64));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Of a body that is refused, so much is read and thrown away: a client that is still sending
/// would else miss the answer.
const DISCARD_BYTES: usize = 256 << 20;

/// Reads on in a body that nobody wants.
pub(crate) async fn discard(request: &mut worker::Request) {
    if request.inner().body().is_none() || request.inner().body_used() {
        return;
    }
    let Ok(mut stream) = request.stream() else {
        return;
    };
    drain(&mut stream).await;
}

async fn drain(stream: &mut ByteStream) {
    let mut bytes = 0;
    while let Some(Ok(piece)) = stream.next().await {
        bytes += piece.len();
        if bytes > DISCARD_BYTES {
            return;
        }
    }
}

/// 503 for a body that did not come whole.
pub(crate) fn broken(error: worker::Error) -> ApiError {
    let message = format!("the body broke off: {error}");
    ApiError::new(ErrorCode::Unavailable, message)
}
