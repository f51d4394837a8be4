//! Dense matrices in typed arrays, row by row.

use js_sys::{Float32Array, Float64Array, Uint32Array};
use sommos_core::{
    limits::Limits,
    matrix::{self, Matrix, MatrixError, ProductLimits, RowMeasure},
};
use wasm_bindgen::prelude::*;

use crate::{
    checkpoint::Checkpoint,
    error::refuse,
    similarity::{parallelism, stop},
};

/// The module's memory.
#[wasm_bindgen(js_name = computeMemory)]
pub fn compute_memory() -> JsValue {
    wasm_bindgen::memory()
}

macro_rules! product {
    ($name:ident, $js:ident, $type:ty, $array:ident) => {
        /// `a` (`m` x `k`) times `b` (`k` x `n`).
        ///
        /// # Errors
        /// `INVALID_FIELD`, `LIMIT_EXCEEDED`, `CANCELLED`.
        #[wasm_bindgen(js_name = $js)]
        pub fn $name(
            a: Vec<$type>,
            b: Vec<$type>,
            m: usize,
            k: usize,
            n: usize,
        ) -> Result<$array, JsValue> {
            let limits = Limits::default();
            let a = Matrix::from_vec(m, k, a, limits.matrix_elements).map_err(refused)?;
            let b = Matrix::from_vec(k, n, b, limits.matrix_elements).map_err(refused)?;
            let limits = ProductLimits::from(&limits);
            let product = matrix::multiply(&a, &b, &limits, parallelism(), &Checkpoint);
            Ok($array::from(product.map_err(refused)?.as_slice()))
        }
    };
}

product!(multiply_f32, multiplyF32, f32, Float32Array);
product!(multiply_f64, multiplyF64, f64, Float64Array);

/// Similarities of the rows of a matrix with each other, `rows` x `rows`. The measure is a number
/// in the order cosine, pearson, euclidean.
///
/// # Errors
/// `UNKNOWN_NAME`, `INVALID_FIELD`, `LIMIT_EXCEEDED`, `CANCELLED`.
#[wasm_bindgen(js_name = rowSimilarity)]
pub fn row_similarity(
    data: Vec<f64>,
    rows: usize,
    cols: usize,
    measure: u8,
) -> Result<Float64Array, JsValue> {
    let limits = Limits::default();
    let m = Matrix::from_vec(rows, cols, data, limits.matrix_elements).map_err(refused)?;
    let measure = row_measure(measure)?;
    let limits = ProductLimits::from(&limits);
    let out = matrix::row_similarity(&m, measure, &limits, parallelism(), &Checkpoint);
    Ok(Float64Array::from(out.map_err(refused)?.as_slice()))
}

/// The rows most like each row: `min(k, rows - 1)` for each, one list after the other.
#[wasm_bindgen]
pub struct RowNeighbours {
    rows: Vec<u32>,
    similarity: Vec<f64>,
}

#[wasm_bindgen]
impl RowNeighbours {
    /// Finds them.
    ///
    /// # Errors
    /// As [`row_similarity`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        data: Vec<f64>,
        rows: usize,
        cols: usize,
        measure: u8,
        k: usize,
    ) -> Result<Self, JsValue> {
        let limits = Limits::default();
        let m = Matrix::from_vec(rows, cols, data, limits.matrix_elements).map_err(refused)?;
        let measure = row_measure(measure)?;
        let limits = ProductLimits::from(&limits);
        let lists =
            matrix::row_similarity_top_k(&m, measure, k, &limits, parallelism(), &Checkpoint)
                .map_err(refused)?;
        let all = || lists.iter().flatten();
        Ok(Self {
            rows: all().map(|n| n.row as u32).collect(),
            similarity: all().map(|n| n.similarity).collect(),
        })
    }

    /// The neighbours' rows.
    #[wasm_bindgen(getter)]
    pub fn rows(&self) -> Uint32Array {
        Uint32Array::from(self.rows.as_slice())
    }

    /// Their similarities.
    #[wasm_bindgen(getter)]
    pub fn similarity(&self) -> Float64Array {
        Float64Array::from(self.similarity.as_slice())
    }
}

fn row_measure(number: u8) -> Result<RowMeasure, JsValue> {
    const MEASURES: [RowMeasure; 3] = [
        RowMeasure::Cosine,
        RowMeasure::Pearson,
        RowMeasure::Euclidean,
    ];
    MEASURES
        .get(usize::from(number))
        .copied()
        .ok_or_else(|| refuse("UNKNOWN_NAME", "no such measure"))
}

fn refused(error: MatrixError) -> JsValue {
    match error {
        MatrixError::Stopped(stopped) => stop(stopped),
        MatrixError::TooLarge { .. } | MatrixError::TooMuchWork { .. } => {
            refuse("LIMIT_EXCEEDED", error)
        }
        _ => refuse("INVALID_FIELD", error),
    }
}
