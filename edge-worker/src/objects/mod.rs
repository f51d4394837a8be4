//! The Durable Object classes; their names are those of `wrangler.toml` and of the shim.

pub(crate) mod cache;
mod database;
mod directory;
pub(crate) mod jobs;
pub(crate) mod monitor;
mod store;

use serde::Serialize;
use sommos_core::{
    service::Response,
    wire::{ApiError, ErrorCode},
};

use crate::frame;

/// An answer for the worker itself.
pub(crate) fn framed<B: AsRef<[u8]>>(
    head: &impl Serialize,
    blobs: &[B],
) -> Result<Response, ApiError> {
    Ok(Response {
        status: 200,
        content_type: "application/octet-stream",
        body: frame::encode(head, blobs)?,
    })
}

/// An answer that only says that it is done.
pub(crate) fn nothing() -> Response {
    Response {
        status: 204,
        content_type: "",
        body: Vec::new(),
    }
}

/// Random bytes for an id.
///
/// # Errors
/// `UNAVAILABLE` when the platform gives none.
pub(crate) fn entropy() -> Result<[u8; 16], ApiError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        let message = format!("no randomness for an id: {error}");
        ApiError::new(ErrorCode::Unavailable, message)
    })?;
    Ok(bytes)
}
