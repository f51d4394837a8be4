//! The ways of keeping entries, over the same lists, so that a cache may change its way at any
//! time without losing an entry.
//!
//! New entries are on probation in the window, a queue. What proves itself goes to the main list;
//! keys that leave from the window are remembered as ghosts.
//!
//! [`Way::Reuse`] judges by the time between two accesses, as LIRS does. An entry of the window,
//! or a ghost, enters the main list when it was asked for again after less time than has passed
//! since the last access of the least recently used entry there, which goes back to the window.
//! The main list is LRU, to an eighth of the cache's size. When its last entry was not asked for
//! during `patience` accesses, the main list holds what nobody wants any more, and new entries
//! replace it straight away. Patience grows to twice the longest time after which an entry of the
//! main list was still asked for, and doubles when as many entries as it holds were replaced in
//! vain.
//!
//! [`Way::Queue`] and [`Way::Count`] judge by counting, as S3-FIFO does: what was hit twice in the
//! window, and every ghost, enters the main list, which is a clock with counters. The one has a
//! large window, many ghosts and low counters, and follows what changes; the other has little of
//! both and high counters, and finds what is asked for most.

use super::Admission;
use super::ghost::Ghost;
use super::lists::{Lists, MAIN, MOST_UNITS, WINDOW};
use super::way::Way;

/// Hits in the window that make an entry one of the main list, where hits count.
const HITS_TO_STAY: u32 = 2;
/// Least patience, in accesses for each entry of the cache.
const PATIENCE: u64 = 16;
/// Patience beyond the least falls by one in so many times a cache's size, rounded down to a power
/// of two, at each hit of the main list.
const PATIENCE_FALL: u64 = 4;
/// Accesses of an entry within this share of a cache's size belong to one use and count once:
/// what a loop asks for twice in a row is not what it asks for again. So the time of the last
/// access is exact to that share only.
const SAME_USE: usize = 8;
/// Bits of precision with which weights are known.
const UNIT_BITS: u32 = 32;

/// Slots in their order of eviction under one of the ways.
#[derive(Debug, Clone)]
pub(super) struct Tiers {
    lists: Lists,
    ghost: Ghost,
    way: Way,
    most_hits: u32,
    /// Accesses so far; wraps.
    now: u32,
    max_entries: usize,
    /// Entries of the cache that this is a model of, or `max_entries` of the cache itself.
    model_of: usize,
    max_units: u64,
    /// Bytes of a unit of weight, as a power of two.
    unit_shift: u32,
    /// Entries that the cache has room for, as far as known: less than `max_entries` where bytes
    /// are what is short.
    entries: usize,
    /// Accesses that belong to one use, of so many entries.
    same_use: u32,
    /// Least patience, of so many entries.
    least_patience: u64,
    /// By which power of two patience falls, of so many entries.
    fall: u32,
    window_entries: usize,
    window_units: u64,
    /// Patience beyond the least.
    patience: u64,
    /// Entries of the main list replaced since it was last hit.
    in_vain: usize,
    /// Weight of the entry for which room is being made, units.
    incoming: u64,
    /// Weight of the largest entry stored lately, units; fades.
    largest: u64,
}

impl Tiers {
    pub(super) fn new(max_entries: usize, max_weight_bytes: u64, way: Way) -> Self {
        let unit_shift = (u64::BITS - max_weight_bytes.leading_zeros()).saturating_sub(UNIT_BITS);
        let mut tiers = Self {
            lists: Lists::default(),
            ghost: Ghost::default(),
            way,
            most_hits: 0,
            now: 0,
            max_entries,
            model_of: max_entries,
            max_units: max_weight_bytes >> unit_shift,
            unit_shift,
            entries: 0,
            same_use: 0,
            least_patience: 0,
            fall: 0,
            window_entries: 0,
            window_units: 0,
            patience: 0,
            in_vain: 0,
            incoming: 0,
            largest: 0,
        };
        tiers.set_room(max_entries);
        tiers.set_way(way);
        tiers
    }

    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// Entries that the cache has room for, as far as known.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.lists.len(WINDOW) + self.lists.len(MAIN)
    }

    /// Goes on in this way with what there is.
    pub(super) fn set_way(&mut self, way: Way) {
        self.way = way;
        self.most_hits = way.most_hits();
        let window = way.window(self.model_of) as u128;
        let share = |whole: u64| (u128::from(whole) * window / self.model_of as u128).max(1);
        self.window_entries = share(self.max_entries as u64) as usize;
        self.window_units = share(self.max_units) as u64;
        self.ghost.limit(way.ghosts(self.entries));
    }

    /// The cache has room for so many entries.
    pub(super) fn set_entries(&mut self, entries: usize) {
        if entries != self.entries {
            self.set_room(entries);
            self.ghost.limit(self.way.ghosts(self.entries));
        }
    }

    fn set_room(&mut self, entries: usize) {
        self.entries = entries.max(1);
        self.same_use = (self.entries / SAME_USE) as u32;
        self.least_patience = PATIENCE * self.entries as u64;
        self.fall = (PATIENCE_FALL * self.entries as u64).ilog2();
    }

    /// As [`Self::set_entries`], and this is its limit, as a model of a cache of `model_of` (1 or
    /// more).
    pub(super) fn set_max_entries(&mut self, entries: usize, model_of: usize) {
        if (entries, model_of) != (self.max_entries, self.model_of) {
            (self.max_entries, self.model_of) = (entries, model_of);
            self.set_room(entries);
            self.set_way(self.way);
        }
    }

    #[inline]
    pub(super) fn hit(&mut self, slot: u32) {
        self.now = self.now.wrapping_add(1);
        let age = self.age(slot);
        let list = self.lists.list(slot);
        if list == MAIN {
            self.in_vain = 0;
            self.learn_patience(u64::from(age));
        }
        let another_use = age > self.same_use;
        // The ways apart: together they cost the most usual hit a tenth more.
        if self.way != Way::Reuse {
            self.lists
                .count(slot, self.now, self.most_hits, another_use);
        } else if another_use {
            self.lists.count(slot, self.now, self.most_hits, true);
            self.use_again(slot, list, age);
        }
    }

    /// [`Way::Reuse`]: the entry was asked for again, `age` accesses after it was before.
    #[inline(never)]
    fn use_again(&mut self, slot: u32, list: usize, age: u32) {
        match list {
            MAIN => self.lists.touch(slot),
            _ => self.hit_on_probation(slot, age),
        }
    }

    #[inline]
    fn learn_patience(&mut self, age: u64) {
        if 2 * age > self.least_patience + self.patience {
            self.patience = 2 * age - self.least_patience;
        } else if self.patience > 0 {
            self.patience -= self.patience >> self.fall;
        }
    }

    fn hit_on_probation(&mut self, slot: u32, age: u32) {
        let units = u64::from(self.lists.weight(slot));
        let reused_sooner = |tail: u32| age < self.age(tail);
        if self.main_has_room(units) || self.lists.back(MAIN).is_some_and(reused_sooner) {
            self.lists.move_to(slot, MAIN);
            self.lists.set_hits(slot, 0);
            self.fit_main();
        }
    }

    /// The entry of `slot` has another weight and counts as asked for.
    pub(super) fn replaced(&mut self, slot: u32, charge: u64) {
        self.incoming = 0;
        self.lists.set_weight(slot, self.units(charge));
        self.hit(slot);
    }

    /// The entry of `slot` has another weight.
    pub(super) fn reweigh(&mut self, slot: u32, charge: u64) {
        self.lists.set_weight(slot, self.units(charge));
    }

    /// Asks for the memory that [`Self::admit`] of this key will need.
    #[inline]
    pub(super) fn expect(&self, hash: u64) {
        self.ghost.prefetch(hash);
    }

    /// Where a new key goes; `full`: others have to go for it.
    pub(super) fn admit(&mut self, hash: u64, charge: u64, full: bool) -> Admission {
        self.now = self.now.wrapping_add(1);
        self.incoming = u64::from(self.units(charge));
        let faded = self.largest - (self.largest >> self.entries.ilog2());
        self.largest = faded.max(self.incoming).min(self.max_units / 2);
        if full {
            self.set_entries(self.len());
        }
        let ghost = self.ghost.take(hash);
        let main = match self.way {
            Way::Queue | Way::Count => ghost.is_some(),
            Way::Reuse if self.main_has_room(self.incoming) => true,
            Way::Reuse => match self.lists.back(MAIN) {
                None => false,
                Some(tail) => {
                    self.give_up(tail) || ghost.is_some_and(|last| self.later(last, tail))
                }
            },
        };
        Admission { main }
    }

    /// Whether a ghost was asked for later than `tail`.
    fn later(&self, ghost: u16, tail: u32) -> bool {
        let now = self.ghost.rounded(self.now);
        let tail = self.ghost.rounded(self.lists.last(tail));
        now.wrapping_sub(ghost) < now.wrapping_sub(tail)
    }

    /// Puts the main list's last entry on probation when patience with it is over.
    fn give_up(&mut self, tail: u32) -> bool {
        if u64::from(self.age(tail)) <= self.least_patience + self.patience {
            return false;
        }
        self.demote(tail);
        self.in_vain += 1;
        let main_entries = self.max_entries.saturating_sub(self.window_entries);
        if self.in_vain >= main_entries.min(self.entries) {
            self.in_vain = 0;
            self.patience = 2 * self.patience + self.least_patience;
        }
        true
    }

    pub(super) fn push(&mut self, admission: Admission, charge: u64) {
        let list = usize::from(admission.main);
        self.lists.push(list, self.now, self.units(charge));
        self.fit_main();
    }

    pub(super) fn take_over(&mut self, slot: u32, admission: Admission, charge: u64) {
        let list = usize::from(admission.main);
        self.lists.reuse(slot, list, self.now, self.units(charge));
        self.fit_main();
    }

    /// Remembers the key of a victim, unless it had its time in the main list.
    pub(super) fn evicted(&mut self, slot: u32, hash: u64) {
        if self.lists.list(slot) == MAIN {
            return;
        }
        let most = self.way.ghosts(self.entries);
        if most > self.ghost.room() {
            self.ghost.resize(self.entries, most);
        }
        self.ghost.insert(hash, self.lists.last(slot));
    }

    /// The entry that should go next, never `keep`. O(1) amortized over hits.
    pub(super) fn victim(&mut self, keep: Option<u32>) -> Option<u32> {
        loop {
            let mut next = None;
            if self.lists.len(MAIN) == 0 || self.window_is_full() {
                next = self.back(WINDOW, keep);
            }
            let Some(slot) = next else {
                let main = self.main_victim(keep);
                return main.or_else(|| self.back(WINDOW, keep));
            };
            if self.way == Way::Reuse || self.lists.hits(slot) < HITS_TO_STAY {
                return Some(slot);
            }
            self.lists.move_to(slot, MAIN);
            self.lists.set_hits(slot, 0);
            if self.main_is_over()
                && let Some(victim) = self.main_victim(keep)
            {
                return Some(victim);
            }
        }
    }

    /// The window's last two, unless the main list must give.
    #[inline]
    pub(super) fn upcoming(&self) -> [Option<u32>; 2] {
        let full = self.lists.len(MAIN) == 0 || self.lists.len(WINDOW) >= self.window_entries;
        self.lists.last_two(if full { WINDOW } else { MAIN })
    }

    fn main_victim(&mut self, keep: Option<u32>) -> Option<u32> {
        loop {
            let slot = self.back(MAIN, keep)?;
            let hits = self.lists.hits(slot);
            if self.way == Way::Reuse || hits == 0 {
                return Some(slot);
            }
            self.lists.set_hits(slot, hits - 1);
            self.lists.touch(slot);
        }
    }

    /// The last slot of a list that is not `keep`, which goes to the front if it is in the way.
    fn back(&mut self, list: usize, keep: Option<u32>) -> Option<u32> {
        let slot = self.lists.back(list)?;
        if Some(slot) != keep {
            return Some(slot);
        }
        self.lists.touch(slot);
        self.lists.back(list).filter(|&slot| Some(slot) != keep)
    }

    pub(super) fn swap_remove(&mut self, slot: u32) {
        self.lists.swap_remove(slot);
    }

    pub(super) fn first(&self) -> Option<u32> {
        let main = self.lists.front(MAIN);
        main.or_else(|| self.lists.front(WINDOW))
    }

    pub(super) fn after(&self, slot: u32) -> Option<u32> {
        let behind = self.lists.behind(slot);
        if behind.is_none() && self.lists.list(slot) == MAIN {
            return self.lists.front(WINDOW);
        }
        behind
    }

    pub(super) fn clear(&mut self, way: Way) {
        self.lists.clear();
        self.ghost.clear();
        self.set_room(self.max_entries);
        (self.now, self.patience, self.in_vain) = (0, 0, 0);
        self.largest = 0;
        self.set_way(way);
    }

    pub(super) fn reserve_exact(&mut self, more: usize) {
        self.lists.reserve_exact(more);
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.lists.allocated_bytes() + self.ghost.allocated_bytes()
    }

    #[inline]
    fn age(&self, slot: u32) -> u32 {
        self.now.wrapping_sub(self.lists.last(slot))
    }

    /// Weights are rounded down, which for limits up to 4 GiB loses nothing, and count as 1/32 of the limit at most.
    fn units(&self, charge: u64) -> u32 {
        (charge >> self.unit_shift).min(u64::from(MOST_UNITS)) as u32
    }

    /// The window's share, or more where entries are larger: what a large one takes from the main
    /// list, small ones that nobody has asked for again would fill until the next large one.
    fn window_room(&self) -> u64 {
        self.window_units.max(self.largest)
    }

    fn window_is_full(&self) -> bool {
        self.lists.len(WINDOW) >= self.window_entries
            || self.lists.units(WINDOW) + self.incoming > self.window_room()
    }

    fn main_has_room(&self, units: u64) -> bool {
        self.lists.len(MAIN) + self.window_entries < self.max_entries
            && self.lists.units(MAIN) + units + self.window_room() <= self.max_units
    }

    fn main_is_over(&self) -> bool {
        self.lists.len(MAIN) + self.window_entries > self.max_entries
            || self.lists.units(MAIN) + self.window_room() > self.max_units
    }

    /// Sends what the main list has too much back to the window.
    fn fit_main(&mut self) {
        while self.way == Way::Reuse
            && self.main_is_over()
            && let Some(tail) = self.lists.back(MAIN)
        {
            self.demote(tail);
        }
    }

    fn demote(&mut self, slot: u32) {
        self.lists.move_to(slot, WINDOW);
        self.lists.set_hits(slot, 0);
    }
}
