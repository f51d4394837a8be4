//! Calls that need no state: compression.

use super::{Request, Response, not_offered};
use crate::{
    compress::{self, Codec, OutputLimits},
    control::Unstoppable,
    limits::Limits,
    wire::{ApiError, envelope, memory as wire, routes::Route},
};

/// Compresses or decompresses.
///
/// # Errors
/// What the call answers instead; `NOT_IMPLEMENTED` for a route of another part.
pub fn call(route: Route, request: &Request<'_>, limits: &Limits) -> Result<Response, ApiError> {
    let body = request.body;
    let answer = match route {
        Route::MemoryCompress => {
            let request = wire::CompressRequest::decode(body, limits)?;
            let codec: Codec = request.algorithm.parse().map_err(wire::compress_refused)?;
            let out = compress::compress(codec, request.level, &request.input, &Unstoppable)
                .map_err(wire::compress_refused)?;
            envelope::data(&wire::CompressResponse::new(
                request.input.len(),
                codec.name(),
                &out,
            ))?
        }
        Route::MemoryDecompress => {
            let (compressed, algorithm) = wire::DecompressRequest::decode(body, limits)?;
            let codec: Codec = algorithm.parse().map_err(wire::compress_refused)?;
            let output = OutputLimits {
                max_bytes: limits.decompressed_bytes,
                max_ratio: limits.decompression_ratio,
                free_bytes: wire::RATIO_FREE_BYTES,
            };
            let plain = compress::decompress(codec, &compressed, &output, &Unstoppable)
                .map_err(wire::compress_refused)?;
            wire::encode_decompressed(&plain, limits)?
        }
        other => return Err(not_offered(other)),
    };
    Ok(Response::json(answer))
}
