//! Blocks of a result that fit in registers.

use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

use super::vector::Vector;

/// Most rows of a block: with two vectors each, 28 of 32 registers hold sums, two the right
/// side's row and one the left side's number. 8 by 3 has fewer loads and measured the same.
pub(super) const ROWS: usize = 14;
/// Most rows of a block four vectors wide.
pub(super) const FEW_ROWS: usize = 6;
/// Rows of the right side that are asked for before their turn: some 200 cycles.
const AHEAD: usize = 8;

/// Some rows by some vectors of a result: `c = a * b` or `c += a * b` over `depth` numbers.
pub(super) struct Operands<V: Vector> {
    pub(super) depth: usize,
    /// Rows of the left side, and their distance.
    pub(super) a: (*const V::Scalar, usize),
    /// Rows of the right side, their distance, and that of its pairs of vectors.
    pub(super) b: (*const V::Scalar, usize, usize),
    /// Rows of the result, and their distance.
    pub(super) c: (*mut V::Scalar, usize),
    /// Of the last vector, where the block is one that ends in a part of one.
    pub(super) mask: V::Mask,
    pub(super) accumulate: bool,
}

/// A block of so many rows.
pub(super) type Block<V> = unsafe fn(&Operands<V>);

macro_rules! of_rows {
    ($vectors:literal, $masked:literal: $($rows:literal)+) => {
        &[$(block::<V, $rows, $vectors, $masked>),+]
    };
}

/// The blocks of one to [`ROWS`] rows, by their width.
pub(super) struct Blocks<V>(std::marker::PhantomData<V>);

impl<V: Vector> Blocks<V> {
    pub(super) const ONE: &'static [Block<V>; ROWS] =
        of_rows!(1, false: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    pub(super) const PART_OF_ONE: &'static [Block<V>; ROWS] =
        of_rows!(1, true: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    pub(super) const TWO: &'static [Block<V>; ROWS] =
        of_rows!(2, false: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    pub(super) const PART_OF_TWO: &'static [Block<V>; ROWS] =
        of_rows!(2, true: 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    pub(super) const FOUR: &'static [Block<V>; FEW_ROWS] = of_rows!(4, false: 1 2 3 4 5 6);
}

/// `R` rows by `N` vectors, of the last one only the mask's lanes when `MASKED`.
///
/// # Safety
/// The processor must have AVX-512 F and VL. `a` must be readable for `R` rows of `depth` numbers,
/// `b` for `depth` rows of the block's width, `c` writable for `R` rows of it by nobody else.
#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn block<V: Vector, const R: usize, const N: usize, const MASKED: bool>(
    &Operands {
        depth,
        a: (a, a_stride),
        b: (mut b, b_stride, b_pair),
        c: (c, c_stride),
        mask,
        accumulate,
    }: &Operands<V>,
) {
    let part = |b: *const V::Scalar, vector: usize| {
        b.wrapping_add(vector / 2 * b_pair + vector % 2 * V::LANES)
    };
    let masked = |vector: usize| MASKED && vector == N - 1;
    // SAFETY: rows are below R, vectors below N (the last one under the mask), numbers of the
    // inner dimension below depth. What is only asked for may lie anywhere.
    unsafe {
        for row in 0..R {
            prefetch::<V, N>(c.wrapping_add(row * c_stride));
        }
        let rows: [_; R] = std::array::from_fn(|row| a.add(row * a_stride));
        let mut sums = [[V::zero(); N]; R];
        for p in 0..depth {
            let right: [V; N] = std::array::from_fn(|vector| {
                let at = part(b, vector);
                match masked(vector) {
                    true => V::load_masked(at, mask),
                    false => V::load(at),
                }
            });
            for (sums, row) in sums.iter_mut().zip(rows) {
                let left = V::splat(row.add(p));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = sum.add_product(left, right);
                }
            }
            for vector in 0..N {
                prefetch::<V, 1>(part(b, vector).wrapping_add(AHEAD * b_stride));
            }
            b = b.wrapping_add(b_stride);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (vector, mut sum) in sums.into_iter().enumerate() {
                let at = c.add(row * c_stride + vector * V::LANES);
                match (masked(vector), accumulate) {
                    (true, true) => sum = sum.add(V::load_masked(at, mask)),
                    (false, true) => sum = sum.add(V::load(at)),
                    (_, false) => (),
                }
                match masked(vector) {
                    true => sum.store_masked(at, mask),
                    false => sum.store(at),
                }
            }
        }
    }
}

/// Asks for a row of a block; a hint, which may name any address.
#[inline(always)]
fn prefetch<V: Vector, const N: usize>(row: *const V::Scalar) {
    for vector in 0..N {
        let at = row.wrapping_add(vector * V::LANES);
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}
