//! Similarity between entities over the items that both rated.
//!
//! [`Ratings`] holds who rated what; [`Similarity`] prepares one measure over them and answers
//! [all pairs](Similarity::all_pairs), the [most similar of each](Similarity::top_k), one
//! [row](Similarity::row) or one [pair](Similarity::pair). The definitions are those of
//! scikit-surprise and scikit-learn; see [`Measure`].
//!
//! Only pairs with at least [`Options::min_common`] co-rated items are pairs: others are left out
//! of lists, and 0 in rows. Nothing here holds n² values unless the result asked for has them.
//!
//! How: ratings that are small multiples of 1, 1/2, 1/4 or 1/8 (half stars, points of 100) become
//! small integers, and all sums of a pair add up, exactly, as bit fields of one or two machine
//! words, by walking lists where data is sparse and rows of bytes where it is dense, whichever costs
//! less for the entity at hand. Any other ratings take f64 sums. Either way a result is the same, to the bit, for any
//! number of threads and on every platform.

mod chunks;
mod dense;
mod filled;
mod float;
mod input;
mod inverted;
mod kernel;
mod lists;
mod measure;
mod meter;
mod offers;
mod order;
mod packed;
mod popular;
mod prepared;
mod ratings;
mod screen;
mod select;
mod slab;
mod spare;
mod symmetric;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod top_k_tests;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use measure::Measure;
pub use prepared::Similarity;
pub use ratings::{Ratings, RatingsBuilder, RatingsError};

use crate::{
    control::{Control, Stopped},
    par::Par,
};

/// What to compute and which pairs to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The measure.
    pub measure: Measure,
    /// Pairs below this are left out (`>=` keeps). For [`Measure::EuclideanDistance`] it is compared
    /// with `1 / (1 + distance)`. Default: negative infinity, which keeps all.
    pub min_similarity: f64,
    /// Pairs with fewer co-rated items are left out; 0 means 1. Default:
    /// [`Measure::min_common_default`].
    pub min_common: u32,
    /// Most pairs in a result, count; more is an error. Default: 1,000,000 (24 bytes each, and
    /// 40 more while they are sorted).
    pub max_pairs: usize,
    /// Keep only the best so many pairs instead of failing when there are more. Default: no.
    pub limit: Option<usize>,
}

impl Options {
    /// The defaults for a measure.
    #[must_use]
    pub fn new(measure: Measure) -> Self {
        Self {
            measure,
            min_similarity: f64::NEG_INFINITY,
            min_common: measure.min_common_default(),
            max_pairs: 1_000_000,
            limit: None,
        }
    }
}

/// Two entities and how alike they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The entity with the smaller index.
    pub a: u32,
    /// The entity with the larger index.
    pub b: u32,
    /// The measure's value.
    pub similarity: f64,
    /// Items that both rated, count.
    pub common: u32,
}

/// An entity as seen from another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its index.
    pub entity: u32,
    /// Items that both rated, count.
    pub common: u32,
    /// The measure's value.
    pub similarity: f64,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SimilarityError {
    /// More pairs than the result may have. Nothing was kept.
    #[error(
        "more than {max} pairs, the limit: raise the minimum similarity or the minimum of common \
         items, or ask for the best {max} only"
    )]
    TooManyPairs {
        /// The limit.
        max: usize,
    },
    /// An entity index beyond the ratings.
    #[error("entity {entity} does not exist: there are {entities}")]
    UnknownEntity {
        /// The index.
        entity: u32,
        /// Entities, count.
        entities: u32,
    },
    /// The minimum similarity is NaN.
    #[error("the minimum similarity is not a number")]
    MinSimilarityNan,
    /// The caller stopped it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// All pairs at once: [`Similarity::new`] and [`Similarity::all_pairs`].
///
/// # Errors
/// [`SimilarityError`].
pub fn all_pairs(
    ratings: &Ratings,
    options: &Options,
    par: Par,
    control: &impl Control,
) -> Result<Vec<Pair>, SimilarityError> {
    Similarity::new(ratings, options)?.all_pairs(par, control)
}

/// The most similar entities of each: [`Similarity::new`] and [`Similarity::top_k`].
///
/// # Errors
/// [`SimilarityError`].
pub fn top_k(
    ratings: &Ratings,
    k: usize,
    queries: Option<&[u32]>,
    options: &Options,
    par: Par,
    control: &impl Control,
) -> Result<Vec<Vec<Neighbor>>, SimilarityError> {
    Similarity::new(ratings, options)?.top_k(k, queries, par, control)
}
