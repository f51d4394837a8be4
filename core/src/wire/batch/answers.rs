//! What the calls of batches answer.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    batch::{BatchMetrics, Book},
    jobs::{BatchId, Status},
    wire::{
        decode,
        error::{ApiError, ErrorCode},
    },
};

/// `data` of POST /batch/process.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchSubmitResponse<'a> {
    /// Ask for it at /batch/{batchId}.
    pub batch_id: &'a str,
    /// `queued`.
    pub status: &'a str,
    /// Records.
    pub total_items: usize,
    /// Chunks.
    pub total_chunks: usize,
}

/// One chunk that failed.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkErrorResponse<'a> {
    /// Its index, from 0.
    pub chunk: u32,
    /// Why.
    pub error: &'a str,
}

/// `data` of GET /batch/{id}.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResponse<'a> {
    /// `batch_...`.
    pub id: &'a str,
    /// queued, running, completed, failed or cancelled.
    pub status: &'a str,
    /// Records.
    pub total_items: u64,
    /// Records of completed chunks.
    pub processed_items: u64,
    /// Chunks.
    pub total_chunks: u32,
    /// Completed chunks.
    pub completed_chunks: u32,
    /// Failed chunks.
    pub failed_chunks: u32,
    /// 0..100: chunks that ended.
    pub progress: f64,
    /// The first failed chunks, at most 100.
    pub errors: Vec<ChunkErrorResponse<'a>>,
    /// Why the whole batch failed; null unless it did.
    pub error: Option<&'a str>,
    /// The processed records of a small batch that completed; else null: page them at
    /// /batch/{id}/results.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<serde_json::Value>))]
    pub results: Option<&'a RawValue>,
    /// Where to page the processed records.
    pub results_url: String,
    /// Unix milliseconds.
    pub created_at: u64,
    /// Unix milliseconds; null while queued.
    pub started_at: Option<u64>,
    /// Unix milliseconds; null until it ended.
    pub completed_at: Option<u64>,
    /// Milliseconds from start to end; null until it ended.
    pub processing_time: Option<u64>,
}

impl<'a> BatchResponse<'a> {
    /// The answer for a book. `id` is its text, `results` its small result's JSON.
    #[must_use]
    pub fn new(id: &'a str, book: &'a Book, results: Option<&'a RawValue>) -> Self {
        let errors = book.errors.iter().map(|e| ChunkErrorResponse {
            chunk: e.chunk,
            error: &e.error,
        });
        let ended = book.completed_at;
        let took = ended.map(|end| end.ms_since(book.started_at.unwrap_or(end)));
        Self {
            id,
            status: crate::wire::jobs::status_word(book.status),
            total_items: book.total_items,
            processed_items: book.processed_items,
            total_chunks: book.total_chunks,
            completed_chunks: book.completed_chunks,
            failed_chunks: book.failed_chunks,
            progress: percent(book.ended_chunks(), book.total_chunks),
            errors: errors.collect(),
            error: book.error.as_deref(),
            results,
            results_url: format!("/api/performance/batch/{id}/results"),
            created_at: book.created_at().0,
            started_at: book.started_at.map(|t| t.0),
            completed_at: ended.map(|t| t.0),
            processing_time: took,
        }
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (f64::from(part) / f64::from(whole) * 1000.0).round() / 10.0
    }
}

/// The message of DELETE /batch/{id}.
pub const CANCELLED: &str = "Batch cancelled successfully";
/// Records that a finished batch may have to answer them with its status.
const INLINE_ITEMS: u64 = 1000;
/// Bytes that these may have.
const INLINE_BYTES: u64 = 1 << 20;
/// Encodes the answer of POST /batch/process.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn encode_submit_answer(
    id: BatchId,
    total_items: usize,
    total_chunks: usize,
) -> Result<Vec<u8>, ApiError> {
    let batch_id = &id.to_string();
    let answer = BatchSubmitResponse {
        batch_id,
        status: "queued",
        total_items,
        total_chunks,
    };
    crate::wire::jobs::encode_submitted(&answer)
}

/// Whether a batch has ended and its records go with its status.
#[must_use]
pub fn is_small(book: &Book) -> bool {
    let small = book.total_items <= INLINE_ITEMS && book.result_bytes <= INLINE_BYTES;
    book.status == Status::Completed && small
}

/// The records of all chunks as one JSON array. A processor may answer a single value that is no
/// array: it is then one record.
#[must_use]
pub fn join_results<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    for chunk in chunks {
        let chunk = chunk.trim_ascii();
        let inner = match chunk.strip_prefix(b"[").and_then(|c| c.strip_suffix(b"]")) {
            Some(inner) => inner.trim_ascii(),
            None => chunk,
        };
        if inner.is_empty() {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(inner);
    }
    out.push(b']');
    out
}

/// The page that a query asks for: its first chunk and how many.
///
/// # Errors
/// 400 naming the parameter.
pub fn decode_page(query: &str) -> Result<(u32, usize), ApiError> {
    let from = decode::query_number(query, "chunk", 0..=u64::from(u32::MAX), "chunks", 0)?;
    let limit = decode::query_number(query, "limit", 1..=1000, "chunks", 100)?;
    Ok((from as u32, limit as usize))
}

/// Encodes a page of results: chunks with their records or why they failed.
///
/// # Errors
/// `INTERNAL` when a stored result is no JSON.
pub fn encode_page<'a>(
    page: impl Iterator<Item = (u32, Result<&'a [u8], &'a str>)>,
    book: &Book,
) -> Result<Vec<u8>, ApiError> {
    let stored = |error: serde_json::Error| {
        ApiError::new(ErrorCode::Internal, format!("stored result: {error}"))
    };
    let mut chunks = Vec::new();
    for (chunk, result) in page {
        let (items, error) = match result {
            Ok(json) => (Some(serde_json::from_slice(json).map_err(stored)?), None),
            Err(error) => (None, Some(error)),
        };
        chunks.push(ChunkResponse {
            chunk,
            items,
            error,
        });
    }
    let next = chunks.last().map(|c| c.chunk + 1);
    let next_chunk = next.filter(|next| *next < book.total_chunks);
    crate::wire::envelope::data(&BatchResultsResponse { chunks, next_chunk })
}

/// The answer of an unknown batch.
#[must_use]
pub fn not_found() -> ApiError {
    ApiError::new(ErrorCode::BatchNotFound, "Batch not found").at("id")
}

/// The id of a path: one that is none of ours names no batch.
///
/// # Errors
/// `BATCH_NOT_FOUND`.
pub fn decode_id(text: &str) -> Result<BatchId, ApiError> {
    text.parse().map_err(|_| not_found())
}

/// `data` of GET /batch/{id}/results.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResultsResponse<'a> {
    /// The chunks of this page, in order, those that failed too.
    pub chunks: Vec<ChunkResponse<'a>>,
    /// The first chunk of the next page; null at the end.
    pub next_chunk: Option<u32>,
}

/// One chunk of a page of results.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChunkResponse<'a> {
    /// Its index, from 0.
    pub chunk: u32,
    /// Its processed records; null when it failed.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<serde_json::Value>))]
    pub items: Option<&'a RawValue>,
    /// Why it failed; null when it did not.
    pub error: Option<&'a str>,
}

/// `data` of GET /batch/metrics.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchMetricsResponse {
    /// Submitted since the store was made.
    pub total_batches: u64,
    /// Completed.
    pub completed_batches: u64,
    /// Failed.
    pub failed_batches: u64,
    /// Cancelled.
    pub cancelled_batches: u64,
    /// Queued or running.
    pub active_batches: u64,
    /// Records processed.
    pub total_items_processed: u64,
    /// Chunks waiting.
    pub queue_size: u64,
    /// Milliseconds; null before the first.
    pub average_processing_time: Option<f64>,
}

impl BatchMetricsResponse {
    /// The answer for these counters.
    #[must_use]
    pub fn new(metrics: &BatchMetrics, queue_size: u64) -> Self {
        let ended = metrics.completed + metrics.failed + metrics.cancelled;
        Self {
            total_batches: metrics.total,
            completed_batches: metrics.completed,
            failed_batches: metrics.failed,
            cancelled_batches: metrics.cancelled,
            active_batches: metrics.total.saturating_sub(ended),
            total_items_processed: metrics.items,
            queue_size,
            average_processing_time: (ended > 0).then_some(metrics.average_ms),
        }
    }
}
