//! Sparse accumulation: the sums of one entity with all others, by walking its items and for each
//! the list of who else rated it (an inverted index). Cost: one addition a co-rated item.

use core::ops::Range;

use super::{
    dense::{self, Dense, DenseFinish},
    measure::{FIELDS, LANES, Lanes, Measure, N, Own, evaluate},
    meter::Ticker,
    ratings::Ratings,
};
use crate::{
    control::{Control, Stopped},
    simd,
};

/// Entities whose accumulators are in work at once: 128 KiB at 8 bytes, within a second-level cache.
pub(super) const BLOCK: usize = 1 << 14;

/// When a row's lists are this many times shorter than the row of pairs, only the pairs that were
/// touched are evaluated.
pub(super) const SPARSE_FACTOR: u64 = 8;

/// Who rated each item, ascending.
#[derive(Debug)]
pub(super) struct Inverted {
    /// `starts[i]..starts[i + 1]` is the list of item i.
    pub(super) starts: Vec<u32>,
    pub(super) entities: Vec<u32>,
    /// For each rating, row after row, where it lies in its item's list.
    pub(super) positions: Vec<u32>,
}

impl Inverted {
    /// O(ratings + items), 8 bytes a rating.
    pub(super) fn new(ratings: &Ratings) -> Self {
        let mut starts = vec![0u32; ratings.items_len() as usize + 1];
        for &item in ratings.columns() {
            starts[item as usize + 1] += 1;
        }
        for k in 1..starts.len() {
            starts[k] += starts[k - 1];
        }
        let mut next = starts.clone();
        let mut entities = vec![0; ratings.ratings_len()];
        let mut positions = Vec::with_capacity(entities.len());
        for a in 0..ratings.len() {
            for &item in ratings.row(a).0 {
                let slot = &mut next[item as usize];
                entities[*slot as usize] = a;
                positions.push(*slot);
                *slot += 1;
            }
        }
        Self {
            starts,
            entities,
            positions,
        }
    }

    /// The list part to walk for the rating at `own` of `item`: all, or only entities after it.
    pub(super) fn list(&self, own: usize, item: u32, whole: bool) -> Range<usize> {
        let end = self.starts[item as usize + 1] as usize;
        if whole {
            self.starts[item as usize] as usize..end
        } else {
            self.positions[own] as usize + 1..end
        }
    }

    /// Co-rated items that a walk over row `a` meets, all pairs together.
    pub(super) fn work(&self, ratings: &Ratings, a: u32, whole: bool) -> u64 {
        let items = ratings.row(a).0.iter();
        ratings
            .range(a)
            .zip(items)
            .map(|(own, &item)| self.list(own, item, whole).len() as u64)
            .sum()
    }
}

/// One way to keep the sums of a pair.
pub(super) trait Kind {
    /// The sums of one pair.
    type Slot: Copy;
    /// Nothing in common.
    const ZERO: Self::Slot;
    /// Whether nothing was added yet.
    fn is_zero(slot: &Self::Slot) -> bool;
    /// Adds the rating at `own` (position among all ratings) with the one at `position` of the lists.
    fn add_one(&self, own: usize, position: usize, slot: &mut Self::Slot);
    /// The same with each of that part of its list, into the slots of their entities modulo
    /// [`BLOCK`].
    fn add(&self, own: usize, list: Range<usize>, slots: &mut [Self::Slot; BLOCK]);
    /// The same as far as the list's entities (ascending) are below `end`; gives how many were.
    fn add_below(
        &self,
        own: usize,
        list: Range<usize>,
        end: u32,
        slots: &mut [Self::Slot; BLOCK],
    ) -> usize;
    /// The sums of at most [`LANES`] pairs, as the formulas read them. Must be inlined.
    fn unpack(&self, slots: &[Self::Slot], sums: &mut [[f64; LANES]; FIELDS]);
    /// Corrects values that the sums were too coarse for.
    fn refine(&self, _a: u32, _ids: &Ids<'_>, _lanes: &mut Lanes, _len: usize) {}
}

/// The entities that the lanes stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids<'a> {
    pub(super) first: u32,
    pub(super) list: Option<&'a [u32]>,
}

impl Ids<'_> {
    /// The first, if all follow each other.
    pub(super) fn range_start(&self) -> Option<u32> {
        self.list.is_none().then_some(self.first)
    }

    #[inline(always)]
    pub(super) fn get(&self, lane: usize) -> u32 {
        match self.list {
            Some(list) => list[lane],
            None => self.first + lane as u32,
        }
    }
}

/// Working memory of one walk.
pub(super) struct Scratch<S> {
    pub(super) slots: Box<[S; BLOCK]>,
    pub(super) touched: Vec<u32>,
    compact: Vec<S>,
    cursors: Vec<(usize, Range<usize>)>,
    pub(super) lanes: Box<Lanes>,
}

impl<S: Copy> Scratch<S> {
    pub(super) fn new(zero: S) -> Self {
        let slots = vec![zero; BLOCK].into_boxed_slice();
        let Ok(slots) = slots.try_into() else {
            unreachable!("the vector has BLOCK elements")
        };
        Self {
            slots,
            touched: Vec::new(),
            compact: Vec::new(),
            cursors: Vec::new(),
            lanes: Box::new(Lanes::new()),
        }
    }
}

/// What every walk reads.
pub(super) struct Walk<'a> {
    pub(super) ratings: &'a Ratings,
    pub(super) inverted: &'a Inverted,
    pub(super) measure: Measure,
    /// Per entity: squared norm or count of ratings; empty when the measure needs neither.
    pub(super) sides: &'a [f64],
    pub(super) step: f64,
    /// The same ratings as a matrix, and their codes by row.
    pub(super) dense: Option<(&'a Dense, &'a [u8])>,
}

struct Finish<'a, K: Kind> {
    kind: &'a K,
    measure: Measure,
    slots: &'a [K::Slot],
    lanes: &'a mut Lanes,
    own: Own,
}

impl<K: Kind> simd::Kernel for Finish<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.kind.unpack(self.slots, &mut self.lanes.sums);
        evaluate(self.measure, self.lanes, self.slots.len(), self.own);
    }
}

impl Walk<'_> {
    /// Gives `sink` the pairs of entity `a` with every later one (`whole`: with every one, itself
    /// included), in ascending order; pairs with nothing in common may be missing.
    pub(super) fn row<K: Kind, C: Control>(
        &self,
        kind: &K,
        scratch: &mut Scratch<K::Slot>,
        a: u32,
        whole: bool,
        ticker: &mut Ticker<'_, C>,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) -> Result<(), Stopped> {
        let work = self.start(a, whole, &mut scratch.cursors);
        let entities = self.ratings.len();
        let first = if whole { 0 } else { a + 1 };
        let row_len = self.ratings.range(a).len();
        if let Some((dense, codes)) = self.dense
            && dense::pays(row_len, u64::from(entities - first), work)
        {
            let lanes = &mut scratch.lanes;
            return self.dense_row(dense, codes, lanes, a, first, ticker, sink);
        }
        let sparse = work * SPARSE_FACTOR < u64::from(entities - first);
        let mut block_start = first as usize / BLOCK * BLOCK;
        while block_start < entities as usize && !scratch.cursors.is_empty() {
            let block_end = (block_start + BLOCK).min(entities as usize);
            self.accumulate(kind, scratch, block_end, sparse, ticker)?;
            if sparse {
                self.finish_touched(kind, scratch, a, sink);
            } else {
                let from = block_start.max(first as usize);
                self.finish_block(kind, scratch, a, from..block_end, sink);
                ticker.add((block_end - from) as u64 / 2)?;
            }
            block_start = block_end;
        }
        Ok(())
    }

    /// The lists to walk for row `a`; gives the co-rated items that they meet, as
    /// [`Inverted::work`].
    fn start(&self, a: u32, whole: bool, cursors: &mut Vec<(usize, Range<usize>)>) -> u64 {
        cursors.clear();
        let mut work = 0;
        for (own, &item) in self.ratings.range(a).zip(self.ratings.row(a).0) {
            let list = self.inverted.list(own, item, whole);
            work += list.len() as u64;
            if !list.is_empty() {
                cursors.push((own, list));
            }
        }
        work
    }

    /// The same by the matrix: all pairs from `first` on.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, split off for its length"
    )]
    fn dense_row<C: Control>(
        &self,
        dense: &Dense,
        codes: &[u8],
        lanes: &mut Lanes,
        a: u32,
        first: u32,
        ticker: &mut Ticker<'_, C>,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) -> Result<(), Stopped> {
        let entities = self.ratings.len() as usize;
        let items = self.ratings.row(a).0;
        let codes = &codes[self.ratings.range(a)];
        let mut first = first as usize;
        while first < entities {
            let len = DenseFinish::lanes_from(first).min(entities - first);
            ticker.add((items.len() * len) as u64 / 8)?;
            let ids = Ids {
                first: first as u32,
                list: None,
            };
            let own = self.own(lanes, a, ids, len);
            simd::dispatch(DenseFinish {
                dense,
                items,
                codes,
                first,
                len,
                measure: self.measure,
                own,
                lanes,
            });
            sink(lanes, ids, len);
            first += len;
        }
        Ok(())
    }

    /// What the formulas need beside the sums, of `a` and of the others.
    fn own(&self, lanes: &mut Lanes, a: u32, ids: Ids<'_>, len: usize) -> Own {
        let mut own = Own {
            side: 0.0,
            step: self.step,
        };
        if !self.sides.is_empty() {
            own.side = self.sides[a as usize];
            for (lane, other) in lanes.other[..len].iter_mut().enumerate() {
                *other = self.sides[ids.get(lane) as usize];
            }
        }
        own
    }

    /// Adds every list's part below `block_end`.
    fn accumulate<K: Kind, C: Control>(
        &self,
        kind: &K,
        scratch: &mut Scratch<K::Slot>,
        block_end: usize,
        sparse: bool,
        ticker: &mut Ticker<'_, C>,
    ) -> Result<(), Stopped> {
        let last_block = block_end == self.ratings.len() as usize;
        let entities = &self.inverted.entities;
        let mut emptied = false;
        for (own, list) in &mut scratch.cursors {
            let end = if last_block {
                list.end
            } else {
                let part = &entities[list.clone()];
                list.start + part.partition_point(|&b| (b as usize) < block_end)
            };
            let part = list.start..end;
            if sparse {
                for &b in &entities[part.clone()] {
                    if K::is_zero(&scratch.slots[b as usize % BLOCK]) {
                        scratch.touched.push(b);
                    }
                }
            }
            ticker.add(part.len() as u64)?;
            kind.add(*own, part, &mut scratch.slots);
            list.start = end;
            emptied |= list.start == list.end;
        }
        if emptied {
            scratch.cursors.retain(|(_, list)| !list.is_empty());
        }
        Ok(())
    }

    /// Evaluates all pairs of a block and clears their accumulators.
    fn finish_block<K: Kind>(
        &self,
        kind: &K,
        scratch: &mut Scratch<K::Slot>,
        a: u32,
        range: Range<usize>,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) {
        let offset = range.start / BLOCK * BLOCK;
        let mut first = range.start;
        while first < range.end {
            let end = range.end.min(first + LANES);
            let slots = &mut scratch.slots[first - offset..end - offset];
            let ids = Ids {
                first: first as u32,
                list: None,
            };
            self.finish(kind, slots, &mut scratch.lanes, a, ids, sink);
            slots.fill(K::ZERO);
            first = end;
        }
    }

    /// Evaluates the touched pairs of a block and clears their accumulators.
    pub(super) fn finish_touched<K: Kind>(
        &self,
        kind: &K,
        scratch: &mut Scratch<K::Slot>,
        a: u32,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) {
        let mut touched = core::mem::take(&mut scratch.touched);
        touched.sort_unstable();
        for list in touched.chunks(LANES) {
            scratch.compact.clear();
            for &b in list {
                let slot = &mut scratch.slots[b as usize % BLOCK];
                scratch.compact.push(core::mem::replace(slot, K::ZERO));
            }
            let ids = Ids {
                first: 0,
                list: Some(list),
            };
            self.finish(kind, &scratch.compact, &mut scratch.lanes, a, ids, sink);
        }
        touched.clear();
        scratch.touched = touched;
    }

    pub(super) fn finish<K: Kind>(
        &self,
        kind: &K,
        slots: &[K::Slot],
        lanes: &mut Lanes,
        a: u32,
        ids: Ids<'_>,
        sink: &mut impl FnMut(&Lanes, Ids<'_>, usize),
    ) {
        let len = slots.len();
        let own = self.own(lanes, a, ids, len);
        simd::dispatch(Finish {
            kind,
            measure: self.measure,
            slots,
            lanes,
            own,
        });
        kind.refine(a, &ids, lanes, len);
        debug_assert!(lanes.sums[N][..len].iter().all(|n| *n >= 0.0));
        sink(lanes, ids, len);
    }
}
