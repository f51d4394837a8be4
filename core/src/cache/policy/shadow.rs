//! A small cache without values that sees a sample of the keys, to tell how a way of keeping
//! entries would do. A sample by key keeps all accesses of a key, so that times between accesses
//! and room shrink alike.

use hashbrown::HashTable;

use super::tiers::Tiers;
use super::way::Way;

/// See the module's text.
#[derive(Debug, Clone)]
pub(super) struct Shadow {
    tiers: Tiers,
    /// Hashes of the keys held, by slot.
    hashes: Vec<u64>,
    index: HashTable<u32>,
}

impl Shadow {
    pub(super) fn new(entries: usize, way: Way) -> Self {
        Self {
            tiers: Tiers::new(entries, u64::MAX, way),
            hashes: Vec::new(),
            index: HashTable::new(),
        }
    }

    /// Keeps so many keys from now on, as a model of a cache of `model_of` entries.
    pub(super) fn set_entries(&mut self, entries: usize, model_of: usize) {
        self.tiers.set_max_entries(entries, model_of);
    }

    /// Asks for a key and keeps it; whether it was held.
    pub(super) fn access(&mut self, hash: u64) -> bool {
        let hashes = &self.hashes;
        let found = self.index.find(hash, |&slot| hashes[slot as usize] == hash);
        if let Some(&slot) = found {
            self.tiers.hit(slot);
            return true;
        }
        let entries = self.tiers.entries();
        let admission = self.tiers.admit(hash, 0, false);
        while self.hashes.len() > entries {
            self.remove();
        }
        let victim = match self.hashes.len() == entries {
            true => self.tiers.victim(None),
            false => None,
        };
        let slot = if let Some(slot) = victim {
            let old = core::mem::replace(&mut self.hashes[slot as usize], hash);
            self.forget(old, slot);
            self.tiers.evicted(slot, old);
            self.tiers.take_over(slot, admission, 0);
            slot
        } else {
            self.tiers.push(admission, 0);
            self.hashes.push(hash);
            self.hashes.len() as u32 - 1
        };
        let hashes = &self.hashes;
        self.index
            .insert_unique(hash, slot, |&slot| hashes[slot as usize]);
        false
    }

    /// Gives up one key without another in its place: there is less room than before.
    fn remove(&mut self) {
        let Some(slot) = self.tiers.victim(None) else {
            return;
        };
        let hash = self.hashes[slot as usize];
        self.forget(hash, slot);
        self.tiers.evicted(slot, hash);
        self.tiers.swap_remove(slot);
        self.hashes.swap_remove(slot as usize);
        if let Some(&moved) = self.hashes.get(slot as usize) {
            let last = self.hashes.len() as u32;
            if let Some(place) = self.index.find_mut(moved, |&s| s == last) {
                *place = slot;
            }
        }
    }

    fn forget(&mut self, hash: u64, slot: u32) {
        if let Ok(place) = self.index.find_entry(hash, |&s| s == slot) {
            place.remove();
        }
    }

    pub(super) fn clear(&mut self, way: Way) {
        self.tiers.clear(way);
        self.hashes.clear();
        self.index.clear();
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.tiers.allocated_bytes()
            + self.hashes.capacity() * size_of::<u64>()
            + self.index.allocation_size()
    }
}
