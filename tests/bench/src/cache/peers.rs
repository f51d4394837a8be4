//! The contestants, each as a read-through: get, and on a miss insert.

use std::num::NonZeroUsize;

use anyhow::Context as _;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use sommos_core::{
    cache::{self, Cache, CacheConfig, Index, NewPolicy as _},
    time::Timestamp,
};

/// A cache under test: says whether the access of `key` was a hit.
pub trait ReadThrough {
    fn access(&mut self, key: u64) -> bool;
}

/// Ours. Time is the number of accesses, so that deadlines differ.
pub struct Ours {
    cache: Cache<u64, u64>,
    now: Timestamp,
}

impl Ours {
    pub fn new(capacity: usize, ttl_ms: Option<u64>) -> anyhow::Result<Self> {
        let config = CacheConfig {
            max_entries: capacity,
            max_weight_bytes: u64::MAX,
            default_ttl_ms: ttl_ms,
            ..CacheConfig::default()
        };
        Ok(Self {
            cache: Cache::new(config)?,
            now: Timestamp::ZERO,
        })
    }
}

impl ReadThrough for Ours {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        self.now = self.now.plus_ms(1);
        let hit = self.cache.get(self.now, &key).is_some();
        if !hit {
            // Weight 8 is never over the limit.
            let _ = self.cache.set(self.now, key, key, 8, None);
        }
        hit
    }
}

/// Ours with the adaptive policy.
pub struct Adaptive {
    cache: Cache<u64, u64, FixedState, (), Index, cache::Adaptive>,
}

impl Adaptive {
    pub fn new(capacity: usize) -> anyhow::Result<Self> {
        Self::weighted(capacity, u64::MAX)
    }

    /// With a limit in bytes, without any overhead for an entry.
    pub fn weighted(capacity: usize, max_weight_bytes: u64) -> anyhow::Result<Self> {
        let config = CacheConfig {
            max_entries: capacity,
            max_weight_bytes,
            default_ttl_ms: None,
            entry_overhead_bytes: 0,
        };
        let policy = cache::Adaptive::new(capacity, max_weight_bytes);
        let cache = Cache::with_policy(config, FixedState::default(), (), policy)?;
        Ok(Self { cache })
    }

    /// Whether the key was there; else it is now.
    #[inline]
    pub fn access_weighted(&mut self, key: u64, weight: u64) -> bool {
        let hit = self.cache.get(Timestamp::ZERO, &key).is_some();
        if !hit {
            // A weight over the limit is refused, which is a miss too.
            let _ = self.cache.set(Timestamp::ZERO, key, key, weight, None);
        }
        hit
    }
}

impl ReadThrough for Adaptive {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        self.access_weighted(key, 8)
    }
}

/// Any cache behind a mutex that is locked once for the get and once for the insertion, as a
/// server does that loads the value in between.
pub struct OursLocked(Mutex<Cache<u64, u64>>, Timestamp);

impl OursLocked {
    pub fn new(capacity: usize) -> anyhow::Result<Self> {
        Ok(Self(
            Mutex::new(Ours::new(capacity, None)?.cache),
            Timestamp::ZERO,
        ))
    }
}

impl ReadThrough for OursLocked {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        self.1 = self.1.plus_ms(1);
        let hit = self.0.lock().get(self.1, &key).copied().is_some();
        if !hit {
            let _ = self.0.lock().set(self.1, key, key, 8, None);
        }
        hit
    }
}

/// The `lru` crate, bare: an exact LRU.
pub struct Lru(lru::LruCache<u64, u64>);

impl Lru {
    pub fn new(capacity: usize) -> anyhow::Result<Self> {
        let capacity = NonZeroUsize::new(capacity).context("capacity 0")?;
        Ok(Self(lru::LruCache::new(capacity)))
    }
}

impl ReadThrough for Lru {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.put(key, key);
        }
        hit
    }
}

/// The `lru` crate behind a mutex, locked as `OursLocked`.
pub struct LruLocked(Mutex<lru::LruCache<u64, u64>>);

impl LruLocked {
    pub fn new(capacity: usize) -> anyhow::Result<Self> {
        Ok(Self(Mutex::new(Lru::new(capacity)?.0)))
    }
}

impl ReadThrough for LruLocked {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        let hit = self.0.lock().get(&key).copied().is_some();
        if !hit {
            self.0.lock().put(key, key);
        }
        hit
    }
}

/// `quick_cache`, its concurrent cache (S3-FIFO).
pub struct Quick(quick_cache::sync::Cache<u64, u64>);

impl Quick {
    pub fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }
}

impl ReadThrough for Quick {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        self.ask(key)
    }
}

impl Quick {
    /// As [`ReadThrough::access`], from any thread.
    #[inline]
    pub fn ask(&self, key: u64) -> bool {
        let hit = self.0.get(&key).is_some();
        if !hit {
            self.0.insert(key, key);
        }
        hit
    }
}

/// `moka`, its synchronous cache (TinyLFU).
pub struct Moka {
    cache: moka::sync::Cache<u64, u64>,
    /// Do the pending work after each access, so that the hit ratio is that of the policy.
    settle: bool,
}

impl Moka {
    pub fn new(capacity: usize, settle: bool) -> Self {
        Self {
            cache: moka::sync::Cache::new(capacity as u64),
            settle,
        }
    }
}

impl ReadThrough for Moka {
    #[inline]
    fn access(&mut self, key: u64) -> bool {
        self.ask(key)
    }
}

impl Moka {
    /// As [`ReadThrough::access`], from any thread.
    #[inline]
    pub fn ask(&self, key: u64) -> bool {
        let hit = self.cache.get(&key).is_some();
        if !hit {
            self.cache.insert(key, key);
        }
        if self.settle {
            self.cache.run_pending_tasks();
        }
        hit
    }
}

/// Hits of `cache` over all keys.
pub fn replay(keys: &[u64], cache: &mut impl ReadThrough) -> u64 {
    keys.iter().map(|&key| u64::from(cache.access(key))).sum()
}
