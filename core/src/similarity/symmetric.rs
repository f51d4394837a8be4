//! The most similar of every entity: each pair is worked once and offered to the lists of both.
//!
//! Rows go in groups against blocks of later entities, so that what a block needs is read from the
//! cache for all rows of the group. A row's sums with a block come from two sides: [`Popular`]
//! items by columns of bytes, all others by their lists. A [`Screen`] then drops nearly all pairs
//! before anything is divided. Lists are shared by the threads ([`Lists`]).
//!
//! Beside ratings and lists a thread holds some 400 KiB, and 24 bytes a rating of a group of rows.

use core::ops::Range;

use super::{
    Neighbor, Similarity, SimilarityError,
    inverted::{BLOCK, Ids, Kind, Scratch, Walk},
    kernel::{Kernel, Scratches},
    lists::Lists,
    measure::{FIELDS, LANES, Lanes, Measure, N, Own, evaluate},
    meter::{Meter, Ticker},
    packed::PackedWalk,
    popular::{Popular, Sums, TILE},
    screen::Screen,
    select::Keep,
    simd,
};
use crate::{
    control::{Control, Stopped},
    par::Par,
};

/// Rows that go over a block together.
const ROWS: u32 = 64;
/// Entities of a block where there are columns: those of a few hundred items stay in the cache.
const COLUMN_BLOCK: usize = 2048;
/// When a row's lists are this many times shorter than the row of pairs, only the pairs that were
/// touched are looked at.
const SPARSE_FACTOR: u64 = 8;

/// What all threads read.
struct Plan<'a> {
    walk: Walk<'a>,
    kernel: &'a Kernel<'a>,
    popular: Option<Popular>,
    /// Codes of all ratings, where there are columns.
    codes: &'a [u8],
    lists: &'a Lists,
    keep: Keep,
    screen: Screen,
    block: usize,
}

/// What is left of a list.
struct Cursor {
    own: usize,
    list: Range<usize>,
}

/// One row of a group.
struct Row {
    a: u32,
    cursors: Range<usize>,
    cells: Range<usize>,
    sparse: bool,
}

/// Working memory of one thread.
#[derive(Default)]
struct Group {
    rows: Vec<Row>,
    cursors: Vec<Cursor>,
    cells: Vec<(u32, u8)>,
    /// By entity of the block: the bar of its list, and its squared norm or count of ratings.
    bars: Vec<f64>,
    others: Vec<f64>,
    /// Sums over a row's columns by tile of the block.
    sums: Vec<Sums>,
    passed: Passed,
}

/// Pairs that passed the screen, to be evaluated together.
struct Passed {
    lanes: Box<Lanes>,
    ids: Vec<u32>,
}

impl Default for Passed {
    fn default() -> Self {
        Self {
            lanes: Box::new(Lanes::new()),
            ids: Vec::with_capacity(LANES),
        }
    }
}

impl Similarity<'_> {
    /// [`Similarity::top_k`] of all.
    pub(super) fn top_k_of_all(
        &self,
        k: usize,
        par: Par,
        control: &impl Control,
    ) -> Result<Vec<Vec<Neighbor>>, SimilarityError> {
        let (entities, measure) = (self.ratings.len(), self.options.measure);
        let keep = Keep::new(&self.options);
        let lists = Lists::new(entities, k, keep.ascending, self.options.max_pairs);
        if k == 0 {
            return Ok(lists.into_sorted());
        }
        let mut codes: &[u8] = &[];
        let mut popular = None;
        if let Kernel::Packed {
            lists, code_max, ..
        } = &self.kernel
        {
            codes = &lists.own;
            popular = Popular::new(self.ratings, &self.inverted, (codes, *code_max), measure);
        }
        let refines = measure == Measure::Pearson && matches!(self.kernel, Kernel::Float(_));
        let plan = Plan {
            walk: self.walk(),
            kernel: &self.kernel,
            block: popular.as_ref().map_or(BLOCK, |_| COLUMN_BLOCK),
            popular,
            codes,
            lists: &lists,
            keep,
            screen: Screen::new(&self.options, self.step, refines),
        };
        let (chunks, total) = self.cut((0..entities).map(|a| plan.work(a)));
        let meter = Meter::new(control, total);
        par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let mut scratches = Scratches::default();
            let mut group = Group::default();
            let rows = chunks[chunk].clone();
            for first in rows.clone().step_by(ROWS as usize) {
                let rows = first..rows.end.min(first + ROWS);
                plan.group(&mut scratches, &mut group, rows, &mut ticker)?;
            }
            Ok::<_, SimilarityError>(ticker.flush()?)
        })?;
        drop(plan);
        Ok(lists.into_sorted())
    }
}

impl Plan<'_> {
    /// Calls `cell(column, position)` or `list(position, item)` for each rating of the row.
    fn split(&self, a: u32, mut cell: impl FnMut(u32, usize), mut list: impl FnMut(usize, u32)) {
        let ratings = self.walk.ratings;
        let mut cells = 0;
        for (own, &item) in ratings.range(a).zip(ratings.row(a).0) {
            match &self.popular {
                Some(popular) if cells < popular.row_max => match popular.column(item) {
                    Some(column) => {
                        cell(column, own);
                        cells += 1;
                    }
                    None => list(own, item),
                },
                _ => list(own, item),
            }
        }
    }

    /// Additions for one row, and what they lead to.
    fn work(&self, a: u32) -> u64 {
        let pairs = u64::from(self.walk.ratings.len() - a - 1);
        let (mut cells, mut additions) = (0, 0);
        let inverted = self.walk.inverted;
        self.split(
            a,
            |_, _| cells += 1,
            |own, item| additions += inverted.list(own, item, false).len() as u64,
        );
        let columns = self.popular.as_ref();
        additions + columns.map_or(0, |popular| popular.work(cells, pairs)) + pairs / 2 + 1
    }

    /// All pairs of some rows with later entities.
    fn group<C: Control>(
        &self,
        scratches: &mut Scratches,
        group: &mut Group,
        rows: Range<u32>,
        ticker: &mut Ticker<'_, C>,
    ) -> Result<(), SimilarityError> {
        let entities = self.walk.ratings.len() as usize;
        self.prepare(group, rows.clone());
        let mut start = (rows.start as usize + 1) / self.block * self.block;
        while start < entities {
            let block = start..entities.min(start + self.block);
            self.load(group, block.clone());
            for i in 0..group.rows.len() {
                if group.rows[i].a as usize + 1 < block.end {
                    self.row(scratches, group, i, block.clone(), ticker)?;
                }
            }
            start = block.end;
        }
        Ok(())
    }

    fn prepare(&self, group: &mut Group, rows: Range<u32>) {
        group.rows.clear();
        group.cursors.clear();
        group.cells.clear();
        for a in rows {
            let (first_cursor, first_cell) = (group.cursors.len(), group.cells.len());
            let mut additions = 0;
            self.split(
                a,
                |column, own| group.cells.push((column, self.codes[own])),
                |own, item| {
                    let list = self.walk.inverted.list(own, item, false);
                    additions += list.len() as u64;
                    if !list.is_empty() {
                        group.cursors.push(Cursor { own, list });
                    }
                },
            );
            let cells = first_cell..group.cells.len();
            let pairs = u64::from(self.walk.ratings.len() - a);
            group.rows.push(Row {
                a,
                cursors: first_cursor..group.cursors.len(),
                sparse: cells.is_empty() && additions * SPARSE_FACTOR < pairs,
                cells,
            });
        }
    }

    /// The bars and sides of a block, with room to the end of its last tile.
    fn load(&self, group: &mut Group, block: Range<usize>) {
        let len = block.len().next_multiple_of(TILE);
        group.bars.clear();
        let bar = |b: usize| self.screen.bar(self.lists.bar(b as u32));
        group.bars.extend(block.clone().map(bar));
        group.bars.resize(len, 0.0);
        group.others.clear();
        if !self.walk.sides.is_empty() {
            group.others.extend_from_slice(&self.walk.sides[block]);
        }
        group.others.resize(len, 0.0);
        if self.popular.is_some() {
            group.sums.resize(len / TILE, [[0; TILE]; FIELDS]);
        }
    }

    fn row<C: Control>(
        &self,
        scratches: &mut Scratches,
        group: &mut Group,
        row: usize,
        block: Range<usize>,
        ticker: &mut Ticker<'_, C>,
    ) -> Result<(), SimilarityError> {
        match self.kernel {
            Kernel::Packed {
                lists,
                narrow,
                narrow_len,
                wide,
                ..
            } => match wide {
                Some(packed) if self.walk.ratings.range(group.rows[row].a).len() > *narrow_len => {
                    let kind = PackedWalk { packed, lists };
                    self.pairs(&kind, scratches.wide(), group, row, block, ticker)
                }
                _ => {
                    let packed = narrow;
                    let kind = PackedWalk { packed, lists };
                    self.pairs(&kind, scratches.narrow(), group, row, block, ticker)
                }
            },
            Kernel::Float(floats) => {
                self.pairs(floats, scratches.float(), group, row, block, ticker)
            }
        }
    }

    /// The pairs of one row with the entities of a block.
    fn pairs<K: Kind, C: Control>(
        &self,
        kind: &K,
        scratch: &mut Scratch<K::Slot>,
        group: &mut Group,
        row: usize,
        block: Range<usize>,
        ticker: &mut Ticker<'_, C>,
    ) -> Result<(), SimilarityError> {
        let row = &group.rows[row];
        let cursors = &mut group.cursors[row.cursors.clone()];
        let touched = row.sparse.then_some(&mut scratch.touched);
        let slots = &mut scratch.slots;
        accumulate(&self.walk, kind, cursors, slots, touched, block.end, ticker)?;
        let mut offers = Offers {
            plan: self,
            a: row.a,
            block: block.start,
            bars: &mut group.bars,
            error: None,
        };
        if row.sparse {
            let sink = &mut |lanes: &Lanes, ids: Ids<'_>, len: usize| {
                (0..len).for_each(|lane| offers.offer(lanes, lane, ids.get(lane)));
            };
            self.walk.finish_touched(kind, scratch, row.a, sink);
            return offers.error.map_or(Ok(()), Err);
        }
        // From the tile of the first later entity on.
        let first = (row.a as usize + 1).max(block.start) / TILE * TILE;
        let tiles = (block.end - first).div_ceil(TILE);
        let cells = &group.cells[row.cells.clone()];
        let mut sums = None;
        if let Some(popular) = self.popular.as_ref().filter(|_| !cells.is_empty()) {
            popular.add_up(cells, first / TILE, &mut group.sums[..tiles]);
            ticker.add(popular.work(cells.len() as u64, (tiles * TILE) as u64))?;
            sums = Some(&group.sums[..tiles]);
        }
        ticker.add((tiles * TILE) as u64 / 2)?;
        let side = self.walk.sides.get(row.a as usize).copied();
        simd::dispatch(Finish {
            kind,
            slots: &mut scratch.slots[first % BLOCK..][..tiles * TILE],
            lanes: &mut scratch.lanes,
            sums,
            others: &group.others[first - block.start..],
            own: Own {
                side: side.unwrap_or(0.0),
                step: self.walk.step,
            },
            first,
            offers: &mut offers,
            passed: &mut group.passed,
        });
        offers.error.map_or(Ok(()), Err)
    }
}

/// Puts a row's sums together, screens them, and offers what passes. Leaves the slots empty.
struct Finish<'a, 'b, K: Kind> {
    kind: &'a K,
    slots: &'a mut [K::Slot],
    lanes: &'a mut Lanes,
    sums: Option<&'a [Sums]>,
    others: &'a [f64],
    own: Own,
    /// The entity of the first slot.
    first: usize,
    offers: &'a mut Offers<'b>,
    passed: &'a mut Passed,
}

impl<K: Kind> simd::Kernel for Finish<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let plan = self.offers.plan;
        let bar = plan.screen.bar(plan.lists.bar(self.offers.a));
        let place = self.first - self.offers.block;
        let mut flags = [0; LANES];
        for (i, slots) in self.slots.chunks_mut(LANES).enumerate() {
            let (from, len) = (i * LANES, slots.len());
            self.kind.unpack(slots, &mut self.lanes.sums);
            slots.fill(K::ZERO);
            if let Some(sums) = self.sums {
                let fields = plan.walk.measure.fields();
                add_sums(&sums[from / TILE..], fields, len, &mut self.lanes.sums);
            }
            let bars = &self.offers.bars[place + from..][..len];
            let others = &self.others[from..][..len];
            let sides = (self.own, others);
            if plan
                .screen
                .pass(&self.lanes.sums, sides, (bar, bars), &mut flags)
            {
                let lanes = (&*self.lanes, others, self.first + from);
                self.offers.gather(lanes, &flags[..len], self.passed);
                if !self.passed.ids.is_empty() {
                    self.offers.take(self.kind, self.passed, self.own);
                }
            }
        }
    }
}

/// Adds the sums of tiles to those of their lanes.
#[inline(always)]
fn add_sums(tiles: &[Sums], fields: &[usize], len: usize, sums: &mut [[f64; LANES]; FIELDS]) {
    for &field in fields {
        for (sums, tile) in sums[field][..len].chunks_exact_mut(TILE).zip(tiles) {
            for (sum, &added) in sums.iter_mut().zip(&tile[field]) {
                *sum += f64::from(added);
            }
        }
    }
}

/// Adds every list's part below `block_end`.
fn accumulate<K: Kind, C: Control>(
    walk: &Walk<'_>,
    kind: &K,
    cursors: &mut [Cursor],
    slots: &mut [K::Slot; BLOCK],
    mut touched: Option<&mut Vec<u32>>,
    block_end: usize,
    ticker: &mut Ticker<'_, C>,
) -> Result<(), Stopped> {
    let entities = &walk.inverted.entities;
    let mut added = 0;
    for Cursor { own, list } in cursors {
        let len = below(&entities[list.clone()], block_end as u32);
        let part = list.start..list.start + len;
        if let Some(touched) = &mut touched {
            for &b in &entities[part.clone()] {
                if K::is_zero(&slots[b as usize % BLOCK]) {
                    touched.push(b);
                }
            }
        }
        kind.add(*own, part, slots);
        added += len as u64;
        list.start += len;
    }
    ticker.add(added)
}

/// How many of an ascending list are below `end`, in O(log of that).
fn below(list: &[u32], end: u32) -> usize {
    let mut step = 8;
    while list.get(step).is_some_and(|&b| b < end) {
        step *= 2;
    }
    let from = if step > 8 { step / 2 } else { 0 };
    let to = list.len().min(step);
    from + list[from..to].partition_point(|&b| b < end)
}

/// Where pairs of a row with entities of a block go.
struct Offers<'a> {
    plan: &'a Plan<'a>,
    a: u32,
    block: usize,
    bars: &'a mut [f64],
    error: Option<SimilarityError>,
}

impl Offers<'_> {
    /// Offers one evaluated pair to both lists, if it is to be kept.
    fn offer(&mut self, lanes: &Lanes, lane: usize, b: u32) {
        let (common, similarity) = (lanes.sums[N][lane], lanes.values[lane]);
        if !self.plan.keep.keeps(common, similarity) || self.error.is_some() {
            return;
        }
        let common = common as u32;
        for (entity, other) in [(self.a, b), (b, self.a)] {
            let neighbor = Neighbor {
                entity: other,
                common,
                similarity,
            };
            match self.plan.lists.offer(entity, neighbor) {
                Ok(Some(bar)) => {
                    let place = (entity as usize).checked_sub(self.block);
                    if let Some(place) = place.and_then(|place| self.bars.get_mut(place)) {
                        *place = self.plan.screen.bar(bar);
                    }
                }
                Ok(None) => {}
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Collects the flagged lanes that stand for later entities than the row's.
    #[inline(never)]
    fn gather(
        &mut self,
        (lanes, others, first): (&Lanes, &[f64], usize),
        flags: &[u8],
        passed: &mut Passed,
    ) {
        for (i, eight) in flags.chunks(8).enumerate() {
            if eight.iter().all(|&flag| flag == 0) {
                continue;
            }
            for (lane, _) in (i * 8..).zip(eight).filter(|(_, flag)| **flag != 0) {
                let b = (first + lane) as u32;
                if b <= self.a {
                    continue;
                }
                let to = passed.ids.len();
                for (to_sums, sums) in passed.lanes.sums.iter_mut().zip(&lanes.sums) {
                    to_sums[to] = sums[lane];
                }
                passed.lanes.other[to] = others[lane];
                passed.ids.push(b);
            }
        }
    }

    /// Evaluates the pairs that passed the screen and offers them.
    #[inline(never)]
    fn take<K: Kind>(&mut self, kind: &K, passed: &mut Passed, own: Own) {
        let len = passed.ids.len();
        let ids = Ids {
            first: 0,
            list: Some(&passed.ids),
        };
        evaluate(self.plan.walk.measure, &mut passed.lanes, len, own);
        kind.refine(self.a, &ids, &mut passed.lanes, len);
        for lane in 0..len {
            self.offer(&passed.lanes, lane, passed.ids[lane]);
        }
        passed.ids.clear();
    }
}
