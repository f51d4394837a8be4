//! From a hash to a slot: open addressing with linear probing and no tombstones.
//!
//! A cell holds 32 bits of hash beside the slot, so that a probe touches an entry only to confirm
//! it; a removal shifts the following cells back (Knuth, TAOCP volume 3, 6.4, algorithm R), so a
//! table under constant eviction never degrades and never has to be rebuilt.

/// High half: hash; low half: slot + 1. Zero: free.
type Cell = u64;
const FREE: Cell = 0;
const CELLS_MIN: usize = 8;

const fn cell(hash: u32, slot: u32) -> Cell {
    (hash as u64) << 32 | (slot as u64 + 1)
}

const fn hash_of(cell: Cell) -> u32 {
    (cell >> 32) as u32
}

const fn slot_of(cell: Cell) -> u32 {
    (cell as u32).wrapping_sub(1)
}

/// The index. Cells are a power of two, at most three quarters in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    cells: Box<[Cell]>,
    len: usize,
}

impl Index {
    /// The slot with this hash for which `is_key` holds. O(1) expected.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_key: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.cells.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            // An empty table has no cell; a table always has a free one.
            let cell = *self.cells.get(at)?;
            if cell == FREE {
                return None;
            }
            if hash_of(cell) == hash && is_key(slot_of(cell)) {
                return Some(slot_of(cell));
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a slot that is not there. O(1) amortized.
    pub(super) fn insert(&mut self, hash: u32, slot: u32) {
        if (self.len + 1) * 4 > self.cells.len() * 3 {
            self.grow();
        }
        self.len += 1;
        self.place(cell(hash, slot));
    }

    /// Takes out a slot that is there. O(1) expected.
    pub(super) fn remove(&mut self, hash: u32, slot: u32) {
        let Some(mut hole) = self.position(cell(hash, slot)) else {
            return;
        };
        self.len -= 1;
        let mask = self.cells.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell == FREE {
                break;
            }
            // The cell may move back unless its home lies cyclically within (hole, at].
            let home = hash_of(cell) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.cells[hole] = cell;
                hole = at;
            }
        }
        self.cells[hole] = FREE;
    }

    /// Gives the entry of slot `from` the slot `to`. O(1) expected.
    pub(super) fn renumber(&mut self, hash: u32, from: u32, to: u32) {
        if let Some(at) = self.position(cell(hash, from)) {
            self.cells[at] = cell(hash, to);
        }
    }

    pub(super) fn clear(&mut self) {
        self.cells.fill(FREE);
        self.len = 0;
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }

    fn position(&self, wanted: Cell) -> Option<usize> {
        let mask = self.cells.len().wrapping_sub(1);
        let mut at = hash_of(wanted) as usize & mask;
        loop {
            let cell = *self.cells.get(at)?;
            if cell == wanted {
                return Some(at);
            }
            if cell == FREE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    fn place(&mut self, cell: Cell) {
        let mask = self.cells.len() - 1;
        let mut at = hash_of(cell) as usize & mask;
        while self.cells[at] != FREE {
            at = (at + 1) & mask;
        }
        self.cells[at] = cell;
    }

    #[cold]
    fn grow(&mut self) {
        let cells = (self.cells.len() * 2).max(CELLS_MIN);
        let old = core::mem::replace(&mut self.cells, vec![FREE; cells].into());
        for cell in old {
            if cell != FREE {
                self.place(cell);
            }
        }
    }
}
