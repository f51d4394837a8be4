//! What the cache calls answer.

use serde::Serialize;

use crate::{
    cache::CacheStats,
    wire::{
        envelope,
        error::{ApiError, ErrorCode},
    },
};

/// `data` of POST /cache/warm.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheWarmed {
    /// Entries now in the cache.
    pub warmed: usize,
    /// Keys that the loader does not have, or lines that were refused.
    pub missing: usize,
}

/// `data` of POST /cache/set-many.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheSetManyResponse {
    /// Values set.
    pub set: usize,
}

/// The message of POST /cache/set.
pub const CACHED: &str = "Value cached successfully";
/// The message of DELETE /cache/delete.
pub const DELETED: &str = "Key deleted from cache";
/// Keys of one page of GET /cache/keys.
pub const KEYS_MAX: u64 = 10_000;

/// The message of DELETE /cache/clear.
#[must_use]
pub fn cleared(count: usize) -> String {
    format!("Cleared {count} cache entries")
}

/// The message of DELETE /cache/tag/{tag}.
#[must_use]
pub fn invalidated(count: usize) -> String {
    format!("Invalidated {count} cache entries")
}

/// `data` of POST /cache/get-many: `{"results":{key:value},"missing":[key]}`, written around values
/// that are JSON already.
///
/// # Errors
/// `TOO_LARGE` when the answer would be over `max_bytes`.
pub fn encode_many<'k, V: AsRef<[u8]>>(
    found: impl Iterator<Item = (&'k str, Option<V>)>,
    max_bytes: usize,
) -> Result<Vec<u8>, ApiError> {
    let mut out = br#"{"success":true,"data":{"results":{"#.to_vec();
    let mut missing = Vec::new();
    let mut first = true;
    for (key, value) in found {
        let Some(value) = value else {
            missing.push(key);
            continue;
        };
        if !core::mem::take(&mut first) {
            out.push(b',');
        }
        out.extend_from_slice(&envelope::encode(&key)?);
        out.push(b':');
        out.extend_from_slice(value.as_ref());
        if out.len() > max_bytes {
            return Err(ApiError::too_large("keys", out.len(), max_bytes as u64));
        }
    }
    out.extend_from_slice(br#"},"missing":"#);
    out.extend_from_slice(&envelope::encode(&missing)?);
    out.extend_from_slice(b"}}");
    Ok(out)
}

/// `data` of GET /cache/stats.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheStatsResponse {
    /// Gets that found a live value.
    pub hits: u64,
    /// Gets that did not.
    pub misses: u64,
    /// Entries removed to keep a limit.
    pub evictions: u64,
    /// Entries removed because their time was over.
    pub expirations: u64,
    /// Sets.
    pub sets: u64,
    /// Deletes that removed something.
    pub deletes: u64,
    /// hits / (hits + misses), 0..1, two decimals.
    pub hit_rate: f64,
    /// Entries.
    pub size: usize,
    /// Most entries.
    pub max_size: usize,
    /// size / maxSize, 0..1.
    pub utilization: f64,
    /// Bytes of keys, values and bookkeeping.
    pub memory_usage: u64,
    /// Most bytes.
    pub max_memory: u64,
}

impl CacheStatsResponse {
    /// The statistics of one cache that is kept in several parts.
    #[must_use]
    pub fn sum(parts: &[CacheStats], max_memory: u64) -> Self {
        let sum = |field: fn(&CacheStats) -> u64| parts.iter().map(field).sum::<u64>();
        let (hits, misses) = (sum(|s| s.hits), sum(|s| s.misses));
        let size: usize = parts.iter().map(|s| s.size).sum();
        let max_size: usize = parts.iter().map(|s| s.max_size).sum();
        Self {
            hits,
            misses,
            evictions: sum(|s| s.evictions),
            expirations: sum(|s| s.expirations),
            sets: sum(|s| s.sets),
            deletes: sum(|s| s.deletes),
            hit_rate: two_decimals(hits as f64, (hits + misses) as f64),
            size,
            max_size,
            utilization: two_decimals(size as f64, max_size as f64),
            memory_usage: sum(|s| s.memory_usage),
            max_memory,
        }
    }
}

/// `part / whole` rounded to two decimals, as SommOS shows it; 0 of nothing.
fn two_decimals(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        (part / whole * 100.0).round() / 100.0
    } else {
        0.0
    }
}

/// `data` of GET /cache/keys.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheKeysResponse {
    /// Live keys, at most the page's length.
    pub keys: Vec<String>,
    /// Live entries in all.
    pub total: usize,
}

/// The answer of a get that found nothing.
#[must_use]
pub fn key_not_found() -> ApiError {
    ApiError::new(ErrorCode::KeyNotFound, "Key not found in cache").at("key")
}
