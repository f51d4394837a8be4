//! Memory calls.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
};
use crate::{
    compress::CompressError,
    ledger::{AllocationLedger, LedgerError},
    limits::Limits,
    time::Timestamp,
};

/// The ratio limit of a decompression does not hold for its first bytes: small text packs very
/// well.
pub const RATIO_FREE_BYTES: usize = 1 << 20;

/// POST /memory/allocate and /memory/deallocate.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllocationRequest<'a> {
    /// Bytes, at least 1.
    #[cfg_attr(feature = "openapi", schema(required))]
    size: Option<u64>,
    /// What for; `general` when absent.
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
}

impl<'a> AllocationRequest<'a> {
    /// Decodes and checks a body: size in bytes and type.
    ///
    /// # Errors
    /// 400 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<(u64, Cow<'a, str>), ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let size = request
            .size
            .filter(|&size| size > 0)
            .ok_or_else(|| ApiError::missing("size", "Valid size is required"))?;
        if size > limits.allocation_bytes {
            return Err(ApiError::over(
                "size",
                "bytes",
                size,
                limits.allocation_bytes,
            ));
        }
        let kind = request.kind.unwrap_or(Cow::Borrowed("general"));
        decode::name("type", &kind, limits.name_bytes)?;
        Ok((size, kind))
    }
}

/// `data` of POST /memory/allocate and /memory/deallocate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AllocationResponse<'a> {
    /// Bytes.
    pub size: u64,
    /// What for.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_at: Option<u64>,
    /// Bytes that are tracked now, of all types.
    pub memory_usage: u64,
    /// Most bytes that may be tracked.
    pub memory_limit: u64,
}

/// POST /memory/compress.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompressRequest<'a> {
    /// Any JSON value; a string is compressed as its text, anything else as its JSON text.
    #[serde(borrow, default, deserialize_with = "decode::present")]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    data: Option<&'a RawValue>,
    /// gzip (default), deflate, brotli, lz4 or zstd.
    #[serde(borrow)]
    algorithm: Option<Cow<'a, str>>,
    /// The codec's own level; absent: its default.
    level: Option<u32>,
}

/// A checked compression.
#[derive(Debug)]
pub struct Compress<'a> {
    /// The bytes to compress.
    pub input: Cow<'a, [u8]>,
    /// The codec's name, not yet looked up.
    pub algorithm: Cow<'a, str>,
    /// The codec's own level.
    pub level: Option<u32>,
}

impl<'a> CompressRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400 or 413 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Compress<'a>, ApiError> {
        let request: Self = decode::body(bytes, limits)?;
        let data = request
            .data
            .ok_or_else(|| ApiError::missing("data", "Data is required"))?;
        let input = if data.get().starts_with('"') {
            Cow::Owned(decode::part::<String>(data, "data")?.into_bytes())
        } else {
            Cow::Borrowed(data.get().as_bytes())
        };
        if input.len() > limits.compress_input_bytes {
            let limit = limits.compress_input_bytes as u64;
            return Err(ApiError::too_large("data", input.len(), limit));
        }
        let algorithm = request.algorithm.unwrap_or(Cow::Borrowed("gzip"));
        Ok(Compress {
            input,
            algorithm,
            level: request.level,
        })
    }
}

/// `data` of POST /memory/compress.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompressResponse {
    /// Bytes before.
    pub original_size: usize,
    /// Bytes after.
    pub compressed_size: usize,
    /// compressedSize / originalSize; null for an empty input.
    pub compression_ratio: Option<f64>,
    /// The codec.
    pub algorithm: &'static str,
    /// The compressed bytes, Base64.
    pub compressed: String,
}

impl CompressResponse {
    /// The answer for an input of `original` bytes.
    #[must_use]
    pub fn new(original: usize, algorithm: &'static str, compressed: &[u8]) -> Self {
        let ratio = compressed.len() as f64 / original as f64;
        Self {
            original_size: original,
            compressed_size: compressed.len(),
            compression_ratio: (original > 0).then_some(ratio),
            algorithm,
            compressed: BASE64.encode(compressed),
        }
    }
}

/// POST /memory/decompress.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DecompressRequest<'a> {
    /// Base64, or an array of byte values, or Node's `{"type":"Buffer","data":[...]}`.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value, required))]
    compressed_data: Option<&'a RawValue>,
    /// gzip (default), deflate, brotli, lz4 or zstd.
    #[serde(borrow)]
    algorithm: Option<Cow<'a, str>>,
}

/// The forms in which compressed bytes may come.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes<'a> {
    Base64(#[serde(borrow)] Cow<'a, str>),
    Array(Vec<u8>),
    Buffer { data: Vec<u8> },
}

impl<'a> DecompressRequest<'a> {
    /// Decodes and checks a body: the compressed bytes and the codec's name.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<(Vec<u8>, Cow<'a, str>), ApiError> {
        const FIELD: &str = "compressedData";
        let request: Self = decode::body(bytes, limits)?;
        let data = request
            .compressed_data
            .ok_or_else(|| ApiError::missing(FIELD, "Compressed data is required"))?;
        let wrong = || {
            ApiError::invalid(
                FIELD,
                "expected Base64 text, an array of bytes or a Node Buffer",
            )
        };
        let compressed = match serde_json::from_str(data.get()).map_err(|_| wrong())? {
            Bytes::Base64(text) => BASE64.decode(text.as_bytes()).map_err(|_| wrong())?,
            Bytes::Array(bytes) | Bytes::Buffer { data: bytes } => bytes,
        };
        if compressed.is_empty() {
            return Err(ApiError::missing(FIELD, "Compressed data is required"));
        }
        Ok((
            compressed,
            request.algorithm.unwrap_or(Cow::Borrowed("gzip")),
        ))
    }
}

/// What a codec refused, on the wire.
#[must_use]
pub fn compress_refused(error: CompressError) -> ApiError {
    let message = error.to_string();
    match error {
        CompressError::Stopped(stopped) => stopped.into(),
        CompressError::UnknownCodec(_) => {
            ApiError::new(ErrorCode::UnknownName, message).at("algorithm")
        }
        CompressError::NotBuilt(_) => {
            ApiError::new(ErrorCode::NotImplemented, message).at("algorithm")
        }
        CompressError::Level { .. } => ApiError::invalid("level", message),
        CompressError::TooLarge { .. } | CompressError::RatioExceeded { .. } => {
            ApiError::new(ErrorCode::TooLarge, message).at("compressedData")
        }
        _ => ApiError::new(ErrorCode::CorruptData, message).at("compressedData"),
    }
}

/// The answer of POST /memory/decompress: JSON text comes back as the value it is, other text as a
/// string, other bytes as Base64 with `encoding: "base64"`.
///
/// # Errors
/// `INTERNAL`, should encoding fail.
pub fn encode_decompressed(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Decompressed<'a, T> {
        decompressed: T,
        encoding: &'a str,
        size: usize,
    }
    let size = bytes.len();
    let Ok(text) = core::str::from_utf8(bytes) else {
        let decompressed = BASE64.encode(bytes);
        return super::envelope::data(&Decompressed {
            decompressed,
            encoding: "base64",
            size,
        });
    };
    let json = !decode::depth_exceeds(bytes, limits.json_depth);
    match json.then(|| serde_json::from_str::<&RawValue>(text)) {
        Some(Ok(value)) => super::envelope::data(&Decompressed {
            decompressed: value,
            encoding: "json",
            size,
        }),
        _ => super::envelope::data(&Decompressed {
            decompressed: text,
            encoding: "text",
            size,
        }),
    }
}

/// `data` of GET /memory/stats.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryStatsResponse {
    /// The process.
    pub current: CurrentMemory,
    /// What the allocator and the host application's tracking count.
    pub tracking: MemoryTracking,
    /// What is kept for reuse.
    pub pools: MemoryPools,
}

/// The process's memory, bytes.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CurrentMemory {
    /// Live bytes of the allocator.
    pub heap_used: Option<u64>,
    /// Bytes of the process's data segments (Linux), else of its address space.
    pub heap_total: Option<u64>,
    /// Bytes of mapped files and shared memory that are resident.
    pub external: Option<u64>,
    /// Resident bytes.
    pub rss: Option<u64>,
}

/// Tracked memory.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryTracking {
    /// Bytes that the host application tracks now.
    pub memory_usage: u64,
    /// The most it tracked.
    pub memory_peak: u64,
    /// Allocations tracked.
    pub allocation_count: u64,
    /// Deallocations tracked.
    pub deallocation_count: u64,
    /// Most bytes that may be tracked.
    pub memory_limit: u64,
    /// Allocations of this process's own allocator.
    pub allocator_allocations: Option<u64>,
    /// Deallocations of this process's own allocator.
    pub allocator_deallocations: Option<u64>,
    /// The most live bytes of this process's own allocator.
    pub allocator_peak: Option<u64>,
}

/// Things kept for reuse, counts.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemoryPools {
    /// Warm sandbox children and worker threads.
    pub object_pools: u64,
    /// Buffers ready for reuse.
    pub buffer_pools: u64,
    /// Entries of the cache.
    pub lazy_cache: u64,
    /// Compressed answers kept.
    pub compression_cache: u64,
}

/// Allocations that the host application tracks, as the API answers them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationTracker(AllocationLedger);

impl AllocationTracker {
    /// A tracker that refuses to go over `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(AllocationLedger::new(limit))
    }

    /// Tracks an allocation or its end, and answers it.
    ///
    /// # Errors
    /// As [`Self::allocate`] and [`Self::deallocate`].
    pub fn answer<'a>(
        &mut self,
        now: Timestamp,
        allocate: bool,
        size: u64,
        kind: &'a str,
    ) -> Result<AllocationResponse<'a>, ApiError> {
        let memory_usage = if allocate {
            self.allocate(size)?
        } else {
            self.deallocate(size)?
        };
        Ok(AllocationResponse {
            size,
            kind,
            allocated_at: allocate.then_some(now.0),
            memory_usage,
            memory_limit: self.limit(),
        })
    }

    /// Adds `size` bytes.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when the sum would be over the limit; nothing is then counted.
    pub fn allocate(&mut self, size: u64) -> Result<u64, ApiError> {
        self.0.allocate(size).map_err(refused)
    }

    /// Takes `size` bytes away.
    ///
    /// # Errors
    /// `INVALID_FIELD` when fewer are tracked.
    pub fn deallocate(&mut self, size: u64) -> Result<u64, ApiError> {
        self.0.deallocate(size).map_err(refused)
    }

    /// Most bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit()
    }

    /// The figures for GET /memory/stats.
    #[must_use]
    pub fn tracking(&self) -> MemoryTracking {
        MemoryTracking {
            memory_usage: self.0.usage(),
            memory_peak: self.0.peak(),
            allocation_count: self.0.allocations(),
            deallocation_count: self.0.deallocations(),
            memory_limit: self.0.limit(),
            ..MemoryTracking::default()
        }
    }
}

fn refused(error: LedgerError) -> ApiError {
    match error {
        LedgerError::OverLimit { used, limit } => {
            ApiError::over("size", "tracked bytes", used, limit)
        }
        LedgerError::NotTracked { .. } => ApiError::invalid("size", error),
    }
}
