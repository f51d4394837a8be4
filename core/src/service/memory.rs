//! Memory calls.

use super::{Request, Response, Service, not_offered};
use crate::{
    compress::{self, Codec, OutputLimits},
    control::Unstoppable,
    time::Timestamp,
    wire::{
        ApiError, envelope,
        memory::{self as wire, AllocationRequest, MemoryPools, MemoryStatsResponse},
        routes::Route,
    },
};

impl Service {
    pub(super) fn memory_call(
        &mut self,
        now: Timestamp,
        route: Route,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let limits = &self.config.limits;
        let body = request.body;
        let answer = match route {
            Route::MemoryStats => envelope::data(&MemoryStatsResponse {
                tracking: self.allocations.tracking(),
                pools: MemoryPools {
                    lazy_cache: self.cache.len() as u64,
                    ..Default::default()
                },
                ..Default::default()
            })?,
            Route::MemoryAllocate | Route::MemoryDeallocate => {
                let allocate = route == Route::MemoryAllocate;
                let (size, kind) = AllocationRequest::decode(body, limits)?;
                envelope::data(&self.allocations.answer(now, allocate, size, &kind)?)?
            }
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
}
