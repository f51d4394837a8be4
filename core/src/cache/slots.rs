//! A cache for values that live elsewhere, known here by a number.
//!
//! The owner of the values (a JavaScript table) hands out small numbers and keeps the values;
//! [`Slots`] keeps order, weights and deadlines. An entry has two deadlines: from the first on it
//! is stale, readable for those who ask for stale values; at the second it is gone. The numbers of
//! entries that were given up are gathered until the owner takes them.

use core::hash::{BuildHasher, Hasher};

use super::index::Direct;
use super::{Cache, CacheConfig, CacheError, CacheStats, Lookup, OnRemove, Removal};
use crate::time::Timestamp;

/// What one number costs in these tables, bytes: entry 40, links 8, timer 8, index up to 8.
pub const SLOT_OVERHEAD_BYTES: u64 = 64;

/// How usable an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Freshness {
    /// There is none, or it is past its second deadline.
    Absent = 0,
    /// Before its first deadline.
    Fresh = 1,
    /// Between its deadlines.
    Stale = 2,
}

/// An entry that the cache gave up by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// Its number.
    pub id: u32,
    /// True when its time was over, false when another needed the room.
    pub expired: bool,
}

/// What to store for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotSet {
    /// The number.
    pub id: u32,
    /// Bytes that key and value occupy.
    pub weight_bytes: u64,
    /// Milliseconds until it is stale; `u64::MAX`: never.
    pub ttl_ms: u64,
    /// Milliseconds for which it may be read as stale after that.
    pub grace_ms: u64,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Slots {
    /// The value is the first deadline; the cache's own deadline is the second.
    cache: Cache<u32, Timestamp, ItselfState, Log, Direct>,
}

impl Slots {
    /// An empty cache. Only the limits of `config` count: each set has its own time to live.
    ///
    /// # Errors
    /// [`CacheError::Config`] when a limit is out of range.
    pub fn new(config: CacheConfig) -> Result<Self, CacheError> {
        let cache = Cache::with_any_index(config, ItselfState, Log::default())?;
        Ok(Self { cache })
    }

    /// Looks `id` up; a fresh entry becomes the most recently used and counts a hit, everything
    /// else a miss. An entry past its second deadline is removed, and not told by [`Self::gone`].
    #[inline]
    pub fn get(&mut self, now: Timestamp, id: u32) -> Freshness {
        let found = self.cache.get_fresh(now, &id, |stale| now < *stale);
        match found {
            Lookup::Fresh(_) => Freshness::Fresh,
            Lookup::Stale(_) => Freshness::Stale,
            Lookup::Absent => {
                self.cache.listener.forget(id);
                Freshness::Absent
            }
        }
    }

    /// As [`Self::get`], but changes nothing.
    pub fn peek(&self, now: Timestamp, id: u32) -> Freshness {
        match self.cache.peek(now, &id) {
            None => Freshness::Absent,
            Some(&stale) if now < stale => Freshness::Fresh,
            Some(_) => Freshness::Stale,
        }
    }

    /// From when on `id` is stale and from when on it is gone, [`Timestamp::FAR_FUTURE`] meaning
    /// never.
    pub fn deadlines(&self, id: u32) -> Option<(Timestamp, Timestamp)> {
        let (stale, gone) = self.cache.peek_deadline(&id)?;
        Some((*stale, gone))
    }

    /// Stores; `id` becomes the most recently used. What had to go is told by [`Self::gone`],
    /// never `id` itself.
    ///
    /// # Errors
    /// [`CacheError::TooHeavy`]; an older entry of `id` is then removed too.
    pub fn set(&mut self, now: Timestamp, set: SlotSet) -> Result<(), CacheError> {
        let stale = now.plus_ms(set.ttl_ms);
        let ttl_ms = set.ttl_ms.saturating_add(set.grace_ms);
        let outcome = self
            .cache
            .set(now, set.id, stale, set.weight_bytes, Some(ttl_ms));
        self.cache.listener.forget(set.id);
        outcome.map(|_| ())
    }

    /// Stores under the number of the least recently used entry, which is thereby evicted, and
    /// gives that number. None, with nothing changed, when a new number is needed: see
    /// [`Cache::recycle_lru`]. The number of `set` does not count.
    #[inline]
    pub fn recycle(&mut self, now: Timestamp, set: SlotSet) -> Option<u32> {
        let stale = now.plus_ms(set.ttl_ms);
        let ttl_ms = set.ttl_ms.saturating_add(set.grace_ms);
        self.cache
            .recycle_lru(now, stale, set.weight_bytes, Some(ttl_ms))
            .copied()
    }

    /// Removes `id`; true when it was fresh, for a stale one is none to its owner.
    pub fn remove(&mut self, now: Timestamp, id: u32) -> bool {
        let removed = self.cache.remove(now, &id);
        self.cache.listener.forget(id);
        removed.is_some_and(|stale| now < stale)
    }

    /// Removes the least recently used entry and gives its number.
    pub fn evict_lru(&mut self, now: Timestamp) -> Option<u32> {
        self.cache.evict_lru(now).map(|(id, _)| id)
    }

    /// Removes up to `max` entries past their second deadline; returns how many.
    pub fn cleanup(&mut self, now: Timestamp, max: usize) -> usize {
        self.cache.cleanup(now, max)
    }

    /// Removes everything and forgets what was gathered; returns how many entries that were.
    pub fn clear(&mut self) -> usize {
        let count = self.cache.clear();
        self.cache.listener.gone.clear();
        count
    }

    /// What the cache gave up since the last [`Self::take_gone`], in the order in which it went.
    pub fn gone(&self) -> &[Gone] {
        &self.cache.listener.gone
    }

    /// Forgets what was gathered. The buffer keeps at most 1024 places.
    pub fn take_gone(&mut self) {
        let gone = &mut self.cache.listener.gone;
        gone.clear();
        gone.shrink_to(1024);
    }

    /// Numbers of the entries that are fresh (or stale, with `stale`), the most recently used
    /// first.
    pub fn ids(&self, now: Timestamp, stale: bool) -> impl Iterator<Item = u32> {
        let entries = self.cache.entries(now);
        entries
            .filter(move |entry| stale || now < *entry.value)
            .map(|entry| *entry.key)
    }

    /// When [`Self::cleanup`] may have work; see [`Cache::next_deadline`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.cache.next_deadline()
    }

    /// The figures now.
    pub fn stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Heap bytes of the tables and of the buffer of numbers.
    pub fn allocated_bytes(&self) -> usize {
        let gone = self.cache.listener.gone.capacity() * size_of::<Gone>();
        self.cache.allocated_bytes() + gone
    }
}

/// Gathers the numbers that the cache gives up.
#[derive(Debug, Clone, Default)]
struct Log {
    gone: Vec<Gone>,
}

impl Log {
    /// The owner of `id` learns of its end by the answer to his call.
    #[inline]
    fn forget(&mut self, id: u32) {
        if !self.gone.is_empty() {
            self.gone.retain(|gone| gone.id != id);
        }
    }
}

impl OnRemove<u32, Timestamp> for Log {
    #[inline]
    fn on_remove(&mut self, id: u32, _stale: Timestamp, why: Removal) {
        if matches!(why, Removal::Expired | Removal::Evicted) {
            let expired = why == Removal::Expired;
            self.gone.push(Gone { id, expired });
        }
    }
}

/// A number is its own hash: its owner hands numbers out densely, and [`Direct`] takes them as
/// positions.
#[derive(Debug, Clone, Copy, Default)]
struct ItselfState;

#[derive(Debug, Default)]
struct Itself(u64);

impl BuildHasher for ItselfState {
    type Hasher = Itself;

    #[inline]
    fn build_hasher(&self) -> Itself {
        Itself(0)
    }
}

impl Hasher for Itself {
    #[inline]
    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id);
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(max_entries: usize) -> Slots {
        Slots::new(CacheConfig {
            max_entries,
            max_weight_bytes: 1000,
            default_ttl_ms: None,
            entry_overhead_bytes: 0,
        })
        .unwrap()
    }

    fn entry(id: u32, ttl_ms: u64, grace_ms: u64) -> SlotSet {
        SlotSet {
            id,
            weight_bytes: 1,
            ttl_ms,
            grace_ms,
        }
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_gone() {
        let mut slots = slots(3);
        let at = Timestamp;
        slots.set(at(0), entry(7, 10, 5)).unwrap();
        assert_eq!(slots.deadlines(7), Some((at(10), at(15))));
        assert_eq!(slots.get(at(9), 7), Freshness::Fresh);
        assert_eq!(slots.get(at(10), 7), Freshness::Stale);
        assert_eq!(slots.peek(at(14), 7), Freshness::Stale);
        assert_eq!(slots.peek(at(15), 7), Freshness::Absent);
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.get(at(15), 7), Freshness::Absent);
        assert_eq!((slots.len(), slots.gone()), (0, &[][..]));
        let stats = slots.stats();
        assert_eq!((stats.hits, stats.misses, stats.expirations), (1, 2, 1));
    }

    #[test]
    fn a_stale_read_keeps_the_place_in_the_order() {
        let mut slots = slots(2);
        slots.set(Timestamp(0), entry(1, 10, 100)).unwrap();
        slots.set(Timestamp(0), entry(2, 100, 0)).unwrap();
        assert_eq!(slots.get(Timestamp(20), 1), Freshness::Stale);
        assert!(slots.ids(Timestamp(20), true).eq([2, 1]));
        assert!(slots.ids(Timestamp(20), false).eq([2]));
        slots.set(Timestamp(20), entry(3, 100, 0)).unwrap();
        let expired = false;
        assert_eq!(slots.gone(), [Gone { id: 1, expired }]);
        slots.take_gone();
        assert!(slots.gone().is_empty());
    }

    #[test]
    fn the_end_of_the_number_asked_for_is_not_told_twice() {
        let mut slots = slots(2);
        slots.set(Timestamp(0), entry(1, 10, 0)).unwrap();
        slots.set(Timestamp(0), entry(2, 10, 0)).unwrap();
        // Both are over; 1 is set anew and only 2 may be told.
        slots.set(Timestamp(50), entry(1, 10, 0)).unwrap();
        assert_eq!(slots.cleanup(Timestamp(50), 9), 1);
        let expired = true;
        assert_eq!(slots.gone(), [Gone { id: 2, expired }]);
        assert!(!slots.remove(Timestamp(70), 1));
        assert_eq!(slots.gone(), [Gone { id: 2, expired }]);
    }

    #[test]
    fn an_entry_over_the_limit_takes_its_older_value_along() {
        let mut slots = slots(2);
        slots.set(Timestamp(0), entry(1, u64::MAX, 9)).unwrap();
        let weight_bytes = 1001;
        let heavy = SlotSet {
            weight_bytes,
            ..entry(1, 5, 0)
        };
        assert!(slots.set(Timestamp(0), heavy).is_err());
        assert!(slots.is_empty() && slots.gone().is_empty());
    }

    #[test]
    fn the_number_of_the_least_recently_used_is_recycled_when_that_is_what_a_set_would_do() {
        let mut slots = slots(2);
        let at = Timestamp;
        slots.set(at(0), entry(1, 100, 0)).unwrap();
        assert_eq!(slots.recycle(at(0), entry(0, 9, 0)), None, "there is room");
        slots.set(at(0), entry(2, 50, 0)).unwrap();
        assert_eq!(slots.recycle(at(1), entry(0, 9, 0)), Some(1));
        assert_eq!(slots.peek(at(9), 1), Freshness::Fresh);
        assert_eq!(slots.peek(at(10), 1), Freshness::Absent);
        assert!(slots.ids(at(1), false).eq([1, 2]));
        let heavy = SlotSet {
            weight_bytes: 1000,
            ..entry(0, 9, 0)
        };
        assert_eq!(slots.recycle(at(1), heavy), None, "two must go");
        assert_eq!(slots.recycle(at(10), entry(0, 9, 0)), None, "one is over");
        let stats = slots.stats();
        assert_eq!((stats.evictions, stats.sets, stats.size), (1, 3, 2));
        assert_eq!(stats.memory_usage, 2);
        slots.set(at(10), entry(3, 9, 0)).unwrap();
        assert!(slots.ids(at(10), false).eq([3, 2]));
    }

    #[test]
    fn an_endless_time_to_live_has_no_deadline() {
        let mut slots = slots(2);
        slots.set(Timestamp(5), entry(1, u64::MAX, 9)).unwrap();
        assert_eq!(slots.next_deadline(), None);
        assert_eq!(
            slots.deadlines(1),
            Some((Timestamp::FAR_FUTURE, Timestamp::FAR_FUTURE))
        );
        let late = Timestamp(u64::MAX - 1);
        assert_eq!(slots.get(late, 1), Freshness::Fresh);
        assert!(slots.remove(late, 1));
    }

    #[test]
    fn the_stated_overhead_covers_the_tables() {
        for max_entries in [6_144, 6_145, 100_000] {
            let mut slots = Slots::new(CacheConfig {
                max_entries,
                max_weight_bytes: 1 << 40,
                default_ttl_ms: None,
                entry_overhead_bytes: SLOT_OVERHEAD_BYTES,
            })
            .unwrap();
            for id in 0..max_entries as u32 {
                slots.set(Timestamp(0), entry(id, 1000, 0)).unwrap();
            }
            let each = (slots.allocated_bytes() - 3000) as u64 / max_entries as u64;
            assert!(each <= SLOT_OVERHEAD_BYTES && each > 50, "{each}");
        }
    }
}
