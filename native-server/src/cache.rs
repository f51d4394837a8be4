//! The server's cache: core's cache in shards, so that cores seldom meet at one lock.

mod packing;

use std::hash::BuildHasher as _;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use sommos_core::{
    cache::{
        AnyPolicy, CacheConfig, CacheError, CachePolicy, ENTRY_OVERHEAD_BYTES, Freshness, Kept,
        PACKING_WORD_BYTES, TaggedCache,
    },
    limits::Limits,
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        cache::{CacheSet, CacheStatsResponse, weight_bytes},
        envelope,
    },
};

use packing::{Packed, Packing};

/// Values are kept as the answer of a get (`{"success":true,"data":VALUE}`), so that a hit is sent
/// without copying or encoding anything.
type Entries = TaggedCache<Kept<Bytes>, AnyPolicy>;

/// A part of the entries behind a lock of its own. Two cache lines apart from its neighbours (the
/// processor fetches lines in pairs), so that two cores in two shards do not slow each other down.
#[repr(align(128))]
struct Shard(Mutex<Entries>);

/// Shards for each core: with two threads on Zipf keys sixteen are half as fast again as four.
const SHARDS_PER_CORE: usize = 16;
/// Fewest entries of a shard: below it, splitting would make limits visibly coarse. Keys spread
/// over shards of n entries to within some 100/√n percent.
const SHARD_ENTRIES_MIN: usize = 256;
/// A shard's share of the bytes holds at least so many of the largest values.
const SHARD_VALUES_MIN: u64 = 4;

/// Shards of a cache of so many entries, at most `most`: a power of two, sixteen for each core.
#[must_use]
pub fn shard_count(max_entries: usize, most: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (SHARDS_PER_CORE * cores)
        .min(max_entries / SHARD_ENTRIES_MIN)
        .min(most);
    1 << most.max(1).ilog2()
}

/// The cache of one server.
pub struct ShardedCache {
    shards: Box<[Shard]>,
    /// Held while a step packs.
    packing: Mutex<Packing>,
    /// What the last whole round met; by itself, since those who read it must not wait for a step.
    packed: Mutex<Packed>,
    hasher: foldhash::fast::FixedState,
}

impl ShardedCache {
    /// A cache of these limits under LRU, in a power of two of shards: sixteen for each core, fewer
    /// when the limits are small.
    ///
    /// # Errors
    /// [`CacheError`] when a limit is out of range.
    pub fn new(
        max_entries: usize,
        max_bytes: u64,
        default_ttl_ms: u64,
        limits: &Limits,
    ) -> Result<Self, CacheError> {
        let policy = CachePolicy::Lru;
        Self::with_policy(max_entries, max_bytes, default_ttl_ms, limits, policy)
    }

    /// As [`Self::new`], under this policy; every shard learns for itself.
    ///
    /// # Errors
    /// [`CacheError`] when a limit is out of range.
    pub fn with_policy(
        max_entries: usize,
        max_bytes: u64,
        default_ttl_ms: u64,
        limits: &Limits,
        policy: CachePolicy,
    ) -> Result<Self, CacheError> {
        let by_bytes = max_bytes / (SHARD_VALUES_MIN * limits.cache_value_bytes.max(1) as u64);
        let count = shard_count(max_entries, by_bytes as usize);
        let shards = (0..count)
            .map(|i| {
                // The first shards take what does not divide evenly: the sum is exact.
                let entries = max_entries / count + usize::from(i < max_entries % count);
                let config = CacheConfig {
                    max_entries: entries,
                    max_weight_bytes: max_bytes / count as u64,
                    default_ttl_ms: Some(default_ttl_ms),
                    entry_overhead_bytes: ENTRY_OVERHEAD_BYTES + PACKING_WORD_BYTES,
                };
                TaggedCache::with_policy(config, policy).map(|entries| Shard(Mutex::new(entries)))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            shards,
            packing: Mutex::default(),
            packed: Mutex::default(),
            hasher: foldhash::fast::FixedState::with_seed(0x5011_1105),
        })
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Entries> {
        // The high bits: the cache's own table uses the low ones of another hash.
        let hash = self.hasher.hash_one(key);
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards[index].0.lock()
    }

    /// The whole answer of a get: `{"success":true,"data":VALUE}`.
    pub fn get(&self, now: Timestamp, key: &str) -> Option<Bytes> {
        self.shard(key).read(now, key)
    }

    /// As [`Self::get`], with a stale value too.
    pub fn get_stale(&self, now: Timestamp, key: &str) -> Option<(Bytes, Freshness)> {
        self.shard(key).read_stale(now, key)
    }

    /// As [`Self::get_stale`], but changes nothing, not even a counter.
    pub fn peek(&self, now: Timestamp, key: &str) -> Option<(Bytes, Freshness)> {
        self.shard(key).peek_value(now, key)
    }

    /// The JSON text of a value.
    pub fn get_value(&self, now: Timestamp, key: &str) -> Option<Bytes> {
        self.get(now, key)
            .map(|answer| answer.slice(envelope::DATA_HEAD.len()..answer.len() - 1))
    }

    /// Whether a value fits.
    ///
    /// # Errors
    /// `TOO_LARGE` when the value alone is over the cache's limit.
    pub fn check(&self, set: &CacheSet<'_>) -> Result<(), ApiError> {
        let shard = self.shard(&set.key);
        let (most, overhead) = {
            let config = shard.config();
            (config.max_weight_bytes, config.entry_overhead_bytes)
        };
        let tags: usize = set.tags.iter().map(|tag| tag.len()).sum();
        // What tags and bookkeeping occupy is known to core alone; this is never less than it.
        let spare =
            overhead + 2 * (set.key.len() + tags) as u64 + 128 * (1 + set.tags.len()) as u64;
        let weight = weight_bytes(set);
        if weight.saturating_add(spare) > most {
            let message = format!("an entry of {weight} bytes is over the cache's limit of {most}");
            return Err(ApiError::new(ErrorCode::TooLarge, message).at("value"));
        }
        Ok(())
    }

    /// Sets one value.
    ///
    /// # Errors
    /// `TOO_LARGE` when the value alone is over the cache's limit.
    pub fn set(&self, now: Timestamp, set: &CacheSet<'_>) -> Result<(), ApiError> {
        let answer = Bytes::from(envelope::raw_data(set.value.as_bytes()));
        self.set_answer(now, set, answer)
    }

    /// As [`Self::set`], with the answer of a get made already.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_answer(
        &self,
        now: Timestamp,
        set: &CacheSet<'_>,
        answer: Bytes,
    ) -> Result<(), ApiError> {
        let weight = weight_bytes(set);
        self.shard(&set.key)
            .set(
                now,
                Box::from(&*set.key),
                answer.into(),
                weight,
                &set.options(),
            )
            .map(|_| ())
            .map_err(|error| ApiError::new(ErrorCode::TooLarge, error.to_string()).at("value"))
    }

    /// Removes one value; whether there was a live one.
    pub fn remove(&self, now: Timestamp, key: &str) -> bool {
        self.shard(key).remove(now, key).is_some()
    }

    /// Removes the values with this tag from one shard after the other; how many there were.
    pub fn invalidate_tag(&self, now: Timestamp, tag: &str) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.0.lock().invalidate_tag(now, tag))
            .sum()
    }

    /// Removes everything; how many entries there were.
    pub fn clear(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().clear()).sum()
    }

    /// Removes up to `max` expired entries of each shard; how many.
    pub fn cleanup(&self, now: Timestamp, max: usize) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.0.lock().cleanup(now, max))
            .sum()
    }

    /// Up to `limit` live keys, and how many there are in all.
    pub fn keys(&self, now: Timestamp, limit: usize) -> (Vec<String>, usize) {
        let mut keys = Vec::new();
        let mut total = 0;
        for shard in &self.shards {
            let shard = shard.0.lock();
            total += shard.live_len(now);
            let room = limit - keys.len();
            keys.extend(shard.keys(now).take(room).map(str::to_owned));
        }
        (keys, total)
    }

    /// Entries in all.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.lock().len()).sum()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The statistics of all shards together.
    pub fn stats(&self) -> CacheStatsResponse {
        let all: Vec<_> = self
            .shards
            .iter()
            .map(|shard| shard.0.lock().stats())
            .collect();
        let max_memory = self
            .shards
            .iter()
            .map(|s| s.0.lock().config().max_weight_bytes)
            .sum();
        CacheStatsResponse::sum(&all, max_memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_limits() {
        let cache = ShardedCache::new(100_001, 1 << 30, 1000, &Limits::default()).unwrap();
        assert_eq!(cache.stats().max_size, 100_001);
        let small = ShardedCache::new(3, 1 << 30, 1000, &Limits::default()).unwrap();
        assert_eq!(small.shards.len(), 1);
    }

    #[test]
    fn the_adaptive_policy_keeps_a_loop_that_does_not_fit() {
        let hits = |policy| {
            let limits = Limits::default();
            let cache = ShardedCache::with_policy(500, 1 << 30, 1000, &limits, policy).unwrap();
            for i in 0..10_000 {
                let set = CacheSet {
                    key: (i % 800).to_string().into(),
                    value: "1",
                    ttl_ms: None,
                    stale_ttl_ms: None,
                    tags: Vec::new(),
                };
                if cache.get(Timestamp(1), &set.key).is_none() {
                    cache.set(Timestamp(1), &set).unwrap();
                }
            }
            cache.stats().hits
        };
        assert_eq!(hits(CachePolicy::Lru), 0);
        assert!(hits(CachePolicy::Adaptive) > 4000);
    }

    #[test]
    fn a_hit_is_the_answer_and_its_value_a_slice_of_it() {
        let cache = ShardedCache::new(10, 1 << 20, 1000, &Limits::default()).unwrap();
        let now = Timestamp(1);
        let set = CacheSet {
            key: "k".into(),
            value: "[1]",
            ttl_ms: None,
            stale_ttl_ms: None,
            tags: Vec::new(),
        };
        cache.set(now, &set).unwrap();
        assert_eq!(
            &cache.get(now, "k").unwrap()[..],
            br#"{"success":true,"data":[1]}"#
        );
        assert_eq!(&cache.get_value(now, "k").unwrap()[..], b"[1]");
        assert!(cache.get(now.plus_ms(1000), "k").is_none());
    }

    #[test]
    fn a_tag_is_invalidated_in_every_shard() {
        let cache = ShardedCache::new(100_000, 1 << 30, 1000, &Limits::default()).unwrap();
        assert!(cache.shards.len() > 1);
        for i in 0..300 {
            let set = CacheSet {
                key: i.to_string().into(),
                value: "1",
                ttl_ms: None,
                stale_ttl_ms: Some(1000),
                tags: vec![["even", "odd"][i % 2].into()],
            };
            cache.set(Timestamp(1), &set).unwrap();
        }
        assert_eq!(cache.invalidate_tag(Timestamp(1), "even"), 150);
        assert_eq!(cache.keys(Timestamp(1), 1000).1, 150);
        // Stale ones go too, but were not there to be invalidated.
        assert_eq!(cache.invalidate_tag(Timestamp(1001), "odd"), 0);
        assert!(cache.is_empty());
    }
}
