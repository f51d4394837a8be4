//! Batch calls.

mod answers;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    decode,
    error::{ApiError, ErrorCode},
};
use crate::{
    batch::{BatchOptions as LedgerOptions, operations},
    control::Control,
    limits::Limits,
};

pub use answers::{
    BatchMetricsResponse, BatchResponse, BatchResultsResponse, BatchSubmitResponse, CANCELLED,
    ChunkErrorResponse, ChunkResponse, decode_id, decode_page, encode_page, encode_submit_answer,
    is_small, join_results, not_found,
};

/// Defaults of a batch that says nothing.
pub const BATCH_SIZE: u64 = 1000;
/// Chunks of one batch at work at once, when the request does not say.
pub const MAX_CONCURRENCY: u64 = 5;

/// POST /batch/process with `application/json`.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchProcessRequest<'a> {
    /// The records: any JSON values.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<serde_json::Value>, required))]
    data: Option<&'a RawValue>,
    /// Source text of a JavaScript function of a chunk (an array) that returns an array, or the
    /// name of a built-in processor, or `{name: "data_processing", operations: [...]}`. Absent:
    /// `mark_processed`.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = serde_json::Value))]
    processor: Option<&'a RawValue>,
    /// How to run it.
    options: Option<BatchOptions>,
}

/// Options of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchOptions {
    /// Records of a chunk; 1000 when absent.
    batch_size: Option<u64>,
    /// Chunks at work at once; 5 when absent.
    max_concurrency: Option<u64>,
    /// Milliseconds that the batch may take.
    timeout: Option<u64>,
    /// Whether the first bad chunk cancels the rest; false when absent.
    stop_on_error: Option<bool>,
    /// Higher runs first; 0 when absent.
    priority: Option<u64>,
}

/// Checked options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlanOptions {
    /// Records of a chunk.
    pub batch_size: usize,
    /// Chunks at work at once.
    pub max_concurrency: u32,
    /// Milliseconds that the batch may take.
    pub timeout_ms: u64,
    /// Whether the first bad chunk cancels the rest.
    pub stop_on_error: bool,
    /// Higher runs first.
    pub priority: i32,
}

impl BatchOptions {
    /// Reads the same options from a query string, for NDJSON bodies.
    ///
    /// # Errors
    /// 400 naming the parameter.
    pub fn from_query(query: &str) -> Result<Self, ApiError> {
        let number = |name: &str| -> Result<Option<u64>, ApiError> {
            match decode::query_value(query, name) {
                None => Ok(None),
                Some(text) => text.parse().map(Some).map_err(|_| {
                    ApiError::invalid(name, format!("expected a whole number, got {text:?}"))
                }),
            }
        };
        let stop_on_error = match decode::query_value(query, "stopOnError").as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                let what = format!("expected true or false, got {other:?}");
                return Err(ApiError::invalid("stopOnError", what));
            }
        };
        Ok(Self {
            batch_size: number("batchSize")?,
            max_concurrency: number("maxConcurrency")?,
            timeout: number("timeout")?,
            stop_on_error,
            priority: number("priority")?,
        })
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn check(self, timeout_ms: u64, limits: &Limits) -> Result<BatchPlanOptions, ApiError> {
        let number = decode::in_range;
        let most_size = limits.batch_size as u64;
        let most_chunks = limits.batch_concurrency as u64;
        Ok(BatchPlanOptions {
            batch_size: number(
                "options.batchSize",
                self.batch_size,
                1..=most_size,
                "records",
                BATCH_SIZE,
            )? as usize,
            max_concurrency: number(
                "options.maxConcurrency",
                self.max_concurrency,
                1..=most_chunks,
                "chunks",
                MAX_CONCURRENCY,
            )? as u32,
            timeout_ms: number(
                "options.timeout",
                self.timeout,
                1..=limits.timeout_ms,
                "milliseconds",
                timeout_ms,
            )?,
            stop_on_error: self.stop_on_error.unwrap_or(false),
            priority: number(
                "options.priority",
                self.priority,
                0..=super::jobs::PRIORITY_MAX,
                "",
                0,
            )? as i32,
        })
    }
}

/// What a batch does to each chunk. Stored with the batch as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Processor {
    /// Records pass as they are.
    Identity,
    /// Each record with `processed: true`, as SommOS's default processor.
    MarkProcessed,
    /// The built-in operations, as the JSON text they came in (already checked).
    DataProcessing(Box<RawOperations>),
    /// A JavaScript function's source text.
    Source(String),
}

/// The text of checked operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawOperations(String);

impl RawOperations {
    fn operations(&self, limits: &Limits) -> Result<Vec<operations::Operation>, ApiError> {
        parse_operations(&self.0, limits)
    }
}

fn parse_operations(json: &str, limits: &Limits) -> Result<Vec<operations::Operation>, ApiError> {
    let value: serde_json::Value = serde_json::from_str(json)
        .map_err(|error| ApiError::invalid("processor.operations", error))?;
    super::tasks::parse_operations("processor.", &value, limits)
}

impl Processor {
    /// Names of the built-in processors.
    pub const NAMES: [&'static str; 3] = ["identity", "mark_processed", "data_processing"];

    /// Reads the three forms of `processor`.
    ///
    /// # Errors
    /// 400 or 413 naming the field.
    pub fn decode(raw: Option<&RawValue>, limits: &Limits) -> Result<Self, ApiError> {
        // No untagged enum: serde buffers these, and a raw value cannot be read from its buffer.
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow)]
            operations: Option<&'a RawValue>,
        }
        let Some(raw) = raw else {
            return Ok(Self::MarkProcessed);
        };
        let wrong = "expected a function's source text, a built-in's name, or {name, operations}";
        if raw.get().starts_with('"') {
            let text: String = decode::part(raw, "processor")?;
            return Self::from_text(&text, None, limits);
        }
        let Ok(Named { name, operations }) = serde_json::from_str(raw.get()) else {
            return Err(ApiError::invalid("processor", wrong));
        };
        Self::from_text(&name, operations, limits)
    }

    /// The built-in processor that runs it; `None` for JavaScript.
    ///
    /// # Errors
    /// As at submission: never, unless the store was changed by hand.
    pub fn built_in(&self, limits: &Limits) -> Result<Option<operations::Processor>, ApiError> {
        Ok(Some(match self {
            Self::Identity => operations::Processor::Identity,
            Self::MarkProcessed => operations::Processor::MarkProcessed,
            Self::DataProcessing(raw) => {
                operations::Processor::DataProcessing(raw.operations(limits)?)
            }
            Self::Source(_) => return Ok(None),
        }))
    }

    /// A built-in's name or a function's source text.
    ///
    /// # Errors
    /// 400 or 413 naming the field.
    pub fn from_text(
        text: &str,
        operations: Option<&RawValue>,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        match text {
            "identity" => Ok(Self::Identity),
            "mark_processed" => Ok(Self::MarkProcessed),
            "data_processing" => {
                let raw = operations.ok_or_else(|| {
                    ApiError::missing("processor.operations", "Operations are required")
                })?;
                parse_operations(raw.get(), limits)?;
                Ok(Self::DataProcessing(Box::new(RawOperations(
                    raw.get().to_owned(),
                ))))
            }
            source if source.contains("=>") || source.contains("function") => {
                if source.len() > limits.processor_bytes {
                    let limit = limits.processor_bytes as u64;
                    return Err(ApiError::too_large("processor", source.len(), limit));
                }
                Ok(Self::Source(source.to_owned()))
            }
            other => Err(ApiError::unknown(
                "processor",
                "processor",
                other,
                &Self::NAMES,
            )),
        }
    }
}

/// Processor and options of an NDJSON body, which stand in the query.
///
/// # Errors
/// 400 or 413 naming the parameter.
pub fn decode_query(
    query: &str,
    timeout_ms: u64,
    limits: &Limits,
) -> Result<(Processor, BatchPlanOptions), ApiError> {
    let operations =
        match decode::query_value(query, "operations") {
            None => None,
            Some(json) => Some(RawValue::from_string(json).map_err(|error| {
                ApiError::invalid("operations", format!("invalid JSON: {error}"))
            })?),
        };
    let processor = match decode::query_value(query, "processor") {
        None => Processor::MarkProcessed,
        Some(text) => Processor::from_text(&text, operations.as_deref(), limits)?,
    };
    let options = BatchOptions::from_query(query)?.check(timeout_ms, limits)?;
    Ok((processor, options))
}

/// A batch that has been checked to the last field.
#[derive(Debug)]
pub struct Batch {
    /// JSON arrays of at most `batch_size` records, and how many records each has.
    pub chunks: Vec<(Vec<u8>, u32)>,
    /// Records in all.
    pub total: usize,
    /// What is done to each chunk.
    pub processor: Processor,
    /// How.
    pub options: BatchPlanOptions,
}

impl<'a> BatchProcessRequest<'a> {
    /// Decodes and checks a body.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field.
    pub fn decode(bytes: &'a [u8], timeout_ms: u64, limits: &Limits) -> Result<Batch, ApiError> {
        const REQUIRED: &str = "Data array is required";
        let request: Self = decode::body(bytes, limits)?;
        let data = request
            .data
            .ok_or_else(|| ApiError::missing("data", REQUIRED))?;
        if !data.get().starts_with('[') {
            return Err(ApiError::new(ErrorCode::InvalidField, REQUIRED).at("data"));
        }
        let processor = Processor::decode(request.processor, limits)?;
        let options = request
            .options
            .unwrap_or_default()
            .check(timeout_ms, limits)?;
        let records: Vec<&RawValue> = decode::part(data, "data")?;
        if records.is_empty() {
            return Err(ApiError::invalid("data", "must not be empty"));
        }
        if records.len() > limits.records {
            return Err(ApiError::over(
                "data",
                "records",
                records.len(),
                limits.records as u64,
            ));
        }
        let least = records.len().div_ceil(options.batch_size);
        check_chunks(least, limits)?;
        let chunks = cut(&records, options.batch_size, limits.chunk_bytes);
        check_chunks(chunks.len(), limits)?;
        Ok(Batch {
            chunks,
            total: records.len(),
            processor,
            options,
        })
    }
}

fn check_chunks(chunks: usize, limits: &Limits) -> Result<(), ApiError> {
    let most = limits.batch_chunks;
    if chunks <= most {
        return Ok(());
    }
    let field = "options.batchSize";
    Err(ApiError::over(field, "chunks", chunks, most as u64))
}

/// Chunks of at most `records_max` records and `bytes_max` bytes, or of one larger record.
fn cut(records: &[&RawValue], records_max: usize, bytes_max: usize) -> Vec<(Vec<u8>, u32)> {
    let mut chunks = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        let mut bytes = 2;
        let fitting = rest.iter().take(records_max).take_while(|record| {
            bytes += record.get().len() + 1;
            bytes <= bytes_max
        });
        let (chunk, after) = rest.split_at(fitting.count().max(1));
        chunks.push(join(chunk));
        rest = after;
    }
    chunks
}

/// A JSON array of records that are JSON text already.
fn join(records: &[&RawValue]) -> (Vec<u8>, u32) {
    let bytes: usize = records.iter().map(|r| r.get().len() + 1).sum();
    let mut out = Vec::with_capacity(bytes + 2);
    out.push(b'[');
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(record.get().as_bytes());
    }
    out.push(b']');
    (out, records.len() as u32)
}

/// Attempts of a chunk. What its processor says is final; a worker that was lost with its process,
/// or a sandbox that could not start, says nothing about the chunk.
const CHUNK_ATTEMPTS: u32 = 4;

impl BatchPlanOptions {
    /// How the ledger runs it.
    #[must_use]
    pub fn queue_options(&self) -> LedgerOptions {
        LedgerOptions {
            priority: self.priority,
            max_concurrency: self.max_concurrency,
            timeout_ms: self.timeout_ms,
            chunk_timeout_ms: self.timeout_ms,
            stop_on_error: self.stop_on_error,
            max_attempts: CHUNK_ATTEMPTS,
            ..LedgerOptions::default()
        }
    }
}

/// Runs a built-in processor over one chunk, a JSON array; gives the array of its results.
///
/// # Errors
/// `NOT_IMPLEMENTED` for JavaScript; 400 when a record does not fit; `CANCELLED` or `TIMED_OUT`.
pub fn run_built_in(
    processor: &Processor,
    chunk: &[u8],
    control: &dyn Control,
    limits: &Limits,
) -> Result<Vec<u8>, ApiError> {
    let built_in = processor.built_in(limits)?.ok_or_else(|| {
        ApiError::new(
            ErrorCode::NotImplemented,
            "JavaScript runs in a sandbox of the server only",
        )
    })?;
    let items: Vec<serde_json::Value> = serde_json::from_slice(chunk).map_err(|error| {
        ApiError::new(
            ErrorCode::InvalidJson,
            format!("the chunk is no JSON array: {error}"),
        )
    })?;
    let items = built_in
        .apply_items(items, &control)
        .map_err(|error| super::tasks::operation_refused("chunk", error))?;
    super::envelope::encode(&items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_into_one_array() {
        let chunks = ["[1,2]", "[]", " {\"a\":1} ", "[ 3 ]"];
        let joined = join_results(chunks.iter().map(|c| c.as_bytes()));
        assert_eq!(String::from_utf8(joined).unwrap(), r#"[1,2,{"a":1},3]"#);
    }

    fn decode(body: &str) -> Result<Batch, ApiError> {
        BatchProcessRequest::decode(body.as_bytes(), 1000, &Limits::default())
    }

    #[test]
    fn records_are_cut_into_chunks_without_parsing_them() {
        let batch = decode(r#"{"data":[1, {"a":[2]},"x"],"options":{"batchSize":2}}"#).unwrap();
        assert_eq!(
            batch.chunks,
            [(br#"[1,{"a":[2]}]"#.to_vec(), 2), (br#"["x"]"#.to_vec(), 1)]
        );
        assert_eq!(batch.processor, Processor::MarkProcessed);
    }

    #[test]
    fn a_chunk_ends_before_its_bytes_are_too_many() {
        let limits = Limits {
            chunk_bytes: 10,
            ..Limits::default()
        };
        let body = br#"{"data":["aa","bb","a long record","c"]}"#;
        let batch = BatchProcessRequest::decode(body, 1000, &limits).unwrap();
        let chunks = batch.chunks.iter().map(|(c, n)| (&c[..], *n));
        let wanted = [
            (&br#"["aa"]"#[..], 1),
            (br#"["bb"]"#, 1),
            (br#"["a long record"]"#, 1),
            (br#"["c"]"#, 1),
        ];
        assert!(chunks.eq(wanted), "{:?}", batch.chunks);
    }

    #[test]
    fn a_chunk_outlives_the_process_that_ran_it() {
        use crate::{
            batch::Ledger,
            jobs::{Config, Scheduler, Status},
            time::Timestamp,
        };
        let now = Timestamp(1_000_000);
        let options = decode(r#"{"data":[1]}"#).unwrap().options.queue_options();
        let (mut scheduler, mut ledger) = (Scheduler::new(Config::default()), Ledger::default());
        let (id, _) = ledger.open(now, [7; 16], options, &mut scheduler).unwrap();
        ledger.append(now, id, 1, 3, &mut scheduler).unwrap();
        ledger.seal(now, id, &mut scheduler).unwrap();
        scheduler.claim(now, 0, 1);
        let records: Vec<_> = scheduler.records().cloned().collect();
        assert_eq!(records[0].state.status, Status::Running);
        let config = Config::default();
        let restored = Scheduler::restore(config, now, scheduler.marks(), [], records, |_| false);
        let chunk = restored.records().next().unwrap();
        assert_eq!(chunk.state.status, Status::Queued, "{chunk:?}");
    }

    #[test]
    fn operations_are_read_as_the_text_that_they_are() {
        let operations = r#"[{"type":"sort", "sortBy":"a"}]"#;
        let body = format!(
            r#"{{"data":[1],"processor":{{"name":"data_processing","operations":{operations}}}}}"#
        );
        let raw = RawOperations(operations.to_owned());
        let wanted = Processor::DataProcessing(Box::new(raw));
        assert_eq!(decode(&body).unwrap().processor, wanted);
    }

    #[test]
    fn wrong_fields_are_named() {
        let field = |body: &str| decode(body).unwrap_err().field.map(Cow::into_owned);
        assert_eq!(field("{}").as_deref(), Some("data"));
        assert_eq!(field(r#"{"data":{}}"#).as_deref(), Some("data"));
        assert_eq!(
            field(r#"{"data":[1],"options":{"batchSize":0}}"#).as_deref(),
            Some("options.batchSize")
        );
        assert_eq!(
            field(r#"{"data":[1],"processor":"brew"}"#).as_deref(),
            Some("processor")
        );
        assert_eq!(
            field(r#"{"data":[1],"processor":7}"#).as_deref(),
            Some("processor")
        );
    }
}
