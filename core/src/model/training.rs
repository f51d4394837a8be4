//! Splits, fits and measures.

use super::{
    FACTOR_VALUES_MAX, Model, ModelError, Parameters,
    biases::{Biases, Rated},
    factors::{Factors, Progress, Step},
};
use crate::{control::Control, rng::Rng, similarity::Ratings};

/// Share of the training ratings that decides when to stop; they are learned from afterwards.
const VALIDATION_FRACTION: f64 = 0.1;
/// Epochs without a better validation before the search ends.
const PATIENCE: u32 = 8;
/// Epochs before the search may end: small random factors need some to find a direction.
const SEARCH_MIN: u32 = 30;
/// Fewest ratings that can be split and learned from.
const RATINGS_MIN: usize = 2;

/// A model and how good it is. Errors are root mean squares, in rating points.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Training {
    /// The model.
    pub model: Model,
    /// Of the model on the held-out ratings, which no part of the training saw. NaN without any.
    pub rmse_held_out: f64,
    /// Of the model on the ratings it learned from.
    pub rmse_train: f64,
    /// Of `μ + b_u + b_i` alone on the held-out ratings: what the factors have to beat.
    pub baseline_rmse_held_out: f64,
    /// Of the mean rating on the held-out ratings.
    pub global_mean_rmse: f64,
    /// Passes over all training ratings.
    pub epochs_run: u32,
    /// Ratings learned from, count.
    pub ratings_train: usize,
    /// Ratings held out, count.
    pub ratings_held_out: usize,
}

/// Trains on all ratings but a random held-out share, on which it measures.
///
/// How many epochs: a first descent leaves out a tenth of the training ratings and stops when the
/// error on them gets no better; a second one, from the start, learns from all training ratings for
/// as many epochs as were best (none, if the factors never helped). The first also finds how much of
/// p·q to believe, by least squares: where ratings are few the full product would say too much.
/// Cost: O(ratings · factors) an
/// epoch, twice; memory: 12 bytes a rating, 4 a factor and 4 a bias, twice.
///
/// # Errors
/// [`ModelError`].
pub fn train(
    ratings: &Ratings,
    parameters: &Parameters,
    control: &impl Control,
) -> Result<Training, ModelError> {
    parameters.validate()?;
    if ratings.ratings_len() < RATINGS_MIN {
        return Err(ModelError::TooFewRatings {
            ratings: ratings.ratings_len(),
            min: RATINGS_MIN,
        });
    }
    let entities = u64::from(ratings.len()) + u64::from(ratings.items_len());
    if entities * u64::from(parameters.factors.next_multiple_of(8)) > FACTOR_VALUES_MAX {
        return Err(ModelError::TooManyFactors {
            entities,
            factors: parameters.factors,
            max: FACTOR_VALUES_MAX,
        });
    }
    let mut rng = Rng::new(parameters.seed);
    let mut all = triplets(ratings);
    rng.shuffle(&mut all);
    let held = (all.len() as f64 * parameters.held_out_fraction) as usize;
    let (held_out, known) = all.split_at(held.min(all.len() - 1));
    let descent = Descent {
        users: ratings.len() as usize,
        items: ratings.items_len() as usize,
        parameters,
    };
    // Both descents, at most.
    let total = 2 * u64::from(parameters.epochs) * known.len() as u64;
    let mut progress = Progress {
        control,
        done: 0,
        total,
    };
    let best = descent.search(known, &mut rng.clone(), &mut progress)?;
    let model = descent.run(known, best, &mut rng, &mut progress)?;
    control.checkpoint(total, total)?;
    let biases = &model.biases;
    Ok(Training {
        rmse_held_out: rmse(held_out, |r| model.predict(r.user, r.item)),
        rmse_train: rmse(known, |r| model.predict(r.user, r.item)),
        baseline_rmse_held_out: rmse(held_out, |r| model.clamp(biases.predict(r.user, r.item))),
        global_mean_rmse: rmse(held_out, |_| biases.mean),
        epochs_run: best.epochs,
        ratings_train: known.len(),
        ratings_held_out: held_out.len(),
        model,
    })
}

fn triplets(ratings: &Ratings) -> Vec<Rated> {
    let rows = (0..ratings.len()).flat_map(|user| {
        let (items, values) = ratings.row(user);
        let pairs = items.iter().zip(values);
        pairs.map(move |(&item, &rating)| Rated { user, item, rating })
    });
    rows.collect()
}

/// Root mean square error. NaN without ratings.
fn rmse(ratings: &[Rated], predict: impl Fn(&Rated) -> f64) -> f64 {
    let square = |r: &Rated| {
        let error = f64::from(r.rating) - predict(r);
        error * error
    };
    (ratings.iter().map(square).sum::<f64>() / ratings.len() as f64).sqrt()
}

/// What the validation share recommends.
#[derive(Debug, Clone, Copy)]
struct Best {
    epochs: u32,
    /// Share of p·q to believe, 0 to 1.
    trust: f64,
}

struct Descent<'a> {
    users: usize,
    items: usize,
    parameters: &'a Parameters,
}

impl Descent<'_> {
    /// A model after so many epochs over the ratings.
    fn run(
        &self,
        known: &[Rated],
        best: Best,
        rng: &mut Rng,
        progress: &mut Progress<'_, impl Control>,
    ) -> Result<Model, ModelError> {
        let biases = Biases::fit(known, self.users, self.items);
        let epochs = best.epochs;
        let factors = if epochs == 0 {
            0
        } else {
            self.parameters.factors
        };
        let mut factors = Factors::new(self.users, self.items, factors as usize, rng);
        let mut order = known.to_vec();
        for epoch in 0..epochs {
            rng.shuffle(&mut order);
            factors.epoch(&order, &biases, self.step(), progress)?;
            self.check(&factors, epoch)?;
        }
        factors.scale(best.trust as f32);
        Ok(Model::new(biases, factors, known))
    }

    /// What does best on a share of the ratings that is left out.
    fn search(
        &self,
        known: &[Rated],
        rng: &mut Rng,
        progress: &mut Progress<'_, impl Control>,
    ) -> Result<Best, ModelError> {
        let validation = (known.len() as f64 * VALIDATION_FRACTION) as usize;
        let (validation, learned) = known.split_at(validation);
        if self.parameters.factors == 0 || validation.is_empty() {
            let epochs = self.parameters.epochs.min(self.parameters.factors);
            return Ok(Best { epochs, trust: 1.0 });
        }
        let biases = Biases::fit(learned, self.users, self.items);
        let factors = self.parameters.factors as usize;
        let mut factors = Factors::new(self.users, self.items, factors, rng);
        let mut order = learned.to_vec();
        let mut best = Best {
            epochs: 0,
            trust: 0.0,
        };
        let mut least = rmse(validation, |r| biases.predict(r.user, r.item));
        for epoch in 0..self.parameters.epochs {
            rng.shuffle(&mut order);
            factors.epoch(&order, &biases, self.step(), progress)?;
            self.check(&factors, epoch)?;
            let trust = trust(validation, &biases, &factors);
            let error = rmse(validation, |r| {
                biases.predict(r.user, r.item) + trust * f64::from(factors.dot(r.user, r.item))
            });
            if error < least {
                least = error;
                best = Best {
                    epochs: epoch + 1,
                    trust,
                };
            } else if epoch >= SEARCH_MIN && best.epochs + PATIENCE <= epoch {
                break;
            }
        }
        Ok(best)
    }

    fn step(&self) -> Step {
        Step {
            rate: self.parameters.learning_rate as f32,
            regularization: self.parameters.regularization as f32,
        }
    }

    /// Finds factors that ran away before they spoil the model.
    fn check(&self, factors: &Factors, epoch: u32) -> Result<(), ModelError> {
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        if finite(&factors.users) && finite(&factors.items) {
            Ok(())
        } else {
            Err(ModelError::Diverged { epoch: epoch + 1 })
        }
    }
}

/// The t within 0..=1 for which biases + t p·q comes closest to the ratings.
fn trust(ratings: &[Rated], biases: &Biases, factors: &Factors) -> f64 {
    let (mut product, mut square) = (0.0, 0.0);
    for r in ratings {
        let dot = f64::from(factors.dot(r.user, r.item));
        product += dot * (f64::from(r.rating) - biases.predict(r.user, r.item));
        square += dot * dot;
    }
    if product > 0.0 {
        (product / square).min(1.0)
    } else {
        0.0
    }
}
