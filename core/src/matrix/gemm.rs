//! The one place that calls a product kernel.
//!
//! Natively (feature `native-gemm`) that is [`avx512`](super::avx512) where the processor has it;
//! else [`avx2`](super::avx2) for what is large enough, and the `gemm` crate. Elsewhere it is
//! [`panel`](super::panel).
#![allow(unsafe_code)]

use super::add_rows::add_rows;
use crate::{
    par::Par,
    simd::{self, dispatch},
};

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
        /// A right side copied for the kernel.
        #[doc(hidden)]
        type Packed: Send + Sync;

        /// A copy of the row-major `b`, where that pays and the kernel wants one.
        #[doc(hidden)]
        fn pack(shape: super::Shape, b: &[Self], par: super::Par) -> Option<Self::Packed>;

        /// First row and rows of the slices that a copy is used in.
        #[doc(hidden)]
        fn slices(packed: &Self::Packed) -> Vec<(usize, usize)>;

        /// `c = a * b`, or `c += a * b`, with the columns from `b.2` on of the slice of the copy
        /// whose first row is `b.1`. False when it has no such part, or not as many rows
        /// as `shape.k`.
        ///
        /// # Safety
        /// As [`product_raw`](Self::product_raw).
        #[doc(hidden)]
        unsafe fn product_packed(
            shape: super::Shape,
            c: (*mut Self, usize),
            a: (*const Self, usize, usize),
            b: (&Self::Packed, usize, usize),
            accumulate: bool,
        ) -> bool;

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
            #[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
            type Packed = super::avx512::Packed<Self>;
            #[cfg(not(all(feature = "native-gemm", target_arch = "x86_64")))]
            type Packed = std::convert::Infallible;

            fn pack(shape: Shape, b: &[Self], par: Par) -> Option<Self::Packed> {
                #[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
                return Self::Packed::new(shape, b, par);
                #[cfg(not(all(feature = "native-gemm", target_arch = "x86_64")))]
                {
                    let _reads_it_as_it_lies = (shape, b, par);
                    None
                }
            }

            fn slices(packed: &Self::Packed) -> Vec<(usize, usize)> {
                #[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
                return packed.slices().collect();
                #[cfg(not(all(feature = "native-gemm", target_arch = "x86_64")))]
                match *packed {}
            }

            #[cfg_attr(
                not(all(feature = "native-gemm", target_arch = "x86_64")),
                allow(unused_variables)
            )]
            unsafe fn product_packed(
                Shape { m, k, n }: Shape,
                c: (*mut Self, usize),
                a: (*const Self, usize, usize),
                (packed, p, col): (&Self::Packed, usize, usize),
                accumulate: bool,
            ) -> bool {
                #[cfg(all(feature = "native-gemm", target_arch = "x86_64"))]
                {
                    let block = packed.block(p, (col, n));
                    let Some(block) = block.filter(|block| block.rows() == k) else {
                        return false;
                    };
                    // SAFETY: the caller's contract; a copy is only made where the processor can.
                    unsafe { super::avx512::product_packed(m, c, a, block, accumulate) };
                    true
                }
                #[cfg(not(all(feature = "native-gemm", target_arch = "x86_64")))]
                match *packed {}
            }

            #[cfg(feature = "native-gemm")]
            unsafe fn product_raw(
                Shape { m, k, n }: Shape,
                (c, c_stride): (*mut Self, usize),
                (a, a_rows, a_cols): (*const Self, usize, usize),
                (b, b_rows, b_cols): (*const Self, usize, usize),
                accumulate: bool,
            ) {
                #[cfg(target_arch = "x86_64")]
                if super::avx512::available() {
                    // SAFETY: the caller's contract is that of `avx512::product`.
                    return unsafe {
                        super::avx512::product(
                            Shape { m, k, n },
                            (c, c_stride),
                            (a, a_rows, a_cols),
                            (b, b_rows, b_cols),
                            accumulate,
                        )
                    };
                }
                #[cfg(target_arch = "x86_64")]
                if super::avx2::suits(Shape { m, k, n }) {
                    // SAFETY: the caller's contract is that of `avx2::product`.
                    return unsafe {
                        super::avx2::product(
                            Shape { m, k, n },
                            (c, c_stride),
                            (a, a_rows, a_cols),
                            (b, b_rows, b_cols),
                            accumulate,
                        )
                    };
                }
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

/// The right side of a product, or some of it.
pub(super) enum Right<'a, T: Kernel> {
    /// As it lies.
    Lies(Block<'a, T>),
    /// The columns from `col` on, as many as the result has, of the slice of a copy whose first row
    /// is `p`.
    Packed {
        side: &'a T::Packed,
        p: usize,
        col: usize,
    },
}

/// `c = a * b`, or `c += a * b`. Shapes must fit; otherwise nothing happens and it says so.
///
/// # Safety
/// `c` must be valid for writes of `rows` rows of `cols` elements, `stride` apart, that nobody else
/// uses meanwhile; to accumulate they must have been written.
pub(super) unsafe fn product<T: Kernel>(
    (c, rows, cols, stride): (*mut T, usize, usize, usize),
    a: Block<'_, T>,
    b: Right<'_, T>,
    accumulate: bool,
) -> bool {
    let shape @ Shape { m, k, n } = Shape {
        m: rows,
        k: a.cols,
        n: cols,
    };
    let left = (a.data.as_ptr(), a.row_stride, a.col_stride);
    let b = match b {
        Right::Lies(b) => b,
        Right::Packed { side, p, col } => {
            // SAFETY: the caller's contract; `a` is m x k, as `Block::new` checked.
            let fits = a.rows == m
                && unsafe {
                    T::product_packed(shape, (c, stride), left, (side, p, col), accumulate)
                };
            debug_assert!(fits, "a part of another shape than the tile");
            return fits;
        }
    };
    if a.rows != m || b.rows != k || b.cols != n {
        debug_assert!(false, "blocks of other shapes than the tile");
        return false;
    }
    // SAFETY: `c` is m x n, exclusively ours; `a` is m x k and `b` k x n inside their slices, as
    // `Block::new` checked.
    unsafe {
        if m * n * k <= SMALL {
            small_product((c, stride), a, b, accumulate);
            return true;
        }
        let lies_in_rows = a.col_stride == 1 && b.col_stride == 1;
        // The portable kernel reads `b` as it lies anyway.
        if cfg!(feature = "native-gemm") && m == 1 && lies_in_rows {
            if !accumulate {
                (0..n).for_each(|col| c.add(col).write(T::ZERO));
            }
            row_product(std::slice::from_raw_parts_mut(c, n), a, b);
            return true;
        }
        T::product_raw(
            shape,
            (c, stride),
            left,
            (b.data.as_ptr(), b.row_stride, b.col_stride),
            accumulate,
        );
    }
    true
}

/// One row by a matrix, which is read once, as it lies: nothing to pack. The `gemm` crate's own
/// kernel for it reads a row of `b` at a time and reached 0.9 of this.
fn row_product<T: Kernel>(out: &mut [T], a: Block<'_, T>, b: Block<'_, T>) {
    dispatch(RowProduct { out, a, b });
}

/// # Safety
/// As [`product`], whose shapes fit.
unsafe fn small_product<T: Kernel>(
    (c, stride): (*mut T, usize),
    a: Block<'_, T>,
    b: Block<'_, T>,
    accumulate: bool,
) {
    for row in 0..a.rows {
        for col in 0..b.cols {
            // SAFETY: row < rows and col < cols of the result.
            let out = unsafe { c.add(row * stride + col) };
            // SAFETY: as above; it was written when it is accumulated to.
            let mut sum = if accumulate { unsafe { *out } } else { T::ZERO };
            for p in 0..a.cols {
                sum += a.data[row * a.row_stride + p * a.col_stride]
                    * b.data[p * b.row_stride + col * b.col_stride];
            }
            // SAFETY: as above.
            unsafe { out.write(sum) };
        }
    }
}
