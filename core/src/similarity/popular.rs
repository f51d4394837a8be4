//! Items that many rated, as columns of bytes: where a row walks lists for its rare items, it adds
//! these up 64 entities at a time. All sums are integers, so the way does not show in a result.

use super::{
    dense::BYTES_MAX,
    inverted::Inverted,
    measure::{FIELDS, Measure, N, SDD, SX, SXX, SXY, SY, SYY},
    ratings::Ratings,
};
use crate::simd;

/// Entities side by side.
pub(super) const TILE: usize = 64;
/// Largest code: its square times a few dozen fits in 16 bits.
const CODE_MAX: u8 = 31;
/// One addition to a list's slots costs about as much as this many cells of one sum with AVX-512
/// (an estimate: the way taken does not show in a result).
const CELLS_PER_ADDITION: u64 = 48;
/// Most items with columns: those of 64 entities stay in the first-level cache.
const WIDTH_MAX: usize = 512;

/// Code + 1 by tile of entities, column and entity; 0 where there is no rating.
pub(super) struct Popular {
    /// By item; `u32::MAX` for those that have none.
    columns: Vec<u32>,
    width: usize,
    cells: Vec<u8>,
    /// Most columns that one row may use: so many squares sum up in 16 bits.
    pub(super) row_max: usize,
    measure: Measure,
}

impl Popular {
    /// Columns for the items for which they pay. Bounded by 64 MiB, the most popular first.
    pub(super) fn new(
        ratings: &Ratings,
        inverted: &Inverted,
        (codes, code_max): (&[u8], u8),
        measure: Measure,
    ) -> Option<Self> {
        let count = |item: u32| inverted.starts[item as usize + 1] - inverted.starts[item as usize];
        let gain = CELLS_PER_ADDITION / measure.fields().len() as u64;
        let pays = |item: &u32| u64::from(count(*item)) * gain > u64::from(ratings.len());
        let mut items: Vec<u32> = (0..ratings.items_len()).filter(pays).collect();
        items.sort_by_key(|&item| (core::cmp::Reverse(count(item)), item));
        let tiles = (ratings.len() as usize).div_ceil(TILE);
        items.truncate((BYTES_MAX / (tiles * TILE).max(1)).min(WIDTH_MAX));
        if code_max > CODE_MAX || items.is_empty() {
            return None;
        }
        let width = items.len();
        let mut columns = vec![u32::MAX; ratings.items_len() as usize];
        for (column, &item) in (0..).zip(&items) {
            columns[item as usize] = column;
        }
        let mut cells = vec![0; tiles * width * TILE];
        for a in 0..ratings.len() as usize {
            let range = ratings.range(a as u32);
            for (&item, &code) in ratings.columns()[range.clone()].iter().zip(&codes[range]) {
                let column = columns[item as usize] as usize;
                if column < width {
                    cells[(a / TILE * width + column) * TILE + a % TILE] = code + 1;
                }
            }
        }
        let square = usize::from(code_max).pow(2).max(1);
        Some(Self {
            columns,
            width,
            cells,
            row_max: usize::from(u16::MAX) / square,
            measure,
        })
    }

    /// The column of an item.
    pub(super) fn column(&self, item: u32) -> Option<u32> {
        let column = self.columns.get(item as usize).copied();
        column.filter(|&column| column != u32::MAX)
    }

    /// What so many columns cost over so many entities, in additions.
    pub(super) fn work(&self, columns: u64, entities: u64) -> u64 {
        columns * entities * self.measure.fields().len() as u64 / CELLS_PER_ADDITION
    }

    /// Sums over the columns of a row (column and own code) for the tiles from `tile` on, as many
    /// as `sums` has room for.
    pub(super) fn add_up(&self, row: &[(u32, u8)], tile: usize, sums: &mut [Sums]) {
        simd::dispatch(AddUp {
            popular: self,
            row,
            tile,
            sums,
        });
    }
}

/// The sums of one tile, by field.
pub(super) type Sums = [[u16; TILE]; FIELDS];

struct AddUp<'a> {
    popular: &'a Popular,
    row: &'a [(u32, u8)],
    tile: usize,
    sums: &'a mut [Sums],
}

impl simd::Kernel for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        const fn bits(fields: &[usize]) -> u8 {
            let (mut bits, mut i) = (0, 0);
            while i < fields.len() {
                bits |= 1 << fields[i];
                i += 1;
            }
            bits
        }
        match self.popular.measure {
            Measure::Pearson => self.tiles::<{ bits(&[N, SX, SY, SXX, SYY, SXY]) }, false>(),
            Measure::Cosine => self.tiles::<{ bits(&[N, SXX, SYY, SXY]) }, false>(),
            Measure::CosineZeroFilled => self.tiles::<{ bits(&[N, SXY]) }, false>(),
            Measure::Jaccard => self.tiles::<{ bits(&[N]) }, false>(),
            Measure::Euclidean | Measure::EuclideanDistance => {
                self.tiles::<{ bits(&[N, SDD]) }, true>();
            }
        }
    }
}

impl AddUp<'_> {
    #[inline(always)]
    fn tiles<const FIELD_BITS: u8, const DISTANCE: bool>(self) {
        let width = self.popular.width * TILE;
        for (sums, cells) in
            (self.sums.iter_mut()).zip(self.popular.cells.chunks_exact(width).skip(self.tile))
        {
            add::<FIELD_BITS, DISTANCE>(cells, self.row, sums);
        }
    }
}

/// The sums of one tile: those of the fields in `FIELD_BITS`.
#[inline(always)]
fn add<const FIELD_BITS: u8, const DISTANCE: bool>(
    cells: &[u8],
    row: &[(u32, u8)],
    sums: &mut Sums,
) {
    let has = |field: usize| FIELD_BITS & (1 << field) != 0;
    let [mut n, mut sx, mut sy] = [[0u16; TILE]; 3];
    let [mut sxx, mut syy, mut last] = [[0u16; TILE]; 3];
    for &(column, code) in row {
        let x = u16::from(code);
        let start = column as usize * TILE;
        let Some(cells) = cells.get(start..start + TILE) else {
            continue;
        };
        for lane in 0..TILE {
            let rated = cells[lane].min(1);
            let y = u16::from(cells[lane] - rated);
            let rated = u16::from(rated);
            n[lane] += rated;
            if has(SX) {
                sx[lane] += x * rated;
            }
            if has(SY) {
                sy[lane] += y;
            }
            if has(SXX) {
                sxx[lane] += x * x * rated;
            }
            if has(SYY) {
                syy[lane] += y * y;
            }
            if DISTANCE {
                let difference = x.abs_diff(y) * rated;
                last[lane] += difference * difference;
            } else if has(SXY) {
                last[lane] += x * y;
            }
        }
    }
    let fields = [
        (N, n),
        (SX, sx),
        (SY, sy),
        (SXX, sxx),
        (SYY, syy),
        (SXY, last),
    ];
    for (field, added) in fields {
        if has(field) {
            sums[field] = added;
        }
    }
}
