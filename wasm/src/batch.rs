//! Batches: the part of the queue that concerns the ledger.

use js_sys::{Array, Float64Array};
use sommos_core::batch::BatchOptions;
use wasm_bindgen::prelude::*;

use crate::jobs::{WorkQueue, at, backoff_of, batch_id, bytes16, kept, refused, time};

#[wasm_bindgen]
impl WorkQueue {
    /// Opens a batch that takes chunks until it is sealed; gives its id.
    ///
    /// # Errors
    /// `QUEUE_FULL`, `LIMIT_EXCEEDED`.
    #[allow(
        clippy::too_many_arguments,
        reason = "an object would cost a look-up a field"
    )]
    #[wasm_bindgen(js_name = openBatch)]
    pub fn open_batch(
        &mut self,
        now: f64,
        entropy: &[u8],
        priority: i32,
        max_concurrency: u32,
        timeout_ms: f64,
        attempts: u32,
        backoff: &[f64],
        stop_on_error: bool,
    ) -> Result<String, JsValue> {
        let timeout_ms = timeout_ms as u64;
        let options = BatchOptions {
            priority,
            max_concurrency,
            timeout_ms,
            chunk_timeout_ms: timeout_ms,
            max_attempts: attempts,
            backoff: backoff_of(backoff),
            stop_on_error,
            ..BatchOptions::default()
        };
        let entropy = bytes16(entropy);
        let opened = self
            .ledger
            .open(at(now), entropy, options, &mut self.scheduler);
        Ok(opened.map_err(refused)?.0.to_string())
    }

    /// Adds the next chunk, of so many items; gives its id.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ENDED`, `QUEUE_FULL`.
    #[wasm_bindgen(js_name = appendChunk)]
    pub fn append_chunk(&mut self, now: f64, id: &str, items: f64) -> Result<String, JsValue> {
        let (id, items) = (batch_id(id)?, items as u64);
        let added = self
            .ledger
            .append(at(now), id, items, 0, &mut self.scheduler);
        Ok(added.map_err(refused)?.id.to_string())
    }

    /// Says that a batch has all its chunks.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ENDED`.
    #[wasm_bindgen(js_name = sealBatch)]
    pub fn seal_batch(&mut self, now: f64, id: &str) -> Result<(), JsValue> {
        let sealed = self
            .ledger
            .seal(at(now), batch_id(id)?, &mut self.scheduler);
        sealed.map_err(refused)
    }

    /// Cancels a batch and its chunks.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ENDED`.
    #[wasm_bindgen(js_name = cancelBatch)]
    pub fn cancel_batch(&mut self, now: f64, id: &str) -> Result<(), JsValue> {
        let cancelled = self
            .ledger
            .cancel(at(now), batch_id(id)?, &mut self.scheduler);
        cancelled.map_err(refused)
    }

    /// Fails a batch whose source of data failed.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ENDED`.
    #[wasm_bindgen(js_name = failBatch)]
    pub fn fail_batch(&mut self, now: f64, id: &str, message: &str) -> Result<(), JsValue> {
        let failed = self
            .ledger
            .fail(at(now), batch_id(id)?, message, &mut self.scheduler);
        failed.map_err(refused)
    }

    /// A batch in numbers: status, items, processed items, chunks, completed, failed and cancelled
    /// chunks, progress, created, started, completed, milliseconds of processing. A time that has
    /// not come is NaN.
    pub fn batch(&self, now: f64, id: &str) -> Option<Float64Array> {
        let book = self.ledger.get(batch_id(id).ok()?).ok()?;
        let numbers = [
            f64::from(book.status as u8),
            book.total_items as f64,
            book.processed_items as f64,
            f64::from(book.total_chunks),
            f64::from(book.completed_chunks),
            f64::from(book.failed_chunks),
            f64::from(book.cancelled_chunks),
            f64::from(book.progress()),
            book.created_at().0 as f64,
            time(book.started_at),
            time(book.completed_at),
            book.processing_ms(at(now)) as f64,
        ];
        Some(Float64Array::from(numbers.as_slice()))
    }

    /// The failed chunks of a batch that are kept: index and text, one after the other.
    #[wasm_bindgen(js_name = batchErrors)]
    pub fn batch_errors(&self, id: &str) -> Array {
        let out = Array::new();
        if let Ok(id) = id.parse()
            && let Ok(book) = self.ledger.get(id)
        {
            for error in &book.errors {
                out.push(&error.chunk.into());
                out.push(&(&*error.error).into());
            }
        }
        out
    }

    /// Why a whole batch failed.
    #[wasm_bindgen(js_name = batchError)]
    pub fn batch_error(&self, id: &str) -> Option<String> {
        let book = self.ledger.get(batch_id(id).ok()?).ok()?;
        book.error.as_deref().map(str::to_owned)
    }

    /// Batches: total, completed, failed, cancelled, active, items processed, mean milliseconds.
    #[wasm_bindgen(js_name = batchMetrics)]
    pub fn batch_metrics(&self) -> Float64Array {
        let m = self.ledger.metrics();
        let numbers = [
            m.total as f64,
            m.completed as f64,
            m.failed as f64,
            m.cancelled as f64,
            m.active as f64,
            m.items as f64,
            m.average_ms,
        ];
        Float64Array::from(numbers.as_slice())
    }

    /// Forgets ended batches that are older than `age_ms` or more than `count`; gives how many.
    #[wasm_bindgen(js_name = sweepBatches)]
    pub fn sweep_batches(&mut self, now: f64, age_ms: f64, count: usize) -> usize {
        let retention = kept(age_ms, count);
        self.ledger.sweep(at(now), &retention, usize::MAX)
    }
}
