//! Batches: stored ones, and NDJSON streams that are processed as they pass.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use sommos_core::{
    batch::Book,
    jobs::BatchId,
    wire::{
        ApiError, ErrorCode,
        batch::{
            self as wire, BatchMetricsResponse, BatchProcessRequest, BatchResponse, Processor,
        },
        envelope,
    },
};

use super::{
    Call,
    body::cpu,
    jobs::{check_open, refused},
    reply::Reply,
    stream,
};
use crate::{app::App, queue::NewBatch};

pub(super) const NDJSON: &str = "application/x-ndjson";

pub(super) async fn process(call: Call) -> Result<Reply, ApiError> {
    check_open(&call.app)?;
    if call.is(NDJSON) {
        return stream::process(call).await;
    }
    let (app, held) = call.body().await?;
    let size = held.bytes.len();
    let inner = Arc::clone(&app);
    let batch = cpu(&app, size, move || {
        BatchProcessRequest::decode(&held.bytes, inner.config.batch_timeout_ms, &inner.limits)
    })
    .await?;
    let (total_items, total_chunks) = (batch.total, batch.chunks.len());
    let chunks = batch
        .chunks
        .into_iter()
        .map(|(json, n)| (Bytes::from(json), u64::from(n)));
    let new = NewBatch {
        options: batch.options.queue_options(),
        params: params(&batch.processor)?,
        chunks: chunks.collect(),
    };
    let id = app.queue.submit_batch(new).await.map_err(|e| refused(&e))?;
    Ok(Reply::json(wire::encode_submit_answer(
        id,
        total_items,
        total_chunks,
    )?))
}

/// The processor as the store keeps it.
pub(super) fn params(processor: &Processor) -> Result<Bytes, ApiError> {
    envelope::encode(processor).map(Bytes::from)
}

pub(super) async fn get(call: Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    let id = wire::decode_id(&call.param)?;
    let book = app.queue.batch(id).await.map_err(|e| refused(&e))?;
    let results = inline_results(app, id, &book).await?;
    let raw: Option<&RawValue> = match &results {
        None => None,
        Some(json) => Some(serde_json::from_slice(json).map_err(stored)?),
    };
    let answer = envelope::data(&BatchResponse::new(&id.to_string(), &book, raw))?;
    Ok(Reply::json(answer).tagged())
}

fn stored(error: serde_json::Error) -> ApiError {
    ApiError::new(ErrorCode::Internal, format!("stored result: {error}"))
}

/// The records of a small batch that has ended, as one JSON array.
async fn inline_results(app: &App, id: BatchId, book: &Book) -> Result<Option<Vec<u8>>, ApiError> {
    if !wire::is_small(book) {
        return Ok(None);
    }
    let limit = book.total_chunks as usize;
    let chunks = app
        .queue
        .batch_results(id, 0, limit)
        .await
        .map_err(|e| refused(&e))?;
    Ok(Some(wire::join_results(
        chunks.iter().filter_map(|c| c.outcome.as_deref().ok()),
    )))
}

pub(super) async fn cancel(call: Call) -> Result<Reply, ApiError> {
    let id = wire::decode_id(&call.param)?;
    call.app
        .queue
        .cancel_batch(id)
        .await
        .map_err(|e| refused(&e))?;
    Ok(Reply::json(envelope::message(wire::CANCELLED)))
}

pub(super) async fn results(call: Call) -> Result<Reply, ApiError> {
    let app = &call.app;
    let id = wire::decode_id(&call.param)?;
    let book = app.queue.batch(id).await.map_err(|e| refused(&e))?;
    if call.accepts(NDJSON) {
        return Ok(stream::results(Arc::clone(app), id, book.total_chunks));
    }
    let (from, limit) = wire::decode_page(call.query())?;
    let page = app
        .queue
        .batch_results(id, from, limit)
        .await
        .map_err(|e| refused(&e))?;
    let size = page
        .iter()
        .map(|c| c.outcome.as_ref().map_or(0, Bytes::len))
        .sum();
    let answer = cpu(app, size, move || {
        let page = page
            .iter()
            .map(|c| (c.chunk, c.outcome.as_deref().map_err(String::as_str)));
        wire::encode_page(page, &book)
    })
    .await?;
    Ok(Reply::json(answer).tagged())
}

pub(super) async fn metrics(call: Call) -> Result<Reply, ApiError> {
    let all = call.app.queue.metrics().await.map_err(|e| refused(&e))?;
    let metrics = BatchMetricsResponse::new(&all.batches, all.chunks.queued);
    Ok(Reply::json(envelope::data(&metrics)?))
}
