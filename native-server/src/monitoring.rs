//! The server's monitor: core's registry, fed with samples of this process and this machine.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sommos_core::{
    metrics::{
        AlertEvent, CacheFigures, ExtraMetric, MetricKind, Monitor, MonitorConfig, SystemSample,
        Thresholds,
    },
    time::Timestamp,
    wire::{
        monitoring::{route_index, routes},
        routes::Route,
    },
};

use crate::{app::App, config::Config, queue::QueueMetrics, system::Sampler};

/// Between two copies of the counters, which rolling windows are made from.
const TICK: Duration = Duration::from_secs(1);

/// Metrics, history and alerts.
pub struct Monitoring {
    /// Core's registry.
    pub registry: Monitor,
    sampler: Mutex<Sampler>,
    /// Time spent in sampling, microseconds: what monitoring costs.
    sampling_us: AtomicU64,
}

impl Monitoring {
    /// A monitor with the thresholds of the configuration.
    ///
    /// # Errors
    /// When a threshold cannot work.
    pub fn new(config: &Config, now: Timestamp) -> anyhow::Result<Self> {
        let thresholds = Thresholds {
            cpu: config.alert_cpu,
            memory: config.alert_memory,
            response_time: config.alert_response_time_ms,
            error_rate: config.alert_error_rate,
            ..Thresholds::default()
        };
        let monitor = MonitorConfig {
            routes: routes(),
            rules: thresholds.rules(),
            ..Default::default()
        };
        Ok(Self {
            registry: Monitor::new(now, monitor)?,
            sampler: Mutex::new(Sampler::new(&config.data_dir)),
            sampling_us: AtomicU64::new(0),
        })
    }

    /// A request began.
    pub fn enter(&self) {
        self.registry.request_started();
    }

    /// A request was answered.
    pub fn leave(&self, route: Option<Route>, status: u16, took: Duration, bytes: u64) {
        self.registry.request_ended();
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.registry
            .record_request(route_index(route), status, us, bytes);
    }

    /// Looks at the process and the machine. Costs some system calls: not for the runtime's
    /// threads.
    pub fn observe(&self, now: Timestamp) {
        let started = std::time::Instant::now();
        let sample = self
            .sampler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sample();
        self.registry.record_system(
            now,
            &SystemSample {
                cpu_percent: Some(sample.cpu_percent),
                memory_used: Some(sample.memory_used),
                memory_total: Some(sample.memory_total),
                process_cpu_percent: Some(sample.process_cpu_percent),
                rss: Some(sample.rss),
                threads: sample.threads,
                disk_used: sample.disk_used,
                disk_total: sample.disk_total,
                load1: Some(sample.load1),
                uptime_s: Some(sample.process_uptime_s),
            },
        );
        let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(0);
        self.sampling_us.fetch_add(us, Ordering::Relaxed);
    }
}

/// Hands the cache's figures to the registry, which shows but does not keep them.
pub fn refresh_cache(app: &App) {
    let stats = app.cache.stats();
    app.monitoring.registry.record_cache(CacheFigures {
        hits: stats.hits,
        misses: stats.misses,
        size: Some(stats.size as u64),
        memory: Some(stats.memory_usage),
    });
}

/// What Prometheus is told of the queue, its workers and the sandbox.
pub fn extra_metrics(app: &App, queue: &QueueMetrics) -> Vec<ExtraMetric<'static>> {
    let gauge = |name, help, value: f64| ExtraMetric {
        name,
        help,
        kind: MetricKind::Gauge,
        value,
    };
    let counter = |name, help, value: f64| ExtraMetric {
        name,
        help,
        kind: MetricKind::Counter,
        value,
    };
    let sandbox = app.sandbox.stats();
    let sampling = app.monitoring.sampling_us.load(Ordering::Relaxed) as f64 / 1e6;
    vec![
        gauge(
            "sommos_jobs_queued",
            "Jobs that wait.",
            queue.jobs.queued as f64,
        ),
        gauge(
            "sommos_jobs_active",
            "Jobs that run.",
            queue.jobs.active as f64,
        ),
        counter(
            "sommos_jobs_completed_total",
            "Jobs completed.",
            queue.jobs.completed as f64,
        ),
        counter(
            "sommos_jobs_failed_total",
            "Jobs failed for good.",
            queue.jobs.failed as f64,
        ),
        counter(
            "sommos_jobs_retried_total",
            "Attempts repeated.",
            queue.jobs.retried as f64,
        ),
        gauge(
            "sommos_tasks_queued",
            "Tasks that wait.",
            queue.tasks.queued as f64,
        ),
        gauge(
            "sommos_tasks_active",
            "Tasks that run.",
            queue.tasks.active as f64,
        ),
        gauge(
            "sommos_chunks_queued",
            "Chunks of batches that wait.",
            queue.chunks.queued as f64,
        ),
        counter(
            "sommos_batch_items_total",
            "Records processed.",
            queue.batches.items as f64,
        ),
        gauge(
            "sommos_workers",
            "Worker threads.",
            queue.pool.threads as f64,
        ),
        gauge(
            "sommos_workers_busy",
            "Worker threads at work.",
            queue.pool.busy as f64,
        ),
        counter(
            "sommos_store_commits_total",
            "Transactions committed.",
            queue.commits as f64,
        ),
        counter(
            "sommos_store_failures_total",
            "Transactions that could not be written.",
            queue.write_failures as f64,
        ),
        counter(
            "sommos_sandbox_children_total",
            "Children started.",
            sandbox.started as f64,
        ),
        gauge(
            "sommos_sandbox_busy",
            "Children at work.",
            sandbox.busy as f64,
        ),
        counter(
            "sommos_sampling_seconds_total",
            "Time spent in sampling.",
            sampling,
        ),
    ]
}

/// Samples for as long as the server runs: counters every second, the system every interval.
pub async fn sample(app: Arc<App>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let interval = Duration::from_millis(app.config.monitoring_interval_ms);
    let mut due = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        app.monitoring.registry.tick(app.now());
        if tokio::time::Instant::now() >= due {
            due += interval;
            let inner = Arc::clone(&app);
            // The next round must not overtake this one.
            let observed = tokio::task::spawn_blocking(move || observe(&inner)).await;
            if let Err(error) = observed {
                tracing::error!(%error, "sampling failed");
            }
        }
    }
}

fn observe(app: &App) {
    let now = app.now();
    app.monitoring.observe(now);
    refresh_cache(app);
    let registry = &app.monitoring.registry;
    registry.sample(now);
    let mut entropy = || {
        let mut bytes = [0; 16];
        // Without randomness an alert's id is only its time: still unique, but easy to guess.
        let _ = getrandom::fill(&mut bytes);
        bytes
    };
    for event in registry.evaluate(now, &mut entropy) {
        let (name, alert) = match &event {
            AlertEvent::Triggered(alert) => ("alertTriggered", alert),
            AlertEvent::Resolved(alert) => ("alertResolved", alert),
        };
        tracing::warn!(event = name, alert = ?alert.name, value = alert.value, "alert");
        app.queue
            .announce(now, name, serde_json::to_value(alert).unwrap_or_default());
    }
    let summary = serde_json::to_value(registry.summary(now)).unwrap_or_default();
    app.queue.announce(now, "metrics", summary);
}
