//! Copies of sides in the order in which blocks read them; what a side lacks to whole blocks is 0.

use super::{
    ROWS, Strided,
    vector::{COLUMNS, Lanes},
};

/// Copies `rows` x `depth` numbers into blocks of [`ROWS`] rows, in each number by number of the
/// inner dimension those of all rows.
///
/// # Safety
/// AVX2 and FMA. `from` must be readable for them, `to` writable for whole blocks of them.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pack_left<T: Lanes>(
    to: *mut T,
    (from, from_rows, from_cols): Strided<T>,
    rows: usize,
    depth: usize,
) {
    for first in (0..rows).step_by(ROWS) {
        let height = ROWS.min(rows - first);
        // SAFETY: rows from first on are below `rows`, numbers below depth.
        unsafe {
            let (from, to) = (from.add(first * from_rows), to.add(first * depth));
            if height == ROWS {
                let rows: [_; ROWS] = std::array::from_fn(|row| from.add(row * from_rows));
                let by_columns = match from_cols {
                    1 => depth - depth % COLUMNS,
                    _ => 0,
                };
                for p in (0..by_columns).step_by(COLUMNS) {
                    T::interleave(rows.map(|row| row.add(p)), to.add(p * ROWS));
                }
                for p in by_columns..depth {
                    for (row, from) in rows.iter().enumerate() {
                        *to.add(p * ROWS + row) = *from.add(p * from_cols);
                    }
                }
            } else {
                for p in 0..depth {
                    for row in 0..ROWS {
                        *to.add(p * ROWS + row) = match row < height {
                            true => *from.add(row * from_rows + p * from_cols),
                            false => T::ZERO,
                        };
                    }
                }
            }
        }
    }
}

/// Copies `depth` x `width` numbers into panels of two vectors, one below the other.
///
/// # Safety
/// AVX2 and FMA. `from` must be readable for them, `to` writable for whole panels of them.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pack_right<T: Lanes>(
    to: *mut T,
    (from, from_rows, from_cols): Strided<T>,
    depth: usize,
    width: usize,
) {
    /// Rows at once: their lines of a panel lie together, and so few streams are read.
    const ROWS_AT_ONCE: usize = 8;
    let panel = 2 * T::LANES;
    for first in (0..depth).step_by(ROWS_AT_ONCE) {
        let rows = ROWS_AT_ONCE.min(depth - first);
        for col in (0..width).step_by(panel) {
            let cols = panel.min(width - col);
            // SAFETY: rows from first on are below depth, columns from col on below width.
            unsafe {
                let from = from.add(first * from_rows + col * from_cols);
                let to = to.add(col * depth + first * panel);
                for row in 0..rows {
                    let (from, to) = (from.add(row * from_rows), to.add(row * panel));
                    if from_cols == 1 && cols == panel {
                        T::store(to, T::load(from));
                        T::store(to.add(T::LANES), T::load(from.add(T::LANES)));
                        continue;
                    }
                    for col in 0..panel {
                        *to.add(col) = match col < cols {
                            true => *from.add(col * from_cols),
                            false => T::ZERO,
                        };
                    }
                }
            }
        }
    }
}
