//! Real requests over real connections: the load tester.
//!
//! Two models. *Closed*: each connection sends its next request as soon as it has the answer to
//! the last. *Open*: requests are due at a fixed rate, whether or not the server keeps up; one
//! whose turn comes while every connection is busy waits, and its response time counts from when
//! it was due. So a stall shows in every request that a user would have made meanwhile
//! (G. Tene, "How NOT to Measure Latency": coordinated omission).

mod answer;
mod client;
mod jobs;
mod plan;
mod resolve;
mod series;
mod stats;
mod worker;

#[cfg(test)]
mod tests;

pub use jobs::LoadTests;
pub(crate) use jobs::{NotStarted, refused};
pub use plan::{CONCURRENCY_MAX, DURATION_MAX, LoadError, LoadPlan, REQUESTS_MAX};
pub use resolve::resolve;

use std::{sync::Arc, time::Duration};

use sommos_core::wire::testing::{LoadProgress, LoadReport};
use tokio::{task::JoinSet, time::Instant};

use worker::Run;

/// How often the caller is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);
/// How many ticks pass between two reports of progress.
const PROGRESS_TICKS: u32 = 5;

/// Runs a load test on the current runtime and returns when it is over: all requests answered,
/// the duration passed and what was in flight then answered or timed out, or `stopped` true, which
/// ends it within about 50 ms and leaves requests in flight unanswered. Dropping the future ends
/// all connections too. `progress` gets how far it is, in words and as a part, 0..=1, that never
/// shrinks; 4 times a second and at the end.
///
/// A runtime of one thread is the fastest: what is shared then never leaves its core.
///
/// # Errors
/// [`LoadError`] when the plan cannot be carried out; nothing was sent then, unless the first
/// answer led to another origin. Requests that fail are figures of the report, not errors.
pub async fn run(
    plan: LoadPlan,
    mut progress: impl FnMut(LoadProgress, f64),
    stopped: impl Fn() -> bool,
) -> Result<LoadReport, LoadError> {
    let run = Arc::new(Run::new(&plan)?);
    let mut workers = JoinSet::new();
    let connections = usize::try_from(plan.requests).unwrap_or(usize::MAX);
    for _ in 0..plan.concurrency.min(connections) {
        workers.spawn(worker::work(Arc::clone(&run)));
    }
    let mut ticks = tokio::time::interval(TICK);
    let mut tick = 0;
    let mut cancelled = None;
    loop {
        tokio::select! {
            ended = workers.join_next() => if ended.is_none() { break },
            _ = ticks.tick() => {
                if tick % PROGRESS_TICKS == 0 {
                    let (told, part) = run.progress();
                    progress(told, part);
                }
                tick += 1;
                if cancelled.is_none() && (stopped() || run.led_away().is_some()) {
                    cancelled = Some(Instant::now());
                    workers.abort_all();
                }
            }
        }
    }
    if let Some(away) = run.led_away() {
        return Err(LoadError::Redirect(away.to_owned()));
    }
    progress(run.progress().0, 1.0);
    Ok(run.report(&plan, cancelled, Instant::now()))
}
