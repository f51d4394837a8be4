//! Copies of sides: rows whose distance suits the caches, panels two vectors wide.

use super::{Strided, vector::Vector};

/// Copies `rows` x `depth` numbers to rows `to.1` apart.
///
/// # Safety
/// `from` must be readable and `to` writable for them.
pub(super) unsafe fn pack_left<T: Copy>(
    (to, to_stride): (*mut T, usize),
    (from, from_rows, from_cols): Strided<T>,
    rows: usize,
    depth: usize,
) {
    // SAFETY: row < rows and p < depth.
    unsafe {
        if from_cols == 1 {
            for row in 0..rows {
                let (from, to) = (from.add(row * from_rows), to.add(row * to_stride));
                std::ptr::copy_nonoverlapping(from, to, depth);
            }
            return;
        }
        for p in 0..depth {
            for row in 0..rows {
                *to.add(row * to_stride + p) = *from.add(row * from_rows + p * from_cols);
            }
        }
    }
}

/// Copies `depth` x `width` numbers into panels of two vectors, one below the other; what the
/// last one has past the width is not read.
///
/// # Safety
/// AVX-512 F and VL. `from` must be readable for them, `to` writable for whole panels of them.
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) unsafe fn pack_right<V: Vector>(
    to: *mut V::Scalar,
    (from, from_rows, from_cols): Strided<V::Scalar>,
    depth: usize,
    width: usize,
) {
    /// Rows at once: their lines of a panel lie together, and so few streams are read.
    const ROWS_AT_ONCE: usize = 8;
    let panel = 2 * V::LANES;
    for first in (0..depth).step_by(ROWS_AT_ONCE) {
        let rows = ROWS_AT_ONCE.min(depth - first);
        for col in (0..width).step_by(panel) {
            let cols = panel.min(width - col);
            // SAFETY: rows from first on are below depth, columns from col on below width.
            unsafe {
                let from = from.add(first * from_rows + col * from_cols);
                let to = to.add(col * depth + first * panel);
                if from_cols == 1 {
                    let masks = [cols.min(V::LANES), cols.saturating_sub(V::LANES)].map(V::mask);
                    for row in 0..rows {
                        for (half, mask) in masks.into_iter().enumerate() {
                            let at = half * V::LANES;
                            let from = from.wrapping_add(row * from_rows + at);
                            V::load_masked(from, mask).store(to.add(row * panel + at));
                        }
                    }
                } else {
                    for c in 0..cols {
                        for row in 0..rows {
                            *to.add(row * panel + c) = *from.add(row * from_rows + c * from_cols);
                        }
                    }
                }
            }
        }
    }
}
