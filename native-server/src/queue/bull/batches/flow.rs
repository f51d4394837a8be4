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

use super::link::{CHILDREN, INTAKE, PARENTS};
use crate::queue::types::QueueError;

/// BullMQ's 1 is first and its 0, which says that a job has no priority, goes before all that have
/// one; here higher is first and 0 is usual.
pub(super) fn bull_priority(priority: i32) -> Option<u32> {
    /// BullMQ's last.
    const LAST: i64 = 1 << 21;
    let turned = LAST / 2 - i64::from(priority);
    u32::try_from(turned.clamp(1, LAST)).ok()
}

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
        priority: bull_priority(options.priority),
        attempts: Some(PARENT_ATTEMPTS),
        backoff: Some(BackoffStrategy::Fixed(pause)),
        remove_on_complete: Some(keep.clone()),
        remove_on_fail: Some(keep),
        ..JobOptions::default()
    };
    let job = FlowJob::new(
        &*options.job_type,
        PARENTS,
        json!({"batch": id.to_string()}),
    )
    .map_err(super::link::unreachable)?;
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
    let options_of_job = JobOptions {
        job_id: Some(name),
        priority: bull_priority(options.priority),
        attempts: Some(options.max_attempts.max(1)),
        backoff: Some(BackoffStrategy::Exponential(options.backoff.base_ms)),
        remove_on_complete: Some(RemoveOnFinish::Bool(true)),
        remove_on_fail: Some(RemoveOnFinish::Bool(true)),
        // One bad chunk fails alone.
        ignore_dependency_on_failure: Some(true),
        parent: attached.then(|| ParentOptions {
            queue: PARENTS.to_owned(),
            id: id.to_string(),
            wait_children: None,
        }),
        ..JobOptions::default()
    };
    let data = json!({"batch": id.to_string(), "chunk": chunk});
    let job = FlowJob::new(&*options.job_type, CHILDREN, data).map_err(super::link::unreachable)?;
    Ok(job.options(options_of_job))
}

/// The child that keeps a parent waiting while further chunks may come.
pub(super) fn intake(id: BatchId) -> Result<FlowJob, QueueError> {
    let job = FlowJob::new("intake", INTAKE, json!({})).map_err(super::link::unreachable)?;
    Ok(job.options(JobOptions {
        job_id: Some(id.to_string()),
        ..JobOptions::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_goes_first() {
        let bull: Vec<_> = [i32::MAX, 10, 1, 0, -1, -10, i32::MIN]
            .map(|priority| bull_priority(priority).unwrap())
            .to_vec();
        assert!(bull.is_sorted(), "{bull:?}");
        assert!(bull.iter().all(|&p| (1..=1 << 21).contains(&p)));
    }
}
