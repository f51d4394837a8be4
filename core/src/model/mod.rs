//! Biased matrix factorization over ratings: predicts what a user would rate an item.
//!
//! The model is `r = μ + b_u + b_i + p_u · q_i` (Funk 2006; Koren, Bell and Volinsky, "Matrix
//! factorization techniques for recommender systems", 2009). [`train`] fits the biases first, by
//! alternating regularized means, and then the factors by stochastic gradient descent on what the
//! biases leave. All arithmetic is IEEE f32 and f64 in a fixed order, so the same ratings,
//! parameters and seed give the same model on every platform.

mod biases;
mod factors;
#[cfg(test)]
mod tests;
mod trained;
mod training;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use trained::{Model, Recommendation};
pub use training::{Training, train};

use crate::control::Stopped;

/// How to train. Every field has bounds; see [`Parameters::validate`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Parameters {
    /// Length of a factor vector, 0 (biases only) to 512. Default 40.
    pub factors: u32,
    /// Most passes over the ratings, 0 to 1000; fewer when the validation share gets no better.
    /// Default 120.
    pub epochs: u32,
    /// Step of the descent, above 0 up to 1. Default 0.02.
    pub learning_rate: f64,
    /// Pull of the factors towards 0, 0 to 10. Default 0.12.
    pub regularization: f64,
    /// Share of the ratings that only measure the result, 0 to 0.9. Default 0.1.
    pub held_out_fraction: f64,
    /// Seed of the split, the first factors and the order of the ratings. Default 0.
    pub seed: u64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            factors: 40,
            epochs: 120,
            learning_rate: 0.02,
            regularization: 0.12,
            held_out_fraction: 0.1,
            seed: 0,
        }
    }
}

impl Parameters {
    /// Checks every field against its bounds.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for the first field out of bounds (NaN always is).
    pub fn validate(&self) -> Result<(), ModelError> {
        let fields = [
            (
                "factors",
                f64::from(self.factors),
                0.0,
                f64::from(FACTORS_MAX),
            ),
            ("epochs", f64::from(self.epochs), 0.0, 1000.0),
            ("learningRate", self.learning_rate, 1e-9, 1.0),
            ("regularization", self.regularization, 0.0, 10.0),
            ("heldOutFraction", self.held_out_fraction, 0.0, 0.9),
        ];
        for (name, value, min, max) in fields {
            if !(min..=max).contains(&value) {
                return Err(ModelError::Parameter {
                    name,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// Longest factor vector.
const FACTORS_MAX: u32 = 512;
/// Most numbers in all factor vectors together (1 GiB of f32).
const FACTOR_VALUES_MAX: u64 = 1 << 28;

/// Why there is no model.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A parameter is out of its bounds.
    #[error("{name} is {value}: it must be from {min} to {max}")]
    Parameter {
        /// Its JSON name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// Least allowed.
        min: f64,
        /// Most allowed.
        max: f64,
    },
    /// Too few ratings to learn from.
    #[error("{ratings} ratings: at least {min} are needed")]
    TooFewRatings {
        /// How many there are.
        ratings: usize,
        /// How many are needed.
        min: usize,
    },
    /// Factor vectors would need too much memory.
    #[error(
        "{entities} users and items with {factors} factors each make more than {max} numbers, the \
         limit: use fewer factors"
    )]
    TooManyFactors {
        /// Users and items together.
        entities: u64,
        /// Factors of each.
        factors: u32,
        /// The limit.
        max: u64,
    },
    /// The factors grew beyond all bounds.
    #[error("training diverged in epoch {epoch}: use a smaller learningRate")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// Bytes that are no model of ours.
    #[error("not a model: {0}")]
    Malformed(String),
    /// More bytes than a model may have.
    #[error("{bytes} bytes are more than {max}, the limit of a model")]
    TooLarge {
        /// How many there are.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
