//! Request bodies: bounded one by one and all together, and parsed off the runtime when large.

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use sommos_core::wire::{ApiError, ErrorCode};
use tokio::sync::OwnedSemaphorePermit;

use super::Call;
use crate::app::App;

/// From this size on a body is decoded on a blocking thread: below it, decoding takes less than a
/// hop costs.
const INLINE_BYTES: usize = 64 << 10;
/// One permit of the budget of bodies, bytes.
pub(crate) const PERMIT_BYTES: usize = 1024;

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
        let body = self.request.into_body();
        let announced = body.size_hint().exact();
        if announced.is_some_and(|n| n > limit as u64) {
            return Err(too_large(limit));
        }
        // A small body, or one of unknown size (which could be of any), takes its share now.
        let expected = announced.map_or(limit, |n| n as usize);
        let permit = match expected {
            0..=INLINE_BYTES => None,
            n => Some(reserve(&self.app, n).await?),
        };
        let bytes = collect(body, announced.unwrap_or(0) as usize, limit).await?;
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

/// Takes the frames into one buffer as they come: gathering them first would hold them twice.
async fn collect(body: Body, expected: usize, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = Limited::new(body, limit);
    let mut bytes = BytesMut::with_capacity(expected.min(limit));
    while let Some(frame) = body.frame().await {
        match frame {
            // Trailers carry nothing that is asked for.
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limit)),
            Err(error) => {
                let message = format!("the body broke off: {error}");
                return Err(ApiError::new(ErrorCode::InvalidJson, message));
            }
        }
    }
    Ok(bytes.freeze())
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
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::new(ErrorCode::Internal, error.to_string())))
}
