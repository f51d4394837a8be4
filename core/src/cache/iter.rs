//! Walking over the entries.

use super::{Cache, EntryView};
use crate::time::Timestamp;

/// Live entries from the most to the least recently used. See [`Cache::entries`].
#[derive(Debug)]
pub struct Entries<'a, K, V, S, L, I> {
    cache: &'a Cache<K, V, S, L, I>,
    next: Option<u32>,
    now: Timestamp,
}

impl<'a, K, V, S, L, I> Iterator for Entries<'a, K, V, S, L, I> {
    type Item = EntryView<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let slot = self.next?;
            self.next = self.cache.recency.older(slot);
            let node = self.cache.nodes.get(slot as usize)?;
            if node.is_expired(self.now) {
                continue;
            }
            let never = node.deadline == Timestamp::FAR_FUTURE;
            return Some(EntryView {
                key: &node.key,
                value: &node.value,
                weight_bytes: node.charge - self.cache.config.entry_overhead_bytes,
                remaining_ttl_ms: (!never).then(|| node.deadline.ms_since(self.now)),
            });
        }
    }
}

impl<K, V, S, L, I> Cache<K, V, S, L, I> {
    /// The live entries from the most to the least recently used, with their remaining time to
    /// live; changes neither order nor counters. Setting them in reverse into an empty cache of
    /// the same limits restores this one.
    pub fn entries(&self, now: Timestamp) -> Entries<'_, K, V, S, L, I> {
        Entries {
            cache: self,
            next: self.recency.newest(),
            now,
        }
    }

    /// The live keys from the most to the least recently used.
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.entries(now).map(|entry| entry.key)
    }
}
