//! The product for processors with AVX2 and FMA but without AVX-512: blocks of 6 rows by two vectors
//! held in registers, both sides copied to where the block reads them in order; the left one only
//! when a result has the columns that such a copy pays for ([`thin`]).
//!
//! Structure: Goto, van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS
//! 34(3), 2008: a panel of the right side stays in the first-level cache while the rows of a chunk
//! of the left one, which stays in the second, pass by.
#![allow(unsafe_code)]

mod left;
mod pack;
mod thin;
mod vector;

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

pub(super) use self::vector::Lanes;
use self::{
    left::{Copied, Left},
    pack::{pack_left, pack_right},
};
use super::{
    copies::{Strided, with_copies},
    gemm::Shape,
};

/// Rows of a block: with two vectors each, 12 of 16 registers hold sums, two the right side's row
/// and one the left side's number.
const ROWS: usize = 6;
/// Columns of the right side that are copied at once: 4 MiB of `f32`, 8 MiB of `f64`.
const WIDTH: usize = 4096;
/// Rows or columns of a result below which copying the left side costs more than it saves: at 128
/// columns it was 5 to 12 % of the time, at 256 nothing.
const FEW: usize = 129;
/// Rows, inner dimension and columns below which the `gemm` crate, which copies less, is faster.
const LEAST: (usize, usize, usize) = (ROWS, 16, 32);

/// Whether [`product`] is the best for this shape, and this processor has what it needs.
pub(super) fn suits(Shape { m, k, n }: Shape) -> bool {
    m >= LEAST.0 && k >= LEAST.1 && n >= LEAST.2 && available()
}

fn available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// `c = a * b` or `c += a * b`; nothing when a side is 0.
///
/// # Safety
/// The processor must have AVX2 and FMA. `c` is writable for `m` rows of `n` elements `c.1` apart
/// and used by nobody else; `a` and `b` are readable at `row * strides.0 + col * strides.1` for
/// `m` x `k` and `k` x `n`.
pub(super) unsafe fn product<T: Lanes>(
    Shape { m, k, n }: Shape,
    c: (*mut T, usize),
    a: Strided<T>,
    b: Strided<T>,
    accumulate: bool,
) {
    let shape = Shape { m, k, n };
    // SAFETY: the caller's contract.
    unsafe {
        if m.min(n) < FEW && a.2 == 1 {
            thin::product(shape, c, a, b, accumulate);
        } else {
            copied_product(shape, c, a, b, accumulate);
        }
    }
}

/// [`product`] with both sides copied.
///
/// # Safety
/// As [`product`].
unsafe fn copied_product<T: Lanes>(
    Shape { m, k, n }: Shape,
    c: (*mut T, usize),
    a: Strided<T>,
    b: Strided<T>,
    accumulate: bool,
) {
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    // As even as can be.
    let depth = k.div_ceil(k.div_ceil(T::DEPTH));
    let chunk = m.div_ceil(m.div_ceil(T::CHUNK)).next_multiple_of(ROWS);
    let width = n.min(WIDTH);
    let whole = (chunk, width.next_multiple_of(2 * T::LANES));
    with_copies((whole.0 * depth, whole.1 * depth), |(left, right)| {
        for p in (0..k).step_by(depth) {
            let depth = depth.min(k - p);
            let accumulate = accumulate || p > 0;
            for col in (0..n).step_by(width) {
                let width = width.min(n - col);
                // SAFETY: p < k and col < n; the copy holds depth x width in whole panels.
                unsafe {
                    let from = b.0.add(p * b.1 + col * b.2);
                    pack_right(right, (from, b.1, b.2), depth, width);
                }
                for row in (0..m).step_by(chunk) {
                    let rows = chunk.min(m - row);
                    // SAFETY: row < m; the copy holds rows x depth in whole blocks.
                    unsafe {
                        let from = a.0.add(row * a.1 + p * a.2);
                        pack_left(left, (from, a.1, a.2), rows, depth);
                        let c = (c.0.add(row * c.1 + col), c.1);
                        blocks((rows, depth, width), c, (left, right), accumulate);
                    }
                }
            }
        }
    });
}

/// All blocks of a chunk of rows, panel by panel of the right side.
///
/// # Safety
/// As [`product`]; `left` and `right` are copies of that shape.
#[target_feature(enable = "avx2,fma")]
unsafe fn blocks<T: Lanes>(
    (rows, depth, width): (usize, usize, usize),
    (c, c_stride): (*mut T, usize),
    (left, right): (*const T, *const T),
    accumulate: bool,
) {
    let panel = 2 * T::LANES;
    for col in (0..width).step_by(panel) {
        let b = right.wrapping_add(col * depth);
        for row in (0..rows).step_by(ROWS) {
            let a = left.wrapping_add(row * depth);
            let c = (c.wrapping_add(row * c_stride + col), c_stride);
            let (height, cols) = (ROWS.min(rows - row), panel.min(width - col));
            // SAFETY: the copies hold whole blocks; of the result only what it has is written.
            unsafe {
                if (height, cols) == (ROWS, panel) {
                    block::<T, ROWS>(depth, Copied(a), b, c, accumulate);
                } else {
                    let part = (height, cols);
                    part_of_block::<T, ROWS>(depth, Copied(a), b, c, part, accumulate);
                }
            }
        }
    }
}

/// A block at the edge of a result: computed whole, and written as far as the result goes.
///
/// # Safety
/// As [`block`], with `rows` rows of `cols` numbers to write.
#[target_feature(enable = "avx2,fma")]
unsafe fn part_of_block<T: Lanes, const R: usize>(
    depth: usize,
    a: impl Left<T>,
    b: *const T,
    (c, c_stride): (*mut T, usize),
    (rows, cols): (usize, usize),
    accumulate: bool,
) {
    let panel = 2 * T::LANES;
    // The widest panel is that of f32.
    let mut whole = [T::ZERO; ROWS * 2 * <f32 as Lanes>::LANES];
    // SAFETY: `whole` has room for a block; rows and cols are below its sides and the result's.
    unsafe {
        block::<T, R>(depth, a, b, (whole.as_mut_ptr(), panel), false);
        for (row, sums) in whole.chunks(panel).take(rows).enumerate() {
            for (col, sum) in sums.iter().take(cols).enumerate() {
                let at = c.add(row * c_stride + col);
                if accumulate {
                    *at += *sum;
                } else {
                    at.write(*sum);
                }
            }
        }
    }
}

/// `R` rows, at most [`ROWS`], by two vectors.
///
/// # Safety
/// The processor must have AVX2 and FMA; `a` is readable for `R` rows of `depth` numbers, `b` for a
/// panel's, `c` writable for a block.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn block<T: Lanes, const R: usize>(
    depth: usize,
    mut a: impl Left<T>,
    mut b: *const T,
    (c, c_stride): (*mut T, usize),
    accumulate: bool,
) {
    /// Numbers of the inner dimension in a turn of the loop.
    const TURN: usize = 4;
    let panel = 2 * T::LANES;
    // SAFETY: numbers of the inner dimension are below depth. A prefetch never faults.
    unsafe {
        let mut sums = [[T::zero(); 2]; R];
        for row in 0..R {
            _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(row * c_stride).cast());
        }
        for _ in 0..depth / TURN {
            for p in 0..TURN {
                step(&mut sums, a, p, b.add(p * panel));
            }
            a = a.after(TURN);
            b = b.wrapping_add(TURN * panel);
        }
        for p in 0..depth % TURN {
            step(&mut sums, a, p, b.add(p * panel));
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (half, mut sum) in sums.into_iter().enumerate() {
                let at = c.add(row * c_stride + half * T::LANES);
                if accumulate {
                    sum = T::add(sum, T::load(at));
                }
                T::store(at, sum);
            }
        }
    }
}

/// One number of the inner dimension.
///
/// # Safety
/// As [`block`], with number `p` there.
#[inline(always)]
unsafe fn step<T: Lanes, const R: usize>(
    sums: &mut [[T::Vector; 2]; R],
    a: impl Left<T>,
    p: usize,
    b: *const T,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let right = [T::load(b), T::load(b.add(T::LANES))];
        for (row, sums) in sums.iter_mut().enumerate() {
            let left = T::splat(a.at(row, p));
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = T::add_product(*sum, left, right);
            }
        }
    }
}

#[cfg(test)]
mod tests;
