//! Results of few rows or columns: the left side is read where it lies, because each number of it is
//! used too seldom for a copy to pay.

use super::{Lanes, ROWS, block, left::InPlace, pack::pack_right, part_of_block};
use crate::matrix::{
    copies::{Strided, with_copies},
    gemm::Shape,
};

/// The copy of the right side stays in half of a second-level cache of 512 KiB.
const RIGHT_BYTES: usize = 256 << 10;

/// As [`product`](super::product), for a left side whose rows have their numbers side by side.
///
/// # Safety
/// As [`product`](super::product); `a.2` must be 1.
pub(super) unsafe fn product<T: Lanes>(
    Shape { m, k, n }: Shape,
    c: (*mut T, usize),
    a: Strided<T>,
    b: Strided<T>,
    accumulate: bool,
) {
    if m == 0 || k == 0 || n == 0 {
        return;
    }
    let panel = 2 * T::LANES;
    // As even as can be.
    let depth = k.div_ceil(k.div_ceil(T::DEPTH));
    let most = (RIGHT_BYTES / size_of::<T>() / depth).max(panel);
    let width = n.min(most - most % panel);
    with_copies((0, width.next_multiple_of(panel) * depth), |(_, right)| {
        for p in (0..k).step_by(depth) {
            let depth = depth.min(k - p);
            let accumulate = accumulate || p > 0;
            for col in (0..n).step_by(width) {
                let width = width.min(n - col);
                // SAFETY: p < k and col < n; the copy holds depth x width in whole panels.
                unsafe {
                    let from = b.0.add(p * b.1 + col * b.2);
                    pack_right(right, (from, b.1, b.2), depth, width);
                    let a = (a.0.add(p), a.1);
                    rows((m, depth, width), (c.0.add(col), c.1), a, right, accumulate);
                }
            }
        }
    });
}

/// All blocks, row by row of blocks: the left side is read once.
///
/// # Safety
/// As [`product`]; `right` is a copy of that shape.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows<T: Lanes>(
    (m, depth, width): (usize, usize, usize),
    (c, c_stride): (*mut T, usize),
    (a, a_stride): (*const T, usize),
    right: *const T,
    accumulate: bool,
) {
    let mut row = 0;
    while row < m {
        // As even as can be.
        let height = (m - row).div_ceil((m - row).div_ceil(ROWS));
        let row_of_blocks = match height {
            1 => row_of_blocks::<T, 1>,
            2 => row_of_blocks::<T, 2>,
            3 => row_of_blocks::<T, 3>,
            4 => row_of_blocks::<T, 4>,
            5 => row_of_blocks::<T, 5>,
            _ => row_of_blocks::<T, ROWS>,
        };
        let c = (c.wrapping_add(row * c_stride), c_stride);
        let a = (a.wrapping_add(row * a_stride), a_stride);
        // SAFETY: from this row on the result and the left side have as many.
        unsafe { row_of_blocks((depth, width), c, a, right, accumulate) };
        row += height;
    }
}

/// `R` rows.
///
/// # Safety
/// As [`rows`].
#[target_feature(enable = "avx2,fma")]
unsafe fn row_of_blocks<T: Lanes, const R: usize>(
    (depth, width): (usize, usize),
    (c, c_stride): (*mut T, usize),
    (a, a_stride): (*const T, usize),
    right: *const T,
    accumulate: bool,
) {
    let panel = 2 * T::LANES;
    let a = InPlace::<T, R>::new(a, a_stride);
    for col in (0..width).step_by(panel) {
        let (b, cols) = (right.wrapping_add(col * depth), panel.min(width - col));
        let c = (c.wrapping_add(col), c_stride);
        // SAFETY: the copy holds whole panels; of the result only what it has is written.
        unsafe {
            if cols == panel {
                block::<T, R>(depth, a, b, c, accumulate);
            } else {
                part_of_block::<T, R>(depth, a, b, c, (R, cols), accumulate);
            }
        }
    }
}
