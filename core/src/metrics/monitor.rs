//! The registry.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Alert, AlertEvent, AlertName, ApiCurrent, ApiMetrics, ApplicationMetrics, CacheFigures,
    Category, CategoryData, Current, Endpoint, ErrorOrigin, ErrorReport, ExportRange,
    HistorySection, MetricsExport, MlCurrent, MonitorConfig, MonitorError, Point, RuleStatus,
    Sample, Summary, SystemSample, VitalMetrics, WebMetric, Windows,
    alert::{Alerts, Reading},
    export::points,
    history::{History, Row},
    percent,
    record::Records,
    rounded,
    traffic::{CLASSES, SERVER_ERROR, Totals, Traffic},
    vitals::Vitals,
    window::{Rolling, Snapshot},
};
use crate::time::Timestamp;

/// A system sample older than this raises and ends no alert, milliseconds.
const SYSTEM_STALE_MS: u64 = 60_000;

/// The metrics of one instance. See the [module](super) for how a shell drives it.
///
/// Every method takes `&self` and may be called from any thread. All times are arguments; a clock
/// that is set back by more than a minute restarts the windows and drops the history after it.
#[derive(Debug)]
pub struct Monitor {
    pub(super) traffic: Traffic,
    slow_query_ms: f64,
    state: Mutex<State>,
}

/// What the mutex guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) records: Records,
    pub(super) vitals: Vitals,
    pub(super) alerts: Alerts,
    rolling: Rolling,
    history: History,
    system: SystemSample,
    /// When the system sample came, and how many came without a pause.
    system_at: Option<Timestamp>,
    system_run: u64,
}

/// A request at work: counted in flight until dropped.
#[derive(Debug)]
#[must_use = "the request counts as in flight until this is dropped"]
pub struct InFlight<'a>(&'a Monitor);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

impl Monitor {
    /// The route index of requests that no listed route answers.
    pub const OTHER: usize = usize::MAX;

    /// A registry whose counters begin at `now`.
    ///
    /// # Errors
    /// Too many routes, a rule given twice or a rule whose numbers cannot work.
    pub fn new(now: Timestamp, config: MonitorConfig) -> Result<Self, MonitorError> {
        config.check()?;
        let traffic = Traffic::new(config.routes);
        let records = Records::default();
        let first = snapshot(now, &traffic.totals(), &records);
        Ok(Self {
            traffic,
            slow_query_ms: config.slow_query_ms,
            state: Mutex::new(State {
                records,
                vitals: Vitals::default(),
                alerts: Alerts::new(&config.rules),
                rolling: Rolling::new(first),
                history: History::new(),
                system: SystemSample::default(),
                system_at: None,
                system_run: 0,
            }),
        })
    }

    /// Bytes that a registry of so many routes never exceeds: 3.6 MB and 8.5 KB a route.
    #[must_use]
    pub const fn memory_bytes_max(routes: usize) -> usize {
        size_of::<Self>()
            + Traffic::bytes_max(routes)
            + Rolling::BYTES_MAX
            + History::BYTES
            + Records::BYTES_MAX
            + Vitals::BYTES_MAX
            + Alerts::BYTES_MAX
    }

    /// Bytes in use now, what is allocated ahead included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let state = self.lock();
        size_of::<Self>()
            + self.traffic.memory_bytes()
            + state.rolling.memory_bytes()
            + state.history.memory_bytes()
            + state.records.memory_bytes()
            + state.vitals.memory_bytes()
            + state.alerts.memory_bytes()
    }

    // A panic under the lock leaves counters that are each valid: go on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request began. One relaxed addition.
    pub fn request_started(&self) {
        self.traffic.start();
    }

    /// A request is over, answered or not. One relaxed addition.
    pub fn request_ended(&self) {
        self.traffic.end();
    }

    /// [`Self::request_started`] now and [`Self::request_ended`] when the guard is dropped.
    pub fn track(&self) -> InFlight<'_> {
        self.request_started();
        InFlight(self)
    }

    /// Counts a response: `route` is an index into [`MonitorConfig::routes`], any other (such as
    /// [`Self::OTHER`]) counts as `other`. Four relaxed additions, no lock.
    pub fn record_request(&self, route: usize, status: u16, duration_us: u64, bytes_out: u64) {
        self.traffic.record(route, status, duration_us, bytes_out);
    }

    /// Remembers an error; texts beyond their bound are cut off.
    pub fn record_error(
        &self,
        now: Timestamp,
        origin: ErrorOrigin,
        kind: &str,
        message: &str,
        context: Option<&str>,
    ) {
        self.lock()
            .records
            .error(now, origin, kind, message, context);
    }

    /// Replaces the cache's figures.
    pub fn record_cache(&self, figures: CacheFigures) {
        self.lock().records.cache = figures;
    }

    /// Counts one lookup, where nobody calls [`Self::record_cache`].
    pub fn record_cache_lookup(&self, hit: bool) {
        let cache = &mut self.lock().records.cache;
        cache.hits += u64::from(hit);
        cache.misses += u64::from(!hit);
    }

    /// Counts one database query of `ms` milliseconds.
    pub fn record_db_query(&self, ms: f64) {
        self.lock().records.query(ms, self.slow_query_ms);
    }

    /// Counts one prediction of `ms` milliseconds; `accuracy` in percent where it is known.
    pub fn record_ml_prediction(&self, model: &str, ms: f64, accuracy: Option<f64>) {
        self.lock().records.prediction(model, ms, accuracy);
    }

    /// Counts one web vital or custom metric.
    ///
    /// # Errors
    /// An unknown or too long name, a value that is negative or not finite, or a custom name
    /// beyond the 64 that may be in use.
    pub fn record_web_metric(&self, metric: &WebMetric<'_>) -> Result<(), MonitorError> {
        self.lock().vitals.add(metric)
    }

    /// Takes over a sample of the system. Numbers that are not finite count as unknown.
    pub fn record_system(&self, now: Timestamp, sample: &SystemSample) {
        let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
        let mut state = self.lock();
        let state = &mut *state;
        state.system = SystemSample {
            cpu_percent: finite(sample.cpu_percent),
            process_cpu_percent: finite(sample.process_cpu_percent),
            load1: finite(sample.load1),
            ..*sample
        };
        let last = state.system_at.replace(now);
        let pause = last.is_none_or(|last| now.ms_since(last) > SYSTEM_STALE_MS);
        state.system_run = if pause {
            1
        } else {
            state.system_run.saturating_add(1)
        };
    }

    /// Keeps a copy of the counters for the rolling windows; call it about once a second. Reads
    /// 896 counters a route that ever answered.
    pub fn tick(&self, now: Timestamp) {
        let totals = self.traffic.totals();
        let mut state = self.lock();
        let copy = snapshot(now, &totals, &state.records);
        state.rolling.push(copy);
    }

    /// Takes a sample of every category into the history, and returns it; call it every five
    /// seconds (more often: the five-second rows are means, counters the last value).
    pub fn sample(&self, now: Timestamp) -> Sample {
        let totals = self.traffic.totals();
        let mut state = self.lock();
        let sample = state.view(now, &totals);
        state.history.push(now, sample.cells());
        sample
    }

    pub(super) fn with_sample<T>(&self, now: Timestamp, f: impl FnOnce(&Sample, &State) -> T) -> T {
        let totals = self.traffic.totals();
        let state = self.lock();
        f(&state.view(now, &totals), &state)
    }

    /// Steps every alert rule; call it with each sample. `entropy` gives 16 random bytes for a new
    /// alert's id, and must not call this monitor.
    pub fn evaluate(
        &self,
        now: Timestamp,
        entropy: &mut dyn FnMut() -> [u8; 16],
    ) -> Vec<AlertEvent> {
        let totals = self.traffic.totals();
        let mut state = self.lock();
        let state = &mut *state;
        let live = snapshot(now, &totals, &state.records);
        let windows = state.rolling.windows(&live);
        let system = state.fresh_system(now);
        let read = |name| reading(name, &windows, system);
        state.alerts.evaluate(now, read, entropy)
    }

    /// Resolves an alert by hand; its rule stays silent until its reading recovered. Resolving it
    /// again changes nothing.
    ///
    /// # Errors
    /// [`MonitorError::UnknownAlert`].
    pub fn resolve(&self, now: Timestamp, id: &str) -> Result<Alert, MonitorError> {
        self.lock().alerts.resolve(now, id)
    }

    /// Open alerts, at most one a rule.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.lock().alerts.open().cloned().collect()
    }

    /// The last 256 alerts that ended, oldest first.
    #[must_use]
    pub fn alert_history(&self) -> Vec<Alert> {
        self.lock().alerts.ended().cloned().collect()
    }

    /// Every rule, its state and its last reading.
    #[must_use]
    pub fn rules(&self) -> Vec<RuleStatus> {
        self.lock().alerts.statuses()
    }

    /// The summary in the seed's shape.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        let totals = self.traffic.totals();
        self.lock().summary(now, &totals)
    }

    /// The rolling windows that end now.
    #[must_use]
    pub fn windows(&self, now: Timestamp) -> Windows {
        let totals = self.traffic.totals();
        let state = self.lock();
        state
            .rolling
            .windows(&snapshot(now, &totals, &state.records))
    }

    /// Each route that answered at least once.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.traffic.endpoints()
    }

    /// Errors by type, and the last hundred.
    #[must_use]
    pub fn errors(&self) -> ErrorReport {
        self.lock().records.error_report()
    }

    /// Web vitals and custom metrics.
    #[must_use]
    pub fn web_vitals(&self) -> Vec<VitalMetrics> {
        self.lock().vitals.view()
    }

    /// One category now.
    #[must_use]
    pub fn current(&self, now: Timestamp, category: Category) -> Current {
        self.with_sample(now, |sample, state| match category {
            Category::Api => Current::Api(ApiCurrent {
                totals: sample.api,
                endpoints: self.traffic.endpoints(),
                errors: state.records.error_report(),
                web_vitals: state.vitals.view(),
            }),
            Category::Ml => Current::Ml(MlCurrent {
                totals: sample.ml,
                models: state.records.models(),
            }),
            plain => Current::Plain(CategoryData::read(plain, &sample.cells())),
        })
    }

    /// One category's history in `from..=to`: five-second rows of the last hour and minutes of the
    /// last day before, at most 2,162. With `step_ms`, one row an interval of it (gauges as means,
    /// counters as last values), at the multiples of the step.
    ///
    /// # Errors
    /// A range that ends before it begins, or a step of 0.
    pub fn range(
        &self,
        category: Category,
        from: Timestamp,
        to: Timestamp,
        step_ms: Option<u64>,
    ) -> Result<Vec<Point>, MonitorError> {
        Ok(points(category, &self.rows(from, to, step_ms)?))
    }

    pub(super) fn rows(
        &self,
        from: Timestamp,
        to: Timestamp,
        step_ms: Option<u64>,
    ) -> Result<Vec<Row>, MonitorError> {
        if from > to {
            return Err(MonitorError::InvalidRange {
                from: from.0,
                to: to.0,
            });
        }
        if step_ms == Some(0) {
            return Err(MonitorError::InvalidStep);
        }
        Ok(self.lock().history.range(from.0, to.0, step_ms))
    }

    /// Everything that is known, with the history in `range`.
    ///
    /// # Errors
    /// As [`Self::range`].
    pub fn export(
        &self,
        now: Timestamp,
        range: &ExportRange,
    ) -> Result<MetricsExport, MonitorError> {
        let rows = self.rows(range.from, range.to, range.step_ms)?;
        let totals = self.traffic.totals();
        let state = self.lock();
        Ok(MetricsExport {
            timestamp: now,
            summary: state.summary(now, &totals),
            metrics: state.view(now, &totals),
            endpoints: self.traffic.endpoints(),
            models: state.records.models(),
            errors: state.records.error_report(),
            web_vitals: state.vitals.view(),
            alerts: state.alerts.open().cloned().collect(),
            alert_history: state.alerts.ended().cloned().collect(),
            history: HistorySection::new(&rows),
        })
    }
}

/// The counters as the windows keep them.
fn snapshot(now: Timestamp, totals: &Totals, records: &Records) -> Snapshot {
    Snapshot {
        at: now,
        responses: totals.responses(),
        errors: totals.classes[SERVER_ERROR] + records.errors,
        sum_us: totals.sum_us,
        queries: records.queries,
        slow_queries: records.slow_queries,
        hits: records.cache.hits,
        misses: records.cache.misses,
        durations: totals.durations.low_halves(),
    }
}

impl State {
    /// The system sample and the length of its run; none when it is stale.
    fn fresh_system(&self, now: Timestamp) -> Option<(SystemSample, u64)> {
        let at = self.system_at?;
        (now.ms_since(at) <= SYSTEM_STALE_MS).then_some((self.system, self.system_run))
    }

    fn summary(&self, now: Timestamp, totals: &Totals) -> Summary {
        let windows = self.rolling.windows(&snapshot(now, totals, &self.records));
        Summary::new(
            &self.view(now, totals),
            windows,
            self.alerts.open().count() as u64,
        )
    }

    fn view(&self, now: Timestamp, totals: &Totals) -> Sample {
        let live = snapshot(now, totals, &self.records);
        let minute = self.rolling.minute(&live);
        // A shell that never reports starts has begun at least what it answered.
        let requests = totals.started.max(live.responses);
        let mean_us = totals.sum_us as f64 / live.responses.max(1) as f64;
        let [_, success, redirects, client_errors, server_errors]: [u64; CLASSES] = totals.classes;
        Sample {
            timestamp: now,
            system: self.system,
            application: ApplicationMetrics {
                requests,
                responses: live.responses,
                errors: live.errors,
                error_rate: percent(live.errors as f64, requests as f64).min(100.0),
                response_time: rounded(mean_us / 1000.0, 3),
                throughput: minute.throughput,
                recent_error_rate: minute.error_rate,
                recent_response_time: minute.response_time,
                p50_ms: minute.p50_ms,
                p95_ms: minute.p95_ms,
                p99_ms: minute.p99_ms,
            },
            database: self.records.database(),
            api: ApiMetrics {
                success,
                redirects,
                client_errors,
                server_errors,
                bytes_out: totals.bytes_out,
                in_flight: totals.in_flight,
            },
            cache: self.records.cache_metrics(),
            ml: self.records.ml(),
        }
    }
}

/// What a rule compares.
fn reading(name: AlertName, windows: &Windows, system: Option<(SystemSample, u64)>) -> Reading {
    let of_system = |read: fn(&SystemSample) -> Option<f64>| match system {
        Some((sample, samples)) => match read(&sample) {
            Some(value) => Reading::Known { value, samples },
            None => Reading::Unknown,
        },
        None => Reading::Unknown,
    };
    let (minute, five) = (&windows.minute, &windows.five_minutes);
    match name {
        AlertName::HighCpu => of_system(|s| s.cpu_percent.or(s.process_cpu_percent)),
        AlertName::HighMemory => of_system(|s| {
            let total = s.memory_total.filter(|&total| total > 0)?;
            Some(s.memory_used? as f64 * 100.0 / total as f64)
        }),
        AlertName::HighResponseTime => Reading::Known {
            value: minute.p95_ms.unwrap_or(0.0),
            samples: minute.responses,
        },
        AlertName::HighErrorRate => Reading::Known {
            value: minute.error_rate,
            samples: minute.responses,
        },
        AlertName::CacheLowHitRate => {
            let lookups = five.cache_hits + five.cache_misses;
            Reading::Known {
                value: percent(five.cache_hits as f64, lookups as f64),
                samples: lookups,
            }
        }
        AlertName::DatabaseSlowQueries => Reading::Known {
            value: minute.slow_queries as f64,
            samples: minute.queries,
        },
    }
}
