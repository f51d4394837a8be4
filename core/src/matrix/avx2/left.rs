//! Where a block finds the numbers of the left side.

use std::arch::asm;

use super::ROWS;

/// Rows of a left side.
pub(super) trait Left<T>: Copy {
    /// The number `p` of a row. Readable as far as the side goes.
    fn at(self, row: usize, p: usize) -> *const T;
    /// From number `p` on.
    fn after(self, p: usize) -> Self;
}

/// A copy: one after the other the numbers of [`ROWS`] rows.
#[derive(Clone, Copy)]
pub(super) struct Copied<T>(pub *const T);

impl<T: Copy> Left<T> for Copied<T> {
    #[inline(always)]
    fn at(self, row: usize, p: usize) -> *const T {
        self.0.wrapping_add(p * ROWS + row)
    }

    #[inline(always)]
    fn after(self, p: usize) -> Self {
        Self(self.0.wrapping_add(p * ROWS))
    }
}

/// `R` rows where they lie, the numbers of each side by side.
#[derive(Clone, Copy)]
pub(super) struct InPlace<T, const R: usize>([*const T; R]);

impl<T, const R: usize> InPlace<T, R> {
    /// Rows `stride` numbers apart.
    #[inline(always)]
    pub(super) fn new(from: *const T, stride: usize) -> Self {
        Self(std::array::from_fn(|row| {
            opaque(from.wrapping_add(row * stride))
        }))
    }
}

impl<T: Copy, const R: usize> Left<T> for InPlace<T, R> {
    #[inline(always)]
    fn at(self, row: usize, p: usize) -> *const T {
        self.0[row].wrapping_add(p)
    }

    #[inline(always)]
    fn after(self, p: usize) -> Self {
        Self(self.0.map(|row| row.wrapping_add(p)))
    }
}

/// The pointer as one that the compiler knows nothing of. Else it makes each row's address from that
/// of the row before: six additions that wait for each other, beside six cycles of products.
#[inline(always)]
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read through it here"
)]
fn opaque<T>(mut pointer: *const T) -> *const T {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {0} */", inout(reg) pointer, options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}
