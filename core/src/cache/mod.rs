//! A cache bounded in entries and bytes, with a time to live for each entry.
//!
//! [`Cache`] evicts the least recently used entry (LRU), or what another [`Policy`] gives up:
//! [`Adaptive`] learns from the accesses which entries pay. A hit allocates nothing and moves no
//! value: it probes one index, compares one key and relinks three 8-byte links. Expiry costs O(1)
//! amortized through a hierarchical timer wheel. The cache reads no clock: each operation that
//! depends on time takes `now`, and [`Cache::next_deadline`] says when [`Cache::cleanup`] is due.
//!
//! # How to drive it
//!
//! ```
//! use sommos_core::cache::{Cache, CacheConfig};
//! use sommos_core::time::Timestamp;
//!
//! let config = CacheConfig { max_entries: 2, ..CacheConfig::default() };
//! let mut cache: Cache<Box<str>, u32> = Cache::new(config)?;
//! let now = Timestamp(1_000);
//! cache.set(now, "barolo".into(), 2016, 6, Some(60_000))?;
//! cache.set(now, "cava".into(), 2021, 4, None)?;
//! assert_eq!(cache.get(now, "barolo"), Some(&2016));
//! // Full: the least recently used entry makes room.
//! let outcome = cache.set(now, "douro".into(), 2019, 5, None)?;
//! assert_eq!(outcome.evicted, 1);
//! assert!(!cache.contains(now, "cava"));
//! // The caller sleeps until the deadline at most, then cleans up.
//! let wake = cache.next_deadline().unwrap();
//! assert!(wake <= now.plus_ms(60_000));
//! assert_eq!(cache.cleanup(now.plus_ms(60_000), usize::MAX), 1);
//! # Ok::<(), sommos_core::cache::CacheError>(())
//! ```
//!
//! # Memory
//!
//! Entries lie densely in one vector; a removal moves the last entry into the hole. Beside key and
//! value (and what they point to) an entry of `Cache<Box<str>, bytes::Bytes>` costs at most
//! [`ENTRY_OVERHEAD_BYTES`] on a 64-bit machine:
//!
//! | part | bytes |
//! |---|--:|
//! | key and value themselves, `Box<str>` + `Bytes` | 16 + 32 |
//! | deadline, charge, hash | 24 |
//! | recency links ([`Adaptive`]: [`ADAPTIVE_ENTRY_BYTES`] more) | 8 |
//! | timer links (only once an entry has a deadline) | 8 |
//! | share of the index | 7.1 to 14.2 |
//!
//! [`Cache::allocated_bytes`] tells the exact size of these tables. The wheel adds 2.9 kB per
//! cache.
//!
//! # Clocks that jump
//!
//! `now` may go backwards (a yacht's clock is set by GPS after weeks without a network). Whether an
//! entry has expired is decided by `now` alone, never by an earlier `now`. A step back of more than
//! a second costs one pass over the timers.

mod buckets;
mod config;
mod entry;
mod hardware;
mod index;
mod iter;
mod policy;
mod read;
mod recycle;
mod slots;
mod stats;
mod tagged;
mod wheel;
mod write;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;

pub use buckets::Index;
pub use config::{CacheConfig, CacheError, ENTRY_OVERHEAD_BYTES, MAX_ENTRIES};
pub use entry::{EntryView, Lookup, NewEntry, OnRemove, Removal, SetOutcome};
pub use index::Places;
pub use iter::Entries;
pub use policy::{
    ADAPTIVE_ENTRY_BYTES, ADAPTIVE_FIXED_BYTES, Adaptive, AnyPolicy, CachePolicy, Lru, NewPolicy,
    Policy,
};
pub use slots::{Freshness, Gone, SLOT_OVERHEAD_BYTES, SlotSet, Slots};
pub use stats::CacheStats;
pub use tagged::{
    Cold, ColdPacked, Kept, PACKING_WORD_BYTES, Packer, STALE_BYTES, SetOptions, Swept, TAG_BYTES,
    TAGGED_KEY_BYTES, TAGGED_WORD_BYTES, TaggedCache,
};

use foldhash::fast::FixedState;

use entry::Node;

use stats::Counters;
use wheel::Wheel;

/// A bounded map from keys to values; see the module's text.
///
/// `S` hashes keys (by default foldhash with a fixed seed, so that two runs agree; a shell that
/// takes keys from strangers passes a seeded one). `L` hears of every value that the cache gives
/// up by itself; the default `()` hears nothing and costs nothing. `I` finds entries by
/// the hashes of their keys. `P` says which entry goes when there is no room.
#[derive(Debug, Clone)]
pub struct Cache<K, V, S = FixedState, L = (), I = Index, P = Lru> {
    config: CacheConfig,
    hasher: S,
    listener: L,
    /// The entries, dense: slot numbers are positions here.
    nodes: Vec<Node<K, V>>,
    /// From a key's hash to its slot.
    index: I,
    /// The order of eviction of all slots.
    policy: P,
    /// The slots that have a deadline.
    wheel: Wheel,
    /// Sum of the charges of all entries, at most `config.max_weight_bytes`.
    weight_bytes: u64,
    counters: Counters,
    /// A hash that no entry has, known from a get that missed, until the next insertion: the set
    /// that follows a miss need not search again.
    absent: Option<u64>,
}

impl<K, V> Cache<K, V> {
    /// An empty cache with the default hasher and no listener. Tables grow with the entries.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit of `config` is out of range.
    pub fn new(config: CacheConfig) -> Result<Self, CacheError> {
        Self::with_parts(config, FixedState::default(), ())
    }
}

impl<K, V, S, L> Cache<K, V, S, L> {
    /// An empty cache with this hasher and this listener.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit of `config` is out of range.
    pub fn with_parts(config: CacheConfig, hasher: S, listener: L) -> Result<Self, CacheError> {
        Self::with_any_index(config, hasher, listener)
    }
}

impl<K, V, S, L, P: Policy> Cache<K, V, S, L, Index, P> {
    /// As [`Cache::with_parts`], with a policy that was made for the limits of `config`. What the
    /// policy keeps for an entry beyond LRU is added to `config.entry_overhead_bytes`.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit of `config` is out of range.
    pub fn with_policy(
        config: CacheConfig,
        hasher: S,
        listener: L,
        policy: P,
    ) -> Result<Self, CacheError> {
        Self::with_all(config, hasher, listener, policy)
    }
}

impl<K, V, S, L, I: Places, P: NewPolicy> Cache<K, V, S, L, I, P> {
    fn with_any_index(config: CacheConfig, hasher: S, listener: L) -> Result<Self, CacheError> {
        let policy = P::new(config.max_entries, config.max_weight_bytes);
        Self::with_all(config, hasher, listener, policy)
    }
}

impl<K, V, S, L, I: Places, P: Policy> Cache<K, V, S, L, I, P> {
    fn with_all(
        mut config: CacheConfig,
        hasher: S,
        listener: L,
        policy: P,
    ) -> Result<Self, CacheError> {
        config.entry_overhead_bytes = config
            .entry_overhead_bytes
            .saturating_add(policy.entry_bytes());
        config.check()?;
        Ok(Self {
            config,
            hasher,
            listener,
            nodes: Vec::new(),
            index: I::default(),
            policy,
            wheel: Wheel::default(),
            weight_bytes: 0,
            counters: Counters::default(),
            absent: None,
        })
    }

    /// The limits in force.
    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// The listener, for instance to take what it has gathered.
    pub fn listener_mut(&mut self) -> &mut L {
        &mut self.listener
    }

    /// Entries held, expired ones that were not yet met or cleaned up included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Entries that are not expired. O(entries), in the order of memory.
    pub fn live_len(&self, now: crate::time::Timestamp) -> usize {
        let live = self.nodes.iter().filter(|node| !node.is_expired(now));
        live.count()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Sum over the entries of the weight the caller gave plus `entry_overhead_bytes`; exact.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Heap bytes of the cache's own tables as allocated now, free capacity included, without
    /// what keys and values point to.
    pub fn allocated_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<K, V>>()
            + self.index.allocated_bytes()
            + self.policy.allocated_bytes()
            + self.wheel.allocated_bytes()
    }
}
