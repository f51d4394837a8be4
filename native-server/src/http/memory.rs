//! Memory calls.

use std::sync::{Arc, PoisonError};

use sommos_core::{
    compress::{self, Codec, OutputLimits},
    control::Unstoppable,
    wire::{ApiError, envelope, memory as wire},
};

use super::{Call, body::cpu, reply::Reply};

pub(super) fn stats(call: &Call) -> Result<Reply, ApiError> {
    Ok(Reply::json(envelope::data(&call.app.memory_stats())?))
}

pub(super) async fn allocate(call: Call) -> Result<Reply, ApiError> {
    track(call, true).await
}

pub(super) async fn deallocate(call: Call) -> Result<Reply, ApiError> {
    track(call, false).await
}

async fn track(call: Call, allocate: bool) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let (size, kind) = wire::AllocationRequest::decode(&held.bytes, &app.limits)?;
    let mut tracker = app
        .allocations
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let answer = tracker.answer(app.now(), allocate, size, &kind)?;
    Ok(Reply::json(envelope::data(&answer)?))
}

pub(super) async fn compress(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let inner = Arc::clone(&app);
    // Even a small input may be compressed at a slow level: always off the runtime.
    let answer = cpu(&app, usize::MAX, move || {
        let request = wire::CompressRequest::decode(&held.bytes, &inner.limits)?;
        let codec = parse_codec(&request.algorithm)?;
        let compressed = compress::compress(codec, request.level, &request.input, &Unstoppable)
            .map_err(wire::compress_refused)?;
        envelope::data(&wire::CompressResponse::new(
            request.input.len(),
            codec.name(),
            &compressed,
        ))
    })
    .await?;
    Ok(Reply::json(answer))
}

pub(super) async fn decompress(call: Call) -> Result<Reply, ApiError> {
    let (app, held) = call.body().await?;
    let inner = Arc::clone(&app);
    let answer = cpu(&app, usize::MAX, move || {
        let (compressed, algorithm) = wire::DecompressRequest::decode(&held.bytes, &inner.limits)?;
        let codec = parse_codec(&algorithm)?;
        let limits = OutputLimits {
            max_bytes: inner.limits.decompressed_bytes,
            max_ratio: inner.limits.decompression_ratio,
            free_bytes: wire::RATIO_FREE_BYTES,
        };
        let plain = compress::decompress(codec, &compressed, &limits, &Unstoppable)
            .map_err(wire::compress_refused)?;
        wire::encode_decompressed(&plain, &inner.limits)
    })
    .await?;
    Ok(Reply::json(answer))
}

fn parse_codec(name: &str) -> Result<Codec, ApiError> {
    name.parse().map_err(wire::compress_refused)
}
