use std::sync::Mutex;

use super::*;
use crate::{
    control::{Control, Unstoppable},
    id::Key,
    limits::Limits,
    rng::Rng,
    similarity::Ratings,
};

/// Users like either even or odd items, beside biases and noise: there is taste to find.
fn tasteful(users: u32, items: u32, per_user: u32) -> Ratings {
    let mut rng = Rng::new(9);
    let rows: Vec<_> = (0..users)
        .map(|u| {
            let mut order: Vec<u32> = (0..items).collect();
            rng.shuffle(&mut order);
            let row: Vec<_> = order[..per_user as usize]
                .iter()
                .map(|&i| {
                    let taste = if (u + i) % 2 == 0 { 0.8 } else { -0.8 };
                    let rating = 3.0 + f64::from(i % 5) * 0.2 + taste + rng.normal() * 0.3;
                    (
                        Key::Int(i.into()),
                        (rating.clamp(0.5, 5.0) * 2.0).round() as f32 / 2.0,
                    )
                })
                .collect();
            (Key::Int(u.into()), row)
        })
        .collect();
    Ratings::from_rows(rows, &Limits::default()).unwrap()
}

#[test]
fn factors_find_the_taste_that_biases_cannot() {
    let training = train(
        &tasteful(200, 100, 40),
        &Parameters::default(),
        &Unstoppable,
    )
    .unwrap();
    assert!(
        training.rmse_held_out < 0.7 * training.baseline_rmse_held_out,
        "{training:?}"
    );
    assert!(training.baseline_rmse_held_out < training.global_mean_rmse);
    assert_eq!(training.ratings_held_out, 800);
    assert_eq!(training.ratings_train, 7200);
}

#[test]
fn a_seed_gives_one_model_and_another_seed_another() {
    let ratings = tasteful(50, 40, 20);
    let run = |seed| {
        let parameters = Parameters {
            seed,
            epochs: 5,
            ..Parameters::default()
        };
        train(&ratings, &parameters, &Unstoppable).unwrap()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).model, run(2).model);
}

#[test]
fn noise_without_taste_is_not_learned() {
    let mut rng = Rng::new(4);
    let rows = (0..80i64).map(|u| {
        let row: Vec<_> = (0..30)
            .map(|i| (Key::Int(i), (1 + rng.below(5)) as f32))
            .collect();
        (Key::Int(u), row)
    });
    let ratings = Ratings::from_rows(rows, &Limits::default()).unwrap();
    let training = train(&ratings, &Parameters::default(), &Unstoppable).unwrap();
    assert!(
        training.rmse_held_out < 1.05 * training.baseline_rmse_held_out,
        "{training:?}"
    );
}

#[test]
fn unknown_users_and_items_fall_back_to_biases() {
    let training = train(&tasteful(60, 40, 20), &Parameters::default(), &Unstoppable).unwrap();
    let model = training.model;
    let unknown = u32::MAX;
    assert_eq!(model.predict(unknown, unknown), model.biases.mean);
    let expected = model.biases.mean + f64::from(model.biases.items[3]);
    assert_eq!(model.predict(unknown, 3), expected);
    for user in 0..60 {
        for item in 0..40 {
            assert!((0.5..=5.0).contains(&model.predict(user, item)));
        }
    }
}

#[test]
fn recommendations_are_the_best_that_are_not_excluded() {
    let model = train(&tasteful(60, 40, 20), &Parameters::default(), &Unstoppable)
        .unwrap()
        .model;
    let all = model.recommend(7, 1000, &[]);
    assert_eq!(all.len(), 40);
    assert!(all.windows(2).all(|w| w[0].rating >= w[1].rating));
    let exclude = [all[0].item, all[2].item, 4000];
    let some = model.recommend(7, 2, &exclude);
    assert_eq!(some, [all[1], all[3]]);
    assert!(model.recommend(7, 0, &[]).is_empty());
}

#[test]
fn bytes_give_the_model_back_and_damage_is_an_error() {
    let model = train(&tasteful(30, 20, 10), &Parameters::default(), &Unstoppable)
        .unwrap()
        .model;
    let bytes = model.to_bytes().unwrap();
    assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
    for len in [0, 1, 20, bytes.len() / 2, bytes.len() - 1] {
        assert!(matches!(
            Model::from_bytes(&bytes[..len]),
            Err(ModelError::Malformed(_))
        ));
    }
    let mut rng = Rng::new(2);
    for _ in 0..2000 {
        let mut damaged = bytes.clone();
        damaged[rng.below(bytes.len() as u64) as usize] = rng.next_u64() as u8;
        if let Ok(model) = Model::from_bytes(&damaged) {
            // Whatever was read can be used.
            let _ = (model.predict(3, 3), model.recommend(2, 5, &[1]));
        }
    }
}

#[test]
fn parameters_out_of_bounds_are_named() {
    let ratings = tasteful(10, 10, 5);
    let base = Parameters::default();
    let bad = [
        (
            Parameters {
                factors: 513,
                ..base
            },
            "factors",
        ),
        (
            Parameters {
                epochs: 1001,
                ..base
            },
            "epochs",
        ),
        (
            Parameters {
                learning_rate: f64::NAN,
                ..base
            },
            "learningRate",
        ),
        (
            Parameters {
                regularization: -1.0,
                ..base
            },
            "regularization",
        ),
        (
            Parameters {
                held_out_fraction: 1.0,
                ..base
            },
            "heldOutFraction",
        ),
    ];
    for (parameters, name) in bad {
        let error = train(&ratings, &parameters, &Unstoppable)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(name), "{error}");
    }
    let none = train(&Ratings::default(), &base, &Unstoppable).unwrap_err();
    assert_eq!(none, ModelError::TooFewRatings { ratings: 0, min: 2 });
}

#[test]
fn progress_rises_to_the_end_and_a_stop_is_obeyed() {
    struct Seen(Mutex<Vec<(u64, u64)>>, usize);
    impl Control for Seen {
        fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
            let mut seen = self.0.lock().unwrap();
            seen.push((done, total));
            if seen.len() > self.1 {
                Err(Stopped::TimedOut)
            } else {
                Ok(())
            }
        }
    }
    let ratings = tasteful(30, 20, 10);
    let seen = Seen(Mutex::default(), usize::MAX);
    train(&ratings, &Parameters::default(), &seen).unwrap();
    let seen = seen.0.into_inner().unwrap();
    assert!(seen.windows(2).all(|w| w[0].0 <= w[1].0));
    assert!(seen.last().is_some_and(|(done, total)| done == total));
    let stopper = Seen(Mutex::default(), 3);
    let error = train(&ratings, &Parameters::default(), &stopper).unwrap_err();
    assert_eq!(error, ModelError::Stopped(Stopped::TimedOut));
}
