//! Memory for copies of the sides of a product.

use std::cell::RefCell;

/// Bytes that a cache handles at once.
pub(super) const LINE: usize = 64;

/// Memory in whole lines, so that no vector of a copy lies in two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line(#[expect(dead_code)] [u8; LINE]);

/// A matrix: its first number, the distance of its rows and that of its columns.
pub(super) type Strided<T> = (*const T, usize, usize);

thread_local! {
    /// Copies of sides, at most some 8 MiB; kept, because fetching so much memory anew took a fifth
    /// of a product.
    static SCRATCH: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` with memory for so many elements of the left and of the right side.
pub(super) fn with_copies<T>((left, right): (usize, usize), f: impl FnOnce((*mut T, *mut T))) {
    let lines = |len: usize| (len * size_of::<T>()).div_ceil(LINE);
    SCRATCH.with_borrow_mut(|scratch| {
        // Its length stays 0: what was there before needs not be kept.
        scratch.reserve_exact(lines(left) + lines(right));
        let start = scratch.as_mut_ptr();
        f((start.cast(), start.wrapping_add(lines(left)).cast()));
    });
}
