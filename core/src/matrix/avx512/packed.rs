//! A right side copied once, for all tiles of a product and all its threads.

use std::{cell::Cell, convert::Infallible, marker::PhantomData};

use super::{Lanes, pack::pack_right, packs_right, slice_depth, vector::Vector};
use crate::{
    matrix::{copies::Line, gemm::Shape},
    pages,
    par::Par,
};

/// Columns that one thread copies at once.
const GROUP: usize = 256;
/// Memory of this many bytes is kept for the next product of this thread.
const KEPT: usize = 8 << 20;

thread_local! {
    static KEPT_LINES: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// All of a right side: slices of its rows, below each other; in each its panels of two vectors,
/// one after the other.
pub struct Packed<T> {
    lines: Vec<Line>,
    k: usize,
    n: usize,
    depth: usize,
    _numbers: PhantomData<T>,
}

/// Where groups of panels go.
struct Place<T>(*mut T);

// SAFETY: threads write groups of panels that do not overlap.
unsafe impl<T: Send> Sync for Place<T> {}

impl<T> Place<T> {
    fn start(&self) -> *mut T {
        self.0
    }
}

impl<T: Lanes> Packed<T> {
    const PANEL: usize = 2 * T::Wide::LANES;
    /// No group ends inside a panel.
    const GROUPS_ARE_WHOLE: () = assert!(GROUP.is_multiple_of(2 * T::Wide::LANES));

    /// A copy of the row-major `b`, `shape.k` x `shape.n`; nothing when reading it as it lies is
    /// better. It takes as much memory as `b`, or up to twice that when `b` has few columns.
    ///
    /// The processor must be one that the module is [`available`](super::available) for, which is
    /// asked.
    pub(in crate::matrix) fn new(shape: Shape, b: &[T], par: Par) -> Option<Self> {
        const { Self::GROUPS_ARE_WHOLE };
        let Shape { k, n, .. } = shape;
        if !super::available() || b.len() != k.checked_mul(n)? || b.is_empty() {
            return None;
        }
        if !packs_right::<T::Wide>(shape, (b.as_ptr(), n, 1)) {
            return None;
        }
        let depth = slice_depth(k);
        let width = n.next_multiple_of(Self::PANEL);
        let mut lines = KEPT_LINES.take();
        // Its length stays 0: what was there before needs not be kept.
        lines.reserve_exact(
            (k * width)
                .checked_mul(size_of::<T>())?
                .div_ceil(size_of::<Line>()),
        );
        pages::advise(lines.spare_capacity_mut());
        let place = Place(lines.as_mut_ptr().cast::<T>());
        let groups = n.div_ceil(GROUP);
        let copy = |index: usize| {
            let (p, col) = (index / groups * depth, index % groups * GROUP);
            let (rows, cols) = (depth.min(k - p), GROUP.min(n - col));
            // SAFETY: the processor was asked above. The source is inside `b`. Slice p begins p rows
            // of `width` from the start, and its panels before `col` take rows x col: each group
            // has a place of its own, inside k x width.
            unsafe {
                let from = (b.as_ptr().add(p * n + col), n, 1);
                pack_right::<T::Wide>(place.start().add(p * width + rows * col), from, rows, cols);
            }
            Ok::<(), Infallible>(())
        };
        let Ok(_) = par.try_map(k.div_ceil(depth) * groups, copy);
        Some(Self {
            lines,
            k,
            n,
            depth,
            _numbers: PhantomData,
        })
    }

    /// First row and rows of each slice.
    pub(in crate::matrix) fn slices(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let (k, depth) = (self.k, self.depth);
        (0..k).step_by(depth).map(move |p| (p, depth.min(k - p)))
    }

    /// `cols` columns from `col` on of the slice whose first row is `p`; nothing when that is not
    /// one of them, or a panel would have to be cut.
    pub(in crate::matrix) fn block(
        &self,
        p: usize,
        (col, cols): (usize, usize),
    ) -> Option<PackedBlock<'_, T>> {
        let ends = col.checked_add(cols)?;
        let whole = p.is_multiple_of(self.depth) && col.is_multiple_of(Self::PANEL);
        if p >= self.k || ends > self.n || cols == 0 || !whole {
            return None;
        }
        let rows = self.depth.min(self.k - p);
        let before = p * self.n.next_multiple_of(Self::PANEL) + rows * col;
        Some(PackedBlock {
            data: self.lines.as_ptr().cast::<T>().wrapping_add(before),
            rows,
            cols,
            _packed: PhantomData,
        })
    }
}

impl<T> Drop for Packed<T> {
    fn drop(&mut self) {
        if self.lines.capacity() * size_of::<Line>() <= KEPT {
            KEPT_LINES.set(std::mem::take(&mut self.lines));
        }
    }
}

/// Some columns of one slice.
#[derive(Clone, Copy)]
pub(in crate::matrix) struct PackedBlock<'a, T> {
    data: *const T,
    rows: usize,
    cols: usize,
    _packed: PhantomData<&'a [T]>,
}

impl<T: Lanes> PackedBlock<'_, T> {
    /// Numbers of the inner dimension.
    pub(in crate::matrix) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the result.
    pub(in crate::matrix) fn cols(&self) -> usize {
        self.cols
    }

    /// Where it begins, the distance of a panel's rows, that of panels.
    pub(super) fn layout(&self) -> (*const T, usize, usize) {
        let panel = 2 * T::Wide::LANES;
        (self.data, panel, self.rows * panel)
    }
}
