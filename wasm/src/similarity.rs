//! Ratings and their similarities, in typed arrays on both sides.

use js_sys::{Float64Array, Uint32Array};
use sommos_core::{
    control::Stopped,
    id::Key,
    limits::Limits,
    par::Par,
    similarity::{Measure, Neighbor, Options, Pair, Ratings, Similarity, SimilarityError},
};
use wasm_bindgen::prelude::*;

use crate::{checkpoint::Checkpoint, error::refuse};

/// Who rated what: CSR over the positions of entities and items in the caller's lists.
#[wasm_bindgen]
pub struct RatingsTable(Ratings);

/// Which pairs to keep; the same for lists and neighbours.
#[wasm_bindgen]
pub struct SimilarityOptions(Options);

/// Pairs or neighbours in columns.
#[wasm_bindgen]
pub struct SimilarityColumns {
    first: Vec<u32>,
    second: Vec<u32>,
    similarity: Vec<f64>,
    common: Vec<u32>,
}

#[wasm_bindgen]
impl RatingsTable {
    /// From rows one after the other: entity `e` rated `items[offsets[e]..offsets[e + 1]]`. Of an
    /// item rated twice the last rating counts.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `LIMIT_EXCEEDED`.
    #[wasm_bindgen(constructor)]
    pub fn new(offsets: &[u32], items: &[u32], ratings: &[f32]) -> Result<Self, JsValue> {
        let limits = Limits::default();
        Ratings::from_csr(offsets, items, ratings, &limits)
            .map(Self)
            .map_err(over)
    }

    /// The same ratings by item, so that similarities are between items.
    #[wasm_bindgen(js_name = byItem)]
    pub fn by_item(&self) -> Self {
        Self(self.0.transpose())
    }

    /// For each row its position in the caller's list of entities (or items, after `byItem`).
    pub fn positions(&self) -> Uint32Array {
        let position = |row| match self.0.entity(row) {
            Some(Key::Int(n)) => *n as u32,
            _ => row,
        };
        let positions: Vec<u32> = (0..self.0.len()).map(position).collect();
        Uint32Array::from(positions.as_slice())
    }

    /// All pairs that the options keep, the most similar first.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when there are more than allowed, `CANCELLED`.
    #[wasm_bindgen(js_name = allPairs)]
    pub fn all_pairs(&self, options: &SimilarityOptions) -> Result<SimilarityColumns, JsValue> {
        let pairs = Similarity::new(&self.0, &options.0)
            .and_then(|s| s.all_pairs(parallelism(), &Checkpoint))
            .map_err(refused)?;
        Ok(SimilarityColumns::of_pairs(&pairs))
    }

    /// For each query (a row; without queries: each row) its `k` most similar others. `first` of
    /// the columns has the offsets of the lists.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when rows times k is over the limit of pairs, `CANCELLED`.
    #[wasm_bindgen(js_name = topK)]
    pub fn top_k(
        &self,
        k: usize,
        queries: Option<Vec<u32>>,
        options: &SimilarityOptions,
    ) -> Result<SimilarityColumns, JsValue> {
        let rows = queries.as_ref().map_or(self.0.len() as usize, Vec::len);
        let max = options.0.max_pairs;
        if rows.saturating_mul(k) > max {
            let message = "more neighbours than the limit of pairs: ask for a smaller topK";
            return Err(refuse("LIMIT_EXCEEDED", message));
        }
        let lists = Similarity::new(&self.0, &options.0)
            .and_then(|s| s.top_k(k, queries.as_deref(), parallelism(), &Checkpoint))
            .map_err(refused)?;
        Ok(SimilarityColumns::of_lists(&lists))
    }
}

#[wasm_bindgen]
impl SimilarityOptions {
    /// Options of a measure by its number in the order pearson, cosine, cosine_zero_filled,
    /// jaccard, euclidean, euclidean_distance. Without `min_common`: the measure's default.
    ///
    /// # Errors
    /// `UNKNOWN_NAME`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        measure: u8,
        min_similarity: f64,
        min_common: Option<u32>,
        max_pairs: usize,
        limit: Option<usize>,
    ) -> Result<Self, JsValue> {
        const MEASURES: [Measure; 6] = [
            Measure::Pearson,
            Measure::Cosine,
            Measure::CosineZeroFilled,
            Measure::Jaccard,
            Measure::Euclidean,
            Measure::EuclideanDistance,
        ];
        let measure = MEASURES
            .get(usize::from(measure))
            .ok_or_else(|| refuse("UNKNOWN_NAME", "no such measure"))?;
        let defaults = Options::new(*measure);
        Ok(Self(Options {
            min_similarity,
            min_common: min_common.unwrap_or(defaults.min_common),
            max_pairs,
            limit,
            ..defaults
        }))
    }
}

#[wasm_bindgen]
impl SimilarityColumns {
    /// The first row of each pair, or the offsets of the neighbours' lists.
    #[wasm_bindgen(getter)]
    pub fn first(&self) -> Uint32Array {
        Uint32Array::from(self.first.as_slice())
    }

    /// The second row of each pair, or the neighbours.
    #[wasm_bindgen(getter)]
    pub fn second(&self) -> Uint32Array {
        Uint32Array::from(self.second.as_slice())
    }

    /// Their similarities.
    #[wasm_bindgen(getter)]
    pub fn similarity(&self) -> Float64Array {
        Float64Array::from(self.similarity.as_slice())
    }

    /// Items that both rated, counts.
    #[wasm_bindgen(getter)]
    pub fn common(&self) -> Uint32Array {
        Uint32Array::from(self.common.as_slice())
    }
}

impl SimilarityColumns {
    fn of_pairs(pairs: &[Pair]) -> Self {
        Self {
            first: pairs.iter().map(|p| p.a).collect(),
            second: pairs.iter().map(|p| p.b).collect(),
            similarity: pairs.iter().map(|p| p.similarity).collect(),
            common: pairs.iter().map(|p| p.common).collect(),
        }
    }

    fn of_lists(lists: &[Vec<Neighbor>]) -> Self {
        let mut first = vec![0];
        let mut end = 0;
        first.extend(lists.iter().map(|list| {
            end += list.len() as u32;
            end
        }));
        let all = || lists.iter().flatten();
        Self {
            first,
            second: all().map(|n| n.entity).collect(),
            similarity: all().map(|n| n.similarity).collect(),
            common: all().map(|n| n.common).collect(),
        }
    }
}

/// Over the pool where there is one.
pub(crate) fn parallelism() -> Par {
    #[cfg(feature = "threads")]
    return Par::Rayon;
    #[cfg(not(feature = "threads"))]
    Par::Seq
}

fn over(error: sommos_core::similarity::RatingsError) -> JsValue {
    use sommos_core::similarity::RatingsError as E;
    match error {
        E::TooManyEntities { .. } | E::TooManyRatings { .. } => refuse("LIMIT_EXCEEDED", error),
        _ => refuse("INVALID_FIELD", error),
    }
}

fn refused(error: SimilarityError) -> JsValue {
    match error {
        SimilarityError::Stopped(stopped) => stop(stopped),
        SimilarityError::TooManyPairs { .. } => refuse("LIMIT_EXCEEDED", error),
        _ => refuse("INVALID_FIELD", error),
    }
}

/// What a stopped call throws.
pub(crate) fn stop(stopped: Stopped) -> JsValue {
    refuse("CANCELLED", stopped)
}
