//! Memory for the pairs of many chunks in a few large pieces: each piece of its own would be fetched
//! from the system page by page and given back, which two threads do not share well.

use std::sync::{Mutex, PoisonError};

use super::{Pair, order::NONE};
use crate::pages;

/// Pairs of the first slab at least; each further one of a thread has twice as many.
const FIRST: usize = 1 << 14;
/// Pairs of a slab at most, unless one chunk has more: 24 MiB.
const MOST: usize = 1 << 20;

/// Pairs one after the other, of one thread at a time.
#[derive(Default)]
pub(super) struct Slab {
    /// Its number among the [`Slabs`]; none before the first pairs.
    id: Option<usize>,
    pairs: Vec<Pair>,
}

/// The slabs of all threads by number, those in use being empty here.
#[derive(Default)]
pub(super) struct Slabs {
    all: Mutex<Vec<Vec<Pair>>>,
    /// Pairs of the first slab of a thread.
    first: usize,
}

impl Slabs {
    /// For so many pairs at most. Where large pages can be had, memory that is not written costs
    /// nothing, and the first slab has room for all; else it begins small.
    pub(super) fn new(most: u64) -> Self {
        let first = if cfg!(feature = "large-pages") {
            most.min(MOST as u64) as usize
        } else {
            0
        };
        Self {
            all: Mutex::default(),
            first,
        }
    }

    /// Keeps a slab that nothing is added to any more.
    pub(super) fn keep(&self, slab: Slab) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = slab.id.and_then(|id| all.get_mut(id)) {
            *place = slab.pairs;
        }
    }

    /// The pairs of each slab.
    pub(super) fn into_inner(self) -> Vec<Vec<Pair>> {
        self.all
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> usize {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Vec::new());
        all.len() - 1
    }
}

impl Slab {
    /// Room for `len` pairs in a row, with the slab's number and the place of the first: in this
    /// slab, or in a new one that takes its place.
    pub(super) fn room(&mut self, len: usize, slabs: &Slabs) -> (usize, usize, &mut [Pair]) {
        let free = self.pairs.capacity() - self.pairs.len();
        let id = match self.id {
            Some(id) if len <= free => id,
            _ => self.renew(len, slabs),
        };
        let start = self.pairs.len();
        self.pairs.resize(start + len, NONE);
        (id, start, &mut self.pairs[start..])
    }

    fn renew(&mut self, len: usize, slabs: &Slabs) -> usize {
        let wanted = (2 * self.pairs.capacity()).max(slabs.first);
        let capacity = wanted.clamp(FIRST, MOST).max(len);
        let id = slabs.add();
        let mut pairs = Vec::with_capacity(capacity);
        pages::advise(pairs.spare_capacity_mut());
        let full = core::mem::replace(
            self,
            Self {
                id: Some(id),
                pairs,
            },
        );
        slabs.keep(full);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_down_stays_whatever_slab_it_came_to() {
        let slabs = Slabs::default();
        let mut slab = Slab::default();
        let mut rooms = Vec::new();
        for (a, len) in (0..).zip([0, 10_000, 10_000, 1, 40_000, MOST + 1, 3, 0]) {
            let (id, start, room) = slab.room(len, &slabs);
            room.fill(Pair { a, ..NONE });
            rooms.push((a, id, start..start + len));
        }
        slabs.keep(slab);
        let all = slabs.into_inner();
        assert!(all.len() > 3, "{} slabs", all.len());
        let mut held = 0;
        for (a, id, places) in rooms {
            held += places.len();
            assert!(all[id][places].iter().all(|pair| pair.a == a));
        }
        assert_eq!(
            held,
            all.iter().map(Vec::len).sum::<usize>(),
            "no room twice"
        );
    }
}
