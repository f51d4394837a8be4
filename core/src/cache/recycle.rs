//! Reuse of a victim's key, for keys that are interchangeable numbers.

use core::hash::{BuildHasher, Hash};

use super::index::Places;
use super::{Cache, Lru, OnRemove, Policy};
use crate::time::Timestamp;

impl<K, V, S, L, I: Places> Cache<K, V, S, L, I, Lru>
where
    K: Hash + Eq,
    S: BuildHasher,
    L: OnRemove<K, V>,
{
    /// Gives the least recently used entry, under its own key, a new value in place of evicting it
    /// for a new key: for an owner whose keys are interchangeable numbers. It becomes the most
    /// recently used; an eviction and a set are counted and the key is returned; no listener
    /// hears of it. None, with nothing changed, when that is not what a set would do: there is
    /// room left, something has expired, or more than one entry would have to go. O(1).
    pub fn recycle_lru(
        &mut self,
        now: Timestamp,
        value: V,
        weight_bytes: u64,
        ttl_ms: Option<u64>,
    ) -> Option<&K> {
        if self.nodes.len() < self.config.max_entries || self.wheel.may_be_due(now) {
            return None;
        }
        let charge = self.charge(weight_bytes).ok()?;
        let spare_bytes = self.spare_bytes();
        let slot = self.policy.victim(None)?;
        let deadline = self.deadline(now, ttl_ms);
        let node = self.nodes.get_mut(slot as usize)?;
        if node.is_expired(now) || spare_bytes + node.charge < charge {
            return None;
        }
        let hash = node.hash;
        self.weight_bytes = self.weight_bytes - node.charge + charge;
        (node.value, node.deadline, node.charge) = (value, deadline, charge);
        self.wheel.cancel(slot);
        self.wheel.schedule(slot, deadline);
        self.policy.hit(slot, hash);
        self.counters.sets += 1;
        self.counters.evictions += 1;
        self.nodes.get(slot as usize).map(|node| &node.key)
    }
}
