//! Entries as stored, as given and as shown; what the cache says when it gives one up.

use crate::time::Timestamp;

/// One entry as stored.
#[derive(Debug, Clone)]
pub(super) struct Node<K, V> {
    pub(super) key: K,
    pub(super) value: V,
    /// First moment at which the entry is expired; [`Timestamp::FAR_FUTURE`]: never.
    pub(super) deadline: Timestamp,
    /// Weight plus overhead, bytes.
    pub(super) charge: u64,
    /// The key's hash.
    pub(super) hash: u64,
}

impl<K, V> Node<K, V> {
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.deadline <= now && self.deadline != Timestamp::FAR_FUTURE
    }
}

/// One entry to store, for the operations on many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Bytes that key and value occupy outside the cache's tables.
    pub weight_bytes: u64,
    /// Time to live, milliseconds; none: the cache's default.
    pub ttl_ms: Option<u64>,
}

/// One live entry as seen by an iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryView<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// The value.
    pub value: &'a V,
    /// Bytes the caller said it occupies.
    pub weight_bytes: u64,
    /// Time left to live, milliseconds, at least 1; none: it never expires.
    pub remaining_ttl_ms: Option<u64>,
}

/// What [`super::Cache::get_fresh`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a, V> {
    /// A live value that is fresh; it counted a hit.
    Fresh(&'a V),
    /// A live value that is not fresh any more; it counted a miss.
    Stale(&'a V),
    /// None; it counted a miss.
    Absent,
}

/// What a set did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetOutcome {
    /// A live entry had the key; its value is gone.
    pub replaced: bool,
    /// Live entries that had to make room.
    pub evicted: usize,
    /// Expired entries that were removed on the way.
    pub expired: usize,
}

/// Why the cache gave up an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Removal {
    /// Its time to live was over.
    Expired,
    /// It was the least recently used and another needed the room.
    Evicted,
    /// A set gave its key a new value.
    Replaced,
    /// The cache was cleared.
    Cleared,
}

/// Hears of each entry that the cache gives up and hands to nobody else (what `remove` and
/// `evict_lru` return is not reported). Called while the cache is borrowed: keep it short, gather
/// what must be dropped or told later. Closures `FnMut(K, V, Removal)` are listeners.
pub trait OnRemove<K, V> {
    /// Takes the entry over.
    fn on_remove(&mut self, key: K, value: V, why: Removal);
}

impl<K, V> OnRemove<K, V> for () {
    #[inline(always)]
    fn on_remove(&mut self, _key: K, _value: V, _why: Removal) {}
}

impl<K, V, F: FnMut(K, V, Removal)> OnRemove<K, V> for F {
    fn on_remove(&mut self, key: K, value: V, why: Removal) {
        self(key, value, why);
    }
}
