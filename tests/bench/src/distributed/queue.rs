//! Jobs that do nothing, added and processed through the shared queue, beside npm's BullMQ on the
//! same Redis: as it is plainly used, and with what each of our jobs has. Redis does most of the
//! work, and more of it for jobs with priorities.

use std::path::Path;

use anyhow::ensure;
use sommos_core::jobs::{JobSpec, Kind};
use sommos_server::queue::{BullOptions, NewJob, Queue, QueueConfig};
use tokio::runtime::Runtime;

use crate::{
    Options,
    queue::{Noop, pump, redis::Redis},
    report::{Report, median},
};

/// Jobs of a round.
const JOBS: usize = 20_000;
/// As the twin has it.
const AT_ONCE: usize = 64;

/// Runs it.
pub fn run(
    options: &Options,
    report: &mut Report,
    folder: &Path,
    redis: &Redis,
) -> anyhow::Result<()> {
    for submitters in [64, 256] {
        let (mut ours, mut theirs, mut equal) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..options.rounds.max(1) {
            // A prefix for each: what is done is counted for ever.
            let prefix = format!("bench-{submitters}-{round}");
            ours.push(shared(folder, redis, &prefix, submitters)?);
            let (jobs, count) = (JOBS.to_string(), submitters.to_string());
            theirs.extend(redis.twin(&["throughput", &jobs, &count])?.first());
            equal.extend(redis.twin(&["throughput", &jobs, &count, "equal"])?.first());
        }
        let case = format!("add + process, {submitters} submitters");
        let (ours, theirs, equal) = (median(ours), median(theirs), median(equal));
        report.case("distributed", &case, "jobs/s", ours, "npm BullMQ", theirs);
        let peer = "npm BullMQ, with priorities and counts";
        report.case("distributed", &case, "jobs/s", ours, peer, equal);
    }
    Ok(())
}

fn job(n: usize) -> NewJob {
    NewJob {
        spec: JobSpec::new(Kind::Job, "noop"),
        payload: format!("J{{\"n\":{n}}}").into(),
        here: false,
    }
}

fn shared(folder: &Path, redis: &Redis, prefix: &str, submitters: usize) -> anyhow::Result<f64> {
    let runtime = Runtime::new()?;
    let mut config = QueueConfig::new(folder.join(format!("{prefix}.db")));
    config.max_workers = AT_ONCE;
    let shared = BullOptions {
        url: redis.url(),
        prefix: prefix.to_owned(),
        hard: std::time::Duration::from_secs(5),
        lease: std::time::Duration::from_secs(30),
        stalled_max: 3,
        external: Vec::new(),
        job_bytes_max: 1 << 20,
    };
    runtime.block_on(async {
        let queue = Queue::open_shared(config, Noop::new(0), shared)?;
        queue.start().await;
        let rate = pump(&queue, JOBS, submitters, job).await?;
        let local = queue.metrics().await?;
        ensure!(local.commits < 100, "the jobs went to the embedded queue");
        queue.drain(std::time::Duration::from_secs(1)).await;
        Ok(rate)
    })
}
