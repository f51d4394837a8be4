//! From a key's hash to its slot: hashbrown's table over slot numbers alone, 5 bytes a place.
//!
//! The entries keep their full hash, so neither eviction nor growth hashes a key again.

use hashbrown::HashTable;

/// The index.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    table: HashTable<u32>,
}

impl Index {
    /// The slot with this hash for which `is_key` holds. O(1) expected.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        self.table.find(hash, |&slot| is_key(slot)).copied()
    }

    /// Adds a slot that is not there; `hash_of` tells the hash of those that are. O(1) amortized.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64) {
        self.table.insert_unique(hash, slot, |&slot| hash_of(slot));
    }

    /// Takes out a slot that is there. O(1) expected.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        if let Ok(place) = self.table.find_entry(hash, |&s| s == slot) {
            place.remove();
        }
    }

    /// Gives the entry of slot `from` the slot `to`. O(1) expected.
    #[inline]
    pub(super) fn renumber(&mut self, hash: u64, from: u32, to: u32) {
        if let Some(place) = self.table.find_mut(hash, |&s| s == from) {
            *place = to;
        }
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.table.allocation_size()
    }
}
