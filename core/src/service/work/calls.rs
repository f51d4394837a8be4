//! The calls of jobs and tasks, and those of batches that only ask.

use serde_json::value::RawValue;

use super::{Store, Submission, Work, refused, unreadable};
use crate::{
    jobs::{Kind, Status},
    service::{Request, Response},
    time::Timestamp,
    wire::{
        ApiError, ErrorCode, envelope,
        jobs::{self, JobResponse, WorkKind},
        routes::Route,
        tasks,
    },
};

const NPY: &str = "application/x-npy";
const MSGPACK: &str = "application/msgpack";

impl<S: Store> Work<S> {
    /// Answers the calls that carry no work: states, results, cancels, retries, lists, counters.
    ///
    /// # Errors
    /// What the call answers instead; `NOT_IMPLEMENTED` for a route of another part.
    pub fn call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        match route {
            Route::JobGet => self.job(WorkKind::Job, param),
            Route::JobCancel => self.cancel(now, WorkKind::Job, param),
            Route::JobResult => self.result(WorkKind::Job, param, request),
            Route::JobRetry => self.retry(now, param),
            Route::JobList => self.job_list(request),
            Route::JobMetrics => self.job_metrics(),
            Route::TaskGet => self.job(WorkKind::Task, param),
            Route::TaskCancel => self.cancel(now, WorkKind::Task, param),
            Route::TaskResult => self.result(WorkKind::Task, param, request),
            Route::TaskMetrics => self.task_metrics(),
            Route::BatchGet => self.batch(param),
            Route::BatchCancel => self.cancel_batch(now, param),
            Route::BatchResults => self.batch_results(param, request),
            Route::BatchMetrics => self.batch_metrics(),
            other => Err(crate::service::not_offered(other)),
        }
    }

    /// Takes a checked job or task.
    ///
    /// # Errors
    /// When the queue is full or a field is over the scheduler's limits.
    pub fn submit(
        &mut self,
        now: Timestamp,
        entropy: [u8; 16],
        submission: Submission,
    ) -> Result<Response, ApiError> {
        let Submission {
            kind,
            spec,
            payload,
        } = submission;
        let answer = self.scheduler.submit(now, entropy, spec).map_err(refused)?;
        if !answer.deduplicated {
            self.round.payloads.insert(answer.seq, payload);
        }
        let record = self.scheduler.get(answer.id);
        let status = record.map_or(Status::Queued, |r| r.state.status);
        jobs::encode_submit_answer(kind, answer.id, status, answer.deduplicated).map(Response::json)
    }

    fn job(&self, kind: WorkKind, param: &str) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        let record = self.scheduler.get(id).map_err(refused)?;
        let stored = match record.state.status {
            Status::Completed => self.store.result(record.seq).map_err(unreadable)?,
            _ => None,
        };
        let result = match &stored {
            Some(stored) => Some(tasks::result_json(stored, &self.config.limits)?),
            None => None,
        };
        let raw = result.as_deref().map(stored_json).transpose()?;
        let position = self.scheduler.position(id, jobs::POSITION_MAX);
        let answer = JobResponse::new(param, record, position, raw);
        envelope::data(&answer).map(Response::json)
    }

    fn result(
        &self,
        kind: WorkKind,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        let record = self.scheduler.get(id).map_err(refused)?;
        jobs::check_completed(record.state.status)?;
        let stored = self.store.result(record.seq).map_err(unreadable)?;
        let stored = &stored.ok_or_else(jobs::result_expired)?;
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

    fn cancel(
        &mut self,
        now: Timestamp,
        kind: WorkKind,
        param: &str,
    ) -> Result<Response, ApiError> {
        let id = jobs::decode_id(kind, param)?;
        self.scheduler.cancel(now, id).map_err(refused)?;
        Ok(Response::json(envelope::message(kind.cancelled())))
    }

    fn retry(&mut self, now: Timestamp, param: &str) -> Result<Response, ApiError> {
        let id = jobs::decode_id(WorkKind::Job, param)?;
        self.scheduler.retry_dead(now, id).map_err(refused)?;
        Ok(Response::json(envelope::message(jobs::RETRIED)))
    }

    fn job_list(&self, request: &Request<'_>) -> Result<Response, ApiError> {
        let filter = jobs::ListFilter::decode(request.query)?;
        let mut records: Vec<_> = self
            .scheduler
            .records()
            .filter(|r| r.id.kind == Kind::Job && filter.accepts(r))
            .collect();
        records.sort_unstable_by_key(|r| std::cmp::Reverse(r.seq));
        records.truncate(filter.limit);
        jobs::encode_list(records.into_iter()).map(Response::json)
    }

    fn job_metrics(&self) -> Result<Response, ApiError> {
        let metrics = self.scheduler.metrics(Kind::Job);
        envelope::data(&jobs::JobMetricsResponse::new(metrics, self.workers())).map(Response::json)
    }

    fn task_metrics(&self) -> Result<Response, ApiError> {
        let metrics = self.scheduler.metrics(Kind::Task);
        envelope::data(&jobs::TaskMetricsResponse::new(&metrics, self.workers()))
            .map(Response::json)
    }

    fn workers(&self) -> jobs::WorkerMetricsResponse {
        let (busy, workers) = (self.running(), self.config.workers);
        jobs::WorkerMetricsResponse {
            // Elsewhere they come and go; one is always thought to be there.
            current: busy.max(1),
            busy,
            min: 1,
            max: workers,
            utilization: busy as f64 / workers.max(1) as f64,
        }
    }
}

pub(super) fn stored_json(json: &[u8]) -> Result<&RawValue, ApiError> {
    serde_json::from_slice(json)
        .map_err(|error| ApiError::new(ErrorCode::Internal, format!("stored result: {error}")))
}
