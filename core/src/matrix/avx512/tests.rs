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
    let transposed = |x: &[i64], rows: usize, cols: usize| -> Vec<i64> {
        let numbers = (0..rows * cols).map(|i| x[i % rows * cols + i / rows]);
        numbers.collect()
    };
    let typed = |x: Vec<i64>| -> Vec<T> { x.into_iter().map(T::whole).collect() };
    let expected = |row: usize, col: usize, before: i64| {
        let products = (0..k).map(|p| a[row * k + p] * b[p * n + col]);
        T::whole(before + products.sum::<i64>())
    };
    let left = [
        (typed(a.clone()), k, 1),
        (typed(transposed(&a, m, k)), 1, m),
    ];
    let right = [
        (typed(b.clone()), n, 1),
        (typed(transposed(&b, k, n)), 1, k),
    ];
    let stride = n + MARGIN;
    for ((a, a_rows, a_cols), (b, b_rows, b_cols), accumulate) in left
        .iter()
        .flat_map(|a| right.iter().map(move |b| (a, b)))
        .flat_map(|(a, b)| [false, true].map(|accumulate| (a, b, accumulate)))
    {
        let mut c = vec![T::whole(5); m * stride];
        let (a, b) = (
            (a.as_ptr(), *a_rows, *a_cols),
            (b.as_ptr(), *b_rows, *b_cols),
        );
        // SAFETY: the vectors have the shapes that the strides say; whoever calls asked whether the
        // processor can.
        unsafe {
            product(
                Shape { m, k, n },
                (c.as_mut_ptr(), stride),
                a,
                b,
                accumulate,
            )
        };
        for (i, &value) in c.iter().enumerate() {
            let (row, col) = (i / stride, i % stride);
            let wanted = match (col < n, accumulate) {
                (true, true) => expected(row, col, 5),
                (true, false) => expected(row, col, 0),
                (false, _) => T::whole(5),
            };
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
        for n in [1, 4, 5, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 64, 70] {
            check::<f32>(m, 3, n);
            check::<f64>(m, 3, n);
        }
    }
}

#[test]
fn copies_give_the_definition() {
    if !available() {
        return;
    }
    // Deeper than one pass, wider than one, rows that collide, a right side worth a copy, shallow
    // with rows of the result that collide.
    for (m, k, n) in [
        (15, 1300, 40),
        (3, 20, 2100),
        (40, 256, 100),
        (65, 300, 130),
        (30, 512, 512),
        (20, 30, 512 - MARGIN),
        (20, 30, 1024 - MARGIN),
        (1, 1, 1),
    ] {
        check::<f32>(m, k, n);
        check::<f64>(m, k, n);
    }
}

#[test]
fn rows_of_a_copy_never_share_a_set() {
    for k in 1..=1024 {
        let none = (std::ptr::null(), 1, 2);
        let plan = Plan::new::<F32x16>(Shape { m: 14, k, n: 14 }, none, none);
        let lines = plan.left_stride * size_of::<f32>() / LINE;
        assert_eq!(
            (lines % 2, plan.left_stride >= plan.depth),
            (1, true),
            "{k}"
        );
    }
}
