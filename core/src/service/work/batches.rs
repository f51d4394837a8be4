//! The calls of batches.

use super::{BatchSubmission, Store, Work, calls::stored_json, refused, unreadable};
use crate::{
    batch::BatchOptions,
    jobs::{BatchId, Kind},
    service::{Request, Response},
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        batch::{self, BatchResponse, Processor},
        envelope,
    },
};

/// Results read for one page, bytes.
const PAGE_BYTES: usize = 16 << 20;

impl<S: Store> Work<S> {
    /// Takes a whole batch, all or nothing.
    ///
    /// # Errors
    /// When the queue has no room for it.
    pub fn process(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        submission: BatchSubmission,
    ) -> Result<Response, ApiError> {
        let BatchSubmission {
            chunks,
            total,
            processor,
            options,
        } = submission;
        let (count, bytes) = (
            chunks.len(),
            chunks.iter().map(|(c, _)| c.len() as u64).sum(),
        );
        self.scheduler
            .check_room(Kind::Chunk, count, bytes)
            .map_err(refused)?;
        let id = self.open_batch(now, entropy, &processor, options)?;
        for (payload, items) in chunks {
            self.append(now, id, payload, u64::from(items))?;
        }
        self.seal(now, id)?;
        batch::encode_submit_answer(id, total, count).map(Response::json)
    }

    /// Opens a batch whose chunks come one by one; they start to run at once. A batch that is
    /// never sealed ends with its timeout.
    ///
    /// # Errors
    /// When too many batches are open.
    pub fn open_batch(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        processor: &Processor,
        options: BatchOptions,
    ) -> Result<BatchId, ApiError> {
        let json = serde_json::to_vec(processor).map_err(|error| {
            ApiError::new(ErrorCode::Internal, format!("the processor: {error}"))
        })?;
        let (id, key) = self
            .ledger
            .open(now, entropy, options, &mut self.scheduler)
            .map_err(refused)?;
        self.round.processors.insert(key, json);
        Ok(id)
    }

    /// Adds a chunk of `items` records, a JSON array.
    ///
    /// # Errors
    /// When the queue is full or the batch has ended.
    pub fn append(
        &mut self,
        now: Timestamp,
        id: BatchId,
        payload: Vec<u8>,
        items: u64,
    ) -> Result<(), ApiError> {
        let bytes = payload.len() as u64;
        let chunk = self
            .ledger
            .append(now, id, items, bytes, &mut self.scheduler)
            .map_err(refused)?;
        self.round.payloads.insert(chunk.seq, payload);
        Ok(())
    }

    /// Says that a batch has all its chunks.
    ///
    /// # Errors
    /// When it has ended.
    pub fn seal(&mut self, now: Timestamp, id: BatchId) -> Result<(), ApiError> {
        self.ledger
            .seal(now, id, &mut self.scheduler)
            .map_err(refused)
    }

    /// Cancels a batch and its chunks.
    ///
    /// # Errors
    /// When it has ended.
    pub fn abandon(&mut self, now: Timestamp, id: BatchId) -> Result<(), ApiError> {
        self.ledger
            .cancel(now, id, &mut self.scheduler)
            .map_err(refused)
    }

    pub(super) fn batch(&self, param: &str) -> Result<Response, ApiError> {
        let id = batch::decode_id(param)?;
        let book = self.ledger.get(id).map_err(refused)?;
        let joined = match batch::is_small(book) {
            true => {
                let chunks = self
                    .store
                    .chunks(book.key, 0, usize::MAX, PAGE_BYTES)
                    .map_err(unreadable)?;
                let results = chunks.iter().filter_map(|(_, r)| r.as_deref().ok());
                Some(batch::join_results(results))
            }
            false => None,
        };
        let raw = joined.as_deref().map(stored_json).transpose()?;
        envelope::data(&BatchResponse::new(param, book, raw)).map(Response::json)
    }

    pub(super) fn cancel_batch(
        &mut self,
        now: Timestamp,
        param: &str,
    ) -> Result<Response, ApiError> {
        self.abandon(now, batch::decode_id(param)?)?;
        Ok(Response::json(envelope::message(batch::CANCELLED)))
    }

    pub(super) fn batch_results(
        &self,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let id = batch::decode_id(param)?;
        let book = self.ledger.get(id).map_err(refused)?;
        let (from, limit) = batch::decode_page(request.query)?;
        let page = self
            .store
            .chunks(book.key, from, limit, PAGE_BYTES)
            .map_err(unreadable)?;
        let page = page
            .iter()
            .map(|(chunk, outcome)| (*chunk, outcome.as_deref().map_err(String::as_str)));
        batch::encode_page(page, book).map(Response::json)
    }

    pub(super) fn batch_metrics(&self) -> Result<Response, ApiError> {
        let chunks = self.scheduler.metrics(Kind::Chunk);
        let metrics = self.ledger.metrics();
        envelope::data(&batch::BatchMetricsResponse::new(&metrics, chunks.queued))
            .map(Response::json)
    }
}
