//! The product for processors with AVX-512: blocks of 14 rows by two vectors held in registers, the
//! sides read where they lie unless that would throw them out of the cache.
//!
//! Structure: Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS
//! 34(3), 2008. Other than there the left side's rows are broadcast as they lie, which needs no
//! transposed copy of them; and a result is never read before it is written.
#![allow(unsafe_code)]

mod block;
mod pack;
mod packed;
mod vector;

pub(super) use self::packed::{Packed, PackedBlock};
use self::{
    block::{Blocks, FEW_ROWS, Operands, ROWS},
    pack::{pack_left, pack_right},
    vector::{F32x8, F32x16, F64x4, F64x8, Vector},
};
use super::{
    copies::{LINE, Strided, with_copies},
    gemm::Shape,
};

/// Numbers of a row of the left side that are used at once, so that those of a block stay in the
/// second-level cache beside the right side's.
const DEPTH: usize = 1024;
/// Up to this depth writing a result whose rows collide costs more than computing it, and blocks of
/// few rows, which the first-level cache can hold, are better.
const SHALLOW: usize = 128;
/// Bytes of a row of the right side that are packed at once.
const WIDTH_BYTES: usize = 8192;
/// A right side of so many bytes stays in the second-level cache as it lies.
const FITS: usize = 512 << 10;
/// Rows of the left side up to which packing the right one costs more than it saves.
const SELDOM: usize = 28;
/// The same for a right side whose rows are at most [`SHORT`] bytes.
const SELDOM_SHORT: usize = 64;
const SHORT: usize = 512;

/// Where rows of the left side are copied to, and how far apart, when they are.
type CopyOfRows<T> = Option<(*mut T, usize)>;

/// A number with registers for it. Not nameable outside.
pub trait Lanes: Copy + Send + Sync + 'static {
    type Wide: Vector<Scalar = Self>;
    /// Half as wide, for results of no more columns than that.
    type Narrow: Vector<Scalar = Self>;
}

impl Lanes for f32 {
    type Wide = F32x16;
    type Narrow = F32x8;
}

impl Lanes for f64 {
    type Wide = F64x8;
    type Narrow = F64x4;
}

/// Whether this processor has what [`product`] needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
}

/// `c = a * b` or `c += a * b`.
///
/// # Safety
/// [`available`] must hold. `c` is writable for `m` rows of `n` elements `c.1` apart and used by
/// nobody else; `a` and `b` are readable at `row * strides.0 + col * strides.1` for `m` x `k` and
/// `k` x `n`.
pub(super) unsafe fn product<T: Lanes>(
    shape: Shape,
    c: (*mut T, usize),
    a: Strided<T>,
    b: Strided<T>,
    accumulate: bool,
) {
    if shape.m == 0 || shape.k == 0 || shape.n == 0 {
        return;
    }
    // SAFETY: the caller's contract.
    unsafe {
        if shape.n <= T::Narrow::LANES {
            blocked::<T::Narrow>(shape, c, a, b, accumulate);
        } else {
            blocked::<T::Wide>(shape, c, a, b, accumulate);
        }
    }
}

/// Whether rows so far apart share sets of the first-level cache, which then cannot hold those of
/// a block: their distance is near a multiple of 4 KiB.
fn collide<T>(stride: usize) -> bool {
    (stride * size_of::<T>() + LINE) % 4096 < 2 * LINE
}

/// Distance of copied rows: an odd number of lines, so that no two rows of a block share a set.
fn left_stride<T>(depth: usize) -> usize {
    ((depth * size_of::<T>()).div_ceil(LINE) | 1) * LINE / size_of::<T>()
}

/// Numbers of the inner dimension that are taken at once; slices as even as can be.
fn slice_depth(k: usize) -> usize {
    k.div_ceil(k.div_ceil(DEPTH))
}

/// Whether the rows of a block of the left side are copied for an `m` x `n` result.
fn packs_left<V: Vector>((m, n): (usize, usize), (_, rows, cols): Strided<V::Scalar>) -> bool {
    cols != 1 || n > 4 * V::LANES && m > 3 && collide::<V::Scalar>(rows)
}

/// Whether the right side is copied.
fn packs_right<V: Vector>(Shape { m, k, n }: Shape, (_, rows, cols): Strided<V::Scalar>) -> bool {
    let bytes = rows * size_of::<V::Scalar>();
    let apart = !collide::<V::Scalar>(rows);
    let reads_it = cols == 1
        && (n <= 2 * V::LANES
            || m <= FEW_ROWS
            || m <= SELDOM && apart
            || m <= SELDOM_SHORT && bytes <= SHORT
            || k * bytes <= FITS && apart);
    !reads_it
}

/// What is copied, and how much at once.
struct Plan {
    /// Numbers of the inner dimension.
    depth: usize,
    /// Columns of the result.
    width: usize,
    /// Whether rows of the left side are copied, for one block at a time.
    pack_left: bool,
    /// Whether the right side is copied, two vectors wide.
    pack_right: bool,
    /// Distance of copied rows of the left side.
    left_stride: usize,
    /// Columns of a copied panel of the right side.
    panel: usize,
}

impl Plan {
    fn new<V: Vector>(
        shape @ Shape { m, k, n }: Shape,
        a: Strided<V::Scalar>,
        b: Strided<V::Scalar>,
    ) -> Self {
        let depth = slice_depth(k);
        Self {
            depth,
            width: n.min(WIDTH_BYTES / size_of::<V::Scalar>()),
            pack_left: packs_left::<V>((m, n), a),
            pack_right: packs_right::<V>(shape, b),
            left_stride: left_stride::<V::Scalar>(depth),
            panel: 2 * V::LANES,
        }
    }

    /// Elements of the copies: left, right.
    fn scratch(&self) -> (usize, usize) {
        let left = ROWS * self.left_stride;
        let right = self.width.next_multiple_of(self.panel) * self.depth;
        (
            if self.pack_left { left } else { 0 },
            if self.pack_right { right } else { 0 },
        )
    }
}

/// # Safety
/// As [`product`], with no side of 0.
unsafe fn blocked<V: Vector>(
    shape: Shape,
    c: (*mut V::Scalar, usize),
    a: Strided<V::Scalar>,
    b: Strided<V::Scalar>,
    accumulate: bool,
) {
    let plan = Plan::new::<V>(shape, a, b);
    let Shape { m, k, n } = shape;
    with_copies(plan.scratch(), |(left_copy, right_copy)| {
        for p in (0..k).step_by(plan.depth) {
            let depth = plan.depth.min(k - p);
            for col in (0..n).step_by(plan.width) {
                let width = plan.width.min(n - col);
                // SAFETY: p < k and col < n; the copies are as large as the plan says.
                unsafe {
                    let mut right = (b.0.add(p * b.1 + col * b.2), b.1, plan.panel);
                    if plan.pack_right {
                        pack_right::<V>(right_copy, (right.0, b.1, b.2), depth, width);
                        right = (right_copy, plan.panel, depth * plan.panel);
                    }
                    let a = (a.0.add(p * a.2), a.1, a.2);
                    let c = (c.0.add(col), c.1);
                    let left_copy = plan.pack_left.then_some((left_copy, plan.left_stride));
                    let accumulate = accumulate || p > 0;
                    rows_of_blocks::<V>((m, depth, width), c, (a, left_copy), right, accumulate);
                }
            }
        }
    });
}

/// `c = a * b` or `c += a * b` with some columns of a right side that was copied before.
///
/// # Safety
/// As [`product`].
pub(super) unsafe fn product_packed<T: Lanes>(
    m: usize,
    c: (*mut T, usize),
    a: Strided<T>,
    b: PackedBlock<'_, T>,
    accumulate: bool,
) {
    let (depth, width) = (b.rows(), b.cols());
    let stride = left_stride::<T>(depth);
    let pack_left = packs_left::<T::Wide>((m, width), a);
    let scratch = if pack_left { ROWS * stride } else { 0 };
    with_copies((scratch, 0), |(left_copy, _)| {
        let left_copy = pack_left.then_some((left_copy, stride));
        let shape = (m, depth, width);
        // SAFETY: the caller's contract; the panels hold the block's rows and columns.
        unsafe { rows_of_blocks::<T::Wide>(shape, c, (a, left_copy), b.layout(), accumulate) }
    });
}

/// Columns of the result for one slice of the inner dimension. The left side comes with the place
/// for a copy of a block's rows, when one is to be made.
///
/// # Safety
/// As [`product`]; `right` as [`row_of_blocks`].
unsafe fn rows_of_blocks<V: Vector>(
    (m, depth, width): (usize, usize, usize),
    c: (*mut V::Scalar, usize),
    (a, copy): (Strided<V::Scalar>, CopyOfRows<V::Scalar>),
    right: (*const V::Scalar, usize, usize),
    accumulate: bool,
) {
    let shallow = depth <= SHALLOW && width >= 4 * V::LANES && collide::<V::Scalar>(c.1);
    let most = if shallow { FEW_ROWS } else { ROWS };
    // As even as can be.
    let blocks = m.div_ceil(most);
    for index in 0..blocks {
        let row = index * m / blocks;
        let rows = (index + 1) * m / blocks - row;
        // SAFETY: row < m; the copy holds the rows of a block.
        unsafe {
            let mut left = (a.0.add(row * a.1), a.1);
            if let Some(copy) = copy {
                pack_left(copy, (left.0, a.1, a.2), rows, depth);
                left = (copy.0, copy.1);
            }
            let c = (c.0.add(row * c.1), c.1);
            row_of_blocks::<V>((rows, depth, width), c, left, right, accumulate);
        }
    }
}

/// Up to [`ROWS`] rows of the result. Of the right side comes where its numbers lie, the distance of
/// its rows, and that of its pairs of vectors.
///
/// # Safety
/// As [`product`].
unsafe fn row_of_blocks<V: Vector>(
    (rows, depth, width): (usize, usize, usize),
    (c, c_stride): (*mut V::Scalar, usize),
    a: (*const V::Scalar, usize),
    (b, b_stride, b_pair): (*const V::Scalar, usize, usize),
    accumulate: bool,
) {
    let operands = |col: usize, last: usize| Operands::<V> {
        depth,
        a,
        b: (
            b.wrapping_add(col / (2 * V::LANES) * b_pair),
            b_stride,
            b_pair,
        ),
        c: (c.wrapping_add(col), c_stride),
        mask: V::mask(last),
        accumulate,
    };
    let of_rows = rows - 1;
    let mut col = 0;
    // SAFETY: every block lies inside `rows` x `width`, as the widths left say.
    unsafe {
        if let Some(four) = Blocks::<V>::FOUR.get(of_rows) {
            while width - col >= 4 * V::LANES {
                four(&operands(col, 0));
                col += 4 * V::LANES;
            }
        }
        let two = Blocks::<V>::TWO[of_rows];
        while width - col >= 2 * V::LANES {
            two(&operands(col, 0));
            col += 2 * V::LANES;
        }
        let rest = width - col;
        if rest > V::LANES {
            Blocks::<V>::PART_OF_TWO[of_rows](&operands(col, rest - V::LANES));
        } else if rest == V::LANES {
            Blocks::<V>::ONE[of_rows](&operands(col, 0));
        } else if rest > 0 {
            Blocks::<V>::PART_OF_ONE[of_rows](&operands(col, rest));
        }
    }
}

#[cfg(test)]
mod tests;
