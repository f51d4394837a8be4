//! Every measure beside its naive twin, which follows the definition word for word.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::prelude::*;

use super::*;
use crate::{control::Unstoppable, id::Key, limits::Limits};

pub(super) const MEASURES: [Measure; 6] = [
    Measure::Pearson,
    Measure::Cosine,
    Measure::CosineZeroFilled,
    Measure::Jaccard,
    Measure::Euclidean,
    Measure::EuclideanDistance,
];

pub(super) type Rows = Vec<Vec<(i64, f32)>>;

pub(super) fn ratings(rows: &Rows) -> Ratings {
    let rows = rows.iter().enumerate().map(|(a, row)| {
        let row = row.iter().map(|&(item, rating)| (Key::Int(item), rating));
        (Key::Int(a as i64), row)
    });
    Ratings::from_rows(rows, &Limits::default()).unwrap()
}

/// The value and the count of co-rated items, by the definition.
fn naive(measure: Measure, row_a: &[(i64, f32)], row_b: &[(i64, f32)]) -> (f64, u32) {
    let map = |row: &[(i64, f32)]| -> BTreeMap<i64, f64> {
        row.iter()
            .map(|&(item, rating)| (item, f64::from(rating)))
            .collect()
    };
    let (a, b) = (map(row_a), map(row_b));
    let common: Vec<(f64, f64)> = a
        .iter()
        .filter_map(|(item, &x)| Some((x, *b.get(item)?)))
        .collect();
    let sum = |f: &dyn Fn(f64, f64) -> f64| common.iter().map(|&(x, y)| f(x, y)).sum::<f64>();
    let n = common.len() as f64;
    let ratio = |dot: f64, xx: f64, yy: f64| {
        if xx > 0.0 && yy > 0.0 {
            dot / (xx.sqrt() * yy.sqrt())
        } else {
            0.0
        }
    };
    let constant = |f: &dyn Fn(&(f64, f64)) -> f64| {
        common.iter().all(|p| f(p) == common.first().map_or(0.0, f))
    };
    let distance = sum(&|x, y| (x - y) * (x - y)).sqrt();
    let value = match measure {
        Measure::Pearson if constant(&|p| p.0) || constant(&|p| p.1) => 0.0,
        Measure::Pearson => {
            let (mx, my) = (sum(&|x, _| x) / n, sum(&|_, y| y) / n);
            let xy = sum(&|x, y| (x - mx) * (y - my));
            ratio(
                xy,
                sum(&|x, _| (x - mx).powi(2)),
                sum(&|_, y| (y - my).powi(2)),
            )
        }
        Measure::Cosine => ratio(sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y)),
        Measure::CosineZeroFilled => {
            let norm = |m: &BTreeMap<i64, f64>| m.values().map(|v| v * v).sum::<f64>();
            ratio(sum(&|x, y| x * y), norm(&a), norm(&b))
        }
        Measure::Jaccard => n / (a.len() as f64 + b.len() as f64 - n),
        Measure::Euclidean => 1.0 / (1.0 + distance),
        Measure::EuclideanDistance => distance,
    };
    (value, common.len() as u32)
}

/// Half stars, points, tenths that have no exact binary form, signed, huge and tiny values.
fn rows() -> impl Strategy<Value = Rows> {
    let half_stars = (0u8..=10).prop_map(|h| f32::from(h) / 2.0).boxed();
    let points = (50u8..=100).prop_map(f32::from).boxed();
    let tenths = (0u16..500).prop_map(|t| f32::from(t) / 10.0).boxed();
    let signed = (-100i16..100).prop_map(|t| f32::from(t) / 8.0).boxed();
    let constant = Just(4.1f32).boxed();
    let offset = (0u8..5).prop_map(|t| 1e6 + f32::from(t) / 8.0).boxed();
    let wild = prop_oneof![
        -1e30f32..1e30,
        -1.0f32..1.0,
        -1e-30f32..1e-30,
        Just(f32::MAX),
        Just(f32::MIN_POSITIVE),
        Just(0.0)
    ]
    .boxed();
    prop_oneof![
        4 => Just(half_stars), 1 => Just(points), 2 => Just(tenths), 1 => Just(signed),
        1 => Just(constant), 1 => Just(offset), 1 => Just(wild),
    ]
    .prop_flat_map(|rating| {
        (1i64..30).prop_flat_map(move |items| {
            let row = prop::collection::vec((0..items, rating.clone()), 0..40);
            prop::collection::vec(row, 0..24)
        })
    })
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-7 * expected.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_measure_equals_its_naive_twin(rows in rows(), min_common in 0u32..4) {
        let ratings = ratings(&rows);
        for measure in MEASURES {
            let options = Options { min_common, ..Options::new(measure) };
            let similarity = Similarity::new(&ratings, &options).unwrap();
            let found = similarity.all_pairs(Par::Seq, &Unstoppable).unwrap();
            let mut left: BTreeMap<(u32, u32), Pair> =
                found.iter().map(|p| ((p.a, p.b), *p)).collect();
            prop_assert_eq!(left.len(), found.len());
            let triangle = similarity.triangle(Par::Seq, &Unstoppable).unwrap();
            let mut triangle = triangle.into_iter();
            for a in 0..ratings.len() {
                let row = similarity.row(a, &Unstoppable).unwrap();
                for b in a + 1..ratings.len() {
                    let (value, common) = naive(measure, &rows[a as usize], &rows[b as usize]);
                    let pair = left.remove(&(a, b));
                    let bits = row[b as usize].to_bits();
                    prop_assert_eq!(triangle.next().map(f64::to_bits), Some(bits));
                    prop_assert_eq!(similarity.pair(b, a).unwrap(), pair);
                    if common < min_common.max(1) {
                        prop_assert!(pair.is_none());
                        continue;
                    }
                    let pair = pair.unwrap();
                    prop_assert_eq!(pair.common, common);
                    prop_assert!(
                        close(pair.similarity, value),
                        "{:?} {} {}: {} for {}", measure, a, b, pair.similarity, value
                    );
                    prop_assert_eq!(row[b as usize].to_bits(), pair.similarity.to_bits());
                }
            }
            prop_assert!(left.is_empty());
            let in_order = |w: &[Pair]| {
                order::compare(measure.is_ascending(), &w[0], &w[1]).is_lt()
            };
            prop_assert!(found.windows(2).all(in_order));
        }
    }

    #[test]
    fn lists_and_limits_agree_with_all_pairs(
        rows in rows(), k in 0usize..8, limit in 0usize..40, min_similarity in -0.5f64..1.0,
    ) {
        let ratings = ratings(&rows);
        for measure in MEASURES {
            let options = Options { min_similarity, ..Options::new(measure) };
            let all = all_pairs(&ratings, &options, Par::Seq, &Unstoppable).unwrap();
            let limited = Options { limit: Some(limit), ..options };
            let best = all_pairs(&ratings, &limited, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(&best[..], &all[..limit.min(all.len())]);
            let lists = top_k(&ratings, k, None, &options, Par::Seq, &Unstoppable).unwrap();
            prop_assert_eq!(lists.len(), ratings.len() as usize);
            for (a, list) in (0u32..).zip(lists) {
                let mut expected: Vec<Neighbor> = all
                    .iter()
                    .filter(|p| p.a == a || p.b == a)
                    .map(|p| Neighbor {
                        entity: if p.a == a { p.b } else { p.a },
                        common: p.common,
                        similarity: p.similarity,
                    })
                    .collect();
                let compare = |p: &Neighbor, q: &Neighbor| {
                    select::compare_neighbors(measure.is_ascending(), p, q)
                };
                expected.sort_by(compare);
                expected.truncate(k);
                prop_assert_eq!(list, expected);
            }
        }
    }

    #[test]
    fn transposing_twice_changes_nothing(rows in rows()) {
        let ratings = ratings(&rows);
        let twice = ratings.transpose().transpose();
        prop_assert_eq!(twice.len(), ratings.len());
        for a in 0..ratings.len() {
            prop_assert_eq!(twice.row(a), ratings.row(a));
            let expected: BTreeMap<i64, f32> = rows[a as usize].iter().copied().collect();
            let (items, values) = ratings.row(a);
            prop_assert!(items.windows(2).all(|w| w[0] < w[1]));
            let found: BTreeMap<i64, f32> = items
                .iter()
                .zip(values)
                .map(|(&i, &v)| match ratings.item(i) {
                    Some(Key::Int(id)) => (*id, v),
                    other => panic!("{other:?}"),
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}

/// `entities` rows of `per_row` half-star ratings of `items` items.
fn random(entities: usize, per_row: usize, items: u64, seed: u64) -> Ratings {
    let mut rng = crate::rng::Rng::new(seed);
    let rows: Rows = (0..entities)
        .map(|_| {
            (0..per_row)
                .map(|_| (rng.below(items) as i64, (1 + rng.below(10)) as f32 / 2.0))
                .collect()
        })
        .collect();
    ratings(&rows)
}

#[test]
fn entities_beyond_one_block_are_all_met() {
    // Sparse and, for the first row, dense walks over more than one block.
    let mut rows: Rows = vec![(0..40).map(|i| (i, (1 + i % 9) as f32)).collect()];
    let entities = inverted::BLOCK as i64 + 500;
    rows.extend((1..entities).map(|a| (0..5).map(|i| ((a * 7 + i * i) % 40, i as f32)).collect()));
    let ratings = ratings(&rows);
    for measure in [Measure::Pearson, Measure::Jaccard] {
        let options = Options::new(measure);
        let similarity = Similarity::new(&ratings, &options).unwrap();
        for a in [0, 16_000, entities as u32 - 1] {
            let row = similarity.row(a, &Unstoppable).unwrap();
            for b in (0..entities as u32)
                .step_by(37)
                .chain([entities as u32 - 1])
            {
                let (value, common) = naive(measure, &rows[a as usize], &rows[b as usize]);
                let expected = if common < options.min_common {
                    0.0
                } else {
                    value
                };
                assert!(close(row[b as usize], expected), "{measure:?} {a} {b}");
            }
        }
    }
}

#[test]
fn long_rows_take_two_words_and_stay_exact() {
    let ratings = random(40, 3000, 4000, 3);
    for measure in MEASURES {
        let pairs = all_pairs(&ratings, &Options::new(measure), Par::Seq, &Unstoppable).unwrap();
        for pair in pairs.iter().step_by(17) {
            let row = |a: u32| -> Vec<(i64, f32)> {
                let (items, values) = ratings.row(a);
                items
                    .iter()
                    .zip(values)
                    .map(|(&i, &v)| (i64::from(i), v))
                    .collect()
            };
            let (value, common) = naive(measure, &row(pair.a), &row(pair.b));
            assert_eq!(pair.common, common);
            assert!((pair.similarity - value).abs() < 1e-12);
        }
    }
}

#[test]
fn dense_rows_give_the_same_bits_as_single_pairs() {
    // More than a whole group of lanes, and enough items to widen the 16-bit sums.
    let ratings = random(300, 1500, 900, 13);
    for measure in MEASURES {
        let similarity = Similarity::new(&ratings, &Options::new(measure)).unwrap();
        for a in [0, 31, 32, 150, 299] {
            let row = similarity.row(a, &Unstoppable).unwrap();
            for b in 0..ratings.len() {
                let pair = similarity.pair(a, b).unwrap().unwrap();
                assert_eq!(row[b as usize].to_bits(), pair.similarity.to_bits());
            }
        }
    }
}

#[cfg(feature = "rayon")]
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let ratings = random(400, 60, 500, 11);
    for measure in MEASURES {
        let options = Options::new(measure);
        let limited = Options {
            limit: Some(1000),
            ..options
        };
        let seq = all_pairs(&ratings, &options, Par::Seq, &Unstoppable).unwrap();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let par = all_pairs(&ratings, &options, Par::Rayon, &Unstoppable).unwrap();
                assert_eq!(par, seq);
                let best = all_pairs(&ratings, &limited, Par::Rayon, &Unstoppable).unwrap();
                assert_eq!(best[..], seq[..1000]);
            });
        }
    }
}

#[test]
fn too_many_pairs_is_an_error_that_names_the_limit() {
    let ratings = random(100, 30, 60, 5);
    let options = Options {
        max_pairs: 100,
        ..Options::new(Measure::Jaccard)
    };
    let error = all_pairs(&ratings, &options, Par::Seq, &Unstoppable).unwrap_err();
    assert_eq!(error, SimilarityError::TooManyPairs { max: 100 });
    assert!(error.to_string().contains("100"));
    let lists = top_k(&ratings, 2, None, &options, Par::Seq, &Unstoppable);
    assert_eq!(lists.unwrap_err(), error);
    let few = top_k(
        &ratings,
        2,
        Some(&[3, 99]),
        &options,
        Par::Seq,
        &Unstoppable,
    )
    .unwrap();
    assert_eq!(few.len(), 2);
    let unknown = top_k(&ratings, 2, Some(&[100]), &options, Par::Seq, &Unstoppable);
    let expected = SimilarityError::UnknownEntity {
        entity: 100,
        entities: 100,
    };
    assert_eq!(unknown.unwrap_err(), expected);
}

#[test]
fn a_cancel_ends_the_work_early() {
    struct After(AtomicU64);
    impl Control for After {
        fn checkpoint(&self, _done: u64, _total: u64) -> Result<(), Stopped> {
            if self.0.fetch_add(1, Ordering::Relaxed) < 2 {
                Ok(())
            } else {
                Err(Stopped::Cancelled)
            }
        }
    }
    let ratings = random(1500, 200, 400, 5);
    let control = After(AtomicU64::new(0));
    let options = Options {
        max_pairs: usize::MAX,
        ..Options::new(Measure::Pearson)
    };
    let error = all_pairs(&ratings, &options, Par::Seq, &control).unwrap_err();
    assert_eq!(error, SimilarityError::Stopped(Stopped::Cancelled));
    assert_eq!(control.0.into_inner(), 3);
}

#[test]
fn refusals_name_the_place() {
    let limits = Limits {
        entities: 2,
        ratings: 3,
        ..Limits::default()
    };
    let row = |n: i64| (Key::Int(n), vec![(Key::from("merlot"), 3.0)]);
    let error = Ratings::from_rows([row(1), row(2), row(3)], &limits).unwrap_err();
    assert_eq!(error, RatingsError::TooManyEntities { max: 2 });
    let error = Ratings::from_integer_triplets(&[1; 4], &[1, 2, 3, 4], &[1.0; 4], &limits);
    assert_eq!(error.unwrap_err(), RatingsError::TooManyRatings { max: 3 });
    let error = Ratings::from_triplets(&[Key::Int(1)], &[], &[1.0], &limits).unwrap_err();
    assert!(matches!(
        error,
        RatingsError::LengthMismatch { items: 0, .. }
    ));
    let bad = [(Key::from("anna"), vec![(Key::from("merlot"), f32::NAN)])];
    let error = Ratings::from_rows(bad, &limits).unwrap_err().to_string();
    assert!(error.contains("anna") && error.contains("merlot") && error.contains("NaN"));
    let options = Options {
        min_similarity: f64::NAN,
        ..Options::new(Measure::Cosine)
    };
    let error = all_pairs(&Ratings::default(), &options, Par::Seq, &Unstoppable);
    assert_eq!(error.unwrap_err(), SimilarityError::MinSimilarityNan);
}
