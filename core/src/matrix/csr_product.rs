//! Products with a sparse left operand.

use super::{
    Csr, Matrix, MatrixError,
    add_rows::add_rows,
    csr::ByRow,
    few_sums::{FEW, FewSums},
    fresh::zeros,
    product::{ProductLimits, Work},
    row_sums::RowSums,
    tiles::{Tile, Tiles},
};
use crate::{
    control::{Control, Stopped},
    par::Par,
    simd::{Kernel, dispatch},
};

/// Chunks that the rows are cut into at most; of the matrix alone, never of the threads.
const CHUNKS: usize = 64;
/// Rows of one chunk at least.
const CHUNK_ROWS: usize = 64;
/// Multiply-adds between two checkpoints, about a millisecond of scattered additions.
const STEP: u64 = 1 << 20;
/// Rows of a right side that are asked for before their turn.
const AHEAD: usize = 12;
/// Entries that a result gets room for before it is computed, at most: 200 MB, touched when written.
const ROOM: usize = 1 << 24;

/// `a * b` with `a` sparse. O(entries(a)·cols(b)) time.
///
/// # Errors
/// [`MatrixError::ShapeMismatch`], [`MatrixError::TooLarge`], [`MatrixError::TooMuchWork`],
/// [`MatrixError::Stopped`].
pub fn csr_times_dense(
    a: &Csr,
    b: &Matrix<f64>,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<Matrix<f64>, MatrixError> {
    check_shapes(a, (b.rows(), b.cols()))?;
    let n = b.cols();
    let len = super::checked_len(a.rows(), n, limits.elements)?;
    let total = (a.entries() as u64).saturating_mul(n as u64);
    check_work(total, limits)?;
    let work = Work::new(control, total);
    let mut data = zeros::<f64>(len);
    let chunk_rows = chunk_len(a.rows());
    let tiles = Tiles::new(&mut data, (a.rows(), n), (chunk_rows, n));
    par.try_map(tiles.len(), |chunk| {
        let Some(tile) = tiles.claim(chunk) else {
            return Ok(());
        };
        let steps = Steps::new(&work);
        dispatch(RowsTimesDense { a, b, tile, steps })
    })?;
    drop(tiles);
    Ok(Matrix::from_parts(a.rows(), n, data))
}

/// The rows of one tile, zeroed before, in the order of the entries: the same bits for every width
/// of vectors.
struct RowsTimesDense<'a, 'c, C: ?Sized> {
    a: &'a Csr,
    b: &'a Matrix<f64>,
    tile: Tile<'a, f64>,
    steps: Steps<'a, 'c, C>,
}

impl<C: Control + ?Sized> Kernel for RowsTimesDense<'_, '_, C> {
    type Output = Result<(), Stopped>;

    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let (n, b) = (self.b.cols(), self.b.as_slice());
        // Entries between two checkpoints, in whole groups of four.
        let piece = (STEP as usize / n / 4).max(1) * 4;
        let first = self.tile.row;
        let slots = slots_of_rows(self.a, first, first + self.tile.rows);
        let rows = self.a.iter_slots(slots);
        let out = self.tile.full_rows_mut();
        if n == 1 {
            // Sums in registers: through memory each addition would wait for the store before it.
            for (row, ids, values) in rows {
                let mut sum = 0.0;
                for (ids, values) in pieces(ids, values, piece) {
                    for (&id, &x) in ids.iter().zip(values) {
                        sum += x * b[id as usize];
                    }
                    self.steps.add(ids.len() as u64)?;
                }
                out[row - first] = sum;
            }
        } else {
            for (row, ids, values) in rows {
                let out = &mut out[(row - first) * n..][..n];
                for (ids, values) in pieces(ids, values, piece) {
                    let ids_of_rows = ids.iter().map(|&id| id as usize);
                    add_rows(out, values, ids_of_rows, b, (0, n));
                    self.steps.add((ids.len() * n) as u64)?;
                }
            }
        }
        self.steps.finish()
    }
}

/// A row in pieces of `len` entries at most. Not `chunks`, whose divisions would cost more than a
/// short row.
#[inline(always)]
fn pieces<'a>(
    mut ids: &'a [u32],
    mut values: &'a [f64],
    len: usize,
) -> impl Iterator<Item = (&'a [u32], &'a [f64])> {
    std::iter::from_fn(move || {
        if ids.is_empty() {
            return None;
        }
        let (now, later) = ids.split_at(len.min(ids.len()));
        ids = later;
        let (these, others) = values.split_at(now.len());
        values = others;
        Some((now, these))
    })
}

/// `a * b`, both sparse, by Gustavson's row-wise method (ACM TOMS 4(3), 1978). O(multiply-adds)
/// time, `limits.elements` entries of result at most; 8 bytes a column and thread up to 2^20 columns,
/// and in one thread (but not in wasm) 12 bytes for each of at most 2^24 entries that there could be,
/// given back in the end. Terms that cancel to 0 are not kept.
///
/// # Errors
/// [`MatrixError::ShapeMismatch`], [`MatrixError::TooLarge`], [`MatrixError::TooMuchWork`],
/// [`MatrixError::Stopped`].
pub fn csr_times_csr(
    a: &Csr,
    b: &Csr,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<Csr, MatrixError> {
    check_shapes(a, (b.rows(), b.cols()))?;
    let mut out = Csr::new(a.rows(), b.cols())?;
    let rows = b.by_row();
    let mut total = 0u64;
    for (_, ids, _) in a.iter_rows() {
        let terms = ids.iter().map(|&col| rows.get(col).0.len() as u64);
        total = total.saturating_add(terms.sum());
    }
    check_work(total, limits)?;
    let work = Work::new(control, total);
    // Each chunk clears a place a column: not more chunks than pay for that with as many terms.
    let most = usize::try_from(total / b.cols() as u64).unwrap_or(usize::MAX);
    let alone = par.threads() == 1;
    let slots = match alone {
        // Nothing to share out, and then nothing to put together.
        true => a.slots().max(1),
        false => chunk_len(a.slots()).max(a.slots().div_ceil(most.max(1))),
    };
    // Where untouched memory costs nothing, room for all at once: growing moves it again and again.
    let room = match alone && !cfg!(target_arch = "wasm32") {
        true => most_entries(a, b, total).min(limits.elements).min(ROOM),
        false => 0,
    };
    let mut chunks = par.try_map(a.slots().div_ceil(slots), |chunk| {
        let first = chunk * slots;
        let slots = first..a.slots().min(first + slots);
        sum_rows(a, &rows, (slots, room), limits, &work)
    })?;
    let count = chunks.iter().map(Csr::entries).sum();
    out.check_entries(count, limits.elements)?;
    if let [_] = chunks[..] {
        out = chunks.remove(0);
        out.shrink();
        return Ok(out);
    }
    out.reserve(count);
    chunks.iter().for_each(|rows| out.append(rows));
    out.shrink();
    Ok(out)
}

fn check_shapes(a: &Csr, (right_rows, right_cols): (usize, usize)) -> Result<(), MatrixError> {
    if a.cols() == right_rows {
        return Ok(());
    }
    Err(MatrixError::ShapeMismatch {
        left_rows: a.rows(),
        left_cols: a.cols(),
        right_rows,
        right_cols,
    })
}

fn check_work(multiply_adds: u64, limits: &ProductLimits) -> Result<(), MatrixError> {
    let limit = limits.multiply_adds;
    if multiply_adds <= limit {
        return Ok(());
    }
    Err(MatrixError::TooMuchWork {
        multiply_adds,
        limit,
    })
}

/// Entries of `a * b` at most, which takes so many multiply-adds.
fn most_entries(a: &Csr, b: &Csr, multiply_adds: u64) -> usize {
    let places = a.slots().saturating_mul(b.cols());
    usize::try_from(multiply_adds).map_or(places, |terms| terms.min(places))
}

fn chunk_len(rows: usize) -> usize {
    rows.div_ceil(CHUNKS).max(CHUNK_ROWS)
}

/// The slots of the non-empty rows in `from..to`.
fn slots_of_rows(a: &Csr, from: usize, to: usize) -> std::ops::Range<usize> {
    let first_at_least = |row: usize| {
        let (mut low, mut high) = (0, a.slots());
        while low < high {
            let mid = low + (high - low) / 2;
            if a.slot_row(mid) < row {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        low
    };
    first_at_least(from)..first_at_least(to)
}

fn sum_rows<C: Control + ?Sized>(
    a: &Csr,
    b: &ByRow<'_>,
    (slots, room): (std::ops::Range<usize>, usize),
    limits: &ProductLimits,
    work: &Work<'_, C>,
) -> Result<Csr, MatrixError> {
    let mut steps = Steps::new(work);
    let mut few = FewSums::new();
    let mut many = RowSums::new(b.csr().cols());
    let mut out = Csr::new(a.rows(), b.csr().cols())?;
    out.reserve(room);
    for slot in slots {
        let (ids, values) = a.slot(slot);
        let ahead = a.cols_ahead(slot, AHEAD).iter();
        ahead.take(ids.len()).for_each(|&col| b.prefetch(col));
        let terms: usize = ids.iter().map(|&col| b.get(col).0.len()).sum();
        if terms <= FEW {
            for (&col, &x) in ids.iter().zip(values) {
                let (cols, ys) = b.get(col);
                few.add(cols, ys, x);
            }
            steps.add(terms as u64)?;
            few.drain(|col, sum| out.push_in_row(col, sum));
        } else {
            for (&col, &x) in ids.iter().zip(values) {
                let (cols, ys) = b.get(col);
                many.add(cols, ys, x);
                steps.add(cols.len() as u64)?;
            }
            many.drain(|col, sum| out.push_in_row(col, sum));
        }
        out.end_row(a.slot_row(slot) as u32);
        // A row end that overflowed within the row goes with the error.
        out.check_entries(out.entries(), limits.elements)?;
    }
    steps.finish()?;
    Ok(out)
}

/// Counts small pieces of work and asks the control once in [`STEP`].
struct Steps<'a, 'c, C: ?Sized> {
    work: &'a Work<'c, C>,
    pending: u64,
}

impl<'a, 'c, C: Control + ?Sized> Steps<'a, 'c, C> {
    fn new(work: &'a Work<'c, C>) -> Self {
        Self { work, pending: 0 }
    }

    fn add(&mut self, work: u64) -> Result<(), Stopped> {
        self.pending += work;
        if self.pending < STEP {
            return Ok(());
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<(), Stopped> {
        self.work.add(std::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{control::Unstoppable, matrix::multiply, rng::Rng};

    const LIMITS: ProductLimits = ProductLimits {
        elements: 1 << 22,
        multiply_adds: 1 << 30,
    };

    fn random(rows: usize, cols: usize, one_in: u64, seed: u64) -> Matrix<f64> {
        let mut rng = Rng::new(seed);
        let data = (0..rows * cols).map(|_| match rng.below(one_in) {
            0 => rng.below(7) as f64 - 3.0,
            _ => 0.0,
        });
        Matrix::from_vec(rows, cols, data.collect(), usize::MAX).unwrap()
    }

    proptest! {
        #[test]
        fn sparse_products_equal_the_dense_one(
            m in 1usize..200, k in 1usize..40, n in prop_oneof![1usize..2, 1usize..40],
            one_in in 1u64..20, seed: u64,
        ) {
            let (a, b) = (random(m, k, one_in, seed), random(k, n, one_in, !seed));
            let dense = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            let (sa, sb) = (Csr::from_dense(&a).unwrap(), Csr::from_dense(&b).unwrap());
            let mixed = csr_times_dense(&sa, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(&mixed, &dense);
            let sparse = csr_times_csr(&sa, &sb, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(&sparse, &Csr::from_dense(&dense).unwrap());
        }
    }

    #[test]
    fn entries_come_in_any_order_and_the_last_counts() {
        let entries = [
            (1, 2, 5.0),
            (0, 0, 1.0),
            (1, 2, 7.0),
            (2, 1, 3.0),
            (2, 1, 0.0),
        ];
        let csr = Csr::from_entries(3, 3, &entries, 10).unwrap();
        assert_eq!(csr.entries(), 2);
        assert_eq!(
            (csr.get(1, 2), csr.get(2, 1), csr.get(9, 9)),
            (Some(7.0), None, None)
        );
        assert!(matches!(
            Csr::from_entries(3, 3, &[(3, 0, 1.0)], 10),
            Err(MatrixError::OutOfRange { row: 3, .. })
        ));
        assert!(matches!(
            Csr::from_entries(3, 3, &entries, 4),
            Err(MatrixError::TooLarge { limit: 4, .. })
        ));
    }

    #[test]
    fn limits_hold() {
        let a = Csr::from_dense(&random(100, 30, 2, 1)).unwrap();
        let b = Csr::from_dense(&random(30, 100, 2, 2)).unwrap();
        let run = |elements, multiply_adds| {
            let limits = ProductLimits {
                elements,
                multiply_adds,
            };
            csr_times_csr(&a, &b, &limits, Par::Seq, &Unstoppable)
        };
        assert!(matches!(
            run(500, u64::MAX),
            Err(MatrixError::TooLarge { limit: 500, .. })
        ));
        assert!(matches!(
            run(1 << 20, 10),
            Err(MatrixError::TooMuchWork { limit: 10, .. })
        ));
        let mismatch = csr_times_csr(&a, &a, &LIMITS, Par::Seq, &Unstoppable);
        assert!(matches!(mismatch, Err(MatrixError::ShapeMismatch { .. })));
    }
}
