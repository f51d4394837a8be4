//! Jobs and parallel tasks.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;
use sommos_core::{
    jobs::{Kind, Record, Status},
    wire::{
        ApiError, ErrorCode, envelope,
        jobs::{
            self as wire, JobMetricsResponse, JobResponse, TaskMetricsResponse, WorkKind,
            WorkerMetricsResponse,
        },
        tasks::{result_json, result_msgpack, result_npy},
        testing::{LOAD_TEST, LoadProgress, WithProgress},
    },
};

use super::{Call, body::cpu, reply::Reply};
use crate::{
    app::App,
    queue::{Filter, JobView, NewJob, PoolStats, QueueError},
};

const NPY: &str = "application/x-npy";
const MSGPACK: &str = "application/msgpack";

/// What the queue refused, on the wire.
pub(super) fn refused(error: &QueueError) -> ApiError {
    match error {
        QueueError::Job(error) => wire::job_refused(error),
        QueueError::Busy(_) | QueueError::NoRoom(_) => {
            ApiError::new(ErrorCode::QueueFull, error.to_string())
        }
        QueueError::Chunks(..) => ApiError::invalid("data", error),
        QueueError::Store(_) | QueueError::Closed | QueueError::Unreachable(_) => {
            ApiError::new(ErrorCode::Unavailable, error.to_string())
        }
    }
}

pub(super) async fn submit(kind: WorkKind, call: Call) -> Result<Reply, ApiError> {
    check_open(&call.app)?;
    let (npy, msgpack) = (call.is(NPY), call.is(MSGPACK));
    let query = call.query().to_owned();
    let (app, held) = call.body().await?;
    let size = held.bytes.len();
    let inner = Arc::clone(&app);
    let submitted = cpu(&app, size, move || {
        let limits = &inner.limits;
        let defaults = match kind {
            WorkKind::Job => inner.job_defaults(),
            WorkKind::Task => inner.task_defaults(),
        };
        if npy {
            return wire::decode_submit_npy(kind, &query, &held.bytes, &defaults, limits);
        }
        if msgpack {
            return wire::decode_submit_msgpack(kind, &held.bytes, &defaults, limits);
        }
        let external = match kind {
            WorkKind::Job => inner.queue.external(),
            WorkKind::Task => &[],
        };
        wire::decode_submit(kind, &held.bytes, external, &defaults, limits)
    })
    .await?;
    let job = NewJob {
        spec: submitted.spec(kind),
        payload: Bytes::from(submitted.payload),
        here: false,
    };
    let answer = app.queue.submit(job).await.map_err(|e| refused(&e))?;
    let status = match answer.deduplicated {
        false => Status::Queued,
        true => app
            .queue
            .job(answer.id)
            .await
            .map_or(Status::Queued, |v| v.record.state.status),
    };
    wire::encode_submit_answer(kind, answer.id, status, answer.deduplicated).map(Reply::json)
}

pub(super) async fn get(kind: WorkKind, call: Call) -> Result<Reply, ApiError> {
    let app = Arc::clone(&call.app);
    let id = wire::decode_id(kind, &call.param)?;
    let view = app.queue.job(id).await.map_err(|e| refused(&e))?;
    let stored = match view.record.state.status {
        Status::Completed => app.queue.result(id).await.map_err(|e| refused(&e))?,
        _ => None,
    };
    let inner = Arc::clone(&app);
    let size = stored.as_ref().map_or(0, Bytes::len);
    let answer = cpu(&app, size, move || {
        let json = stored
            .as_ref()
            .map(|s| result_json(s, &inner.limits))
            .transpose()?;
        let raw: Option<&RawValue> = json
            .as_deref()
            .map(serde_json::from_slice)
            .transpose()
            .map_err(|e| ApiError::new(ErrorCode::Internal, format!("stored result: {e}")))?;
        encode(&inner, &view, raw)
    })
    .await?;
    Ok(Reply::json(answer).tagged())
}

fn encode(app: &App, view: &JobView, result: Option<&RawValue>) -> Result<Vec<u8>, ApiError> {
    let id = view.record.id.to_string();
    envelope::data(&WithProgress {
        job: JobResponse::new(&id, &view.record, view.position, result),
        progress_detail: progress(app, &view.record),
    })
}

/// What a running load test tells beyond its percentage.
fn progress(app: &App, record: &Record) -> Option<LoadProgress> {
    let tells = record.state.status == Status::Running && &*record.spec.job_type == LOAD_TEST;
    tells.then(|| app.load_tests.progress(record.id)).flatten()
}

pub(super) async fn result(kind: WorkKind, call: Call) -> Result<Reply, ApiError> {
    let (npy, msgpack) = (call.accepts(NPY), call.accepts(MSGPACK));
    let app = Arc::clone(&call.app);
    let id = wire::decode_id(kind, &call.param)?;
    let view = app.queue.job(id).await.map_err(|e| refused(&e))?;
    wire::check_completed(view.record.state.status)?;
    let stored = app.queue.result(id).await.map_err(|e| refused(&e))?;
    let stored = stored.ok_or_else(wire::result_expired)?;
    let inner = Arc::clone(&app);
    if npy {
        result_npy(&stored)?;
        return Ok(Reply::typed(NPY, stored.slice(1..)).tagged());
    }
    let size = stored.len();
    let (content_type, bytes) = cpu(&app, size, move || {
        if msgpack {
            return Ok((MSGPACK, result_msgpack(&stored, &inner.limits)?));
        }
        Ok((
            "application/json",
            result_json(&stored, &inner.limits)?.into_owned(),
        ))
    })
    .await?;
    Ok(Reply::typed(content_type, bytes).tagged())
}

pub(super) async fn cancel(kind: WorkKind, call: Call) -> Result<Reply, ApiError> {
    let id = wire::decode_id(kind, &call.param)?;
    call.app.queue.cancel(id).await.map_err(|e| refused(&e))?;
    Ok(Reply::json(envelope::message(kind.cancelled())))
}

pub(super) async fn retry(call: Call) -> Result<Reply, ApiError> {
    let id = wire::decode_id(WorkKind::Job, &call.param)?;
    call.app.queue.retry(id).await.map_err(|e| refused(&e))?;
    Ok(Reply::json(envelope::message(wire::RETRIED)))
}

pub(super) async fn list(call: Call) -> Result<Reply, ApiError> {
    let list = wire::ListFilter::decode(call.query())?;
    let filter = Filter {
        kind: Some(Kind::Job),
        status: list.status,
        dead: list.dead,
    };
    let records = call
        .app
        .queue
        .list(filter, list.limit)
        .await
        .map_err(|e| refused(&e))?;
    let ids: Vec<_> = records.iter().map(|record| record.id.to_string()).collect();
    let jobs: Vec<_> = ids
        .iter()
        .zip(&records)
        .map(|(id, record)| WithProgress {
            job: JobResponse::new(id, record, None, None),
            progress_detail: progress(&call.app, record),
        })
        .collect();
    envelope::data(&jobs).map(Reply::json)
}

pub(super) async fn job_metrics(call: Call) -> Result<Reply, ApiError> {
    let all = call.app.queue.metrics().await.map_err(|e| refused(&e))?;
    envelope::data(&JobMetricsResponse::new(all.jobs, workers(&all.pool))).map(Reply::json)
}

pub(super) async fn task_metrics(call: Call) -> Result<Reply, ApiError> {
    let all = call.app.queue.metrics().await.map_err(|e| refused(&e))?;
    envelope::data(&TaskMetricsResponse::new(&all.tasks, workers(&all.pool))).map(Reply::json)
}

fn workers(pool: &PoolStats) -> WorkerMetricsResponse {
    WorkerMetricsResponse {
        current: pool.threads,
        busy: pool.busy,
        min: pool.min,
        max: pool.max,
        utilization: pool.utilization,
    }
}

/// Whether new work is taken.
///
/// # Errors
/// `UNAVAILABLE` while the server ends.
pub(super) fn check_open(app: &App) -> Result<(), ApiError> {
    if app.is_draining() {
        return Err(ApiError::new(
            ErrorCode::Unavailable,
            "shutting down; no new work is taken",
        ));
    }
    Ok(())
}
