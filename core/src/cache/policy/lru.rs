//! The order of use: a circular doubly linked list over slot numbers, in a table of its own so
//! that relinking neighbours touches 8 bytes each and not their entries.

use super::{Admission, NewPolicy, Policy};
use crate::simd::prefetch;

/// Position 0 is the sentinel; slot `s` is position `s + 1`.
const SENTINEL: usize = 0;

#[derive(Debug, Clone, Copy)]
struct Link {
    /// Towards the most recently used.
    newer: u32,
    /// Towards the least recently used.
    older: u32,
}

/// The least recently used entry goes first. Every operation is O(1).
#[derive(Debug, Clone)]
pub struct Lru {
    /// All slots from the most to the least recently used.
    links: Vec<Link>,
}

impl NewPolicy for Lru {
    fn new(_max_entries: usize, _max_weight_bytes: u64) -> Self {
        Self {
            links: vec![Link { newer: 0, older: 0 }],
        }
    }
}

impl Policy for Lru {
    fn entry_bytes(&self) -> u64 {
        0
    }

    #[inline]
    fn hit(&mut self, slot: u32, _hash: u64) {
        self.touch(slot);
    }

    #[inline]
    fn expect(&self, _hash: u64) {}

    #[inline]
    fn replaced(&mut self, slot: u32, _hash: u64, _charge: u64) {
        self.touch(slot);
    }

    /// The order does not depend on weights.
    fn reweigh(&mut self, _slot: u32, _charge: u64) {}

    #[inline]
    fn admit(&mut self, _hash: u64, _charge: u64, _full: bool) -> Admission {
        Admission::default()
    }

    fn push(&mut self, _admission: Admission, _charge: u64) {
        self.links.push(Link { newer: 0, older: 0 });
        self.link_newest(self.links.len() - 1);
    }

    #[inline]
    fn take_over(&mut self, slot: u32, _old: u64, _admission: Admission, _charge: u64) {
        self.touch(slot);
    }

    /// Never `keep`, which was replaced and is the most recently used.
    #[inline]
    fn victim(&mut self, _keep: Option<u32>) -> Option<u32> {
        self.links[SENTINEL].newer.checked_sub(1)
    }

    #[inline]
    fn upcoming(&self) -> [Option<u32>; 2] {
        let first = self.links[SENTINEL].newer;
        let second = self.links[first as usize].newer;
        let third = self.links[second as usize].newer;
        prefetch(&self.links, third as usize);
        [first.checked_sub(1), second.checked_sub(1)]
    }

    #[inline]
    fn evicted(&mut self, _slot: u32, _hash: u64) {}

    fn swap_remove(&mut self, slot: u32) {
        let at = slot as usize + 1;
        self.unlink(at);
        self.links.swap_remove(at);
        if let Some(&Link { newer, older }) = self.links.get(at) {
            self.links[newer as usize].older = at as u32;
            self.links[older as usize].newer = at as u32;
        }
    }

    fn first(&self) -> Option<u32> {
        self.links[SENTINEL].older.checked_sub(1)
    }

    fn after(&self, slot: u32) -> Option<u32> {
        self.links[slot as usize + 1].older.checked_sub(1)
    }

    fn clear(&mut self) {
        self.links.truncate(1);
        self.links[SENTINEL] = Link { newer: 0, older: 0 };
    }

    fn reserve_exact(&mut self, more: usize) {
        self.links.reserve_exact(more);
    }

    fn allocated_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }
}

impl Lru {
    /// Makes `slot` the most recently used.
    #[inline]
    fn touch(&mut self, slot: u32) {
        let at = slot as usize + 1;
        if self.links[SENTINEL].older as usize != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    #[inline]
    fn unlink(&mut self, at: usize) {
        let Link { newer, older } = self.links[at];
        self.links[newer as usize].older = older;
        self.links[older as usize].newer = newer;
    }

    #[inline]
    fn link_newest(&mut self, at: usize) {
        let second = self.links[SENTINEL].older;
        self.links[at] = Link {
            newer: SENTINEL as u32,
            older: second,
        };
        self.links[second as usize].newer = at as u32;
        self.links[SENTINEL].older = at as u32;
    }
}
