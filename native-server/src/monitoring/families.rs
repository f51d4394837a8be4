//! What the server's parts tell Prometheus beside core's registry.

mod redis;
mod work;

use std::{
    borrow::Cow,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use sommos_core::metrics::{MetricFamily, MetricKind, MetricValue};

use crate::{allocator, app::App, queue::QueueMetrics};

type Family = MetricFamily<'static>;

/// Every family of the server's own.
pub fn families(app: &App, queue: &QueueMetrics) -> Vec<Family> {
    let mut families = work::work(app, queue);
    families.extend(work::durations(app));
    families.extend(work::workers(queue));
    families.extend(work::batches(queue));
    families.extend(sandbox(app));
    families.extend(databases(app, queue));
    families.extend(cache(app));
    families.extend(redis::redis(app));
    families.extend(heap());
    families.extend(told(app));
    families.extend(own(app));
    families
}

fn counter(name: &'static str, unit: &'static str, help: &'static str, value: f64) -> Family {
    MetricFamily::counter(name, unit, help, value)
}

fn gauge(name: &'static str, unit: &'static str, help: &'static str, value: f64) -> Family {
    MetricFamily::gauge(name, unit, help, Some(value))
}

fn labels(pairs: &[(&'static str, &'static str)]) -> Vec<(&'static str, Cow<'static, str>)> {
    pairs
        .iter()
        .map(|&(label, value)| (label, value.into()))
        .collect()
}

fn sandbox(app: &App) -> [Family; 7] {
    let stats = app.sandbox.stats();
    let child = |name, help, count: u64| counter(name, "{process}", help, count as f64);
    let chunk = |name, help, count: u64| counter(name, "{chunk}", help, count as f64);
    let mut alive = Family::new(
        MetricKind::Gauge,
        "sommos_sandbox_children",
        "{process}",
        "Children that run processors, by what they do.",
    );
    for (state, count) in [("idle", stats.idle), ("busy", stats.busy)] {
        alive.push(
            labels(&[("state", state)]),
            MetricValue::Number(count as f64),
        );
    }
    [
        alive,
        child(
            "sommos_sandbox_started_total",
            "Children started.",
            stats.started,
        ),
        child(
            "sommos_sandbox_crashed_total",
            "Children that died of a chunk.",
            stats.crashed,
        ),
        chunk(
            "sommos_sandbox_chunks_total",
            "Chunks that children answered.",
            stats.chunks,
        ),
        chunk(
            "sommos_sandbox_timeouts_total",
            "Chunks that took too long; their child was killed.",
            stats.timed_out,
        ),
        chunk(
            "sommos_sandbox_over_limit_total",
            "Chunks that went over a limit of memory, output or stack.",
            stats.over_limit,
        ),
        chunk(
            "sommos_sandbox_failures_total",
            "Chunks that the sandbox itself failed on.",
            stats.unavailable,
        ),
    ]
}

fn databases(app: &App, queue: &QueueMetrics) -> [Family; 5] {
    let monitoring = app.config.data_dir.join(super::DATABASE);
    let mut file = Family::new(
        MetricKind::Gauge,
        "sommos_database_file_bytes",
        "By",
        "Size of a database.",
    );
    let mut wal = Family::new(
        MetricKind::Gauge,
        "sommos_database_wal_bytes",
        "By",
        "Size of a database's write-ahead log.",
    );
    for (name, path) in [("queue", app.queue.path()), ("monitoring", &monitoring)] {
        let size = |path: &Path| std::fs::metadata(path).ok().map(|file| file.len() as f64);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let sizes = [(&mut file, size(path)), (&mut wal, size(Path::new(&log)))];
        for (family, size) in sizes {
            if let Some(size) = size {
                family.push(labels(&[("database", name)]), MetricValue::Number(size));
            }
        }
    }
    let count = |name, help, n: u64| counter(name, "{transaction}", help, n as f64);
    [
        file,
        wal,
        count(
            "sommos_database_commits_total",
            "Transactions of the queue that were committed.",
            queue.commits,
        ),
        count(
            "sommos_database_failures_total",
            "Transactions of the queue that could not be written.",
            queue.write_failures,
        ),
        count(
            "sommos_database_busy_total",
            "Transactions refused because another process held the database.",
            app.queue.timings().busy.load(Relaxed),
        ),
    ]
}

fn cache(app: &App) -> [Family; 4] {
    let stats = app.cache.stats();
    let packed = app.cache.packed();
    [
        counter(
            "cache_evictions_total",
            "{entry}",
            "Live cache entries given up for room.",
            stats.evictions as f64,
        ),
        counter(
            "cache_expirations_total",
            "{entry}",
            "Cache entries removed after their time.",
            stats.expirations as f64,
        ),
        gauge(
            "cache_packed_entries",
            "{entry}",
            "Cache entries whose values nobody asked for lately and that are packed.",
            packed.entries as f64,
        ),
        gauge(
            "cache_packed_saved_bytes",
            "By",
            "Bytes that packed values do not occupy.",
            packed.saved_bytes as f64,
        ),
    ]
}

fn heap() -> Vec<Family> {
    let Some(heap) = allocator::figures() else {
        return Vec::new();
    };
    let blocks = |name, help, count: u64| counter(name, "{block}", help, count as f64);
    vec![
        gauge(
            "process_heap_peak_bytes",
            "By",
            "Most heap bytes handed out at any time.",
            heap.peak_bytes as f64,
        ),
        blocks(
            "process_heap_allocations_total",
            "Blocks that the allocator handed out.",
            heap.allocations,
        ),
        blocks(
            "process_heap_deallocations_total",
            "Blocks given back to the allocator.",
            heap.deallocations,
        ),
    ]
}

/// Messages of alerts, and exports to a collector, where there are such.
fn told(app: &App) -> Vec<Family> {
    let mut families = Vec::new();
    let count = |n: &AtomicU64| n.load(Relaxed) as f64;
    if let Some(webhook) = &app.monitoring.webhook {
        let counters = &webhook.counters;
        let mut messages = Family::new(
            MetricKind::Counter,
            "sommos_webhook_messages_total",
            "{message}",
            "Messages of alerts by their fate.",
        );
        for (fate, counter) in [
            ("delivered", &counters.delivered),
            ("given_up", &counters.given_up),
            ("dropped", &counters.dropped),
        ] {
            let labels = labels(&[("fate", fate)]);
            messages.push(labels, MetricValue::Number(count(counter)));
        }
        families.push(messages);
        families.push(counter(
            "sommos_webhook_failed_attempts_total",
            "{attempt}",
            "Attempts that were answered with a failure, or not at all.",
            count(&counters.failed_attempts),
        ));
        families.push(gauge(
            "sommos_webhook_waiting",
            "{message}",
            "Messages of alerts that wait.",
            count(&app.monitoring.waiting),
        ));
    }
    if let Some(collector) = &app.monitoring.collector {
        let mut exports = Family::new(
            MetricKind::Counter,
            "sommos_otlp_exports_total",
            "{export}",
            "Exports to the collector by their fate.",
        );
        for (fate, counter) in [("taken", &collector.sent), ("failed", &collector.failed)] {
            let labels = labels(&[("fate", fate)]);
            exports.push(labels, MetricValue::Number(count(counter)));
        }
        families.push(exports);
    }
    families
}

/// What monitoring itself costs and fails at.
fn own(app: &App) -> [Family; 4] {
    let monitoring = &app.monitoring;
    let seconds = |us: u64| us as f64 / 1e6;
    [
        counter(
            "sommos_samples_total",
            "{sample}",
            "Samples taken.",
            monitoring.samples.load(Relaxed) as f64,
        ),
        counter(
            "sommos_sampling_seconds_total",
            "s",
            "Time spent in sampling.",
            seconds(monitoring.sampling_us.load(Relaxed)),
        ),
        counter(
            "sommos_sampling_cpu_seconds_total",
            "s",
            "CPU time spent in sampling.",
            seconds(monitoring.sampling_cpu_us.load(Relaxed)),
        ),
        counter(
            "sommos_monitoring_write_failures_total",
            "{transaction}",
            "Reads and writes of monitoring's database that failed.",
            monitoring.store_failures.load(Relaxed) as f64,
        ),
    ]
}
