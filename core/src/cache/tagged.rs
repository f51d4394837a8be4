//! A cache whose entries may carry tags and may be read as stale for a while.
//!
//! [`TaggedCache`] is [`Cache`] with strings as keys. A tag names any number of entries, and
//! [`TaggedCache::invalidate_tag`] removes them all. An entry may have two deadlines: from the
//! first on it is stale and absent to everyone but [`TaggedCache::get_stale`]; at the second it is
//! gone.
//!
//! ```
//! use sommos_core::cache::{CacheConfig, Freshness, SetOptions, TaggedCache};
//! use sommos_core::time::Timestamp;
//!
//! let mut cache: TaggedCache<u32> = TaggedCache::new(CacheConfig::default())?;
//! let options = SetOptions { ttl_ms: Some(1000), stale_ms: 500, tags: &["rioja".into()] };
//! cache.set(Timestamp(0), "wine:7".into(), 2016, 6, &options)?;
//! assert_eq!(cache.get(Timestamp(999), "wine:7"), Some(&2016));
//! assert_eq!(cache.get(Timestamp(1000), "wine:7"), None);
//! assert_eq!(cache.get_stale(Timestamp(1000), "wine:7"), Some((&2016, Freshness::Stale)));
//! cache.set(Timestamp(1000), "wine:7".into(), 2017, 6, &options)?;
//! assert_eq!(cache.invalidate_tag(Timestamp(1001), "rioja"), 1);
//! assert_eq!(cache.get_stale(Timestamp(1001), "wine:7"), None);
//! # Ok::<(), sommos_core::cache::CacheError>(())
//! ```
//!
//! # Memory
//!
//! An entry without tags and stale time costs one word more than in [`Cache`]
//! ([`TAGGED_WORD_BYTES`]) and no allocation. What the others cost ([`STALE_BYTES`], and
//! [`TAGGED_KEY_BYTES`] with the key once more, and [`TAG_BYTES`] with its text for each tag)
//! counts in their weight, so that tags are bounded as all else is. The index of tags follows
//! every entry that goes, for whatever reason; a tag without entries is forgotten.

mod index;
mod packing;
#[cfg(test)]
mod twin;

use std::{borrow::Cow, sync::Arc};

use foldhash::fast::FixedState;

use super::{
    AnyPolicy, Cache, CacheConfig, CacheError, CachePolicy, CacheStats, Freshness, Index, Lookup,
    Lru, NewPolicy as _, Policy, SetOutcome,
};
use crate::time::Timestamp;
use index::TagIndex;
pub use packing::{Cold, ColdPacked, Kept, PACKING_WORD_BYTES, Packer, Swept};

/// What every entry is charged beside the overhead of the configuration, bytes: the place where
/// its tags and first deadline would hang.
pub const TAGGED_WORD_BYTES: u64 = 8;
/// What an entry with a stale time or with tags is charged beside that, bytes.
pub const STALE_BYTES: u64 = 32;
/// What an entry with tags is charged beside that, bytes, and the length of its key: the index has
/// its own copy.
pub const TAGGED_KEY_BYTES: u64 = 24;
/// What each tag of an entry is charged, bytes, beside its length: as if no other entry had it.
pub const TAG_BYTES: u64 = 272;

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOptions<'a> {
    /// Milliseconds for which it is fresh; none: the cache's default.
    pub ttl_ms: Option<u64>,
    /// Milliseconds after that for which it can be read as stale.
    pub stale_ms: u64,
    /// Its tags; one given twice counts once.
    pub tags: &'a [Cow<'a, str>],
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct TaggedCache<V, P = Lru> {
    /// The deadline here is the second one.
    cache: Cache<Box<str>, Entry<V>, FixedState, TagIndex, Index, P>,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    /// None for an entry without tags and with one deadline.
    more: Option<Box<More>>,
}

#[derive(Debug, Clone)]
struct More {
    /// The first deadline.
    fresh_until: Timestamp,
    /// Each once.
    tags: Box<[Arc<str>]>,
}

impl<V> Entry<V> {
    /// Whether a live entry is fresh.
    #[inline]
    fn is_fresh(&self, now: Timestamp) -> bool {
        match &self.more {
            None => true,
            Some(more) => now < more.fresh_until || more.fresh_until == Timestamp::FAR_FUTURE,
        }
    }

    fn tags(&self) -> &[Arc<str>] {
        self.more.as_ref().map_or(&[], |more| &more.tags)
    }
}

impl<V> TaggedCache<V> {
    /// An empty cache under LRU. Each entry is charged [`TAGGED_WORD_BYTES`] beside
    /// `config.entry_overhead_bytes`.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit is out of range.
    pub fn new(config: CacheConfig) -> Result<Self, CacheError> {
        let policy = Lru::new(config.max_entries, config.max_weight_bytes);
        Self::with_any(config, policy)
    }
}

impl<V> TaggedCache<V, AnyPolicy> {
    /// An empty cache under a policy chosen at run time. What that keeps for an entry is charged
    /// too.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit is out of range.
    pub fn with_policy(config: CacheConfig, policy: CachePolicy) -> Result<Self, CacheError> {
        let policy = AnyPolicy::new(policy, config.max_entries, config.max_weight_bytes);
        Self::with_any(config, policy)
    }
}

impl<V, P: Policy> TaggedCache<V, P> {
    fn with_any(mut config: CacheConfig, policy: P) -> Result<Self, CacheError> {
        config.entry_overhead_bytes = config
            .entry_overhead_bytes
            .saturating_add(TAGGED_WORD_BYTES);
        let (hasher, tags) = (FixedState::default(), TagIndex::default());
        let cache = Cache::with_policy(config, hasher, tags, policy)?;
        Ok(Self { cache })
    }

    /// The limits in force; the overhead of an entry includes [`TAGGED_WORD_BYTES`] and what the
    /// policy keeps.
    pub fn config(&self) -> &CacheConfig {
        self.cache.config()
    }

    /// Stores `value`, which under LRU becomes the most recently used; its tags replace those of
    /// an older value. `weight` is what key and value occupy, bytes; what the tags occupy is added.
    ///
    /// # Errors
    /// [`CacheError::TooHeavy`] when the entry alone exceeds the weight limit. An older value of
    /// the key is then removed all the same.
    pub fn set(
        &mut self,
        now: Timestamp,
        key: Box<str>,
        value: V,
        weight: u64,
        options: &SetOptions<'_>,
    ) -> Result<SetOutcome, CacheError> {
        if options.stale_ms == 0 && options.tags.is_empty() {
            let entry = Entry { value, more: None };
            return self.cache.set(now, key, entry, weight, options.ttl_ms);
        }
        self.set_more(now, key, value, weight, options)
    }

    fn set_more(
        &mut self,
        now: Timestamp,
        key: Box<str>,
        value: V,
        weight: u64,
        options: &SetOptions<'_>,
    ) -> Result<SetOutcome, CacheError> {
        let ttl_ms = options.ttl_ms.or(self.cache.config.default_ttl_ms);
        let tags = self.cache.listener.named(options.tags);
        let weight = weight.saturating_add(more_bytes(&key, &tags));
        let member = (!tags.is_empty()).then(|| Arc::from(&*key));
        let more = More {
            fresh_until: ttl_ms.map_or(Timestamp::FAR_FUTURE, |ms| now.plus_ms(ms)),
            tags: tags.clone(),
        };
        let entry = Entry {
            value,
            more: Some(Box::new(more)),
        };
        let held_ms = ttl_ms.map(|ms| ms.saturating_add(options.stale_ms));
        let outcome = self.cache.set(now, key, entry, weight, held_ms)?;
        // Only now: the older value has taken its tags out of the index.
        if let Some(member) = member {
            self.cache.listener.add(&member, &tags);
        }
        Ok(outcome)
    }

    /// The fresh value of `key`; counts a hit, and under LRU it becomes the most recently used.
    /// Anything else counts a miss; a stale entry keeps its place. O(1), no allocation.
    #[inline]
    pub fn get(&mut self, now: Timestamp, key: &str) -> Option<&V> {
        match self.cache.get_fresh(now, key, |entry| entry.is_fresh(now)) {
            Lookup::Fresh(entry) => Some(&entry.value),
            Lookup::Stale(_) | Lookup::Absent => None,
        }
    }

    /// As [`Self::get`], with a stale value too. Reading that counts a miss, since its caller has
    /// to load the value anew, and it keeps its place in the order. Never [`Freshness::Absent`].
    #[inline]
    pub fn get_stale(&mut self, now: Timestamp, key: &str) -> Option<(&V, Freshness)> {
        match self.cache.get_fresh(now, key, |entry| entry.is_fresh(now)) {
            Lookup::Fresh(entry) => Some((&entry.value, Freshness::Fresh)),
            Lookup::Stale(entry) => Some((&entry.value, Freshness::Stale)),
            Lookup::Absent => None,
        }
    }

    /// As [`Self::get_stale`], but changes neither order nor counters.
    pub fn peek(&self, now: Timestamp, key: &str) -> Option<(&V, Freshness)> {
        let entry = self.cache.peek(now, key)?;
        let freshness = match entry.is_fresh(now) {
            true => Freshness::Fresh,
            false => Freshness::Stale,
        };
        Some((&entry.value, freshness))
    }

    /// The value of `key`, until when it is fresh and until when it is held, expired or not;
    /// changes nothing. [`Timestamp::FAR_FUTURE`] never comes.
    pub fn peek_deadline(&self, key: &str) -> Option<(&V, Timestamp, Timestamp)> {
        let (entry, held) = self.cache.peek_deadline(key)?;
        let fresh = entry.more.as_ref().map_or(held, |more| more.fresh_until);
        Some((&entry.value, fresh, held))
    }

    /// The tags of what is held under `key`, each once, sorted.
    pub fn tags(&self, key: &str) -> impl Iterator<Item = &str> {
        let found = self.cache.peek_deadline(key);
        let tags = found.map_or(&[][..], |(entry, _)| entry.tags());
        tags.iter().map(|tag| &**tag)
    }

    /// Removes `key` and returns its fresh value. A stale one is removed too, as an expired one,
    /// for it counts as absent.
    pub fn remove(&mut self, now: Timestamp, key: &str) -> Option<V> {
        let removed = self.cache.remove_fresh(now, key, |e| e.is_fresh(now));
        // What is handed to the caller is not told to the listener.
        let entry = removed?;
        self.cache.listener.forget(key, entry.tags());
        Some(entry.value)
    }

    /// Removes every entry with this tag, stale ones too, and returns how many were fresh; these
    /// count as deletes. O(entries of the tag).
    pub fn invalidate_tag(&mut self, now: Timestamp, tag: &str) -> usize {
        let keys = self.cache.listener.take(tag);
        keys.iter()
            .filter(|key| self.remove(now, key).is_some())
            .count()
    }

    /// Removes everything and returns how many entries were held.
    pub fn clear(&mut self) -> usize {
        self.cache.clear()
    }

    /// Removes up to `max` entries past their last deadline and returns how many.
    pub fn cleanup(&mut self, now: Timestamp, max: usize) -> usize {
        self.cache.cleanup(now, max)
    }

    /// The fresh keys from the one that would go last to the next victim: under LRU from the most
    /// to the least recently used.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let entries = self.cache.entries(now);
        entries
            .filter(move |view| view.value.is_fresh(now))
            .map(|view| &**view.key)
    }

    /// Entries that are fresh. O(entries).
    pub fn live_len(&self, now: Timestamp) -> usize {
        let nodes = self.cache.nodes.iter();
        nodes
            .filter(|node| !node.is_expired(now) && node.value.is_fresh(now))
            .count()
    }

    /// Entries held: fresh ones, stale ones, and expired ones that were not yet met or cleaned up.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// When [`Self::cleanup`] may have work; see [`Cache::next_deadline`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.cache.next_deadline()
    }

    /// The figures now; `size` is [`Self::len`].
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Sets the counters (not the entries) back to zero.
    pub fn reset_stats(&mut self) {
        self.cache.reset_stats();
    }
}

/// What the tags and the first deadline of an entry are charged, bytes.
fn more_bytes(key: &str, tags: &[Arc<str>]) -> u64 {
    if tags.is_empty() {
        return STALE_BYTES;
    }
    let tags: u64 = tags.iter().map(|tag| TAG_BYTES + tag.len() as u64).sum();
    STALE_BYTES + TAGGED_KEY_BYTES + key.len() as u64 + tags
}
