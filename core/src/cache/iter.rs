//! Walking over the entries.

use super::{Cache, EntryView, Index, Lru, Policy};
use crate::time::Timestamp;

/// Live entries from the one that would go last to the next victim. See [`Cache::entries`].
#[derive(Debug)]
pub struct Entries<'a, K, V, S, L, I = Index, P = Lru> {
    cache: &'a Cache<K, V, S, L, I, P>,
    next: Option<u32>,
    now: Timestamp,
}

impl<'a, K, V, S, L, I, P: Policy> Iterator for Entries<'a, K, V, S, L, I, P> {
    type Item = EntryView<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let slot = self.next?;
            self.next = self.cache.policy.after(slot);
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

impl<K, V, S, L, I, P: Policy> Cache<K, V, S, L, I, P> {
    /// The live entries with their remaining time to live, from the one that would go last to the
    /// next victim: under LRU from the most to the least recently used. Changes neither order nor
    /// counters. Setting them in reverse into an empty cache of the same limits restores this one;
    /// under another policy its entries, but not what the policy has learnt.
    pub fn entries(&self, now: Timestamp) -> Entries<'_, K, V, S, L, I, P> {
        Entries {
            cache: self,
            next: self.policy.first(),
            now,
        }
    }

    /// The live keys in the order of [`Self::entries`].
    pub fn keys(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        self.entries(now).map(|entry| entry.key)
    }
}
