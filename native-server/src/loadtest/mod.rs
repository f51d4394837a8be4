//! Real requests over real connections: the load tester.
//!
//! Two models. *Closed*: each connection sends its next request as soon as it has the answer to
//! the last. *Open*: requests are due at a fixed rate, whether or not the server keeps up; one
//! whose turn comes while every connection is busy waits, and its response time counts from when
//! it was due. So a stall shows in every request that a user would have made meanwhile
//! (G. Tene, "How NOT to Measure Latency": coordinated omission).

mod client;
mod plan;
mod report;
mod stats;
mod worker;

#[cfg(test)]
mod tests;

pub use plan::{CONCURRENCY_MAX, DURATION_MAX, LoadError, LoadPlan, REQUESTS_MAX};
pub use report::{EndedBy, LoadErrors, LoadReport, ResponseTimes};

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use worker::Run;

/// How often progress is told and the cancel flag is read.
const TICK: Duration = Duration::from_millis(50);

/// Runs a load test on the current runtime and returns when it is over: all requests answered,
/// the duration passed and what was in flight then answered or timed out, or `cancel` set, which
/// ends it within about 50 ms and leaves requests in flight unanswered. Dropping the future ends
/// all connections too. `progress` gets the requests that are over and those planned.
///
/// # Errors
/// [`LoadError`] when the plan cannot be carried out; nothing was sent then. Requests that fail
/// are figures of the report, not errors.
pub async fn run(
    plan: LoadPlan,
    progress: impl Fn(u64, u64),
    cancel: &AtomicBool,
) -> Result<LoadReport, LoadError> {
    let request = plan.check()?;
    let (stop, stopped) = watch::channel(false);
    let run = Arc::new(Run::new(&plan, request));
    let mut workers = JoinSet::new();
    for lane in 0..plan
        .concurrency
        .min(usize::try_from(plan.requests).unwrap_or(usize::MAX))
    {
        workers.spawn(worker::work(Arc::clone(&run), lane, stopped.clone()));
    }
    let mut ticks = tokio::time::interval(TICK);
    let mut cancelled = None;
    loop {
        tokio::select! {
            ended = workers.join_next() => if ended.is_none() { break },
            _ = ticks.tick() => {
                progress(run.over(), plan.requests);
                if cancelled.is_none() && cancel.load(Ordering::Relaxed) {
                    cancelled = Some(Instant::now());
                    stop.send_replace(true);
                }
            }
        }
    }
    progress(run.over(), plan.requests);
    Ok(run.report(&plan, cancelled, Instant::now()))
}
