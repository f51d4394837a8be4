//! The order of use: a circular doubly linked list over slot numbers, in a table of its own so
//! that relinking neighbours touches 8 bytes each and not their entries.

/// Position 0 is the sentinel; slot `s` is position `s + 1`.
const SENTINEL: usize = 0;

#[derive(Debug, Clone, Copy)]
struct Link {
    /// Towards the most recently used.
    newer: u32,
    /// Towards the least recently used.
    older: u32,
}

/// All slots from the most to the least recently used. Every operation is O(1).
#[derive(Debug, Clone)]
pub(super) struct Recency {
    links: Vec<Link>,
}

impl Default for Recency {
    fn default() -> Self {
        Self {
            links: vec![Link { newer: 0, older: 0 }],
        }
    }
}

impl Recency {
    /// Appends the next slot number (`len`) as the most recently used.
    pub(super) fn push_slot(&mut self) {
        self.links.push(Link { newer: 0, older: 0 });
        self.link_newest(self.links.len() - 1);
    }

    /// Room for exactly `more` further slots.
    pub(super) fn reserve_exact(&mut self, more: usize) {
        self.links.reserve_exact(more);
    }

    /// Makes `slot` the most recently used.
    #[inline]
    pub(super) fn touch(&mut self, slot: u32) {
        let at = slot as usize + 1;
        if self.links[SENTINEL].older as usize != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    /// Takes `slot` out; the last slot number then takes its place.
    pub(super) fn swap_remove(&mut self, slot: u32) {
        let at = slot as usize + 1;
        self.unlink(at);
        self.links.swap_remove(at);
        if let Some(&Link { newer, older }) = self.links.get(at) {
            self.links[newer as usize].older = at as u32;
            self.links[older as usize].newer = at as u32;
        }
    }

    /// The most recently used slot.
    pub(super) fn newest(&self) -> Option<u32> {
        self.links[SENTINEL].older.checked_sub(1)
    }

    /// The least recently used slot: the next to be evicted.
    pub(super) fn victim(&self) -> Option<u32> {
        self.links[SENTINEL].newer.checked_sub(1)
    }

    /// The slot used next before `slot`.
    pub(super) fn older(&self, slot: u32) -> Option<u32> {
        self.links[slot as usize + 1].older.checked_sub(1)
    }

    pub(super) fn clear(&mut self) {
        self.links.truncate(1);
        self.links[SENTINEL] = Link { newer: 0, older: 0 };
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
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
