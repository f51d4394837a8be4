//! The one place that calls a product kernel, and the tiles that it writes.
//!
//! Natively (feature `native-gemm`) the kernel is the `gemm` crate with its AVX-512 paths, picked
//! at run time: of gemm, faer and matrixmultiply it was the fastest or within 1 % of it at every
//! size from 64 to 2048 in both precisions. Elsewhere it is [`panel`](super::panel).
#![allow(unsafe_code)]

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicBool, Ordering},
};

use super::add_rows::add_rows;
use crate::simd::{self, dispatch};

/// Products of at most this many multiply-adds take plain loops: a kernel's packing and dispatch
/// cost more (measured: 8 x 8 x 8 is even, 4 x 4 x 4 is three times faster here).
const SMALL: usize = 256;

/// Elements of one row of a result that are summed at once.
const ROW_PIECE: usize = 2048;

/// What a kernel needs of a number.
pub trait Kernel:
    Copy
    + Send
    + Sync
    + PartialEq
    + PartialOrd
    + std::fmt::Debug
    + std::ops::Mul<Output = Self>
    + std::ops::AddAssign
    + sealed::Gemm
    + 'static
{
    /// 0.
    const ZERO: Self;
}

impl Kernel for f32 {
    const ZERO: Self = 0.0;
}

impl Kernel for f64 {
    const ZERO: Self = 0.0;
}

mod sealed {
    /// One product on raw parts. Not nameable outside, which seals `Element`.
    pub trait Gemm: Sized {
        /// `c = a * b`, or `c += a * b`, in the calling thread.
        ///
        /// Not for use outside of this module.
        ///
        /// # Safety
        /// `c` must be valid for writes of `m` rows of `n` elements `c_stride` apart, and nobody
        /// else may use those elements meanwhile; `a` must be valid for reads at
        /// `row * strides.0 + col * strides.1` for `m` x `k`, `b` likewise for `k` x `n`.
        #[doc(hidden)]
        unsafe fn product_raw(
            shape: super::Shape,
            c: (*mut Self, usize),
            a: (*const Self, usize, usize),
            b: (*const Self, usize, usize),
            accumulate: bool,
        );
    }
}

struct RowProduct<'a, T> {
    out: &'a mut [T],
    a: Block<'a, T>,
    b: Block<'a, T>,
}

impl<T: Kernel> simd::Kernel for RowProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let factors = &self.a.data[..self.a.cols];
        // Pieces of the result that stay in the first-level cache.
        for (piece, out) in self.out.chunks_mut(ROW_PIECE).enumerate() {
            let place = (piece * ROW_PIECE, self.b.row_stride);
            add_rows(out, factors, 0..factors.len(), self.b.data, place);
        }
    }
}

/// Rows of the result, inner dimension, columns of the result.
#[derive(Clone, Copy)]
pub struct Shape {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
}

macro_rules! impl_gemm {
    ($type:ty, $panel:literal, $simd128:ident) => {
        impl sealed::Gemm for $type {
            #[cfg(feature = "native-gemm")]
            unsafe fn product_raw(
                Shape { m, k, n }: Shape,
                (c, c_stride): (*mut Self, usize),
                (a, a_rows, a_cols): (*const Self, usize, usize),
                (b, b_rows, b_cols): (*const Self, usize, usize),
                accumulate: bool,
            ) {
                // SAFETY: the caller's contract is that of `gemm`, whose strides come as column
                // stride first. Slices are at most isize::MAX bytes, so strides inside one fit.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        c,
                        1,
                        c_stride as isize,
                        accumulate,
                        a,
                        a_cols as isize,
                        a_rows as isize,
                        b,
                        b_cols as isize,
                        b_rows as isize,
                        1.0,
                        1.0,
                        false,
                        false,
                        false,
                        gemm::Parallelism::None,
                    );
                }
            }

            #[cfg(not(feature = "native-gemm"))]
            unsafe fn product_raw(
                shape: Shape,
                c: (*mut Self, usize),
                a: (*const Self, usize, usize),
                b: (*const Self, usize, usize),
                accumulate: bool,
            ) {
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                let block = super::simd128::$simd128;
                #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
                let block = super::panel::block;
                // SAFETY: the caller's contract is that of `panel::product`.
                unsafe { super::panel::product::<Self, $panel>(shape, c, a, b, accumulate, block) }
            }
        }
    };
}

impl_gemm!(f32, 8, block_f32);
impl_gemm!(f64, 4, block_f64);

/// A rectangle of a slice, with strides; every index inside is checked once, on construction.
#[derive(Clone, Copy)]
pub(super) struct Block<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Block<'a, T> {
    /// `rows` x `cols` of a row-major matrix `stride` wide, from element `start` on. An empty
    /// block when that is not inside `data`.
    pub(super) fn new(
        data: &'a [T],
        start: usize,
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        let last = rows
            .checked_sub(1)
            .and_then(|r| r.checked_mul(stride))
            .and_then(|r| r.checked_add(cols));
        let data = data.get(start..).unwrap_or_default();
        if cols == 0 || last.is_none_or(|last| last > data.len()) {
            debug_assert!(false, "block outside its matrix");
            return Self {
                data: &[],
                rows: 0,
                cols: 0,
                row_stride: 0,
                col_stride: 0,
            };
        }
        Self {
            data,
            rows,
            cols,
            row_stride: stride,
            col_stride: 1,
        }
    }

    /// The same elements with rows and columns exchanged; costs nothing.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A row-major matrix cut into rectangles that threads write at the same time, each at most once.
pub(super) struct Tiles<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    tile_rows: usize,
    tile_cols: usize,
    claimed: Vec<AtomicBool>,
    _data: PhantomData<&'a mut [T]>,
}

// SAFETY: a shared `Tiles` only hands out tiles, each once (`claimed`), and tiles do not overlap;
// so sharing it sends disjoint `&mut [T]` to threads, which is sound when T: Send.
unsafe impl<T: Send> Sync for Tiles<'_, T> {}
// SAFETY: it is a `&mut [T]` with bookkeeping.
unsafe impl<T: Send> Send for Tiles<'_, T> {}

impl<'a, T> Tiles<'a, T> {
    /// `data` must hold `rows * cols` elements, or there are no tiles.
    pub(super) fn new(
        data: &'a mut [T],
        (rows, cols): (usize, usize),
        (tile_rows, tile_cols): (usize, usize),
    ) -> Self {
        let fits = rows.checked_mul(cols) == Some(data.len()) && tile_rows > 0 && tile_cols > 0;
        debug_assert!(fits, "tiles of a matrix of another shape");
        let (rows, cols) = if fits { (rows, cols) } else { (0, 0) };
        let (tile_rows, tile_cols) = (tile_rows.max(1), tile_cols.max(1));
        let tiles = rows.div_ceil(tile_rows) * cols.div_ceil(tile_cols);
        Self {
            data: data.as_mut_ptr(),
            rows,
            cols,
            tile_rows,
            tile_cols,
            claimed: (0..tiles).map(|_| AtomicBool::new(false)).collect(),
            _data: PhantomData,
        }
    }

    /// How many there are, row by row.
    pub(super) fn len(&self) -> usize {
        self.claimed.len()
    }

    /// Tiles in one row of tiles.
    pub(super) fn across(&self) -> usize {
        self.cols.div_ceil(self.tile_cols)
    }

    /// Tile `index`, the first time it is asked for.
    pub(super) fn claim(&self, index: usize) -> Option<Tile<'_, T>> {
        // Relaxed: the flag guards against a second claim only; what a tile holds travels to the
        // caller with the join of the threads.
        if self.claimed.get(index)?.swap(true, Ordering::Relaxed) {
            return None;
        }
        let row = index / self.across() * self.tile_rows;
        let col = index % self.across() * self.tile_cols;
        Some(Tile {
            // SAFETY: row < rows and col < cols, since index < tiles; so the offset is inside
            // `data`, which holds rows * cols elements (checked in `new`).
            data: unsafe { self.data.add(row * self.cols + col) },
            row,
            col,
            rows: self.tile_rows.min(self.rows - row),
            cols: self.tile_cols.min(self.cols - col),
            stride: self.cols,
            _tiles: PhantomData,
        })
    }
}

/// A rectangle that its holder alone may use.
pub(super) struct Tile<'a, T> {
    data: *mut T,
    /// First row in the matrix.
    pub(super) row: usize,
    /// First column in the matrix.
    pub(super) col: usize,
    /// Rows of this tile.
    pub(super) rows: usize,
    /// Columns of this tile.
    pub(super) cols: usize,
    stride: usize,
    _tiles: PhantomData<&'a mut [T]>,
}

impl<'a, T> Tile<'a, T> {
    /// All of a matrix; an empty tile when `data` does not hold `rows * cols` elements.
    pub(super) fn whole(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        let fits = rows.checked_mul(cols) == Some(data.len());
        debug_assert!(fits, "a tile of a matrix of another shape");
        Self {
            data: data.as_mut_ptr(),
            row: 0,
            col: 0,
            rows: if fits { rows } else { 0 },
            cols,
            stride: cols,
            _tiles: PhantomData,
        }
    }

    /// Row `row` of the tile; empty outside.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [T] {
        if row >= self.rows {
            return &mut [];
        }
        // SAFETY: the tile is `rows` rows of `cols` elements, `stride` apart, inside the matrix;
        // it was handed out once and `&mut self` makes this the only view of it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.stride), self.cols) }
    }
}

impl<T: Kernel> Tile<'_, T> {
    /// `self = a * b`, or `self += a * b`. Shapes must fit; otherwise nothing happens.
    pub(super) fn product(&mut self, a: Block<'_, T>, b: Block<'_, T>, accumulate: bool) {
        let (m, k, n) = (self.rows, a.cols, self.cols);
        if a.rows != m || b.rows != k || b.cols != n {
            debug_assert!(false, "blocks of other shapes than the tile");
            return;
        }
        if m * n * k <= SMALL {
            return self.small_product(a, b, accumulate);
        }
        let lies_in_rows = a.col_stride == 1 && b.col_stride == 1;
        // The portable kernel reads `b` as it lies anyway.
        if cfg!(feature = "native-gemm") && m == 1 && lies_in_rows {
            return self.row_product(a, b, accumulate);
        }
        // SAFETY: `self` is m x n, exclusively ours; `a` is m x k and `b` k x n inside their
        // slices, as `Block::new` checked.
        unsafe {
            T::product_raw(
                Shape { m, k, n },
                (self.data, self.stride),
                (a.data.as_ptr(), a.row_stride, a.col_stride),
                (b.data.as_ptr(), b.row_stride, b.col_stride),
                accumulate,
            );
        }
    }

    /// One row by a matrix, which is read once, as it lies: nothing to pack. The `gemm` crate's own
    /// kernel for it reads a row of `b` at a time and reached 0.9 of this.
    fn row_product(&mut self, a: Block<'_, T>, b: Block<'_, T>, accumulate: bool) {
        let out = self.row_mut(0);
        if !accumulate {
            out.fill(T::ZERO);
        }
        dispatch(RowProduct { out, a, b });
    }

    fn small_product(&mut self, a: Block<'_, T>, b: Block<'_, T>, accumulate: bool) {
        for row in 0..self.rows {
            for (col, out) in self.row_mut(row).iter_mut().enumerate() {
                let mut sum = if accumulate { *out } else { T::ZERO };
                for p in 0..a.cols {
                    sum += a.data[row * a.row_stride + p * a.col_stride]
                        * b.data[p * b.row_stride + col * b.col_stride];
                }
                *out = sum;
            }
        }
    }
}
