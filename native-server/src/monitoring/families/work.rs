//! Of the queue: jobs, tasks, chunks, batches and who works on them.

use std::sync::atomic::Ordering::Relaxed;

use sommos_core::{
    jobs::{Kind, Metrics},
    metrics::{MetricKind, MetricValue},
};

use super::{Family, counter, gauge, labels};
use crate::{
    app::App,
    queue::{KindTimings, QueueMetrics},
};

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Job => "job",
        Kind::Task => "task",
        Kind::Chunk => "chunk",
    }
}

/// Jobs, parallel tasks and chunks of batches: how many, and how they ended.
pub(super) fn work(app: &App, queue: &QueueMetrics) -> Vec<Family> {
    use MetricKind::{Counter, Gauge};
    let of = |kind| match kind {
        Kind::Job => &queue.jobs,
        Kind::Task => &queue.tasks,
        Kind::Chunk => &queue.chunks,
    };
    let mut submitted = Family::new(
        Counter,
        "sommos_work_submitted_total",
        "{item}",
        "Jobs, tasks and chunks ever submitted.",
    );
    let mut ended = Family::new(
        Counter,
        "sommos_work_ended_total",
        "{item}",
        "Jobs, tasks and chunks that ended, by how.",
    );
    let mut depth = Family::new(
        Gauge,
        "sommos_queue_depth",
        "{item}",
        "Jobs, tasks and chunks that wait or run.",
    );
    let mut retries = Family::new(
        Counter,
        "sommos_work_retries_total",
        "{attempt}",
        "Attempts that failed and were followed by another.",
    );
    let mut timeouts = Family::new(
        Counter,
        "sommos_work_timeouts_total",
        "{attempt}",
        "Attempts that took too long.",
    );
    let mut dead = Family::new(
        Counter,
        "sommos_dead_letters_total",
        "{item}",
        "Jobs, tasks and chunks whose attempts ran out.",
    );
    for kind in Kind::ALL {
        let metrics: &Metrics = of(kind);
        let timings = app.queue.timings().of(kind);
        let number = |n: u64| MetricValue::Number(n as f64);
        let with = |more: &[(&'static str, &'static str)]| {
            labels(&[&[("kind", name(kind))], more].concat())
        };
        submitted.push(with(&[]), number(metrics.total));
        for (status, count) in [
            ("completed", metrics.completed),
            ("failed", metrics.failed),
            ("cancelled", metrics.cancelled),
        ] {
            ended.push(with(&[("status", status)]), number(count));
        }
        for (state, count) in [("queued", metrics.queued), ("active", metrics.active)] {
            depth.push(with(&[("state", state)]), number(count));
        }
        retries.push(with(&[]), number(metrics.retried));
        timeouts.push(with(&[]), number(timings.timed_out.load(Relaxed)));
        dead.push(with(&[]), number(timings.dead.load(Relaxed)));
    }
    vec![submitted, ended, depth, retries, timeouts, dead]
}

pub(super) fn durations(app: &App) -> [Family; 3] {
    let histogram = |name, help| Family::new(MetricKind::Histogram, name, "s", help);
    let mut wait = histogram(
        "sommos_work_wait_seconds",
        "From when an attempt might begin until it did.",
    );
    let mut run = histogram(
        "sommos_work_run_seconds",
        "From when an attempt began until it ended.",
    );
    let timings = app.queue.timings();
    for kind in Kind::ALL {
        let KindTimings {
            wait: waited,
            run: ran,
            ..
        } = timings.of(kind);
        let labels = labels(&[("kind", name(kind))]);
        wait.push(labels.clone(), MetricValue::Buckets(waited.buckets()));
        run.push(labels, MetricValue::Buckets(ran.buckets()));
    }
    let mut commits = histogram(
        "sommos_database_commit_seconds",
        "Time of a transaction of the queue, until it is on the disk.",
    );
    commits.push(Vec::new(), MetricValue::Buckets(timings.commits.buckets()));
    [wait, run, commits]
}

pub(super) fn workers(queue: &QueueMetrics) -> [Family; 6] {
    let pool = &queue.pool;
    [
        gauge(
            "sommos_workers",
            "{thread}",
            "Worker threads.",
            pool.threads as f64,
        ),
        gauge(
            "sommos_workers_limit",
            "{thread}",
            "Most worker threads.",
            pool.max as f64,
        ),
        gauge(
            "sommos_workers_busy",
            "{thread}",
            "Worker threads at work.",
            pool.busy as f64,
        ),
        gauge(
            "sommos_workers_lost",
            "{thread}",
            "Worker threads that went on after their interruption.",
            pool.lost as f64,
        ),
        gauge(
            "sommos_worker_utilization_ratio",
            "1",
            "Worker threads at work, of the most there may be.",
            pool.utilization,
        ),
        counter(
            "sommos_worker_busy_seconds_total",
            "s",
            "Time that worker threads were at work.",
            pool.busy_seconds,
        ),
    ]
}

pub(super) fn batches(queue: &QueueMetrics) -> [Family; 4] {
    let batches = &queue.batches;
    let mut ended = Family::new(
        MetricKind::Counter,
        "sommos_batches_ended_total",
        "{batch}",
        "Batches that ended, by how.",
    );
    for (status, count) in [
        ("completed", batches.completed),
        ("failed", batches.failed),
        ("cancelled", batches.cancelled),
    ] {
        let labels = labels(&[("status", status)]);
        ended.push(labels, MetricValue::Number(count as f64));
    }
    [
        counter(
            "sommos_batches_opened_total",
            "{batch}",
            "Batches ever opened.",
            batches.total as f64,
        ),
        ended,
        gauge(
            "sommos_batches_active",
            "{batch}",
            "Batches that wait or run.",
            batches.active as f64,
        ),
        counter(
            "sommos_batch_items_total",
            "{item}",
            "Records processed in batches.",
            batches.items as f64,
        ),
    ]
}
