//! Request bodies, bounded while they are read.

use std::{cell::Cell, ops::Deref};

use futures_util::StreamExt as _;
use sommos_core::wire::{ApiError, ErrorCode};
use worker::ByteStream;

use crate::http::Asked;

/// Bytes of bodies that an isolate holds at once, all requests together. The rest of its 128 MB is
/// for what they become.
const HELD_BYTES: usize = 48 << 20;
/// What is made ready for a body before any of it came: its announced length may be a lie.
const READY_BYTES: usize = 1 << 20;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A body that was read, counted for as long as it is held.
#[derive(Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// Adds a piece, if it fits beside what other requests hold.
    fn push(&mut self, piece: &[u8], most: usize) -> Result<(), ApiError> {
        let held = HELD.get() + piece.len();
        if held > most {
            let message = format!(
                "the bodies of other requests take the memory: {most} bytes of them fit at once; \
                 try again in a moment"
            );
            return Err(ApiError::new(ErrorCode::Unavailable, message));
        }
        HELD.set(held);
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(self.0.len()));
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads a whole body.
///
/// # Errors
/// `TOO_LARGE` before or while reading, `UNAVAILABLE` when it breaks off or too much is held.
pub(crate) async fn read(asked: &mut Asked<'_>) -> Result<Body, ApiError> {
    let limit = asked.call.settings.limits.body_bytes;
    let header = asked.request.headers().get("content-length").ok().flatten();
    let announced = header.and_then(|l| l.parse::<u64>().ok());
    if let Some(bytes) = announced.filter(|n| *n > limit as u64) {
        return Err(ApiError::too_large("body", bytes, limit as u64));
    }
    if asked.request.inner().body().is_none() {
        return Ok(Body::default());
    }
    let mut stream = asked.request.stream().map_err(broken)?;
    let ready = announced.map_or(0, |bytes| bytes.min(READY_BYTES as u64));
    let mut body = Body(Vec::with_capacity(ready as usize));
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(broken)?;
        if body.len() + piece.len() > limit {
            drain(&mut stream).await;
            let size = format!("more than {limit}");
            return Err(ApiError::too_large("body", size, limit as u64));
        }
        if let Err(error) = body.push(&piece, HELD_BYTES.max(limit)) {
            drop(body);
            drain(&mut stream).await;
            return Err(error);
        }
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
