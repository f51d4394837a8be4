//! The server's monitor: core's registry, fed with samples of this process and this machine, and
//! kept over a restart.

mod cluster;
mod families;
mod otlp;
mod store;
mod webhook;

pub use cluster::{cluster_summary, tell};
pub use families::families;
pub use otlp::export;
pub use webhook::deliver;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sommos_core::{
    metrics::{AlertEvent, CacheFigures, Delivery, Monitor, MonitorConfig, Thresholds},
    time::Timestamp,
    wire::{
        ApiError,
        monitoring::{self as wire, route_index, routes},
        routes::Route,
    },
};

use self::{
    otlp::Collector,
    store::{Store, StoreError},
    webhook::Webhook,
};
use crate::{
    app::App,
    config::Config,
    system::{self, Sampler},
};

/// Between two copies of the counters, which rolling windows are made from.
const TICK: Duration = Duration::from_secs(1);

/// The database of history and alerts, in the data folder.
const DATABASE: &str = "monitoring.db";

/// Metrics, history and alerts.
pub struct Monitoring {
    /// Core's registry.
    pub registry: Monitor,
    sampler: Mutex<Sampler>,
    store: Mutex<Store>,
    /// What the caches of the processes before this one counted.
    cache_before: CacheFigures,
    webhook: Option<Webhook>,
    /// Messages that wait for the webhook.
    waiting: AtomicU64,
    collector: Option<Collector>,
    /// Reads and writes of the database that failed.
    store_failures: AtomicU64,
    /// Time spent in sampling, and CPU time of it, microseconds: what monitoring costs.
    sampling_us: AtomicU64,
    sampling_cpu_us: AtomicU64,
    samples: AtomicU64,
}

impl Monitoring {
    /// A monitor with the thresholds of the configuration, which goes on from what the data folder
    /// holds.
    ///
    /// # Errors
    /// When a threshold cannot work or the database cannot be used.
    pub fn open(config: &Config, now: Timestamp) -> anyhow::Result<Self> {
        let thresholds = Thresholds {
            cpu: config.alert_cpu,
            memory: config.alert_memory,
            response_time: config.alert_response_time_ms,
            error_rate: config.alert_error_rate,
            ..Thresholds::default()
        };
        let rules = config.alerts.rules(&thresholds)?;
        let monitor = MonitorConfig {
            routes: routes(),
            rules,
            ..Default::default()
        };
        let mut store = Store::open(&config.data_dir.join(DATABASE))?;
        let registry = store.load(now, monitor)?;
        let webhook = Webhook::new(config)?;
        if webhook.is_none() {
            store.forget_all()?;
        }
        // What was read is the base of the rows to come.
        store.keep_all(&registry, now)?;
        Ok(Self {
            cache_before: registry.cache_figures(),
            registry,
            sampler: Mutex::new(Sampler::new(&config.data_dir)),
            waiting: AtomicU64::new(store.waiting()),
            store: Mutex::new(store),
            webhook,
            collector: Collector::new(config)?,
            store_failures: AtomicU64::new(0),
            sampling_us: AtomicU64::new(0),
            sampling_cpu_us: AtomicU64::new(0),
            samples: AtomicU64::new(0),
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

    /// Bytes of a request's body.
    pub fn received(&self, route: Option<Route>, bytes: u64) {
        self.registry.record_request_body(route_index(route), bytes);
    }

    /// Bytes of an answer that was streamed, when it is over.
    pub fn streamed(&self, route: Option<Route>, status: u16, bytes: u64) {
        self.registry
            .add_requests(route_index(route), status, 0, bytes);
    }

    /// Uses the database. A failure is logged and counted: the server goes on without.
    fn keep<T>(
        &self,
        ask: impl FnOnce(&mut Store, &Monitor) -> Result<T, StoreError>,
    ) -> Option<T> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = ask(&mut store, &self.registry);
        self.waiting.store(store.waiting(), Ordering::Relaxed);
        match asked {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.store_failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "monitoring could not be kept");
                None
            }
        }
    }

    /// The messages of these events for which there is room.
    fn messages(&self, store: &Store, events: &[AlertEvent]) -> Vec<Delivery> {
        let Some(webhook) = &self.webhook else {
            return Vec::new();
        };
        let mut messages = Webhook::messages(events);
        let mut waiting = store.waiting();
        messages.retain(|message| {
            let admitted = webhook.admits(waiting, message);
            waiting += u64::from(admitted);
            admitted
        });
        messages
    }

    /// Wakes who sends messages.
    fn wake(&self) {
        if let Some(webhook) = &self.webhook {
            webhook.wake();
        }
    }

    /// Writes down everything as it stands. Call it off the runtime's threads.
    pub fn close(&self, now: Timestamp) {
        self.keep(|store, registry| store.keep_all(registry, now));
    }

    /// Looks at the process and the machine. Costs some system calls: not for the runtime's
    /// threads.
    fn observe(&self, now: Timestamp) {
        let sample = self
            .sampler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .sample();
        self.registry.record_system(now, &sample.registered());
        self.registry.record_cores(&sample.cpu_per_core);
    }

    /// Counts what a round of sampling cost.
    fn cost(&self, began: Instant, cpu_began: Duration) {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(0);
        self.sampling_us
            .fetch_add(us(began.elapsed()), Ordering::Relaxed);
        let cpu = system::thread_cpu().saturating_sub(cpu_began);
        self.sampling_cpu_us.fetch_add(us(cpu), Ordering::Relaxed);
        self.samples.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hands the cache's figures to the registry, added to those before the last restart.
pub fn refresh_cache(app: &App) {
    let stats = app.cache.stats();
    let before = app.monitoring.cache_before;
    app.monitoring.registry.record_cache(CacheFigures {
        hits: before.hits.saturating_add(stats.hits),
        misses: before.misses.saturating_add(stats.misses),
        size: Some(stats.size as u64),
        memory: Some(stats.memory_usage),
    });
}

/// Samples for as long as the server runs: counters every second, the system every interval.
pub async fn sample(app: Arc<App>) {
    use tokio::time::{MissedTickBehavior, interval};

    let mut ticks = interval(TICK);
    let mut samples = interval(Duration::from_millis(app.config.monitoring_interval_ms));
    // What was missed cannot be made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    samples.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => app.monitoring.registry.tick(app.now()),
            _ = samples.tick() => {
                let inner = Arc::clone(&app);
                // The next round must not overtake this one.
                let observed = tokio::task::spawn_blocking(move || observe(&inner)).await;
                if let Err(error) = observed {
                    tracing::error!(%error, "sampling failed");
                }
            }
        }
    }
}

fn observe(app: &App) {
    let (began, cpu_began) = (Instant::now(), system::thread_cpu());
    let now = app.now();
    app.monitoring.observe(now);
    refresh_cache(app);
    let registry = &app.monitoring.registry;
    let sample = registry.sample(now);
    let mut entropy = || {
        let mut bytes = [0; 16];
        // Without randomness an alert's id is only its time: still unique, but easy to guess.
        let _ = getrandom::fill(&mut bytes);
        bytes
    };
    let events = registry.evaluate(now, &mut entropy);
    let monitoring = &app.monitoring;
    monitoring.keep(|store, registry| {
        let messages = monitoring.messages(store, &events);
        store.keep(registry, &sample, &messages)
    });
    announce(app, now, &events);
    let summary = serde_json::to_value(registry.summary(now)).unwrap_or_default();
    app.queue.announce(now, "metrics", summary);
    app.monitoring.cost(began, cpu_began);
}

/// Tells of alerts, after they were written down.
fn announce(app: &App, now: Timestamp, events: &[AlertEvent]) {
    for event in events {
        let (name, alert) = (event.name(), event.alert());
        tracing::warn!(event = name, alert = ?alert.name, value = alert.value, "alert");
        app.queue
            .announce(now, name, serde_json::to_value(alert).unwrap_or_default());
    }
    if !events.is_empty() {
        app.monitoring.wake();
    }
}

/// Resolves an alert by hand, writes that down and tells of it. Call it off the runtime's threads.
///
/// # Errors
/// `ALERT_NOT_FOUND`.
pub fn resolve_alert(app: &App, id: &str) -> Result<Vec<u8>, ApiError> {
    let (now, monitoring) = (app.now(), &app.monitoring);
    let was_open = monitoring.registry.alerts().iter().any(|a| &*a.id == id);
    let answer = wire::resolve(&monitoring.registry, now, id)?;
    let ended = monitoring.registry.alert_history();
    let resolved = ended.into_iter().rfind(|alert| &*alert.id == id);
    if let (true, Some(alert)) = (was_open, resolved) {
        let events = [AlertEvent::Resolved(alert)];
        monitoring.keep(|store, registry| {
            let messages = monitoring.messages(store, &events);
            store.keep_present(registry, now, &messages)
        });
        announce(app, now, &events);
    }
    Ok(answer)
}
