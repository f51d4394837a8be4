//! Ratings and their similarities, in typed arrays on both sides.

use js_sys::{Array, Float64Array, Uint32Array};
use sommos_core::{
    control::Stopped,
    id::Key,
    limits::Limits,
    par::Par,
    similarity::{Measure, Options, Ratings, Similarity, SimilarityError},
};
use wasm_bindgen::prelude::*;

use crate::{checkpoint::Checkpoint, error::refuse};

/// Who rated what: CSR over the positions of entities and items in the caller's lists.
#[wasm_bindgen]
pub struct RatingsTable(Ratings);

/// Which pairs to keep; the same for lists and neighbours.
#[wasm_bindgen]
pub struct SimilarityOptions(Options);

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

    /// All pairs that the options keep, the most similar first, in four columns: the rows of both
    /// entities, their similarities, the counts of items in common.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when there are more than allowed, `CANCELLED`.
    #[wasm_bindgen(js_name = allPairs)]
    pub fn all_pairs(&self, options: &SimilarityOptions) -> Result<Array, JsValue> {
        let pairs = Similarity::new(&self.0, &options.0)
            .and_then(|s| s.all_pairs(parallelism(), &Checkpoint))
            .map_err(refused)?;
        let mut columns = Columns::new(pairs.len());
        for chunk in pairs.chunks(CHUNK) {
            columns.push(chunk.iter().map(|p| (p.a, p.b, p.similarity, p.common)));
        }
        Ok(columns.into_array())
    }

    /// For each query (a row; without queries: each row) its `k` most similar others, in four
    /// columns: first the offsets of the lists, then as for pairs the neighbours' rows.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when rows times k is over the limit of pairs, `CANCELLED`.
    #[wasm_bindgen(js_name = topK)]
    pub fn top_k(
        &self,
        k: usize,
        queries: Option<Vec<u32>>,
        options: &SimilarityOptions,
    ) -> Result<Array, JsValue> {
        let rows = queries.as_ref().map_or(self.0.len() as usize, Vec::len);
        let max = options.0.max_pairs;
        if rows.saturating_mul(k) > max {
            let message = "more neighbours than the limit of pairs: ask for a smaller topK";
            return Err(refuse("LIMIT_EXCEEDED", message));
        }
        let lists = Similarity::new(&self.0, &options.0)
            .and_then(|s| s.top_k(k, queries.as_deref(), parallelism(), &Checkpoint))
            .map_err(refused)?;
        let mut offsets = vec![0];
        let mut end = 0;
        offsets.extend(lists.iter().map(|list| {
            end += list.len() as u32;
            end
        }));
        let mut columns = Columns::new(end as usize);
        for chunk in lists.iter().flat_map(|list| list.chunks(CHUNK)) {
            columns.push(chunk.iter().map(|n| (0, n.entity, n.similarity, n.common)));
        }
        columns.first = Uint32Array::from(offsets.as_slice());
        Ok(columns.into_array())
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

/// Results on their way to JavaScript's memory, a chunk at a time: nothing is held twice.
struct Columns {
    first: Uint32Array,
    second: Uint32Array,
    similarity: Float64Array,
    common: Uint32Array,
    at: u32,
}

/// Rows copied at once.
const CHUNK: usize = 2048;

impl Columns {
    fn new(len: usize) -> Self {
        let len = len as u32;
        Self {
            first: Uint32Array::new_with_length(len),
            second: Uint32Array::new_with_length(len),
            similarity: Float64Array::new_with_length(len),
            common: Uint32Array::new_with_length(len),
            at: 0,
        }
    }

    /// At most [`CHUNK`] rows.
    fn push(&mut self, rows: impl ExactSizeIterator<Item = (u32, u32, f64, u32)>) {
        let len = rows.len().min(CHUNK);
        let (mut first, mut second, mut common) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
        let mut similarity = [0.0; CHUNK];
        for (i, (a, b, s, c)) in rows.take(CHUNK).enumerate() {
            first[i] = a;
            second[i] = b;
            similarity[i] = s;
            common[i] = c;
        }
        let (from, to) = (self.at, self.at + len as u32);
        self.first.subarray(from, to).copy_from(&first[..len]);
        self.second.subarray(from, to).copy_from(&second[..len]);
        self.similarity
            .subarray(from, to)
            .copy_from(&similarity[..len]);
        self.common.subarray(from, to).copy_from(&common[..len]);
        self.at = to;
    }

    fn into_array(self) -> Array {
        Array::of4(&self.first, &self.second, &self.similarity, &self.common)
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
