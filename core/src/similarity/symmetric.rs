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
    chunks::cut,
    inverted::{BLOCK, Ids, Kind, SPARSE_FACTOR, Scratch, Walk},
    kernel::{Kernel, RowKind, Scratches},
    lists::Lists,
    measure::{FIELDS, Lanes, Measure, Own},
    meter::{Meter, Ticker},
    offers::{Finish, Offers, Passed, Takers},
    popular::{Popular, Sums, TILE},
    screen::Screen,
    select::Keep,
    spare::Spare,
};
use crate::{
    control::{Control, Stopped},
    par::Par,
    simd,
};

/// Rows that go over a block together.
const ROWS: u32 = 64;
/// Entities of a block where there are columns: those of a few hundred items stay in the cache.
const COLUMN_BLOCK: usize = 2048;

/// What all threads read.
struct Plan<'a> {
    walk: Walk<'a>,
    kernel: &'a Kernel<'a>,
    popular: Option<Popular>,
    /// Codes of all ratings, where there are columns.
    codes: &'a [u8],
    takers: Takers<'a>,
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
            takers: Takers {
                measure,
                lists: &lists,
                keep,
                screen: Screen::new(&self.options, self.step, refines),
            },
        };
        let (chunks, total) = cut((0..entities).map(|a| plan.work(a)));
        let meter = Meter::new(control, total);
        let spare = Spare::<(Scratches, Group)>::new();
        par.try_map(chunks.len(), |chunk| {
            let mut ticker = Ticker::new(&meter);
            let (mut scratches, mut group) = spare.take();
            let rows = chunks[chunk].clone();
            for first in rows.clone().step_by(ROWS as usize) {
                let rows = first..rows.end.min(first + ROWS);
                plan.group(&mut scratches, &mut group, rows, &mut ticker)?;
            }
            spare.give((scratches, group));
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
        let takers = &self.takers;
        let bar = |b: usize| takers.screen.bar(takers.lists.bar(b as u32));
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
        let len = self.walk.ratings.range(group.rows[row].a).len();
        match self.kernel.row_kind(len) {
            RowKind::Narrow(kind) => {
                self.pairs(&kind, scratches.narrow(), group, row, block, ticker)
            }
            RowKind::Wide(kind) => self.pairs(&kind, scratches.wide(), group, row, block, ticker),
            RowKind::Float(floats) => {
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
            takers: &self.takers,
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
        if let Some(touched) = &mut touched {
            let later = entities[list.clone()].iter();
            for &b in later.take_while(|b| (**b as usize) < block_end) {
                if K::is_zero(&slots[b as usize % BLOCK]) {
                    touched.push(b);
                }
            }
        }
        let len = kind.add_below(*own, list.clone(), block_end as u32, slots);
        list.start += len;
        added += len as u64;
    }
    ticker.add(added)
}
