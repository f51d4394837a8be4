//! Small caches without values that see a sample of the keys, to tell how each way of keeping
//! entries would do. A sample by key keeps all accesses of a key, so that times between accesses
//! and room shrink alike.
//!
//! Mostly all of them hold what is asked for. So a key has one row for all, which says where each
//! of them holds it: it is looked up once, and nothing is looked up when it goes.

use hashbrown::HashTable;

use super::tiers::Tiers;
use super::way::Way;

/// Keys that each shadow holds at most.
pub(super) const SAMPLE: usize = 128;

const WAYS: usize = Way::ALL.len();
/// Not held.
const NONE: u8 = u8::MAX;
const _: () = assert!(SAMPLE < NONE as usize);

/// A key and its slots. 12 bytes: three of them for each place of a shadow are the most.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Lower half first. Of a vacant row the lower half is the next vacant one.
    hash: [u32; 2],
    slots: [u8; WAYS],
}

impl Row {
    fn hash(self) -> u64 {
        u64::from(self.hash[0]) | u64::from(self.hash[1]) << 32
    }
}

/// What one of the ways would do.
#[derive(Debug, Clone)]
struct Shadow {
    tiers: Tiers,
    /// Rows of the keys held, by slot.
    held: Vec<u16>,
}

/// See the module's text. One for each of [`Way::ALL`], in that order.
#[derive(Debug, Clone)]
pub(super) struct Shadows {
    shadows: [Shadow; WAYS],
    rows: Vec<Row>,
    /// The first of the vacant rows, `rows.len()` when there is none.
    vacant: usize,
    index: HashTable<u16>,
}

impl Shadows {
    pub(super) fn new() -> Self {
        Self {
            shadows: Way::ALL.map(|way| Shadow {
                tiers: Tiers::new(1, u64::MAX, way),
                held: Vec::new(),
            }),
            rows: Vec::new(),
            vacant: 0,
            index: HashTable::new(),
        }
    }

    /// Each keeps so many keys from now on, at most [`SAMPLE`], as a model of a cache of
    /// `model_of` entries.
    pub(super) fn set_entries(&mut self, entries: usize, model_of: usize) {
        for Shadow { tiers, held } in &mut self.shadows {
            tiers.set_max_entries(entries, model_of);
            // Doubled by and by they would be twice as large as they need to be.
            tiers.reserve_exact(entries.saturating_sub(held.len()));
            held.reserve_exact(entries.saturating_sub(held.len()));
        }
        let more = (WAYS * entries).saturating_sub(self.rows.len());
        self.rows.reserve_exact(more);
    }

    /// Asks for a key; all keep it. Which of them held it.
    #[inline]
    pub(super) fn access(&mut self, hash: u64) -> [bool; WAYS] {
        let rows = &self.rows;
        let found = self
            .index
            .find(hash, |&row| rows[row as usize].hash() == hash);
        let Some(&row) = found else {
            self.enter(hash, None, [NONE; WAYS]);
            return [false; WAYS];
        };
        let slots = self.rows[row as usize].slots;
        for (shadow, slot) in self.shadows.iter_mut().zip(slots) {
            if slot != NONE {
                shadow.tiers.hit(slot.into());
            }
        }
        let held = slots.map(|slot| slot != NONE);
        if held.contains(&false) {
            self.enter(hash, Some(row), slots);
        }
        held
    }

    /// Keeps a key where it is not yet.
    fn enter(&mut self, hash: u64, row: Option<u16>, slots: [u8; WAYS]) {
        let row = row.unwrap_or_else(|| self.occupy(hash));
        for (way, slot) in slots.into_iter().enumerate() {
            if slot == NONE {
                let slot = self.admit(way, hash, row);
                self.rows[row as usize].slots[way] = slot;
            }
        }
    }

    /// The slot for a key of this row, in place of another where it must.
    fn admit(&mut self, way: usize, hash: u64, row: u16) -> u8 {
        let tiers = &mut self.shadows[way].tiers;
        let entries = tiers.entries();
        let admission = tiers.admit(hash, 0, false);
        while self.shadows[way].held.len() > entries {
            self.remove(way);
        }
        let Shadow { tiers, held } = &mut self.shadows[way];
        let victim = match held.len() == entries {
            true => tiers.victim(None),
            false => None,
        };
        let Some(slot) = victim else {
            tiers.push(admission, 0);
            held.push(row);
            return (held.len() - 1) as u8;
        };
        let old = core::mem::replace(&mut held[slot as usize], row);
        tiers.evicted(slot, self.rows[old as usize].hash());
        tiers.take_over(slot, admission, 0);
        self.forget(way, old);
        slot as u8
    }

    /// Gives up one key without another in its place: there is less room than before.
    fn remove(&mut self, way: usize) {
        let Shadow { tiers, held } = &mut self.shadows[way];
        let Some(slot) = tiers.victim(None) else {
            return;
        };
        let old = held.swap_remove(slot as usize);
        tiers.evicted(slot, self.rows[old as usize].hash());
        tiers.swap_remove(slot);
        if let Some(&moved) = held.get(slot as usize) {
            self.rows[moved as usize].slots[way] = slot as u8;
        }
        self.forget(way, old);
    }

    /// One of the shadows holds the key of a row no more.
    fn forget(&mut self, way: usize, row: u16) {
        let at = row as usize;
        self.rows[at].slots[way] = NONE;
        if self.rows[at].slots != [NONE; WAYS] {
            return;
        }
        let hash = self.rows[at].hash();
        if let Ok(place) = self.index.find_entry(hash, |&r| r == row) {
            place.remove();
        }
        self.rows[at].hash[0] = self.vacant as u32;
        self.vacant = at;
    }

    /// A row for a key that none of them holds.
    fn occupy(&mut self, hash: u64) -> u16 {
        let new = Row {
            hash: [hash as u32, (hash >> 32) as u32],
            slots: [NONE; WAYS],
        };
        let at = self.vacant;
        match self.rows.get_mut(at) {
            Some(row) => {
                self.vacant = row.hash[0] as usize;
                *row = new;
            }
            None => {
                self.rows.push(new);
                self.vacant = self.rows.len();
            }
        }
        let rows = &self.rows;
        self.index
            .insert_unique(hash, at as u16, |&row| rows[row as usize].hash());
        at as u16
    }

    pub(super) fn clear(&mut self) {
        for (shadow, way) in self.shadows.iter_mut().zip(Way::ALL) {
            shadow.tiers.clear(way);
            shadow.held.clear();
        }
        self.rows.clear();
        self.vacant = 0;
        self.index.clear();
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        let shadows = self.shadows.iter().map(|shadow| {
            shadow.tiers.allocated_bytes() + shadow.held.capacity() * size_of::<u16>()
        });
        shadows.sum::<usize>()
            + self.rows.capacity() * size_of::<Row>()
            + self.index.allocation_size()
    }
}
