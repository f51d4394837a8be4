//! Jobs, tasks and batches: the scheduler with its payloads and results in memory.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{Request, Response, Service, ServiceConfig};
use crate::{
    batch::{BatchChange, BatchOptions as LedgerOptions, Ledger},
    control::Control,
    jobs::{
        Change, Config, Fault, JobError, JobId, JobSpec, Kind, Metrics, Retention, Scheduler,
        Status,
    },
    limits::Limits,
    par::Par,
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        batch::{self, BatchProcessRequest, BatchResponse, Processor},
        envelope,
        jobs::{self, JobResponse, SubmitDefaults, WorkKind},
        tasks::{self, Task},
    },
};

const NPY: &str = "application/x-npy";
const MSGPACK: &str = "application/msgpack";
const NDJSON: &str = "application/x-ndjson";
/// Ended jobs and batches that one call forgets at most.
const SWEEP_STEPS: usize = 64;

/// The scheduler, its ledger, and the bytes that a store would keep.
pub(super) struct Works {
    scheduler: Scheduler,
    ledger: Ledger,
    retention: Retention,
    payloads: BTreeMap<u64, Vec<u8>>,
    results: BTreeMap<u64, Vec<u8>>,
    processors: BTreeMap<u64, Processor>,
    chunk_results: BTreeMap<(u64, u32), Result<Vec<u8>, String>>,
}

impl Works {
    pub(super) fn new(config: &ServiceConfig) -> Self {
        let scheduler = Config {
            queued_max: config.limits.queued_jobs,
            seed: config.seed,
            ..Config::default()
        };
        Self {
            scheduler: Scheduler::new(scheduler),
            ledger: Ledger::default(),
            retention: Retention {
                bytes: 64 << 20,
                ..Retention::default()
            },
            payloads: BTreeMap::new(),
            results: BTreeMap::new(),
            processors: BTreeMap::new(),
            chunk_results: BTreeMap::new(),
        }
    }

    /// Lets time pass: delays, retries, timeouts, retention.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.scheduler.tick(now);
        self.ledger.tick(now, &mut self.scheduler);
        self.scheduler.sweep(now, &self.retention, SWEEP_STEPS);
        self.ledger.sweep(now, &self.retention, SWEEP_STEPS);
        self.settle();
    }

    /// Takes over what the machines say: batches count their chunks, and bytes that nobody needs
    /// go.
    fn settle(&mut self) {
        let events = self.scheduler.drain_events();
        self.ledger.apply(&events, &mut self.scheduler);
        self.ledger.drain_events();
        // One thread runs the work: nothing is running while a call is answered.
        self.scheduler.drain_actions();
        let Self {
            payloads,
            results,
            processors,
            chunk_results,
            ..
        } = self;
        self.scheduler.drain_changes(|change| {
            if let Change::Remove { seq, .. } = change {
                payloads.remove(&seq);
                results.remove(&seq);
            }
        });
        self.ledger.drain_changes(|change| {
            if let BatchChange::Remove { key, .. } = change {
                processors.remove(&key);
                chunk_results.retain(|(k, _), _| *k != key);
            }
        });
    }

    /// Runs one piece of work that is due; whether there was one.
    fn run_next(
        &mut self,
        now: Timestamp,
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> bool {
        self.tick(now);
        let Some(claim) = self.scheduler.claim(now, 0, 1).into_iter().next() else {
            return false;
        };
        self.settle();
        let payload = self.payloads.get(&claim.seq).cloned().unwrap_or_default();
        let outcome = match claim.id.kind {
            Kind::Job | Kind::Task => self.run_task(claim.id, &payload, par, control, limits),
            Kind::Chunk => self.run_chunk(claim.group, &payload, control, limits),
        };
        let (id, token) = (claim.id, claim.token);
        let key = (claim.group, claim.id.chunk);
        // A stale token cannot be: nobody else claims here.
        let _ = match outcome {
            Ok(result) => {
                let bytes = result.len() as u64;
                if id.kind == Kind::Chunk {
                    self.chunk_results.insert(key, Ok(result));
                } else {
                    self.results.insert(claim.seq, result);
                }
                self.scheduler.complete(now, id, token, bytes)
            }
            Err(error) if error.code == ErrorCode::Cancelled => {
                self.scheduler.release(now, id, token)
            }
            Err(error) => {
                if id.kind == Kind::Chunk {
                    self.chunk_results
                        .insert(key, Err(error.message.to_string()));
                }
                let again = matches!(error.code, ErrorCode::Internal | ErrorCode::Unavailable);
                let fault = Fault {
                    message: &error.message,
                    code: error.code.as_str(),
                    retryable: again,
                };
                self.scheduler.fail(now, id, token, fault)
            }
        };
        self.settle();
        true
    }

    fn run_task(
        &self,
        id: JobId,
        payload: &[u8],
        par: Par,
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Vec<u8>, ApiError> {
        let job_type = self.scheduler.get(id).map(|r| r.spec.job_type.clone());
        let job_type = job_type.map_err(|error| jobs::job_refused(&error))?;
        Task::parse_stored(&job_type, payload, limits)?.run(par, control, limits)
    }

    fn run_chunk(
        &self,
        batch: u64,
        payload: &[u8],
        control: &dyn Control,
        limits: &Limits,
    ) -> Result<Vec<u8>, ApiError> {
        let processor = self
            .processors
            .get(&batch)
            .unwrap_or(&Processor::MarkProcessed);
        batch::run_built_in(processor, payload, control, limits)
    }
}

impl Service {
    /// Runs one piece of work that is due at `now`; false when there is none.
    pub fn run_next(&mut self, now: Timestamp, par: Par, control: &dyn Control) -> bool {
        self.work.run_next(now, par, control, &self.config.limits)
    }

    /// When [`Self::run_next`] will next have something to do; `None`: not before a call.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let (a, b) = (
            self.work.scheduler.next_deadline(),
            self.work.ledger.next_deadline(),
        );
        [a, b].into_iter().flatten().min()
    }

    pub(super) fn submit(
        &mut self,
        now: Timestamp,
        kind: WorkKind,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let limits = &self.config.limits;
        let defaults = match kind {
            WorkKind::Job => self.config.jobs.clone(),
            WorkKind::Task => SubmitDefaults {
                timeout_ms: self.config.task_timeout_ms,
                retries: 0,
                ..self.config.jobs
            },
        };
        let body = request.body;
        let submitted = if request.content_type.starts_with(NPY) {
            jobs::decode_submit_npy(kind, request.query, body, &defaults, limits)?
        } else if request.content_type.starts_with(MSGPACK) {
            jobs::decode_submit_msgpack(kind, body, &defaults, limits)?
        } else {
            jobs::decode_submit(kind, body, &defaults, limits)?
        };
        let mut spec: JobSpec = submitted.spec(kind);
        spec.payload_bytes = submitted.payload.len() as u64;
        let entropy = self.entropy();
        let answer = self
            .work
            .scheduler
            .submit(now, entropy, spec)
            .map_err(refused)?;
        if !answer.deduplicated {
            self.work.payloads.insert(answer.seq, submitted.payload);
        }
        self.work.settle();
        let status = self
            .work
            .scheduler
            .get(answer.id)
            .map_or(Status::Queued, |r| r.state.status);
        jobs::encode_submit_answer(kind, answer.id, status, answer.deduplicated).map(Response::json)
    }

    pub(super) fn job(&self, kind: WorkKind, param: &str) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        let record = self.work.scheduler.get(id).map_err(refused)?;
        let result = match self.work.results.get(&record.seq) {
            Some(stored) => Some(tasks::result_json(stored, &self.config.limits)?),
            None => None,
        };
        let raw = result.as_deref().map(stored_json).transpose()?;
        let position = self.work.scheduler.position(id, jobs::POSITION_MAX);
        let answer = JobResponse::new(param, record, position, raw);
        envelope::data(&answer).map(Response::json)
    }

    pub(super) fn result(
        &self,
        kind: WorkKind,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        let record = self.work.scheduler.get(id).map_err(refused)?;
        jobs::check_completed(record.state.status)?;
        let stored = self
            .work
            .results
            .get(&record.seq)
            .ok_or_else(jobs::result_expired)?;
        let limits = &self.config.limits;
        let (content_type, body) = if request.accept.contains(NPY) {
            (NPY, tasks::result_npy(stored)?.to_vec())
        } else if request.accept.contains(MSGPACK) {
            (MSGPACK, tasks::result_msgpack(stored, limits)?)
        } else {
            (
                "application/json",
                tasks::result_json(stored, limits)?.into_owned(),
            )
        };
        Ok(Response {
            status: 200,
            content_type,
            body,
        })
    }

    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        kind: WorkKind,
        param: &str,
    ) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        self.work.scheduler.cancel(now, id).map_err(refused)?;
        self.work.settle();
        Ok(Response::json(envelope::message(kind.cancelled())))
    }

    pub(super) fn retry(&mut self, now: Timestamp, param: &str) -> Result<Response, ApiError> {
        let id = jobs::decode_id(WorkKind::Job, param)?;
        self.work.scheduler.retry_dead(now, id).map_err(refused)?;
        self.work.settle();
        Ok(Response::json(envelope::message(jobs::RETRIED)))
    }

    pub(super) fn job_list(&self, request: &Request<'_>) -> Result<Response, ApiError> {
        let filter = jobs::ListFilter::decode(request.query)?;
        let mut records: Vec<_> = self
            .work
            .scheduler
            .records()
            .filter(|r| r.id.kind == Kind::Job && filter.accepts(r))
            .collect();
        records.sort_unstable_by_key(|r| std::cmp::Reverse(r.seq));
        records.truncate(filter.limit);
        jobs::encode_list(records.into_iter()).map(Response::json)
    }

    pub(super) fn job_metrics(&self) -> Result<Response, ApiError> {
        let metrics: Metrics = self.work.scheduler.metrics(Kind::Job);
        envelope::data(&jobs::JobMetricsResponse::new(metrics, one_worker())).map(Response::json)
    }

    pub(super) fn task_metrics(&self) -> Result<Response, ApiError> {
        let metrics = self.work.scheduler.metrics(Kind::Task);
        envelope::data(&jobs::TaskMetricsResponse::new(&metrics, one_worker())).map(Response::json)
    }

    pub(super) fn process(
        &mut self,
        now: Timestamp,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        if request.content_type.starts_with(NDJSON) {
            let message = "NDJSON bodies are not offered by this shell; send application/json";
            return Err(ApiError::new(ErrorCode::NotImplemented, message));
        }
        let limits = &self.config.limits;
        let timeout = self.config.batch_timeout_ms;
        let decoded = BatchProcessRequest::decode(request.body, timeout, limits)?;
        if let Processor::Source(_) = decoded.processor {
            let message = "JavaScript processors are not offered by this shell";
            return Err(ApiError::new(ErrorCode::NotImplemented, message).at("processor"));
        }
        let entropy = self.entropy();
        let bytes = decoded
            .chunks
            .iter()
            .map(|(json, _)| json.len() as u64)
            .sum();
        let work = &mut self.work;
        work.scheduler
            .check_room(Kind::Chunk, decoded.chunks.len(), bytes)
            .map_err(refused)?;
        let options: LedgerOptions = decoded.options.queue_options();
        let (id, key) = work
            .ledger
            .open(now, entropy, options, &mut work.scheduler)
            .map_err(refused)?;
        work.processors.insert(key, decoded.processor);
        let total_chunks = decoded.chunks.len();
        for (payload, items) in decoded.chunks {
            let bytes = payload.len() as u64;
            let chunk = work
                .ledger
                .append(now, id, u64::from(items), bytes, &mut work.scheduler)
                .map_err(refused)?;
            work.payloads.insert(chunk.seq, payload);
        }
        work.ledger
            .seal(now, id, &mut work.scheduler)
            .map_err(refused)?;
        work.settle();
        batch::encode_submit_answer(id, decoded.total, total_chunks).map(Response::json)
    }

    pub(super) fn batch(&self, param: &str) -> Result<Response, ApiError> {
        let id = batch::decode_id(param)?;
        let book = self.work.ledger.get(id).map_err(refused)?;
        let joined = batch::is_small(book).then(|| {
            let chunks = self
                .work
                .chunk_results
                .range((book.key, 0)..=(book.key, u32::MAX));
            batch::join_results(chunks.filter_map(|(_, result)| result.as_deref().ok()))
        });
        let raw = joined.as_deref().map(stored_json).transpose()?;
        envelope::data(&BatchResponse::new(param, book, raw)).map(Response::json)
    }

    pub(super) fn cancel_batch(
        &mut self,
        now: Timestamp,
        param: &str,
    ) -> Result<Response, ApiError> {
        let id = batch::decode_id(param)?;
        self.work
            .ledger
            .cancel(now, id, &mut self.work.scheduler)
            .map_err(refused)?;
        self.work.settle();
        Ok(Response::json(envelope::message(batch::CANCELLED)))
    }

    pub(super) fn batch_results(
        &self,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let id = batch::decode_id(param)?;
        let book = self.work.ledger.get(id).map_err(refused)?;
        let (from, limit) = batch::decode_page(request.query)?;
        let page: Vec<_> = self
            .work
            .chunk_results
            .range((book.key, from)..=(book.key, u32::MAX))
            .take(limit)
            .map(|((_, chunk), result)| (*chunk, result.as_deref().map_err(String::as_str)))
            .collect();
        batch::encode_page(page.into_iter(), book).map(Response::json)
    }

    pub(super) fn batch_metrics(&self) -> Result<Response, ApiError> {
        let chunks = self.work.scheduler.metrics(Kind::Chunk);
        let metrics = self.work.ledger.metrics();
        envelope::data(&batch::BatchMetricsResponse::new(&metrics, chunks.queued))
            .map(Response::json)
    }
}

fn refused(error: JobError) -> ApiError {
    jobs::job_refused(&error)
}

fn stored_json(json: &[u8]) -> Result<&RawValue, ApiError> {
    serde_json::from_slice(json)
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("stored result: {error}")))
}

/// The thread that calls `run_next`, which is not running while it asks.
fn one_worker() -> jobs::WorkerMetricsResponse {
    jobs::WorkerMetricsResponse {
        current: 1,
        busy: 0,
        min: 1,
        max: 1,
        utilization: 0.0,
    }
}
