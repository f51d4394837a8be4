//! Dense products.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Element, Matrix, MatrixError, checked_len,
    fresh::zeros,
    gemm::{Block, Tile, Tiles},
};
use crate::{
    control::{Control, Stopped},
    limits::Limits,
    par::Par,
};

/// Largest sides of a tile of a result that has more of both. Fewer columns cost nothing (half and
/// quarter columns measured the same as one call over the whole matrix), fewer rows do: 256 rows
/// 3 %, 128 rows 8 %.
const TILE_ROWS: usize = 1024;
const TILE_COLS: usize = 256;

/// Columns below which a tile is cut across its rows instead.
const TILE_COLS_MIN: usize = 128;

/// Inner dimension between two checkpoints: with the largest tile 2²⁸ multiply-adds, 5 ms at
/// 100 GFLOPS; the portable kernel is some ten times slower.
pub(super) const DEPTH: usize = if cfg!(feature = "native-gemm") {
    1024
} else {
    512
};

/// Multiply-adds below which a tile is not halved to make at least [`FEW`] of them: 20 to 40 µs of
/// work, several times what handing it to a thread costs.
const TILE_SMALL: usize = 1 << 20;
const FEW: usize = 4;

/// What one product may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductLimits {
    /// Elements of the result, count.
    pub elements: usize,
    /// Multiply-adds, count (one is two floating-point operations).
    pub multiply_adds: u64,
}

impl From<&Limits> for ProductLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            elements: limits.matrix_elements,
            multiply_adds: limits.matrix_flops,
        }
    }
}

impl Default for ProductLimits {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

impl ProductLimits {
    /// The length of an `m` x `n` result of inner dimension `k`, when the limits allow it.
    pub(super) fn check(&self, m: usize, k: usize, n: usize) -> Result<usize, MatrixError> {
        let len = checked_len(m, n, self.elements)?;
        let work = (len as u64).saturating_mul(k as u64);
        if work > self.multiply_adds {
            return Err(MatrixError::TooMuchWork {
                multiply_adds: work,
                limit: self.multiply_adds,
            });
        }
        Ok(len)
    }
}

/// `a * b`. O(rows(a)·cols(a)·cols(b)) time; the result and some 10 MB a thread of packed copies.
///
/// Equal to the bit for any [`Par`] in one build on one processor; see the
/// [module](super) for the tolerance between them. A result too large for the type becomes
/// infinite.
///
/// ```
/// use sommos_core::{control::Unstoppable, matrix::{Matrix, ProductLimits, multiply}, par::Par};
/// let a = Matrix::from_rows(&[[1.0, 2.0], [3.0, 4.0]], 100)?;
/// let b = Matrix::from_rows(&[[5.0, 6.0], [7.0, 8.0]], 100)?;
/// let c = multiply(&a, &b, &ProductLimits::default(), Par::Seq, &Unstoppable)?;
/// assert_eq!(c.to_rows(), [[19.0, 22.0], [43.0, 50.0]]);
/// # Ok::<(), sommos_core::matrix::MatrixError>(())
/// ```
///
/// # Errors
/// [`MatrixError::ShapeMismatch`], [`MatrixError::TooLarge`], [`MatrixError::TooMuchWork`],
/// [`MatrixError::Stopped`].
pub fn multiply<T: Element>(
    a: &Matrix<T>,
    b: &Matrix<T>,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<Matrix<T>, MatrixError> {
    check_shapes(a, b)?;
    let len = limits.check(a.rows(), a.cols(), b.cols())?;
    let mut out = Matrix::from_parts(a.rows(), b.cols(), zeros(len));
    fill(a, b, &mut out, par, control)?;
    Ok(out)
}

/// [`multiply`] into a matrix that exists, whose old values do not matter: for repeated products
/// of one shape, which then touch no fresh memory. After an error `out` holds anything.
///
/// # Errors
/// [`MatrixError::ShapeMismatch`], [`MatrixError::OutputShape`], [`MatrixError::TooMuchWork`],
/// [`MatrixError::Stopped`].
pub fn multiply_into<T: Element>(
    a: &Matrix<T>,
    b: &Matrix<T>,
    out: &mut Matrix<T>,
    limits: &ProductLimits,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<(), MatrixError> {
    check_shapes(a, b)?;
    if (out.rows(), out.cols()) != (a.rows(), b.cols()) {
        return Err(MatrixError::OutputShape {
            rows: out.rows(),
            cols: out.cols(),
            expected_rows: a.rows(),
            expected_cols: b.cols(),
        });
    }
    limits.check(a.rows(), a.cols(), b.cols())?;
    Ok(fill(a, b, out, par, control)?)
}

fn check_shapes<T: Element>(a: &Matrix<T>, b: &Matrix<T>) -> Result<(), MatrixError> {
    if a.cols() == b.rows() {
        return Ok(());
    }
    Err(MatrixError::ShapeMismatch {
        left_rows: a.rows(),
        left_cols: a.cols(),
        right_rows: b.rows(),
        right_cols: b.cols(),
    })
}

/// Sides of the tiles of an `m` x `n` result: of the shape alone, never of the threads. Thin ones
/// are longer, so that a row stays whole (a quarter of a row at a time takes 1 x 1000 by 1000 x
/// 1000 twice as long) and the right side is packed seldom.
fn tile_shape(m: usize, k: usize, n: usize) -> (usize, usize) {
    let area = TILE_ROWS * TILE_COLS;
    let mut cols = n.min(area / m.clamp(1, TILE_ROWS));
    let most = m.min(area / cols.max(1)).max(1);
    // As even as can be.
    let mut rows = m.div_ceil(m.div_ceil(most));
    loop {
        let tiles = m.div_ceil(rows) * n.div_ceil(cols);
        let half = rows * cols / 2 * k.min(DEPTH);
        if tiles >= FEW || half < TILE_SMALL {
            return (rows, cols);
        }
        if cols >= 2 * TILE_COLS_MIN {
            cols = cols.div_ceil(2);
        } else if rows > 1 {
            rows = rows.div_ceil(2);
        } else {
            return (rows, cols);
        }
    }
}

fn fill<T: Element>(
    a: &Matrix<T>,
    b: &Matrix<T>,
    out: &mut Matrix<T>,
    par: Par,
    control: &(impl Control + ?Sized),
) -> Result<(), Stopped> {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let work = Work::new(control, (m * n) as u64 * k as u64);
    work.go_on()?;
    let fill_tile = |tile: &mut Tile<'_, T>| {
        for (p, depth) in depths(k) {
            let left = Block::new(a.as_slice(), tile.row * k + p, tile.rows, depth, k);
            let right = Block::new(b.as_slice(), p * n + tile.col, depth, tile.cols, n);
            tile.product(left, right, p > 0);
            work.advance(tile, depth)?;
        }
        Ok(())
    };
    let shape = tile_shape(m, k, n);
    if shape == (m, n) {
        return fill_tile(&mut Tile::whole(out.as_mut_slice(), m, n));
    }
    let tiles = Tiles::new(out.as_mut_slice(), (m, n), shape);
    let claim_and_fill = |index| match tiles.claim(index) {
        Some(mut tile) => fill_tile(&mut tile),
        None => Ok(()),
    };
    par.try_map(tiles.len(), claim_and_fill).map(drop)
}

/// `(start, length)` of the slices of the inner dimension.
pub(super) fn depths(k: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..k).step_by(DEPTH).map(move |p| (p, DEPTH.min(k - p)))
}

/// Multiply-adds done, over all threads, and the way to say so.
pub(super) struct Work<'a, C: ?Sized> {
    control: &'a C,
    done: AtomicU64,
    total: u64,
}

impl<'a, C: Control + ?Sized> Work<'a, C> {
    pub(super) fn new(control: &'a C, total: u64) -> Self {
        Self {
            control,
            done: AtomicU64::new(0),
            total,
        }
    }

    pub(super) fn go_on(&self) -> Result<(), Stopped> {
        self.add(0)
    }

    pub(super) fn advance<T>(&self, tile: &Tile<'_, T>, depth: usize) -> Result<(), Stopped> {
        self.add((tile.rows * tile.cols * depth) as u64)
    }

    pub(super) fn add(&self, work: u64) -> Result<(), Stopped> {
        let done = self.done.fetch_add(work, Ordering::Relaxed) + work;
        self.control.checkpoint(done.min(self.total), self.total)
    }
}

#[cfg(test)]
mod tests;
