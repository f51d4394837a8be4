//! Products with a sparse left operand.

use super::{Csr, Matrix, MatrixError, product::ProductLimits, product::Work};
use crate::{
    control::{Control, Stopped},
    par::Par,
};

/// Chunks that the rows are cut into at most; of the matrix alone, never of the threads.
const CHUNKS: usize = 64;
/// Rows of one chunk at least.
const CHUNK_ROWS: usize = 64;
/// Multiply-adds between two checkpoints, about a millisecond of scattered additions.
const STEP: u64 = 1 << 20;
/// Up to this many columns a row is summed in a dense buffer (16 bytes a column and thread);
/// above it by sorting its terms.
const DENSE_COLS: usize = 1 << 20;

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
    let mut data = vec![0.0; len];
    let chunk_rows = chunk_len(a.rows());
    let tiles = super::gemm::Tiles::new(&mut data, (a.rows(), n), (chunk_rows, n));
    par.try_map(tiles.len(), |chunk| {
        let Some(mut tile) = tiles.claim(chunk) else {
            return Ok(());
        };
        let mut steps = Steps::new(&work);
        for slot in slots_of_rows(a, tile.row, tile.row + tile.rows) {
            let (ids, values) = a.slot(slot);
            let out = tile.row_mut(a.slot_row(slot) - chunk * chunk_rows);
            for (&col, &x) in ids.iter().zip(values) {
                let row = &b.as_slice()[col as usize * n..][..n];
                out.iter_mut().zip(row).for_each(|(out, y)| *out += x * y);
                steps.add(n as u64)?;
            }
        }
        steps.finish()
    })?;
    drop(tiles);
    Ok(Matrix::from_parts(a.rows(), n, data))
}

/// `a * b`, both sparse, by Gustavson's row-wise method (ACM TOMS 4(3), 1978). O(multiply-adds)
/// time, `limits.elements` entries of result at most. Terms that cancel to 0 are not kept.
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
    let mut total = 0u64;
    for (_, ids, _) in a.iter_rows() {
        let terms = ids.iter().map(|&col| b.row_entries(col).0.len() as u64);
        total = total.saturating_add(terms.sum());
    }
    check_work(total, limits)?;
    let work = Work::new(control, total);
    let slots = chunk_len(a.slots());
    let chunks = par.try_map(a.slots().div_ceil(slots), |chunk| {
        let first = chunk * slots;
        sum_rows(a, b, first..a.slots().min(first + slots), limits, &work)
    })?;
    let count = chunks.iter().map(Vec::len).sum();
    out.check_entries(count, limits.elements)?;
    out.reserve(count);
    for (key, value) in chunks.into_iter().flatten() {
        out.push(key, value, 0.0);
    }
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
    b: &Csr,
    slots: std::ops::Range<usize>,
    limits: &ProductLimits,
    work: &Work<'_, C>,
) -> Result<Vec<(u64, f64)>, MatrixError> {
    let mut steps = Steps::new(work);
    let mut sums = RowSums::new(b.cols());
    let mut out = Vec::new();
    for slot in slots {
        let (ids, values) = a.slot(slot);
        for (&col, &x) in ids.iter().zip(values) {
            let (cols, ys) = b.row_entries(col);
            for (&col, &y) in cols.iter().zip(ys) {
                sums.add(col, x * y);
            }
            steps.add(cols.len() as u64)?;
        }
        let row = (a.slot_row(slot) as u64) << 32;
        sums.drain(|col, sum| {
            if sum != 0.0 {
                out.push((row | u64::from(col), sum));
            }
        });
        if out.len() > limits.elements {
            return Err(MatrixError::TooLarge {
                rows: out.len(),
                cols: 1,
                limit: limits.elements,
            });
        }
    }
    steps.finish()?;
    Ok(out)
}

/// The sums of one row by column.
enum RowSums {
    Dense {
        sums: Vec<f64>,
        seen: Vec<bool>,
        cols: Vec<u32>,
    },
    Sorted(Vec<(u32, f64)>),
}

impl RowSums {
    fn new(cols: usize) -> Self {
        if cols > DENSE_COLS {
            return Self::Sorted(Vec::new());
        }
        Self::Dense {
            sums: vec![0.0; cols],
            seen: vec![false; cols],
            cols: Vec::new(),
        }
    }

    fn add(&mut self, col: u32, term: f64) {
        match self {
            Self::Sorted(terms) => terms.push((col, term)),
            Self::Dense { sums, seen, cols } => {
                let at = col as usize;
                if !seen[at] {
                    seen[at] = true;
                    cols.push(col);
                }
                sums[at] += term;
            }
        }
    }

    /// Gives every sum, columns ascending, and is empty again.
    fn drain(&mut self, mut take: impl FnMut(u32, f64)) {
        match self {
            Self::Sorted(terms) => {
                // Stable: the terms of a column are added in the order they came.
                terms.sort_by_key(|t| t.0);
                for terms in terms.chunk_by(|a, b| a.0 == b.0) {
                    take(terms[0].0, terms.iter().map(|t| t.1).sum());
                }
                terms.clear();
            }
            Self::Dense { sums, seen, cols } => {
                cols.sort_unstable();
                for col in cols.drain(..) {
                    seen[col as usize] = false;
                    take(col, std::mem::take(&mut sums[col as usize]));
                }
            }
        }
    }
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
            m in 1usize..200, k in 1usize..40, n in 1usize..40, one_in in 1u64..20, seed: u64,
        ) {
            let (a, b) = (random(m, k, one_in, seed), random(k, n, one_in, !seed));
            let dense = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            let (sa, sb) = (Csr::from_dense(&a).unwrap(), Csr::from_dense(&b).unwrap());
            let mixed = csr_times_dense(&sa, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(&mixed, &dense);
            let sparse = csr_times_csr(&sa, &sb, &LIMITS, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(&sparse, &Csr::from_dense(&dense).unwrap());
        }

        #[test]
        fn sorted_and_dense_sums_are_the_same(
            terms in prop::collection::vec((0u32..50, -4i8..4), 0..200),
        ) {
            let mut sorted = RowSums::Sorted(Vec::new());
            let mut dense = RowSums::new(50);
            let mut totals = [Vec::new(), Vec::new()];
            for (col, term) in terms {
                sorted.add(col, f64::from(term));
                dense.add(col, f64::from(term));
            }
            sorted.drain(|c, s| totals[0].push((c, s)));
            dense.drain(|c, s| totals[1].push((c, s)));
            prop_assert_eq!(&totals[0], &totals[1]);
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
