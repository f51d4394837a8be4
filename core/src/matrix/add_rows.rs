//! Sums of the rows of a matrix, each times a factor, in plain loops that the compiler vectorizes.
//! What runs them through [`dispatch`](crate::simd::dispatch) gets the widest vectors
//! of the processor, and the same bits with any: terms are added in the order of the rows.

use super::gemm::Kernel;

/// `out += factors[i] * (row ids[i] of b)` for each `i` in turn, with rows of `stride` elements of
/// which those from `first` on count. Four at a time: `out` is read and written a quarter as often.
#[inline(always)]
pub(super) fn add_rows<T: Kernel>(
    out: &mut [T],
    factors: &[T],
    ids: impl ExactSizeIterator<Item = usize>,
    b: &[T],
    (first, stride): (usize, usize),
) {
    let n = out.len();
    let row = |id: usize| &b[id * stride + first..][..n];
    let (groups, rest) = factors.as_chunks::<4>();
    let mut ids = ids.map(row);
    for &[x0, x1, x2, x3] in groups {
        let rows = (ids.next(), ids.next(), ids.next(), ids.next());
        let (Some(y0), Some(y1), Some(y2), Some(y3)) = rows else {
            return;
        };
        for i in 0..n {
            let mut sum = out[i];
            sum += x0 * y0[i];
            sum += x1 * y1[i];
            sum += x2 * y2[i];
            sum += x3 * y3[i];
            out[i] = sum;
        }
    }
    for (&x, row) in rest.iter().zip(ids) {
        for (out, &y) in out.iter_mut().zip(row) {
            *out += x * y;
        }
    }
}
