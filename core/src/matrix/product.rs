//! Dense products.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    Element, Matrix, MatrixError, checked_len,
    gemm::{Block, Right, Shape},
    tiles::{Fresh, FreshTile, FreshTiles, Tile},
};
use crate::{
    control::{Control, Stopped},
    limits::Limits,
    par::Par,
};

/// Elements of a tile of a result at most.
const TILE_AREA: usize = if cfg!(feature = "native-gemm") {
    1 << 19
} else {
    1 << 18
};
/// Rows of a tile at most, when it is cut across its columns: fewer rows cost more (256 rows 3 %,
/// 128 rows 8 %), fewer columns nothing.
const TILE_ROWS: usize = 1024;
/// Columns of a tile at most, when it is cut across its rows.
const TILE_COLS: usize = 1024;
/// A tile of a copied right side begins at a multiple of this many columns, which no copy cuts.
const PANEL: usize = 32;
/// Columns, or rows, below which a tile is cut the other way.
const TILE_COLS_MIN: usize = 128;
const TILE_ROWS_MIN: usize = 64;

/// Inner dimension between two checkpoints: with the largest tile 2²⁹ multiply-adds, 10 ms at
/// 100 GFLOPS, or 2²⁷ of the portable kernel, which is some ten times slower.
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

/// `a * b`. O(rows(a)·cols(a)·cols(b)) time; the result and some 10 MB a thread and up to twice `b` for copies.
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
    let mut out = Fresh::new(len);
    let factors = Factors::new(a, b, par, control)?;
    factors.fill(&out.tiles(factors.shape(), factors.tile_shape(par)), par)?;
    Ok(Matrix::from_parts(a.rows(), b.cols(), out.into_written()))
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
    let factors = Factors::new(a, b, par, control)?;
    let (shape, tile) = (factors.shape(), factors.tile_shape(par));
    let tiles = FreshTiles::over(out.as_mut_slice(), shape, tile);
    Ok(factors.fill(&tiles, par)?)
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

/// Sides of the tiles of an `m` x `n` result: of the shape alone, never of the threads; but for one
/// row, which has the same bits however it is cut, and waits for memory rather than arithmetic: for
/// two threads smaller tiles pay, for one they would take a quarter longer.
///
/// A kernel that copied the right side before reads it best as long as it is, so the cut goes
/// across rows; else each tile copies its columns of it, and the cut goes across them. Thin ones
/// are longer, so that a row stays whole (a quarter of a row at a time takes 1 x 1000 by 1000 x
/// 1000 twice as long).
fn tile_shape(m: usize, k: usize, n: usize, packed: bool, one_row_shared: bool) -> (usize, usize) {
    let small = if one_row_shared {
        TILE_SMALL / 4
    } else {
        TILE_SMALL
    };
    let mut cols = n.min(if packed {
        TILE_COLS
    } else {
        TILE_AREA / m.clamp(1, TILE_ROWS)
    });
    let most = m.min(TILE_AREA / cols.max(1)).max(1);
    // As even as can be.
    let mut rows = m.div_ceil(m.div_ceil(most));
    loop {
        let tiles = m.div_ceil(rows) * n.div_ceil(cols);
        let half = rows * cols / 2 * k.min(DEPTH);
        if tiles >= FEW || half < small {
            return (rows, cols);
        }
        let (wide, high) = (cols >= 2 * TILE_COLS_MIN, rows >= 2 * TILE_ROWS_MIN);
        if wide && !(packed && high) {
            cols = cols
                .div_ceil(2)
                .next_multiple_of(if packed { PANEL } else { 1 });
        } else if rows > 1 {
            rows = rows.div_ceil(2);
        } else {
            return (rows, cols);
        }
    }
}

/// What is multiplied.
struct Factors<'a, T: Element, C: ?Sized> {
    a: &'a Matrix<T>,
    b: &'a Matrix<T>,
    /// Of `b`, where the kernel wants one.
    packed: Option<T::Packed>,
    work: Work<'a, C>,
}

impl<'a, T: Element, C: Control + ?Sized> Factors<'a, T, C> {
    fn new(a: &'a Matrix<T>, b: &'a Matrix<T>, par: Par, control: &'a C) -> Result<Self, Stopped> {
        let (m, k, n) = (a.rows(), a.cols(), b.cols());
        let work = Work::new(control, (m * n) as u64 * k as u64);
        work.go_on()?;
        let packed = T::pack(Shape { m, k, n }, b.as_slice(), par);
        Ok(Self { a, b, packed, work })
    }

    /// Of the result.
    fn shape(&self) -> (usize, usize) {
        (self.a.rows(), self.b.cols())
    }

    fn tile_shape(&self, par: Par) -> (usize, usize) {
        let (m, n) = self.shape();
        let one_row_shared = m == 1 && par.threads() > 1;
        tile_shape(m, self.a.cols(), n, self.packed.is_some(), one_row_shared)
    }

    fn fill(&self, tiles: &FreshTiles<'_, T>, par: Par) -> Result<(), Stopped> {
        let slices = match &self.packed {
            Some(packed) => T::slices(packed),
            None => depths(self.a.cols()).collect(),
        };
        let claim_and_fill = |index| match tiles.claim(index) {
            Some(tile) => self.fill_tile(tile, &slices),
            None => Ok(()),
        };
        if tiles.len() == 1 {
            // Not worth handing to another thread.
            return claim_and_fill(0);
        }
        par.try_map(tiles.len(), claim_and_fill).map(drop)
    }

    fn fill_tile(&self, tile: FreshTile<'_, T>, slices: &[(usize, usize)]) -> Result<(), Stopped> {
        let (row, col, rows, cols) = tile.place();
        let (k, n) = (self.a.cols(), self.b.cols());
        let left = |p, depth| Block::new(self.a.as_slice(), row * k + p, rows, depth, k);
        let right = |p, depth| match &self.packed {
            Some(side) => Right::Packed { side, p, col },
            None => Right::Lies(Block::new(self.b.as_slice(), p * n + col, depth, cols, n)),
        };
        let Some((&(p, depth), rest)) = slices.split_first() else {
            return Ok(());
        };
        let Some(mut tile) = tile.into_product(left(p, depth), right(p, depth)) else {
            return Ok(());
        };
        self.work.advance(&tile, depth)?;
        for &(p, depth) in rest {
            tile.product(left(p, depth), right(p, depth), true);
            self.work.advance(&tile, depth)?;
        }
        Ok(())
    }
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
