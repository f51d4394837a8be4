//! From a body to work that may be stored: decoding and checking, without any state.

use crate::{
    batch::BatchOptions as LedgerOptions,
    jobs::JobSpec,
    limits::Limits,
    service::Request,
    wire::{
        ApiError, ErrorCode,
        batch::{Batch, BatchProcessRequest, Processor},
        jobs::{self, SubmitDefaults, WorkKind},
    },
};

const NPY: &str = "application/x-npy";
const MSGPACK: &str = "application/msgpack";
const NDJSON: &str = "application/x-ndjson";

/// What requests that do not say get.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// Of jobs.
    pub jobs: SubmitDefaults,
    /// Milliseconds that a task may take.
    pub task_timeout_ms: u64,
    /// Milliseconds that a batch may take.
    pub batch_timeout_ms: u64,
}

/// A checked job or task.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Job or task.
    pub kind: WorkKind,
    /// How to run it.
    pub spec: JobSpec,
    /// What it is run on.
    pub payload: Vec<u8>,
}

impl Submission {
    /// Decodes and checks the body of a submission: JSON, MessagePack or NPY by its type.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field.
    pub fn decode(
        kind: WorkKind,
        request: &Request<'_>,
        defaults: &Defaults,
        limits: &Limits,
    ) -> Result<Self, ApiError> {
        let defaults = match kind {
            WorkKind::Job => defaults.jobs.clone(),
            WorkKind::Task => SubmitDefaults {
                timeout_ms: defaults.task_timeout_ms,
                retries: 0,
                ..defaults.jobs
            },
        };
        let body = request.body;
        let submitted = if request.content_type.starts_with(NPY) {
            jobs::decode_submit_npy(kind, request.query, body, &defaults, limits)?
        } else if request.content_type.starts_with(MSGPACK) {
            jobs::decode_submit_msgpack(kind, body, &defaults, limits)?
        } else {
            jobs::decode_submit(kind, body, &[], &defaults, limits)?
        };
        let mut spec = submitted.spec(kind);
        spec.payload_bytes = submitted.payload.len() as u64;
        Ok(Self {
            kind,
            spec,
            payload: submitted.payload,
        })
    }
}

/// A checked batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSubmission {
    /// JSON arrays and how many records each has.
    pub chunks: Vec<(Vec<u8>, u32)>,
    /// Records in all.
    pub total: usize,
    /// What is done to each chunk.
    pub processor: Processor,
    /// How.
    pub options: LedgerOptions,
}

impl BatchSubmission {
    /// Decodes and checks a JSON body; `javascript` says whether the shell can run a function's
    /// source.
    ///
    /// # Errors
    /// 400, 413 or 422 naming the field; 501 for what the shell cannot do.
    pub fn decode(
        request: &Request<'_>,
        defaults: &Defaults,
        limits: &Limits,
        javascript: bool,
    ) -> Result<Self, ApiError> {
        if request.content_type.starts_with(NDJSON) {
            let message = "NDJSON bodies are not offered by this shell; send application/json";
            return Err(ApiError::new(ErrorCode::NotImplemented, message));
        }
        let timeout_ms = defaults.batch_timeout_ms;
        let Batch {
            chunks,
            total,
            processor,
            options,
        } = BatchProcessRequest::decode(request.body, timeout_ms, limits)?;
        if let (Processor::Source(_), false) = (&processor, javascript) {
            return Err(javascript_not_offered());
        }
        Ok(Self {
            chunks,
            total,
            processor,
            options: options.queue_options(),
        })
    }
}

/// 501 for a function's source.
#[must_use]
pub fn javascript_not_offered() -> ApiError {
    let message = "JavaScript processors are not offered by this shell";
    ApiError::new(ErrorCode::NotImplemented, message).at("processor")
}
