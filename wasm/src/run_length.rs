//! The run-length array of value numbers: JavaScript keeps the values by number.

use sommos_core::buffer::{BufferError, RunLengthArray, RunLengthConfig};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Numbers of values; a run of equal ones is stored once.
#[wasm_bindgen]
#[derive(Debug)]
pub struct RunLength(RunLengthArray<u32>);

#[wasm_bindgen]
impl RunLength {
    /// An empty array.
    ///
    /// # Errors
    /// `INVALID_OPTION`.
    #[wasm_bindgen(constructor)]
    pub fn new(threshold: usize, max_len: usize) -> Result<Self, JsValue> {
        RunLengthArray::new(RunLengthConfig { threshold, max_len })
            .map(Self)
            .map_err(|error| refuse("INVALID_OPTION", error))
    }

    /// Appends the number of a value.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub fn push(&mut self, value: u32) -> Result<(), JsValue> {
        self.0
            .push(value)
            .map_err(|error: BufferError| refuse("LIMIT_EXCEEDED", error))
    }

    /// The number of the value at `index`.
    pub fn get(&self, index: usize) -> Option<u32> {
        self.0.get(index).copied()
    }

    /// Elements, runs counted in full.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Numbers stored.
    pub fn stored(&self) -> usize {
        self.0.stored()
    }

    /// Bytes in the module's memory.
    #[wasm_bindgen(js_name = memoryUsage)]
    pub fn memory_usage(&self) -> usize {
        self.0.memory_usage()
    }
}
