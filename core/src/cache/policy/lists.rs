//! Two circular doubly linked lists over slot numbers in one table, 16 bytes a slot: links, time
//! of the last access, and in one word hits, list and weight.

use crate::simd::prefetch;

/// Entries on probation: the newest in front, the next to go at the back.
pub(super) const WINDOW: usize = 0;
/// Entries that have proved themselves.
pub(super) const MAIN: usize = 1;
/// Positions before the first slot: the sentinels of the two lists, at their numbers.
const FIRST: usize = 2;
const HITS: u32 = 0xf;
const LIST_SHIFT: u32 = 4;
const UNITS_SHIFT: u32 = 5;
/// Greatest weight that is told from greater ones, units.
pub(super) const MOST_UNITS: u32 = u32::MAX >> UNITS_SHIFT;

#[derive(Debug, Clone, Copy)]
struct Place {
    /// Towards the front.
    newer: u32,
    /// Towards the back.
    older: u32,
    /// When it was last asked for, in accesses, or shortly before; wraps.
    last: u32,
    /// 4 bits hits, 1 bit list, 27 bits weight.
    word: u32,
}

impl Place {
    /// Alone on its list, at this position.
    fn alone(at: u32) -> Self {
        Self {
            newer: at,
            older: at,
            last: 0,
            word: at << LIST_SHIFT,
        }
    }

    fn list(self) -> usize {
        (self.word >> LIST_SHIFT & 1) as usize
    }

    fn units(self) -> u32 {
        self.word >> UNITS_SHIFT
    }
}

/// See the module's text. Every operation is O(1).
#[derive(Debug, Clone)]
pub(super) struct Lists {
    places: Vec<Place>,
    len: [usize; 2],
    units: [u64; 2],
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            places: vec![Place::alone(0), Place::alone(1)],
            len: [0; 2],
            units: [0; 2],
        }
    }
}

impl Lists {
    /// Slots on `list`.
    #[inline]
    pub(super) fn len(&self, list: usize) -> usize {
        self.len[list]
    }

    /// Weight of the slots on `list`.
    #[inline]
    pub(super) fn units(&self, list: usize) -> u64 {
        self.units[list]
    }

    /// The list of `slot`.
    #[inline]
    pub(super) fn list(&self, slot: u32) -> usize {
        self.places[slot as usize + FIRST].list()
    }

    #[inline]
    pub(super) fn hits(&self, slot: u32) -> u32 {
        self.places[slot as usize + FIRST].word & HITS
    }

    #[inline]
    pub(super) fn set_hits(&mut self, slot: u32, hits: u32) {
        let word = &mut self.places[slot as usize + FIRST].word;
        *word = *word & !HITS | hits;
    }

    /// When `slot` was last asked for, or shortly before.
    #[inline]
    pub(super) fn last(&self, slot: u32) -> u32 {
        self.places[slot as usize + FIRST].last
    }

    /// Counts a hit at `now` if `counts`, to `most` (at most 15). Without a branch: which hits
    /// count cannot be foreseen.
    #[inline]
    pub(super) fn count(&mut self, slot: u32, now: u32, most: u32, counts: bool) {
        let place = &mut self.places[slot as usize + FIRST];
        place.last = core::hint::select_unpredictable(counts, now, place.last);
        place.word += u32::from(counts & (place.word & HITS < most));
    }

    /// Weight of `slot`, units.
    pub(super) fn weight(&self, slot: u32) -> u32 {
        self.places[slot as usize + FIRST].units()
    }

    pub(super) fn set_weight(&mut self, slot: u32, units: u32) {
        let place = &mut self.places[slot as usize + FIRST];
        let sum = &mut self.units[place.list()];
        *sum = *sum - u64::from(place.units()) + u64::from(units);
        place.word = place.word & ((1 << UNITS_SHIFT) - 1) | units << UNITS_SHIFT;
    }

    /// Appends the next slot number at the front of `list`.
    pub(super) fn push(&mut self, list: usize, now: u32, units: u32) {
        let at = self.places.len();
        self.places.push(Place::alone(0));
        self.enter(at, list, now, units);
    }

    /// Gives `slot` to another entry, at the front of `list`.
    pub(super) fn reuse(&mut self, slot: u32, list: usize, now: u32, units: u32) {
        let at = slot as usize + FIRST;
        self.leave(at);
        self.enter(at, list, now, units);
    }

    /// Moves `slot` to the front of `list`.
    pub(super) fn move_to(&mut self, slot: u32, list: usize) {
        let at = slot as usize + FIRST;
        let Place { last, .. } = self.places[at];
        let (units, hits) = (self.weight(slot), self.hits(slot));
        self.leave(at);
        self.enter(at, list, last, units);
        self.set_hits(slot, hits);
    }

    /// Moves `slot` to the front of its list.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) {
        let at = slot as usize + FIRST;
        let list = self.places[at].list();
        if self.places[list].older as usize != at {
            self.unlink(at);
            self.link(at, list);
        }
    }

    /// The slot at the back of `list`.
    #[inline]
    pub(super) fn back(&self, list: usize) -> Option<u32> {
        self.places[list].newer.checked_sub(FIRST as u32)
    }

    /// The two slots at the back of `list`; asks for the memory of the third.
    #[inline]
    pub(super) fn last_two(&self, list: usize) -> [Option<u32>; 2] {
        let first = self.places[list].newer;
        let second = self.places[first as usize].newer;
        prefetch(&self.places, self.places[second as usize].newer as usize);
        [first, second].map(|at| at.checked_sub(FIRST as u32))
    }

    /// The slot at the front of `list`.
    pub(super) fn front(&self, list: usize) -> Option<u32> {
        self.places[list].older.checked_sub(FIRST as u32)
    }

    /// The slot behind `slot` on its list.
    pub(super) fn behind(&self, slot: u32) -> Option<u32> {
        self.places[slot as usize + FIRST]
            .older
            .checked_sub(FIRST as u32)
    }

    /// Takes `slot` out; the last slot number then takes its place.
    pub(super) fn swap_remove(&mut self, slot: u32) {
        let at = slot as usize + FIRST;
        self.leave(at);
        self.places.swap_remove(at);
        if let Some(&Place { newer, older, .. }) = self.places.get(at) {
            self.places[newer as usize].older = at as u32;
            self.places[older as usize].newer = at as u32;
        }
    }

    pub(super) fn clear(&mut self) {
        self.places.truncate(FIRST);
        self.places[WINDOW] = Place::alone(0);
        self.places[MAIN] = Place::alone(1);
        self.len = [0; 2];
        self.units = [0; 2];
    }

    pub(super) fn reserve_exact(&mut self, more: usize) {
        self.places.reserve_exact(more);
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place>()
    }

    fn leave(&mut self, at: usize) {
        let place = self.places[at];
        self.len[place.list()] -= 1;
        self.units[place.list()] -= u64::from(place.units());
        self.unlink(at);
    }

    fn enter(&mut self, at: usize, list: usize, now: u32, units: u32) {
        let place = &mut self.places[at];
        place.last = now;
        place.word = (list as u32) << LIST_SHIFT | units << UNITS_SHIFT;
        self.len[list] += 1;
        self.units[list] += u64::from(units);
        self.link(at, list);
    }

    #[inline]
    fn unlink(&mut self, at: usize) {
        let Place { newer, older, .. } = self.places[at];
        self.places[newer as usize].older = older;
        self.places[older as usize].newer = newer;
    }

    #[inline]
    fn link(&mut self, at: usize, list: usize) {
        let second = self.places[list].older;
        self.places[at].newer = list as u32;
        self.places[at].older = second;
        self.places[second as usize].newer = at as u32;
        self.places[list].older = at as u32;
    }
}
