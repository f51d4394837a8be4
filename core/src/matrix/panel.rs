//! The portable product: panels of B packed side by side, rows of A read where they lie, a block of
//! 4 rows by two vectors of the result held in registers.
//!
//! A block of 4 x 8 takes 8 of 16 vector registers and leaves room for the broadcasts of A in any
//! order; 6 x 8 and 8 x 8 (the matrixmultiply crate) spilled. Structure: Goto, van de Geijn, "Anatomy of
//! High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
#![allow(unsafe_code)]

use super::gemm::{Kernel, Shape};

/// Rows of a block of the result.
pub(super) const MR: usize = 4;
/// Rows of A that stay in the second-level cache while the panels of B pass.
const MC: usize = 96;

/// The block of a result: four rows of A times one panel of B. Each line must be readable for as
/// many elements as the panel has rows.
pub(super) type Block<T, const N: usize> = unsafe fn(&[[T; N]], [*const T; MR]) -> [[T; N]; MR];

/// `c = a * b` or `c += a * b`; `N` columns a panel.
///
/// # Safety
/// As `product_raw`: `c` is writable for `m` rows of `n` elements `c_stride` apart and used by
/// nobody else; `a` and `b` are readable at `row * strides.0 + col * strides.1`.
pub(super) unsafe fn product<T: Kernel, const N: usize>(
    Shape { m, k, n }: Shape,
    (c, c_stride): (*mut T, usize),
    (a, a_rows, a_cols): (*const T, usize, usize),
    (b, b_rows, b_cols): (*const T, usize, usize),
    accumulate: bool,
    block: Block<T, N>,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let mut panels = vec![[T::ZERO; N]; k * n.div_ceil(N)];
    for (index, panel) in panels.chunks_exact_mut(k).enumerate() {
        let first = index * N;
        let width = N.min(n - first);
        for (p, row) in panel.iter_mut().enumerate() {
            for (j, place) in row.iter_mut().take(width).enumerate() {
                // SAFETY: p < k and first + j < n.
                *place = unsafe { *b.add(p * b_rows + (first + j) * b_cols) };
            }
        }
    }
    let mut packed = Vec::new();
    for start in (0..m).step_by(MC) {
        let rows = MC.min(m - start);
        // SAFETY: start < m.
        let mut source = (unsafe { a.add(start * a_rows) }, a_rows);
        if a_cols != 1 {
            packed.clear();
            for i in 0..rows {
                // SAFETY: i < rows and p < k, inside the block of A that starts at `source`.
                packed.extend((0..k).map(|p| unsafe { *source.0.add(i * a_rows + p * a_cols) }));
            }
            source = (packed.as_ptr(), k);
        }
        for (index, panel) in panels.chunks_exact(k).enumerate() {
            let first = index * N;
            let width = N.min(n - first);
            for row in (0..rows).step_by(MR) {
                let height = MR.min(rows - row);
                // Rows past the end repeat the last one; their sums are thrown away.
                let line = |i: usize| {
                    // SAFETY: a row below `rows` of a source that holds `rows` rows of k elements.
                    unsafe { source.0.add((row + i.min(height - 1)) * source.1) }
                };
                let lines = [line(0), line(1), line(2), line(3)];
                // SAFETY: each line is readable for k elements, as many as the panel has rows.
                let sums = unsafe { block(panel, lines) };
                for (i, sum) in sums.iter().take(height).enumerate() {
                    // SAFETY: row start + row + i < m, columns first.. of width elements < n.
                    let out = unsafe {
                        let at = c.add((start + row + i) * c_stride + first);
                        core::slice::from_raw_parts_mut(at, width)
                    };
                    store(out, sum, accumulate);
                }
            }
        }
    }
}

/// [`Block`] in plain loops, which the compiler vectorizes for SSE2 or Neon.
///
/// # Safety
/// Each line must be readable for as many elements as the panel has rows.
#[cfg_attr(
    all(target_arch = "wasm32", target_feature = "simd128"),
    expect(dead_code)
)]
pub(super) unsafe fn block<T: Kernel, const N: usize>(
    panel: &[[T; N]],
    lines: [*const T; MR],
) -> [[T; N]; MR] {
    let mut sums = [[T::ZERO; N]; MR];
    for (p, row) in panel.iter().enumerate() {
        for (sum, line) in sums.iter_mut().zip(lines) {
            // SAFETY: p is below the number of the panel's rows.
            let factor = unsafe { *line.add(p) };
            for (s, &x) in sum.iter_mut().zip(row) {
                *s += factor * x;
            }
        }
    }
    sums
}

#[inline]
fn store<T: Kernel, const N: usize>(out: &mut [T], sum: &[T; N], accumulate: bool) {
    if accumulate {
        for (place, &s) in out.iter_mut().zip(sum) {
            *place += s;
        }
    } else if let Some(out) = out.first_chunk_mut::<N>() {
        *out = *sum;
    } else {
        out.copy_from_slice(&sum[..out.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition.
    fn naive(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
        let cell = |i: usize| (0..k).map(|p| a[i / n * k + p] * b[p * n + i % n]).sum();
        (0..m * n).map(cell).collect()
    }

    #[test]
    fn every_shape_gives_the_definition() {
        let value = |i: usize| ((i * 37) % 11) as f64 - 5.0;
        for (m, k, n) in [
            (1, 1, 1),
            (5, 3, 7),
            (6, 4, 4),
            (13, 9, 10),
            (100, 40, 21),
            (97, 2, 1),
        ] {
            let a: Vec<f64> = (0..m * k).map(value).collect();
            let b: Vec<f64> = (0..k * n).map(value).collect();
            let transposed: Vec<f64> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            let expected = naive(m, k, n, &a, &b);
            for (left, strides) in [(&a, (k, 1)), (&transposed, (1, m))] {
                let mut c = vec![1.0; m * n];
                let shape = Shape { m, k, n };
                for (accumulate, factor) in [(false, 1.0), (true, 2.0)] {
                    // SAFETY: the vectors have the shapes that the strides say.
                    unsafe {
                        product::<f64, 4>(
                            shape,
                            (c.as_mut_ptr(), n),
                            (left.as_ptr(), strides.0, strides.1),
                            (b.as_ptr(), n, 1),
                            accumulate,
                            block,
                        );
                    }
                    let wanted: Vec<f64> = expected.iter().map(|x| x * factor).collect();
                    assert_eq!(c, wanted, "{m} x {k} x {n}");
                }
            }
        }
    }
}
