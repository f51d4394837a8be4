//! The ledger of tracked memory, and the module's own.

use sommos_core::ledger::{AllocationLedger, LedgerError};
use wasm_bindgen::prelude::*;

use crate::error::refuse;

/// Bytes that the application says it allocated and gave back.
#[wasm_bindgen]
#[derive(Debug)]
pub struct MemoryLedger(AllocationLedger);

#[wasm_bindgen]
impl MemoryLedger {
    /// A ledger that refuses to go over `limit` bytes.
    #[wasm_bindgen(constructor)]
    pub fn new(limit: f64) -> Self {
        Self(AllocationLedger::new(limit as u64))
    }

    /// Adds bytes; the sum.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED`.
    pub fn allocate(&mut self, size: f64) -> Result<f64, JsValue> {
        let usage = self.0.allocate(size as u64).map_err(refused)?;
        Ok(usage as f64)
    }

    /// Takes bytes away; the rest.
    ///
    /// # Errors
    /// `INVALID_FIELD` when fewer are tracked.
    pub fn deallocate(&mut self, size: f64) -> Result<f64, JsValue> {
        let usage = self.0.deallocate(size as u64).map_err(refused)?;
        Ok(usage as f64)
    }

    /// Bytes tracked, their peak, allocations, deallocations.
    pub fn figures(&self) -> Vec<f64> {
        [
            self.0.usage(),
            self.0.peak(),
            self.0.allocations(),
            self.0.deallocations(),
        ]
        .map(|n| n as f64)
        .to_vec()
    }
}

/// The `WebAssembly.Memory` of this module.
#[wasm_bindgen(js_name = moduleMemory)]
pub fn module_memory() -> JsValue {
    wasm_bindgen::memory()
}

fn refused(error: LedgerError) -> JsValue {
    let code = match error {
        LedgerError::OverLimit { .. } => "LIMIT_EXCEEDED",
        _ => "INVALID_FIELD",
    };
    refuse(code, error)
}
