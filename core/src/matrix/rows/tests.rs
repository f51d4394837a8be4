use proptest::prelude::*;

use super::*;
use crate::{control::Unstoppable, rng::Rng};

const MEASURES: [RowMeasure; 3] = [
    RowMeasure::Cosine,
    RowMeasure::Pearson,
    RowMeasure::Euclidean,
];

/// The definitions, one pair at a time.
fn naive(x: &[f64], y: &[f64], measure: RowMeasure) -> f64 {
    let cosine = |x: &[f64], y: &[f64]| {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let lengths = (dot(x, x) * dot(y, y)).sqrt();
        if lengths == 0.0 {
            0.0
        } else {
            dot(x, y) / lengths
        }
    };
    let centred = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        if x.iter().all(|v| *v == x[0]) {
            return vec![0.0; x.len()];
        }
        x.iter().map(|v| v - mean).collect::<Vec<_>>()
    };
    match measure {
        RowMeasure::Cosine => cosine(x, y),
        RowMeasure::Pearson => cosine(&centred(x), &centred(y)),
        RowMeasure::Euclidean => {
            let squares = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y));
            1.0 / (1.0 + squares.sum::<f64>().sqrt())
        }
    }
}

fn matrix(rows: Vec<Vec<f64>>) -> Matrix<f64> {
    Matrix::from_rows(&rows, usize::MAX).unwrap()
}

fn all_pairs(m: &Matrix<f64>, measure: RowMeasure) -> Matrix<f64> {
    row_similarity(
        m,
        measure,
        &ProductLimits::default(),
        Par::Seq,
        &Unstoppable,
    )
    .unwrap()
}

fn top(m: &Matrix<f64>, measure: RowMeasure, k: usize) -> Vec<Vec<RowNeighbour>> {
    let limits = ProductLimits::default();
    row_similarity_top_k(m, measure, k, &limits, Par::Seq, &Unstoppable).unwrap()
}

fn random(rows: usize, cols: usize, seed: u64) -> Matrix<f64> {
    let mut rng = Rng::new(seed);
    // Ratings of 0 to 5 with repeated, zero and constant rows among them.
    let rows = (0..rows).map(|r| match r % 7 {
        3 => vec![0.0; cols],
        5 => vec![0.1; cols],
        _ => (0..cols).map(|_| rng.below(11) as f64 / 2.0).collect(),
    });
    matrix(rows.collect())
}

proptest! {
    #[test]
    fn agrees_with_the_definitions(rows in 1usize..30, cols in 1usize..40, seed: u64) {
        let m = random(rows, cols, seed);
        for measure in MEASURES {
            let s = all_pairs(&m, measure);
            for i in 0..rows {
                for j in 0..rows {
                    let expected = if i == j { 1.0 } else { naive(m.row(i), m.row(j), measure) };
                    let got = s.row(i)[j];
                    prop_assert!((got - expected).abs() < 1e-10, "{measure:?} {i} {j} {got} {expected}");
                    prop_assert_eq!(got, s.row(j)[i]);
                }
            }
        }
    }

    #[test]
    fn the_best_k_are_those_of_the_full_matrix(rows in 1usize..30, k in 0usize..12, seed: u64) {
        let m = random(rows, 9, seed);
        for measure in MEASURES {
            let s = all_pairs(&m, measure);
            for (i, best) in top(&m, measure, k).iter().enumerate() {
                prop_assert_eq!(best.len(), k.min(rows - 1));
                let mut all: Vec<f64> = (0..rows).filter(|&j| j != i).map(|j| s.row(i)[j]).collect();
                all.sort_by(|a, b| b.total_cmp(a));
                for (n, expected) in best.iter().zip(all) {
                    prop_assert!((n.similarity - expected).abs() < 1e-12);
                    prop_assert!((s.row(i)[n.row] - n.similarity).abs() < 1e-12);
                }
            }
        }
    }
}

#[test]
fn more_rows_than_a_tile_agree_too() {
    let m = random(SIDE * 2 + 40, 12, 5);
    for measure in MEASURES {
        let s = all_pairs(&m, measure);
        for (i, j) in [(0, 551), (255, 256), (300, 20), (511, 513)] {
            assert!((s.row(i)[j] - naive(m.row(i), m.row(j), measure)).abs() < 1e-10);
            assert_eq!(s.row(i)[j], s.row(j)[i]);
        }
    }
    let best = top(&m, RowMeasure::Cosine, 3);
    assert_eq!(best.len(), m.rows());
    assert!(best.iter().all(|b| b[0].similarity >= b[2].similarity));
}

#[test]
fn rows_of_any_size_neither_overflow_nor_vanish() {
    let m = matrix(vec![
        vec![1e300, 2e300, 3e300],
        vec![1e-300, 2e-300, 3e-300],
        vec![3.0, 2.0, 1.0],
        vec![-1e300, -2e300, -3e300],
    ]);
    let cosine = all_pairs(&m, RowMeasure::Cosine);
    assert!((cosine.row(0)[1] - 1.0).abs() < 1e-15);
    assert!((cosine.row(0)[3] + 1.0).abs() < 1e-15);
    assert!((cosine.row(1)[2] - 10.0 / 14.0).abs() < 1e-15);
    let pearson = all_pairs(&m, RowMeasure::Pearson);
    assert!((pearson.row(1)[2] + 1.0).abs() < 1e-15);
    let near = all_pairs(&m, RowMeasure::Euclidean);
    assert!(near.as_slice().iter().all(|v| (0.0..=1.0).contains(v)));
    assert!((near.row(0)[3] * 7.48331477354788e300 - 1.0).abs() < 1e-12);
}

#[test]
fn nearly_equal_rows_keep_their_distance() {
    let m = matrix(vec![vec![1000.0; 50], {
        let mut row = vec![1000.0; 50];
        row[7] += 1e-6;
        row
    }]);
    let s = all_pairs(&m, RowMeasure::Euclidean);
    assert!((s.row(0)[1] - 1.0 / (1.0 + 1e-6)).abs() < 1e-12);
}

#[test]
fn ties_go_to_the_lower_row() {
    let m = matrix(vec![vec![1.0, 0.0]; 6]);
    let best = top(&m, RowMeasure::Euclidean, 3);
    let rows = |i: usize| best[i].iter().map(|n| n.row).collect::<Vec<_>>();
    assert_eq!(rows(0), [1, 2, 3]);
    assert_eq!(rows(5), [0, 1, 2]);
}

#[test]
fn the_limit_counts_the_result() {
    let m = random(10, 4, 1);
    let limits = ProductLimits {
        elements: 99,
        ..ProductLimits::default()
    };
    let full = row_similarity(&m, RowMeasure::Cosine, &limits, Par::Seq, &Unstoppable);
    assert_eq!(
        full.unwrap_err().to_string(),
        "10 x 10 elements are over the limit of 99"
    );
    let top = row_similarity_top_k(&m, RowMeasure::Cosine, 9, &limits, Par::Seq, &Unstoppable);
    assert_eq!(top.unwrap()[0].len(), 9);
}

#[cfg(feature = "rayon")]
#[test]
fn threads_do_not_change_a_bit() {
    let m = random(600, 33, 9);
    let limits = ProductLimits::default();
    for measure in MEASURES {
        let par = row_similarity(&m, measure, &limits, Par::Rayon, &Unstoppable).unwrap();
        assert_eq!(all_pairs(&m, measure), par);
    }
}
