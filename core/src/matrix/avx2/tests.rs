use super::*;
use crate::rng::Rng;

/// A result in a wider matrix, so that writing beside it shows.
const MARGIN: usize = 3;

trait Whole: Lanes + PartialEq + std::fmt::Debug {
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

/// Against the definition, in whole numbers whose sums are exact; both sides as they are and
/// transposed, set and added to.
fn check<T: Whole>(m: usize, k: usize, n: usize) {
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

#[test]
fn every_height_and_width_gives_the_definition() {
    if !available() {
        return;
    }
    for m in 1..=2 * ROWS + 1 {
        for n in [1, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33] {
            check::<f32>(m, 6, n);
            check::<f64>(m, 6, n);
        }
    }
}

#[test]
fn several_slices_and_chunks_give_the_definition() {
    if !available() {
        return;
    }
    // Deeper than one slice, wider than one copy, taller than one chunk.
    for (m, k, n) in [
        (13, 900, 20),
        (3, 5, WIDTH + 70),
        (301, 30, 17),
        (160, 400, 50),
    ] {
        check::<f32>(m, k, n);
        check::<f64>(m, k, n);
    }
}
