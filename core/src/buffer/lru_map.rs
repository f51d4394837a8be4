//! A map limited in entries and memory: the cache without time.

use core::hash::Hash;

use hashbrown::Equivalent;

use crate::{
    cache::{Cache, CacheConfig, CacheError, ENTRY_OVERHEAD_BYTES, SetOutcome},
    time::Timestamp,
};

/// The limits of an [`LruMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LruMapConfig {
    /// Most entries. Default 1000.
    pub capacity: usize,
    /// Most bytes, [`ENTRY_OVERHEAD_BYTES`] an entry included. Default 10 MiB.
    pub max_memory_bytes: u64,
}

impl Default for LruMapConfig {
    fn default() -> Self {
        Self {
            capacity: 1000,
            max_memory_bytes: 10 << 20,
        }
    }
}

/// A map that gives up its least recently used entries when it has too many or they weigh too
/// much. A thin layer over [`Cache`]; entries never expire.
#[derive(Debug, Clone)]
pub struct LruMap<K, V>(Cache<K, V>);

impl<K: Hash + Eq, V> LruMap<K, V> {
    /// An empty map.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit is out of range.
    pub fn new(config: LruMapConfig) -> Result<Self, CacheError> {
        let config = CacheConfig {
            max_entries: config.capacity,
            max_weight_bytes: config.max_memory_bytes,
            default_ttl_ms: None,
            entry_overhead_bytes: ENTRY_OVERHEAD_BYTES,
        };
        Ok(Self(Cache::new(config)?))
    }

    /// Stores a value; key and value occupy `weight_bytes` outside the map's tables. O(1).
    ///
    /// # Errors
    /// [`CacheError::TooHeavy`] when the entry alone exceeds the memory limit.
    pub fn set(&mut self, key: K, value: V, weight_bytes: u64) -> Result<SetOutcome, CacheError> {
        self.0.set(Timestamp::ZERO, key, value, weight_bytes, None)
    }

    /// The value of `key`, which becomes the most recently used. O(1).
    pub fn get<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<&V> {
        self.0.get(Timestamp::ZERO, key)
    }

    /// Removes `key` and returns its value. O(1).
    pub fn remove<Q: Hash + Equivalent<K> + ?Sized>(&mut self, key: &Q) -> Option<V> {
        self.0.remove(Timestamp::ZERO, key)
    }

    /// The keys from the most to the least recently used.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys(Timestamp::ZERO)
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes everything and returns how many entries that were.
    pub fn clear(&mut self) -> usize {
        self.0.clear()
    }

    /// Bytes charged: weights plus overheads; exact.
    pub fn memory_usage(&self) -> u64 {
        self.0.weight_bytes()
    }
}
