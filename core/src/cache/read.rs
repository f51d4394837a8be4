//! Operations that look up.

use core::hash::{BuildHasher, Hash};

use hashbrown::Equivalent;

use super::index::Places;
use super::{Cache, Lookup, OnRemove, Policy, Removal};
use crate::time::Timestamp;

impl<K, V, S, L, I: Places, P: Policy> Cache<K, V, S, L, I, P>
where
    S: BuildHasher,
{
    /// The value of `key`, which the policy is told (under LRU it becomes the most recently used);
    /// counts a hit. An expired entry is removed and counts a miss. O(1), no allocation.
    #[inline]
    pub fn get<Q>(&mut self, now: Timestamp, key: &Q) -> Option<&V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        L: OnRemove<K, V>,
    {
        let slot = self.hit(now, key, |_| true).ok()?;
        self.nodes.get(slot as usize).map(|node| &node.value)
    }

    /// As [`Self::get`], but a live value for which `fresh` does not hold counts a miss and keeps
    /// its place in the order: see [`Lookup`]. O(1), no allocation.
    #[inline]
    pub fn get_fresh<Q>(
        &mut self,
        now: Timestamp,
        key: &Q,
        fresh: impl FnOnce(&V) -> bool,
    ) -> Lookup<'_, V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        L: OnRemove<K, V>,
    {
        match self.hit(now, key, fresh) {
            Ok(slot) => Lookup::Fresh(&self.nodes[slot as usize].value),
            Err(Some(slot)) => Lookup::Stale(&self.nodes[slot as usize].value),
            Err(None) => Lookup::Absent,
        }
    }

    /// As [`Self::get`], to change the value in place. Its weight stays as it was set.
    #[inline]
    pub fn get_mut<Q>(&mut self, now: Timestamp, key: &Q) -> Option<&mut V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        L: OnRemove<K, V>,
    {
        let slot = self.hit(now, key, |_| true).ok()?;
        self.nodes
            .get_mut(slot as usize)
            .map(|node| &mut node.value)
    }

    /// The live value of `key`; changes neither order nor counters.
    pub fn peek<Q>(&self, now: Timestamp, key: &Q) -> Option<&V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let slot = self.find(self.hash(key), key)?;
        let node = self.nodes.get(slot as usize)?;
        (!node.is_expired(now)).then_some(&node.value)
    }

    /// Whether `key` has a live value; changes neither order nor counters.
    pub fn contains<Q>(&self, now: Timestamp, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.peek(now, key).is_some()
    }

    /// The value of `key` and its deadline, expired or not; changes nothing. A deadline of
    /// [`Timestamp::FAR_FUTURE`] never comes.
    pub fn peek_deadline<Q>(&self, key: &Q) -> Option<(&V, Timestamp)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let slot = self.find(self.hash(key), key)?;
        let node = self.nodes.get(slot as usize)?;
        Some((&node.value, node.deadline))
    }

    /// Gets each key in turn and shows it to `each` with its value; returns the hits.
    pub fn get_many<'q, Q>(
        &mut self,
        now: Timestamp,
        keys: impl IntoIterator<Item = &'q Q>,
        mut each: impl FnMut(&'q Q, Option<&V>),
    ) -> usize
    where
        Q: Hash + Equivalent<K> + ?Sized + 'q,
        L: OnRemove<K, V>,
    {
        let mut hits = 0;
        for key in keys {
            let value = self.get(now, key);
            hits += usize::from(value.is_some());
            each(key, value);
        }
        hits
    }

    /// The slot of a fresh entry; else that of a stale one, if there is one.
    #[inline]
    pub(super) fn hit<Q>(
        &mut self,
        now: Timestamp,
        key: &Q,
        fresh: impl FnOnce(&V) -> bool,
    ) -> Result<u32, Option<u32>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        L: OnRemove<K, V>,
    {
        let hash = self.hash(key);
        let mut shared = false;
        let found = self.index.find(hash, |slot| {
            self.nodes.get(slot as usize).is_some_and(|node| {
                let same = key.equivalent(&node.key);
                if !same {
                    shared |= node.hash == hash;
                }
                same
            })
        });
        let Some(slot) = found else {
            self.counters.misses += 1;
            self.absent = (!shared).then_some(hash);
            self.policy.expect(hash);
            return Err(None);
        };
        let node = &self.nodes[slot as usize];
        if node.is_expired(now) {
            self.counters.misses += 1;
            self.discard(slot, Removal::Expired);
            return Err(None);
        }
        if !fresh(&node.value) {
            self.counters.misses += 1;
            return Err(Some(slot));
        }
        self.counters.hits += 1;
        self.policy.hit(slot, hash);
        Ok(slot)
    }

    #[inline]
    pub(super) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(super) fn find<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.index.find(hash, |slot| {
            self.nodes
                .get(slot as usize)
                .is_some_and(|node| key.equivalent(&node.key))
        })
    }
}
