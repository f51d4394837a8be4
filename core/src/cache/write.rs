//! Operations that store and remove.

use core::hash::{BuildHasher, Hash};

use hashbrown::Equivalent;

use super::{
    Cache, CacheError, NewEntry, OnRemove, Policy, Removal, SetOutcome, entry::Node, index::Places,
    policy::Admission,
};
use crate::{simd::prefetch, time::Timestamp};

/// Expired entries that a single set removes at most before it evicts live ones: bounds the time
/// that a set may take when thousands expire at once.
const EXPIRED_PER_SET: usize = 16;

impl<K, V, S, L, I: Places, P: Policy> Cache<K, V, S, L, I, P>
where
    K: Hash + Eq,
    S: BuildHasher,
    L: OnRemove<K, V>,
{
    /// Stores `value`; under LRU it becomes the most recently used. `weight_bytes` is what key and value
    /// occupy outside the cache's tables; `ttl_ms` none means the cache's default, and 0 is stored
    /// but already expired. When there is no room, expired entries go first, then what the policy
    /// gives up, under LRU the least recently used. O(1) amortized.
    ///
    /// # Errors
    /// [`CacheError::TooHeavy`] when the entry alone exceeds the weight limit. An older value of
    /// the key is then removed all the same: it is out of date.
    pub fn set(
        &mut self,
        now: Timestamp,
        key: K,
        value: V,
        weight_bytes: u64,
        ttl_ms: Option<u64>,
    ) -> Result<SetOutcome, CacheError> {
        let mut outcome = SetOutcome::default();
        let hash = self.hash(&key);
        let known_absent = self.absent.take() == Some(hash);
        let mut old = if known_absent {
            None
        } else {
            self.find(hash, &key)
        };
        if let Some(slot) = old
            && self.nodes[slot as usize].is_expired(now)
        {
            self.discard(slot, Removal::Expired);
            outcome.expired += 1;
            old = None;
        }
        let charge = match self.charge(weight_bytes) {
            Ok(charge) => charge,
            Err(error) => {
                if let Some(slot) = old {
                    self.discard(slot, Removal::Replaced);
                }
                return Err(error);
            }
        };
        let deadline = self.deadline(now, ttl_ms);
        self.counters.sets += 1;
        let node = Node {
            key,
            value,
            deadline,
            charge,
            hash,
        };
        match old {
            Some(slot) => self.replace(now, slot, node, &mut outcome),
            None => self.insert(now, node, &mut outcome),
        }
        Ok(outcome)
    }

    /// Sets each entry in turn; a refused entry does not stop the others.
    pub fn set_many(
        &mut self,
        now: Timestamp,
        entries: impl IntoIterator<Item = NewEntry<K, V>>,
    ) -> Vec<Result<SetOutcome, CacheError>> {
        entries
            .into_iter()
            .map(|e| self.set(now, e.key, e.value, e.weight_bytes, e.ttl_ms))
            .collect()
    }

    /// Sets each entry in turn and returns how many were stored.
    pub fn warm(
        &mut self,
        now: Timestamp,
        entries: impl IntoIterator<Item = NewEntry<K, V>>,
    ) -> usize {
        entries
            .into_iter()
            .filter_map(|e| self.set(now, e.key, e.value, e.weight_bytes, e.ttl_ms).ok())
            .count()
    }

    /// Removes `key` and returns its live value. O(1).
    pub fn remove<Q>(&mut self, now: Timestamp, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_fresh(now, key, |_| true)
    }

    /// As [`Self::remove`], but a live value for which `fresh` does not hold goes as if expired.
    pub fn remove_fresh<Q>(
        &mut self,
        now: Timestamp,
        key: &Q,
        fresh: impl FnOnce(&V) -> bool,
    ) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let slot = self.find(self.hash(key), key)?;
        let node = &self.nodes[slot as usize];
        if node.is_expired(now) || !fresh(&node.value) {
            self.discard(slot, Removal::Expired);
            return None;
        }
        self.counters.deletes += 1;
        Some(self.take(slot).value)
    }

    /// Removes and returns the entry that is the next to go, under LRU the least recently used;
    /// counts an eviction if it was live, else an expiration.
    pub fn evict_lru(&mut self, now: Timestamp) -> Option<(K, V)> {
        let slot = self.policy.victim(None)?;
        let node = &self.nodes[slot as usize];
        if node.is_expired(now) {
            self.counters.expirations += 1;
        } else {
            self.counters.evictions += 1;
            self.policy.evicted(slot, node.hash);
        }
        let node = self.take(slot);
        Some((node.key, node.value))
    }

    /// Removes everything and returns how many entries that were. Tables keep their memory.
    pub fn clear(&mut self) -> usize {
        let count = self.nodes.len();
        self.index.clear();
        self.policy.clear();
        self.wheel.clear();
        self.weight_bytes = 0;
        for node in self.nodes.drain(..) {
            self.listener
                .on_remove(node.key, node.value, Removal::Cleared);
        }
        count
    }

    /// Removes up to `max` expired entries and returns how many that were; fewer than `max` means
    /// that none is left. O(1) amortized per entry.
    pub fn cleanup(&mut self, now: Timestamp, max: usize) -> usize {
        let mut count = 0;
        while count < max && self.discard_expired(now).is_some() {
            count += 1;
        }
        count
    }

    pub(super) fn deadline(&self, now: Timestamp, ttl_ms: Option<u64>) -> Timestamp {
        match ttl_ms.or(self.config.default_ttl_ms) {
            Some(ttl) => now.plus_ms(ttl),
            None => Timestamp::FAR_FUTURE,
        }
    }

    pub(super) fn charge(&self, weight_bytes: u64) -> Result<u64, CacheError> {
        weight_bytes
            .checked_add(self.config.entry_overhead_bytes)
            .filter(|&charge| charge <= self.config.max_weight_bytes)
            .ok_or(CacheError::TooHeavy {
                weight_bytes,
                overhead_bytes: self.config.entry_overhead_bytes,
                max_weight_bytes: self.config.max_weight_bytes,
            })
    }

    /// A new value for the key of `slot`.
    fn replace(&mut self, now: Timestamp, slot: u32, node: Node<K, V>, outcome: &mut SetOutcome) {
        outcome.replaced = true;
        self.policy.replaced(slot, node.hash, node.charge);
        // Idle while room is made, so that it cannot expire meanwhile.
        self.wheel.cancel(slot);
        let (charge, deadline) = (node.charge, node.deadline);
        let old = core::mem::replace(&mut self.nodes[slot as usize], node);
        self.weight_bytes -= old.charge;
        self.listener
            .on_remove(old.key, old.value, Removal::Replaced);
        let slot = self.make_room(now, charge, slot, outcome);
        self.weight_bytes += charge;
        self.wheel.schedule(slot, deadline);
    }

    /// A key that is not there.
    fn insert(&mut self, now: Timestamp, node: Node<K, V>, outcome: &mut SetOutcome) {
        let full = self.nodes.len() >= self.config.max_entries || self.spare_bytes() < node.charge;
        let admission = self.policy.admit(node.hash, node.charge, full);
        if full {
            // The last victim's slot is taken over as it is: the common case of a full cache.
            let victim = self.make_room_but_one(now, node.charge, outcome);
            if let Some(slot) = victim {
                outcome.evicted += 1;
                self.counters.evictions += 1;
                return self.take_over(slot, node, admission);
            }
        }
        let slot = self.nodes.len() as u32;
        if self.nodes.len() == self.nodes.capacity() {
            self.grow();
        }
        let nodes = &self.nodes;
        self.index
            .insert(node.hash, slot, |slot| nodes[slot as usize].hash);
        self.policy.push(admission, node.charge);
        self.wheel.schedule(slot, node.deadline);
        self.weight_bytes += node.charge;
        self.nodes.push(node);
    }

    /// Puts `node` where the live entry of `slot` was.
    fn take_over(&mut self, slot: u32, node: Node<K, V>, admission: Admission) {
        self.wheel.cancel(slot);
        self.wheel.schedule(slot, node.deadline);
        let (hash, charge) = (node.hash, node.charge);
        let old = core::mem::replace(&mut self.nodes[slot as usize], node);
        self.policy.take_over(slot, old.hash, admission, charge);
        self.index.remove(old.hash, slot);
        let nodes = &self.nodes;
        self.index
            .insert(hash, slot, |slot| nodes[slot as usize].hash);
        self.weight_bytes = self.weight_bytes - old.charge + charge;
        self.prefetch_victims();
        self.listener
            .on_remove(old.key, old.value, Removal::Evicted);
    }

    /// Asks for the memory that the next evictions will touch: of the next victim the place in the
    /// index, of the one after it the entry, which tells its place.
    #[inline]
    fn prefetch_victims(&self) {
        let [next, after] = self.policy.upcoming();
        if let Some(node) = next.and_then(|slot| self.nodes.get(slot as usize)) {
            self.index.prefetch(node.hash);
        }
        if let Some(slot) = after {
            prefetch(&self.nodes, slot as usize);
        }
    }

    pub(super) fn spare_bytes(&self) -> u64 {
        self.config.max_weight_bytes - self.weight_bytes
    }

    /// Removes others than `keep`, whose weight does not count, until `charge` bytes are free:
    /// first expired ones, then what the policy gives up. Returns the slot of `keep` after that,
    /// for a removal moves the last entry.
    pub(super) fn make_room(
        &mut self,
        now: Timestamp,
        charge: u64,
        mut keep: u32,
        done: &mut SetOutcome,
    ) -> u32 {
        let mut may_expire = EXPIRED_PER_SET;
        while self.spare_bytes() < charge {
            let last = self.nodes.len() as u32 - 1;
            let slot = if may_expire > 0
                && let Some(slot) = self.discard_expired(now)
            {
                may_expire -= 1;
                done.expired += 1;
                slot
            } else {
                may_expire = 0;
                let Some(slot) = self.policy.victim(Some(keep)) else {
                    return keep;
                };
                if self.nodes[slot as usize].is_expired(now) {
                    done.expired += 1;
                    self.discard(slot, Removal::Expired);
                } else {
                    done.evicted += 1;
                    self.discard(slot, Removal::Evicted);
                }
                slot
            };
            if keep == last {
                keep = slot;
            }
        }
        keep
    }

    /// As `make_room` for one more entry, except that a last live victim is returned, not removed.
    fn make_room_but_one(
        &mut self,
        now: Timestamp,
        charge: u64,
        done: &mut SetOutcome,
    ) -> Option<u32> {
        for _ in 0..EXPIRED_PER_SET {
            if self.nodes.len() < self.config.max_entries && self.spare_bytes() >= charge {
                return None;
            }
            if self.discard_expired(now).is_none() {
                break;
            }
            done.expired += 1;
        }
        loop {
            if self.nodes.len() < self.config.max_entries && self.spare_bytes() >= charge {
                return None;
            }
            let slot = self.policy.victim(None)?;
            let node = &self.nodes[slot as usize];
            if node.is_expired(now) {
                done.expired += 1;
                self.discard(slot, Removal::Expired);
            } else if self.spare_bytes() + node.charge >= charge {
                return Some(slot);
            } else {
                done.evicted += 1;
                self.discard(slot, Removal::Evicted);
            }
        }
    }
}

impl<K, V, S, L: OnRemove<K, V>, I: Places, P: Policy> Cache<K, V, S, L, I, P> {
    /// Removes one expired entry if the wheel has one due; the slot that it had.
    fn discard_expired(&mut self, now: Timestamp) -> Option<u32> {
        let nodes = &self.nodes;
        let due = self.wheel.due(now, |slot| nodes[slot as usize].deadline);
        if let Some(slot) = due {
            self.discard(slot, Removal::Expired);
        }
        due
    }

    /// Removes an entry, counts it and tells the listener.
    pub(super) fn discard(&mut self, slot: u32, why: Removal) {
        match why {
            Removal::Expired => self.counters.expirations += 1,
            Removal::Evicted => {
                self.counters.evictions += 1;
                self.policy.evicted(slot, self.nodes[slot as usize].hash);
            }
            Removal::Replaced | Removal::Cleared => {}
        }
        let node = self.take(slot);
        self.listener.on_remove(node.key, node.value, why);
    }
}

impl<K, V, S, L, I: Places, P: Policy> Cache<K, V, S, L, I, P> {
    /// The earliest moment at which [`Self::cleanup`] may have work; none when nothing expires.
    /// Never after the first deadline, and at most ten wake-ups before it: a deadline far away is
    /// known coarsely until it comes near. O(1).
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.wheel.next_deadline()
    }

    /// Takes an entry out of all tables; the last entry moves into its slot.
    fn take(&mut self, slot: u32) -> Node<K, V> {
        let last = self.nodes.len() as u32 - 1;
        self.wheel.cancel(slot);
        self.wheel.renumber(last, slot);
        self.policy.swap_remove(slot);
        let node = self.nodes.swap_remove(slot as usize);
        self.index.remove(node.hash, slot);
        if let Some(moved) = self.nodes.get(slot as usize) {
            self.index.renumber(moved.hash, last, slot);
        }
        self.weight_bytes -= node.charge;
        node
    }

    /// Doubles the tables, but never beyond the limit of entries.
    #[cold]
    fn grow(&mut self) {
        let len = self.nodes.len();
        let more = len.max(4).min(self.config.max_entries - len).max(1);
        self.nodes.reserve_exact(more);
        self.policy.reserve_exact(more);
        self.wheel.reserve_exact(len + more);
    }
}
