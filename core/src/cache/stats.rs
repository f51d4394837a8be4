//! What the cache counts.

use serde::{Deserialize, Serialize};

use super::{Cache, Policy, index::Places};

/// Events since the start or since the last reset; they wrap never in practice (2^64).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evictions: u64,
    pub(super) expirations: u64,
    pub(super) sets: u64,
    pub(super) deletes: u64,
}

/// The cache's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    /// Gets that found a live value.
    pub hits: u64,
    /// Gets that found none.
    pub misses: u64,
    /// Live entries given up for room.
    pub evictions: u64,
    /// Entries removed after their deadline.
    pub expirations: u64,
    /// Values stored.
    pub sets: u64,
    /// Live entries removed by their key.
    pub deletes: u64,
    /// Entries held, expired ones not yet removed included.
    pub size: usize,
    /// Bytes charged: weights plus overheads; exact.
    pub memory_usage: u64,
    /// Hits over gets, 0 to 1, rounded to 2 decimals; 0 before the first get.
    pub hit_rate: f64,
    /// Most entries.
    pub max_size: usize,
    /// `size` over `max_size`, 0 to 1.
    pub utilization: f64,
}

impl<K, V, S, L, I: Places, P: Policy> Cache<K, V, S, L, I, P> {
    /// The figures now. O(1).
    pub fn stats(&self) -> CacheStats {
        let c = self.counters;
        let gets = c.hits.saturating_add(c.misses);
        let hit_rate = if gets == 0 {
            0.0
        } else {
            (c.hits as f64 / gets as f64 * 100.0).round() / 100.0
        };
        CacheStats {
            hits: c.hits,
            misses: c.misses,
            evictions: c.evictions,
            expirations: c.expirations,
            sets: c.sets,
            deletes: c.deletes,
            size: self.len(),
            memory_usage: self.weight_bytes,
            hit_rate,
            max_size: self.config.max_entries,
            utilization: self.len() as f64 / self.config.max_entries as f64,
        }
    }

    /// Sets the counters (not the entries) back to zero.
    pub fn reset_stats(&mut self) {
        self.counters = Counters::default();
    }
}
