//! From a key's hash to its slot. The entries keep their full hash, so neither eviction nor growth
//! hashes a key again.

/// Finds slots by the hashes of their keys.
pub trait Places: Default {
    /// The slot with this hash for which `is_key` holds.
    fn find(&self, hash: u64, is_key: impl FnMut(u32) -> bool) -> Option<u32>;
    /// Adds a slot that is not there; `hash_of` tells the hash of those that are.
    fn insert(&mut self, hash: u64, slot: u32, hash_of: impl Fn(u32) -> u64);
    /// Takes out a slot that is there.
    fn remove(&mut self, hash: u64, slot: u32);
    /// Gives the entry of slot `from` the slot `to`.
    fn renumber(&mut self, hash: u64, from: u32, to: u32);
    /// Asks for the memory in which a search for this hash begins.
    fn prefetch(&self, hash: u64);
    /// Takes out all.
    fn clear(&mut self);
    /// Heap bytes.
    fn allocated_bytes(&self) -> usize;
}

/// For keys that are small numbers and their own hash: the hash is the position, 4 bytes a number
/// up to the greatest one. Every operation is O(1), insertion amortized.
#[derive(Debug, Clone, Default)]
pub(super) struct Direct {
    slots: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Places for Direct {
    #[inline]
    fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        let slot = *self.slots.get(hash as usize)?;
        (slot != NONE && is_key(slot)).then_some(slot)
    }

    #[inline]
    fn insert(&mut self, hash: u64, slot: u32, _hash_of: impl Fn(u32) -> u64) {
        let at = hash as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, NONE);
        }
        self.slots[at] = slot;
    }

    #[inline]
    fn remove(&mut self, hash: u64, _slot: u32) {
        if let Some(slot) = self.slots.get_mut(hash as usize) {
            *slot = NONE;
        }
    }

    #[inline]
    fn renumber(&mut self, hash: u64, _from: u32, to: u32) {
        if let Some(slot) = self.slots.get_mut(hash as usize) {
            *slot = to;
        }
    }

    /// A table of numbers is small beside what it stands for.
    #[inline]
    fn prefetch(&self, _hash: u64) {}

    fn clear(&mut self) {
        self.slots.clear();
    }

    fn allocated_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}
