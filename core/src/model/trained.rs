//! A trained model: predictions, recommendations, bytes.

use serde::{Deserialize, Serialize};

use super::{
    FACTOR_VALUES_MAX, ModelError,
    biases::{Biases, Rated},
    factors::Factors,
};

/// Largest serialized model, bytes.
const BYTES_MAX: usize = 1 << 30;
/// First field of the bytes; changes with their format.
const FORMAT: &str = "sommos-model-1";

/// Predicts ratings by user and item index, as of the ratings it was trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) biases: Biases,
    factors: Factors,
    range: (f32, f32),
}

/// The bytes' layout, in MessagePack.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: String,
    biases: Biases,
    width: usize,
    user_factors: Vec<f32>,
    item_factors: Vec<f32>,
    range: (f32, f32),
}

/// An item for a user.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Its index.
    pub item: u32,
    /// The predicted rating, within the range of the ratings seen.
    pub rating: f64,
}

impl Model {
    pub(super) fn new(biases: Biases, factors: Factors, known: &[Rated]) -> Self {
        let fold =
            |start: f32, f: fn(f32, f32) -> f32| known.iter().map(|r| r.rating).fold(start, f);
        Self {
            biases,
            factors,
            range: (
                fold(f32::INFINITY, f32::min),
                fold(f32::NEG_INFINITY, f32::max),
            ),
        }
    }

    /// Into the range of the ratings seen.
    pub(super) fn clamp(&self, rating: f64) -> f64 {
        rating.clamp(f64::from(self.range.0), f64::from(self.range.1))
    }

    /// The rating to expect, within the range of the ratings seen. An unknown user or item
    /// contributes nothing: what remains is the other's bias, or the mean. O(factors).
    #[must_use]
    pub fn predict(&self, user: u32, item: u32) -> f64 {
        self.clamp(self.score(user, item))
    }

    fn score(&self, user: u32, item: u32) -> f64 {
        self.biases.predict(user, item) + f64::from(self.factors.dot(user, item))
    }

    /// The `n` items with the highest expected ratings that are not in `exclude`, best first, then
    /// by index. Compares before clamping, so that ratings at the top of the range keep their order.
    /// O(items · factors).
    #[must_use]
    pub fn recommend(&self, user: u32, n: usize, exclude: &[u32]) -> Vec<Recommendation> {
        let mut excluded = vec![false; self.biases.items.len()];
        for &item in exclude {
            if let Some(flag) = excluded.get_mut(item as usize) {
                *flag = true;
            }
        }
        let mut scored: Vec<(f64, u32)> = (0u32..)
            .zip(&excluded)
            .filter(|(_, excluded)| !**excluded)
            .map(|(item, _)| (self.score(user, item), item))
            .collect();
        let compare = |p: &(f64, u32), q: &(f64, u32)| q.0.total_cmp(&p.0).then(p.1.cmp(&q.1));
        if n < scored.len() {
            if let Some(last) = n.checked_sub(1) {
                scored.select_nth_unstable_by(last, compare);
            }
            scored.truncate(n);
        }
        scored.sort_unstable_by(compare);
        let clamped = scored.into_iter().map(|(score, item)| Recommendation {
            item,
            rating: self.clamp(score),
        });
        clamped.collect()
    }

    /// Users it knows, count.
    #[must_use]
    pub fn users(&self) -> usize {
        self.biases.users.len()
    }

    /// Items it knows, count.
    #[must_use]
    pub fn items(&self) -> usize {
        self.biases.items.len()
    }

    /// As bytes (MessagePack): about 5 bytes a number.
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] above 1 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelError> {
        let stored = Stored {
            format: FORMAT.to_owned(),
            biases: self.biases.clone(),
            width: self.factors.width,
            user_factors: self.factors.users.clone(),
            item_factors: self.factors.items.clone(),
            range: self.range,
        };
        let bytes = rmp_serde::to_vec(&stored).map_err(|e| ModelError::Malformed(e.to_string()))?;
        bounded(bytes.len())?;
        Ok(bytes)
    }

    /// From bytes of [`Model::to_bytes`]. Reads nothing beyond them and trusts nothing in them.
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] above 1 GiB; [`ModelError::Malformed`] says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        bounded(bytes.len())?;
        let malformed = |what: &str| Err(ModelError::Malformed(what.to_owned()));
        let stored: Stored =
            rmp_serde::from_slice(bytes).map_err(|e| ModelError::Malformed(e.to_string()))?;
        if stored.format != FORMAT {
            return malformed("its format is not sommos-model-1");
        }
        let Stored {
            biases,
            width,
            user_factors,
            item_factors,
            range,
            ..
        } = stored;
        let fits = |factors: &[f32], count: usize| {
            width.checked_mul(count) == Some(factors.len())
                && factors.len() as u64 <= FACTOR_VALUES_MAX
        };
        if !fits(&user_factors, biases.users.len()) || !fits(&item_factors, biases.items.len()) {
            return malformed("the factors do not fit the users and items");
        }
        if width % 8 != 0 {
            return malformed("the width of the factors is not a multiple of 8");
        }
        let numbers = [&biases.users, &biases.items, &user_factors, &item_factors];
        if numbers.iter().any(|n| n.iter().any(|v| !v.is_finite())) || !biases.mean.is_finite() {
            return malformed("a number in it is not finite");
        }
        // Clamping would panic on NaN or on an inverted range.
        if range.0.is_nan() || range.1.is_nan() || range.0 > range.1 {
            return malformed("its range of ratings is empty");
        }
        let factors = Factors {
            width,
            users: user_factors,
            items: item_factors,
        };
        Ok(Self {
            biases,
            factors,
            range,
        })
    }
}

fn bounded(bytes: usize) -> Result<(), ModelError> {
    if bytes > BYTES_MAX {
        return Err(ModelError::TooLarge {
            bytes,
            max: BYTES_MAX,
        });
    }
    Ok(())
}
