//! The cache's limits and errors.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an entry costs beside the weight that the caller gives: its place in the tables, for
/// `Cache<Box<str>, bytes::Bytes>` at capacity on a 64-bit machine (the sum is in the module's
/// text; a test measures it). The same on every platform, so that figures agree between them.
pub const ENTRY_OVERHEAD_BYTES: u64 = 112;

/// Most entries of one cache: slots and timer buckets share 31 bits.
pub const MAX_ENTRIES: usize = (1 << 30) - 1;

/// The limits of one cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Most entries, 1 to [`MAX_ENTRIES`]. Default 1000.
    pub max_entries: usize,
    /// Most bytes: weights of all entries plus overheads. Default 256 MiB.
    pub max_weight_bytes: u64,
    /// Time to live of an entry set without one, milliseconds; none: it never expires. Default
    /// one hour.
    pub default_ttl_ms: Option<u64>,
    /// Charged per entry beside its weight, bytes. Default [`ENTRY_OVERHEAD_BYTES`].
    pub entry_overhead_bytes: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_entries: 1000,
            max_weight_bytes: 256 << 20,
            default_ttl_ms: Some(3_600_000),
            entry_overhead_bytes: ENTRY_OVERHEAD_BYTES,
        }
    }
}

impl CacheConfig {
    pub(super) fn check(&self) -> Result<(), CacheError> {
        if self.max_entries == 0 || self.max_entries > MAX_ENTRIES {
            return Err(CacheError::Config {
                field: "maxEntries",
                value: self.max_entries as u64,
                min: 1,
                max: MAX_ENTRIES as u64,
            });
        }
        if self.max_weight_bytes < self.entry_overhead_bytes {
            return Err(CacheError::Config {
                field: "maxWeightBytes",
                value: self.max_weight_bytes,
                min: self.entry_overhead_bytes,
                max: u64::MAX,
            });
        }
        Ok(())
    }
}

/// What a cache refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A limit out of range.
    #[error("cache {field} is {value}: must be {min} to {max}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least value allowed.
        min: u64,
        /// Greatest value allowed.
        max: u64,
    },
    /// The entry would not fit even into an empty cache.
    #[error(
        "entry of {weight_bytes} bytes plus {overhead_bytes} bytes overhead exceeds the cache's \
         limit of {max_weight_bytes} bytes"
    )]
    TooHeavy {
        /// Weight of the entry, bytes.
        weight_bytes: u64,
        /// Charged beside it, bytes.
        overhead_bytes: u64,
        /// The cache's limit, bytes.
        max_weight_bytes: u64,
    },
}
