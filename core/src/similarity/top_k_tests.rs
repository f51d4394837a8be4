//! Lists of all entities, where each pair is worked once, beside lists of asked entities, which
//! take whole rows (and which `tests.rs` compares with the definitions).

use proptest::prelude::*;

use super::{
    tests::{MEASURES, Rows, ratings},
    *,
};
use crate::{control::Unstoppable, rng::Rng};

/// Rows whose items are the more popular the smaller they are; ratings are multiples of `step`.
fn skewed(entities: usize, row_len: u64, items: f64, (most, step): (u64, f32)) -> Ratings {
    let mut rng = Rng::new(17);
    let rows: Rows = (0..entities)
        .map(|_| {
            let len = rng.below(row_len);
            (0..len)
                .map(|_| {
                    let item = items * rng.unit_f64().powi(4);
                    (item as i64, (1 + rng.below(most)) as f32 * step)
                })
                .collect()
        })
        .collect();
    ratings(&rows)
}

/// Both ways give the same, for any number of threads.
fn compare(ratings: &Ratings, k: usize, options: &Options, queries: &[u32]) {
    let asked = top_k(ratings, k, Some(queries), options, Par::Seq, &Unstoppable).unwrap();
    let check = |par: Par| {
        let lists = top_k(ratings, k, None, options, par, &Unstoppable).unwrap();
        assert_eq!(lists.len(), ratings.len() as usize);
        for (&query, asked) in queries.iter().zip(&asked) {
            assert_eq!(&lists[query as usize], asked, "{options:?}, {query}");
        }
    };
    check(Par::Seq);
    #[cfg(feature = "rayon")]
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| check(Par::Rayon));
    }
}

fn unlimited(measure: Measure) -> Options {
    Options {
        max_pairs: usize::MAX,
        ..Options::new(measure)
    }
}

#[test]
fn popular_items_and_blocks_of_entities_change_nothing() {
    // Half stars; codes too large for columns; thirds, which have no codes.
    for scale in [(10, 0.5), (100, 1.0), (9, 1.0 / 3.0)] {
        let ratings = skewed(2300, 40, 900.0, scale);
        let queries: Vec<u32> = (0..ratings.len()).step_by(23).collect();
        for measure in MEASURES {
            compare(&ratings, 7, &unlimited(measure), &queries);
        }
    }
}

#[test]
fn rows_longer_than_the_columns_that_sums_have_room_for() {
    // Codes up to 31: 68 columns a row.
    let ratings = skewed(300, 400, 150.0, (32, 1.0));
    let queries: Vec<u32> = (0..300).collect();
    for measure in MEASURES {
        compare(&ratings, 20, &unlimited(measure), &queries);
    }
}

#[test]
fn entities_with_little_in_common_over_more_than_a_block() {
    let mut rng = Rng::new(3);
    let rows: Rows = (0..inverted::BLOCK + 700)
        .map(|_| (0..4).map(|_| (rng.below(40_000) as i64, 3.5)).collect())
        .collect();
    let ratings = ratings(&rows);
    let queries: Vec<u32> = (0..ratings.len()).step_by(97).collect();
    for measure in [Measure::Jaccard, Measure::CosineZeroFilled] {
        compare(&ratings, 3, &unlimited(measure), &queries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn ties_and_minima_are_kept(
        entities in 1usize..200, k in 0usize..12, min_common in 0u32..6,
        min_similarity in prop_oneof![Just(f64::NEG_INFINITY), -1.0f64..1.0, Just(0.5), Just(1.0)],
        most in 1u64..4,
    ) {
        let ratings = skewed(entities, 12, 30.0, (most, 1.0));
        let queries: Vec<u32> = (0..ratings.len()).collect();
        for measure in MEASURES {
            let options = Options { min_common, min_similarity, ..unlimited(measure) };
            compare(&ratings, k, &options, &queries);
        }
    }
}
