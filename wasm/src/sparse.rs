//! The sparse matrix of f64.

use js_sys::Float64Array;
use sommos_core::matrix::{self, MatrixError};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// A matrix of which most elements are the default.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SparseMatrix(matrix::SparseMatrix);

#[wasm_bindgen]
impl SparseMatrix {
    /// All default; at most `limit` others.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(rows: usize, cols: usize, default: f64, limit: usize) -> Result<Self, JsValue> {
        matrix::SparseMatrix::new(rows, cols, default, limit)
            .map(Self)
            .map_err(|error| refuse("INVALID_OPTION", error))
    }

    /// Changes an element.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `LIMIT_EXCEEDED`.
    pub fn set(&mut self, row: usize, col: usize, value: f64) -> Result<(), JsValue> {
        self.0.set(row, col, value).map_err(refused)
    }

    /// Changes many elements; those before a refused one stay changed.
    ///
    /// # Errors
    /// As [`Self::set`].
    #[wasm_bindgen(js_name = setMany)]
    pub fn set_many(&mut self, rows: &[u32], cols: &[u32], values: &[f64]) -> Result<(), JsValue> {
        for ((&row, &col), &value) in rows.iter().zip(cols).zip(values) {
            self.set(row as usize, col as usize, value)?;
        }
        Ok(())
    }

    /// An element.
    ///
    /// # Errors
    /// `INVALID_FIELD`.
    pub fn get(&self, row: usize, col: usize) -> Result<f64, JsValue> {
        self.0.get(row, col).map_err(refused)
    }

    /// Elements that differ from the default.
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// Merges what waits: 12 bytes an element afterwards.
    pub fn compact(&mut self) {
        self.0.compact();
    }

    /// All elements, row by row.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    #[wasm_bindgen(js_name = toDense)]
    pub fn to_dense(&self, limit: usize) -> Result<Float64Array, JsValue> {
        let dense = self.0.to_dense(limit).map_err(refused)?;
        Ok(Float64Array::from(dense.as_slice()))
    }

    /// Bytes in the module's memory.
    #[wasm_bindgen(js_name = memoryUsage)]
    pub fn memory_usage(&self) -> usize {
        self.0.memory_usage()
    }
}

fn refused(error: MatrixError) -> JsValue {
    let code = match error {
        MatrixError::TooLarge { .. } => "LIMIT_EXCEEDED",
        _ => "INVALID_FIELD",
    };
    refuse(code, error)
}
