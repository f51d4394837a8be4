use proptest::prelude::*;

use super::*;
use crate::{control::Unstoppable, rng::Rng};

const LIMITS: ProductLimits = ProductLimits {
    elements: 1 << 24,
    multiply_adds: 1 << 40,
};

/// The definition of a product.
fn naive<T: Element>(a: &Matrix<T>, b: &Matrix<T>) -> Vec<T> {
    let mut out = Vec::new();
    for row in a.iter_rows() {
        for col in 0..b.cols() {
            let mut sum = T::ZERO;
            for (p, &x) in row.iter().enumerate() {
                sum += x * b.as_slice()[p * b.cols() + col];
            }
            out.push(sum);
        }
    }
    out
}

/// Small integers: every partial sum is exact in both precisions.
fn integers<T: Element>(rows: usize, cols: usize, seed: u64) -> Matrix<T> {
    let mut rng = Rng::new(seed);
    let data = (0..rows * cols)
        .map(|_| T::from_f64(rng.below(17) as f64 - 8.0))
        .collect();
    Matrix::from_vec(rows, cols, data, usize::MAX).unwrap()
}

fn check<T: Element>(m: usize, k: usize, n: usize, seed: u64) {
    let (a, b) = (integers::<T>(m, k, seed), integers::<T>(k, n, !seed));
    let c = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
    assert_eq!((c.rows(), c.cols()), (m, n));
    assert_eq!(c.as_slice(), naive(&a, &b), "{m} x {k} x {n}");
}

proptest! {
    #[test]
    fn integer_products_are_exact(m in 1usize..40, k in 1usize..40, n in 1usize..40, seed: u64) {
        check::<f32>(m, k, n, seed);
        check::<f64>(m, k, n, seed);
    }

    #[test]
    fn fractions_stay_within_the_documented_tolerance(
        m in 1usize..30, k in 1usize..300, n in 1usize..30, seed: u64,
    ) {
        let mut rng = Rng::new(seed);
        let mut fill = |r, c| {
            let data = (0..r * c).map(|_| rng.normal()).collect();
            Matrix::from_vec(r, c, data, usize::MAX).unwrap()
        };
        let (a, b) = (fill(m, k), fill(k, n));
        let magnitude = |x: &Matrix<f64>| {
            let data = x.as_slice().iter().map(|v| v.abs()).collect();
            Matrix::from_vec(x.rows(), x.cols(), data, usize::MAX).unwrap()
        };
        let bound = naive(&magnitude(&a), &magnitude(&b));
        let c = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
        for ((x, y), size) in c.as_slice().iter().zip(naive(&a, &b)).zip(bound) {
            prop_assert!((x - y).abs() <= 2.0 * k as f64 * f64::EPSILON / 2.0 * size);
        }
    }
}

#[test]
fn shapes_at_the_edges_of_tiles_and_slices_are_exact() {
    for (m, k, n) in [
        (1, 3000, 5),
        (5, 3000, 1),
        (1030, 7, 513),
        (7, 1100, 1030),
        (260, 1100, 260),
        (3, 2048, 700),
    ] {
        check::<f64>(m, k, n, 7);
        check::<f32>(m, k, n, 8);
    }
}

#[cfg(feature = "rayon")]
#[test]
fn threads_do_not_change_a_bit() {
    let mut rng = Rng::new(3);
    let mut normal = |rows: usize, cols: usize| {
        let data = (0..rows * cols).map(|_| rng.normal()).collect();
        Matrix::<f64>::from_vec(rows, cols, data, usize::MAX).unwrap()
    };
    // As it lies, copied, one row, deeper than a slice.
    for (m, k, n) in [
        (200, 200, 200),
        (700, 700, 700),
        (1, 900, 1000),
        (300, 1300, 70),
    ] {
        let (a, b) = (normal(m, k), normal(k, n));
        let seq = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let par = pool
                .build()
                .unwrap()
                .install(|| multiply(&a, &b, &LIMITS, Par::Rayon, &Unstoppable).unwrap());
            assert_eq!(seq, par);
        }
        let outside = multiply(&a, &b, &LIMITS, Par::Rayon, &Unstoppable).unwrap();
        assert_eq!(seq, outside);
    }
}

/// Stops at the n-th checkpoint and counts how many came after.
struct StopAt {
    at: u64,
    seen: AtomicU64,
}

impl Control for StopAt {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        assert!(done <= total);
        if self.seen.fetch_add(1, Ordering::Relaxed) >= self.at {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }
}

#[test]
fn a_cancel_ends_the_product_at_the_next_checkpoint() {
    let a = integers::<f32>(1024, 1024, 1);
    let control = StopAt {
        at: 3,
        seen: AtomicU64::new(0),
    };
    let error = multiply(&a, &a, &LIMITS, Par::Seq, &control).unwrap_err();
    assert_eq!(error, MatrixError::Stopped(Stopped::Cancelled));
    assert_eq!(control.seen.into_inner(), 4);
}

#[test]
fn no_step_between_checkpoints_is_longer_than_a_tile() {
    for (m, k, n) in [(4096, 4096, 4096), (1 << 24, 1, 1 << 10), (3, 1 << 22, 3)] {
        for packed in [false, true] {
            let (rows, cols) = tile_shape(m, k, n, packed, m == 1);
            assert!(rows * cols <= TILE_AREA);
            assert!(rows <= m && cols <= n);
        }
    }
    assert_eq!(tile_shape(64, 64, 64, false, false), (64, 64));
    let rows = TILE_AREA / 1024;
    assert_eq!(tile_shape(2048, 2048, 2048, true, false), (rows, 1024));
    assert_eq!(tile_shape(512, 512, 512, false, false), (512, 128));
}

#[test]
fn limits_and_shapes_are_checked_before_any_work() {
    let a = integers::<f64>(3, 2, 1);
    let b = integers::<f64>(3, 4, 1);
    let error = multiply(&a, &b, &LIMITS, Par::Seq, &Unstoppable).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("left has 2 columns, right has 3 rows")
    );
    let tight = |elements, multiply_adds| ProductLimits {
        elements,
        multiply_adds,
    };
    let t = b.transposed();
    let run = |limits| multiply(&t, &a, &limits, Par::Seq, &Unstoppable);
    assert!(matches!(
        run(tight(7, 99)),
        Err(MatrixError::TooLarge { .. })
    ));
    assert!(matches!(
        run(tight(8, 23)),
        Err(MatrixError::TooMuchWork {
            multiply_adds: 24,
            limit: 23
        })
    ));
    assert!(run(tight(8, 24)).is_ok());
    let mut wrong = integers::<f64>(2, 2, 1);
    let into = multiply_into(&t, &a, &mut wrong, &LIMITS, Par::Seq, &Unstoppable);
    assert!(matches!(into, Err(MatrixError::OutputShape { .. })));
}
