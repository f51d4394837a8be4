//! Request bodies: bounded one by one and all together, and parsed off the runtime when large.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::header;
use sommos_core::wire::{ApiError, ErrorCode};
use tokio::sync::OwnedSemaphorePermit;

use super::Call;
use crate::{allocator, app::App};

/// From this size on a body is decoded on a blocking thread: below it, decoding takes less than a
/// hop costs.
const INLINE_BYTES: usize = 64 << 10;
/// One permit of the budget of bodies, bytes.
pub(crate) const PERMIT_BYTES: usize = 1024;

/// Of a body that is refused, so much is read and thrown away.
const DISCARD_BYTES: usize = 256 << 20;
/// For so long.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// A body in memory, and its share of the budget until it is dropped.
pub(crate) struct Held {
    pub bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// Reads the whole body.
    ///
    /// # Errors
    /// `TOO_LARGE` before or while reading; `UNAVAILABLE` when the connection breaks.
    pub(crate) async fn body(self) -> Result<(std::sync::Arc<App>, Held), ApiError> {
        let limit = self.app.limits.body_bytes;
        // Who asked whether to send the body has not sent it, and need not.
        let asked = self.request.headers().contains_key(header::EXPECT);
        let mut body = self.request.into_body();
        let announced = body.size_hint().exact();
        if let Some(bytes) = announced.filter(|n| *n > limit as u64) {
            if !asked {
                discard(&mut body).await;
            }
            return Err(ApiError::too_large("body", bytes, limit as u64));
        }
        // A small body, or one of unknown size (which could be of any), takes its share now.
        let expected = announced.map_or(limit, |n| n as usize);
        let permit = match expected {
            0..=INLINE_BYTES => None,
            n => Some(reserve(&self.app, n).await?),
        };
        let bytes = collect(body, limit).await?;
        Ok((
            self.app,
            Held {
                bytes,
                _permit: permit,
            },
        ))
    }
}

async fn reserve(app: &App, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let most = app.config.bodies_bytes / PERMIT_BYTES;
    let permits = bytes.div_ceil(PERMIT_BYTES).min(most) as u32;
    std::sync::Arc::clone(&app.bodies)
        .acquire_many_owned(permits)
        .await
        .map_err(|_| ApiError::new(ErrorCode::Unavailable, "shutting down"))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let result = read(Limited::new(&mut body, limit), limit).await;
    if matches!(&result, Err(error) if error.code == ErrorCode::TooLarge) {
        discard(&mut body).await;
    }
    result
}

async fn read(mut body: Limited<&mut Body>, limit: usize) -> Result<Bytes, ApiError> {
    // Most bodies are small and come whole: their only frame is the body, without a copy.
    let first = match body.frame().await {
        None => return Ok(Bytes::new()),
        Some(frame) => frame.map_err(|error| unread(error, limit))?,
    };
    let first = first.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Ok(first);
    }
    // A buffer that grows would hold the body twice: one of unknown size gets room for the largest
    // body once it is no longer small; pages that are not written to take no memory.
    let room = announced(&body).map_or(INLINE_BYTES, |rest| rest + first.len());
    let mut bytes = BytesMut::with_capacity(room.min(limit));
    bytes.extend_from_slice(&first);
    while let Some(frame) = body.frame().await {
        // Trailers say nothing here.
        let Ok(data) = frame.map_err(|error| unread(error, limit))?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > bytes.capacity() {
            bytes.reserve(limit - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads what a client goes on sending, within bounds: a connection that is closed under a body
/// resets it, and most clients then never see the answer.
async fn discard(body: &mut Body) {
    let all = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DISCARD_BYTES {
                break;
            }
        }
    };
    // Out of time: then the connection is closed all the same.
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

fn unread(error: Box<dyn std::error::Error + Send + Sync>, limit: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        return too_large(limit);
    }
    ApiError::new(
        ErrorCode::InvalidJson,
        format!("the body broke off: {error}"),
    )
}

/// The rest of a body, where the client said how long it is.
fn announced(body: &impl HttpBody) -> Option<usize> {
    body.size_hint()
        .exact()
        .and_then(|n| usize::try_from(n).ok())
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        ErrorCode::TooLarge,
        format!("body: over the limit of {limit} bytes"),
    )
    .at("body")
}

/// Runs CPU work of a size: inline when small, else on a blocking thread.
///
/// # Errors
/// Those of the work; `INTERNAL` when it panicked.
pub(crate) async fn cpu<T: Send + 'static>(
    app: &App,
    bytes: usize,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if bytes <= INLINE_BYTES {
        return work();
    }
    let _turn = app
        .cpu
        .acquire()
        .await
        .map_err(|_| ApiError::new(ErrorCode::Unavailable, "shutting down"))?;
    let work = move || {
        let result = work();
        // usize::MAX stands for a size that is not known.
        allocator::trim_after(if bytes == usize::MAX { 0 } else { bytes });
        result
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::new(ErrorCode::Internal, error.to_string())))
}
