//! JavaScript processors: a wasm module of their own, which the shim instantiates for every chunk.
//!
//! What is bounded and what is not is told by the crate `sommos-processors`, which that module is.

use sommos_core::{
    time::Timestamp,
    wire::{ApiError, ErrorCode},
};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen(module = "sommos:processors")]
extern "C" {
    /// The JSON of the result. What it throws is a string for a fault of the processor.
    #[wasm_bindgen(catch)]
    fn run_processor(source: &str, chunk: &[u8], now_ms: f64) -> Result<Vec<u8>, JsValue>;
}

/// Runs `source` over `chunk`, a JSON text, with the clock at `now`; gives the JSON of the result.
///
/// # Errors
/// `PROCESSOR_FAILED` says what is wrong with the processor: the same chunk would fail again.
/// `UNAVAILABLE`: there was no room for the engine; another attempt may succeed.
pub fn run(source: &str, chunk: &[u8], now: Timestamp) -> Result<Vec<u8>, ApiError> {
    run_processor(source, chunk, now.0 as f64).map_err(|thrown| match thrown.as_string() {
        Some(fault) => ApiError::new(ErrorCode::ProcessorFailed, fault),
        None => {
            let message = format!("the engine of processors does not start: {thrown:?}");
            ApiError::new(ErrorCode::Unavailable, message)
        }
    })
}
