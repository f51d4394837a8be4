//! What a product kernel must give.
#![allow(unsafe_code)]

use super::{
    copies::Strided,
    gemm::{Kernel, Shape},
};
use crate::rng::Rng;

/// A result in a wider matrix, so that writing beside it shows.
pub(super) const MARGIN: usize = 3;

pub(super) trait Whole: Kernel {
    fn whole(x: i64) -> Self;
}

impl Whole for f32 {
    fn whole(x: i64) -> Self {
        x as f32
    }
}

impl Whole for f64 {
    fn whole(x: i64) -> Self {
        x as f64
    }
}

/// A product on raw parts.
pub(super) type Product<T> =
    unsafe fn(Shape, (*mut T, usize), Strided<T>, Strided<T>, accumulate: bool);

/// A kernel against the definition, in whole numbers whose sums are exact; both sides as they are
/// and transposed, set and added to. The processor must be one that it is for.
pub(super) fn check<T: Whole>(product: Product<T>, m: usize, k: usize, n: usize) {
    let mut rng = Rng::new((m * 31 + k * 7 + n) as u64);
    let mut whole = |len: usize| -> Vec<i64> {
        let numbers = (0..len).map(|_| rng.below(17) as i64 - 8);
        numbers.collect()
    };
    let (a, b) = (whole(m * k), whole(k * n));
    let transposed = |x: &[i64], rows: usize, cols: usize| -> Vec<T> {
        let numbers = (0..rows * cols).map(|i| T::whole(x[i % rows * cols + i / rows]));
        numbers.collect()
    };
    let typed = |x: &[i64]| -> Vec<T> { x.iter().map(|&x| T::whole(x)).collect() };
    let mut expected = vec![0; m * n];
    for (i, sum) in expected.iter_mut().enumerate() {
        let (row, col) = (i / n, i % n);
        *sum = (0..k).map(|p| a[row * k + p] * b[p * n + col]).sum::<i64>();
    }
    let left = [(typed(&a), k, 1), (transposed(&a, m, k), 1, m)];
    let right = [(typed(&b), n, 1), (transposed(&b, k, n), 1, k)];
    let stride = n + MARGIN;
    for ((a, b), accumulate) in left
        .iter()
        .flat_map(|a| right.iter().map(move |b| (a, b)))
        .flat_map(|sides| [false, true].map(|accumulate| (sides, accumulate)))
    {
        let mut c = vec![T::whole(5); m * stride];
        let (a, b) = ((a.0.as_ptr(), a.1, a.2), (b.0.as_ptr(), b.1, b.2));
        let shape = Shape { m, k, n };
        // SAFETY: the vectors have the shapes that the strides say; whoever calls asked whether the
        // processor can.
        unsafe { product(shape, (c.as_mut_ptr(), stride), a, b, accumulate) };
        for (i, &value) in c.iter().enumerate() {
            let (row, col) = (i / stride, i % stride);
            let before = if accumulate || col >= n { 5 } else { 0 };
            let product = if col < n { expected[row * n + col] } else { 0 };
            let wanted = T::whole(before + product);
            assert_eq!(value, wanted, "{m} x {k} x {n}, {accumulate}: {row}, {col}");
        }
    }
}
