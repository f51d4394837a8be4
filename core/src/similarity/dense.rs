//! Where most pairs have much in common, lists are a detour: the ratings of 32 entities of an item
//! lie side by side, a byte each, and a row adds all of them to the sums of 32 pairs at once, in
//! 16-bit integers that are widened before they could overflow. The sums, and so the results, are
//! the same to the bit as those of the sparse walk.

use super::{
    measure::{FIELDS, LANES, Lanes, Measure, N, Own, SX, SXX, SXY, SY, SYY, evaluate},
    ratings::Ratings,
};
use crate::simd;

/// Entities side by side.
const TILE: usize = 32;
/// Largest code: its square times a few dozen fits in 16 bits.
const CODE_MAX: u8 = 31;
/// Largest matrix, bytes.
pub(super) const BYTES_MAX: usize = 64 << 20;
/// One addition of a sparse walk costs as much as this many cells (measured with AVX-512).
const CELLS_PER_ADDITION: u64 = 8;

/// Code + 1 by tile of entities, item and entity; 0 where there is no rating.
#[derive(Debug)]
pub(super) struct Dense {
    cells: Vec<u8>,
    items: usize,
    /// Items whose squares sum up in 16 bits.
    flush: usize,
}

/// Whether a walk over `row_len` items is cheaper by cells than by `work` additions.
pub(super) fn pays(row_len: usize, pairs: u64, work: u64) -> bool {
    row_len as u64 * pairs < work * CELLS_PER_ADDITION
}

impl Dense {
    /// `None` where the matrix would be large, or the codes are.
    pub(super) fn new(ratings: &Ratings, codes: &[u8], code_max: u8) -> Option<Self> {
        let items = ratings.items_len() as usize;
        let tiles = (ratings.len() as usize).div_ceil(TILE);
        let bytes = tiles.checked_mul(items)?.checked_mul(TILE)?;
        if code_max > CODE_MAX || bytes > BYTES_MAX {
            return None;
        }
        let mut cells = vec![0; bytes];
        for a in 0..ratings.len() as usize {
            let range = ratings.range(a as u32);
            for (&item, &code) in ratings.columns()[range.clone()].iter().zip(&codes[range]) {
                cells[(a / TILE * items + item as usize) * TILE + a % TILE] = code + 1;
            }
        }
        let square = usize::from(code_max).pow(2).max(1);
        Some(Self {
            cells,
            items,
            flush: usize::from(u16::MAX) / square,
        })
    }
}

/// The pairs of one row with up to [`LANES`] entities from `first` on.
pub(super) struct DenseFinish<'a> {
    pub(super) dense: &'a Dense,
    pub(super) items: &'a [u32],
    pub(super) codes: &'a [u8],
    pub(super) first: usize,
    pub(super) len: usize,
    pub(super) measure: Measure,
    pub(super) own: Own,
    pub(super) lanes: &'a mut Lanes,
}

impl DenseFinish<'_> {
    /// Lanes from `first` to the end of its last whole tile: as many as one call can do.
    pub(super) fn lanes_from(first: usize) -> usize {
        LANES - first % TILE
    }
}

impl simd::Kernel for DenseFinish<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let sums = &mut self.lanes.sums;
        let skip = self.first % TILE;
        for (i, start) in (0..skip + self.len).step_by(TILE).enumerate() {
            let tile = self.first / TILE + i;
            let cells = &self.dense.cells[tile * self.dense.items * TILE..];
            for sums in sums.iter_mut() {
                sums[start..start + TILE].fill(0.0);
            }
            let items = self.items.chunks(self.dense.flush);
            for (items, codes) in items.zip(self.codes.chunks(self.dense.flush)) {
                let added = add(cells, items, codes);
                for (sums, added) in sums.iter_mut().zip(&added) {
                    for (sum, &value) in sums[start..start + TILE].iter_mut().zip(added) {
                        *sum += f64::from(value);
                    }
                }
            }
        }
        if skip > 0 {
            for sums in sums.iter_mut() {
                sums.copy_within(skip.., 0);
            }
        }
        if matches!(
            self.measure,
            Measure::Euclidean | Measure::EuclideanDistance
        ) {
            let [_, _, _, sxx, syy, last] = &mut *sums;
            let squares = sxx.iter().zip(syy.iter());
            for (last, (xx, yy)) in last.iter_mut().zip(squares).take(self.len) {
                // Σ(x - y)² takes the place of Σxy: all are integers, so this is exact.
                *last = xx + yy - 2.0 * *last;
            }
        }
        evaluate(self.measure, self.lanes, self.len, self.own);
    }
}

/// The sums of one tile over some items of the row.
#[inline(always)]
fn add(cells: &[u8], items: &[u32], codes: &[u8]) -> [[u16; TILE]; FIELDS] {
    let mut n = [0u16; TILE];
    let mut sx = [0u16; TILE];
    let mut sy = [0u16; TILE];
    let mut sxx = [0u16; TILE];
    let mut syy = [0u16; TILE];
    let mut sxy = [0u16; TILE];
    for (&item, &code) in items.iter().zip(codes) {
        let x = u16::from(code);
        let start = item as usize * TILE;
        let Some(cells) = cells.get(start..start + TILE) else {
            continue;
        };
        for lane in 0..TILE {
            let cell = u16::from(cells[lane]);
            let rated = cell.min(1);
            let y = cell - rated;
            n[lane] += rated;
            sx[lane] += x * rated;
            sy[lane] += y;
            sxx[lane] += x * x * rated;
            syy[lane] += y * y;
            sxy[lane] += x * y;
        }
    }
    let mut sums = [[0; TILE]; FIELDS];
    (sums[N], sums[SX], sums[SY]) = (n, sx, sy);
    (sums[SXX], sums[SYY], sums[SXY]) = (sxx, syy, sxy);
    sums
}
