//! The right to go on, asked of JavaScript: it keeps the progress and knows of an abort.

use sommos_core::control::{Control, Stopped};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "sommos:checkpoint")]
extern "C" {
    /// Takes the progress; true when the computation must stop. Called from any thread of a pool.
    fn checkpoint(done: f64, total: f64) -> bool;
}

/// The control of every long call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint;

impl Control for Checkpoint {
    fn checkpoint(&self, done: u64, total: u64) -> Result<(), Stopped> {
        if checkpoint(done as f64, total as f64) {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }
}
