//! Parents and children as BullMQ's jobs.
//!
//! A parent waits for its children. Of these no more are in line or at work at once than the batch
//! may run at once: each that ends lets the next one in before it leaves, so that the parent never
//! sees none. This bounds a batch's share of all workers exactly, and what it takes of Redis besides
//! its data.

use std::time::Duration;

use bullmq::{
    FlowJob, JobOptions, ParentOptions,
    types::{BackoffStrategy, KeepJobs, RemoveOnFinish},
};
use serde_json::json;
use sommos_core::{batch::BatchOptions, jobs::BatchId};

use crate::queue::{
    bull::{
        link::refused,
        map::{Meta, priority_of},
        options::{BATCHES, CHUNKS, INTAKE},
    },
    types::QueueError,
};

/// A failed attempt of a parent is one in which Redis did not answer: it is tried until it does.
const PARENT_ATTEMPTS: u32 = 10_000;
const PARENT_PAUSE: Duration = Duration::from_millis(500);

/// The parent, which waits for these children.
pub(super) fn parent(
    id: BatchId,
    options: &BatchOptions,
    children: Vec<FlowJob>,
    kept_ms: u64,
) -> Result<FlowJob, QueueError> {
    let pause = u64::try_from(PARENT_PAUSE.as_millis()).unwrap_or(u64::MAX);
    let keep = RemoveOnFinish::Options(KeepJobs {
        // Seconds, whatever its documentation says: it goes to the script as it is.
        age: Some((kept_ms / 1000).max(1)),
        count: None,
        limit: None,
    });
    let options_of_job = JobOptions {
        job_id: Some(id.to_string()),
        priority: Some(priority_of(options.priority)),
        attempts: Some(PARENT_ATTEMPTS),
        backoff: Some(BackoffStrategy::Fixed(pause)),
        remove_on_complete: Some(keep.clone()),
        remove_on_fail: Some(keep),
        ..JobOptions::default()
    };
    let job = FlowJob::new(
        &*options.job_type,
        BATCHES,
        json!({"batch": id.to_string()}),
    )
    .map_err(|error| refused(&error))?;
    Ok(job.options(options_of_job).children(children))
}

/// The job of a chunk. What it works on is beside it: JSON in a job would be read and written
/// anew on each of its ways.
pub(super) fn child(
    id: BatchId,
    options: &BatchOptions,
    chunk: u32,
    attached: bool,
) -> Result<FlowJob, QueueError> {
    let name = id.chunk(chunk).to_string();
    let meta = Meta {
        timeout_ms: options.chunk_timeout_ms,
        backoff: options.backoff,
        seed: id.entropy[1] ^ u64::from(chunk),
        seq: u64::from(chunk),
    };
    let options_of_job = JobOptions {
        job_id: Some(name),
        priority: Some(priority_of(options.priority)),
        attempts: Some(options.max_attempts.max(1)),
        backoff: Some(BackoffStrategy::Custom(meta.encode())),
        remove_on_complete: Some(RemoveOnFinish::Bool(true)),
        remove_on_fail: Some(RemoveOnFinish::Bool(true)),
        // One bad chunk fails alone.
        ignore_dependency_on_failure: Some(true),
        parent: attached.then(|| ParentOptions {
            queue: BATCHES.to_owned(),
            id: id.to_string(),
            wait_children: None,
        }),
        ..JobOptions::default()
    };
    let data = json!({"batch": id.to_string(), "chunk": chunk});
    let job = FlowJob::new(&*options.job_type, CHUNKS, data).map_err(|error| refused(&error))?;
    Ok(job.options(options_of_job))
}

/// The child that keeps a parent waiting while further chunks may come.
pub(super) fn intake(id: BatchId) -> Result<FlowJob, QueueError> {
    let job = FlowJob::new("intake", INTAKE, json!({})).map_err(|error| refused(&error))?;
    Ok(job.options(JobOptions {
        job_id: Some(id.to_string()),
        ..JobOptions::default()
    }))
}
