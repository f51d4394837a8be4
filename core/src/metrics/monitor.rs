//! The registry.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Alert, AlertEvent, CacheFigures, ErrorOrigin, MonitorConfig, MonitorError, Route, Sample,
    SystemSample, WebMetric,
    alert::Alerts,
    history::History,
    record::Records,
    state::{State, reading, snapshot},
    traffic::{REPORTED_MAX, Traffic},
    vitals::Vitals,
    window::Rolling,
};
use crate::time::Timestamp;

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
    /// Routes of the host application's that are counted apart, each 8.4 KB once it is reported.
    pub const REPORTED_ROUTES_MAX: usize = REPORTED_MAX;

    /// Cores whose use is told apart.
    pub const CORES_MAX: usize = 256;

    /// A registry whose counters begin at `now`.
    ///
    /// # Errors
    /// Too many routes, a rule given twice or a rule whose numbers cannot work.
    pub fn new(now: Timestamp, config: MonitorConfig) -> Result<Self, MonitorError> {
        config.check()?;
        let traffic = Traffic::new(config.routes);
        let state = State::new(now, &traffic.totals(), &config.rules, config.retention_ms);
        Ok(Self {
            traffic,
            slow_query_ms: config.slow_query_ms,
            state: Mutex::new(state),
        })
    }

    /// Counts one more route apart and gives its index; that of the same route when there is one.
    /// For shells that learn their routes as they go.
    ///
    /// # Errors
    /// [`MonitorError::TooManyRoutes`] beyond [`MonitorConfig::ROUTES_MAX`].
    pub fn add_route(&mut self, route: Route) -> Result<usize, MonitorError> {
        self.traffic.add(route)
    }

    /// Bytes that a registry of so many routes never exceeds: 3.7 MB and 8.4 KB a route (64-bit);
    /// 1.2 MB of it are for the routes that the host application may report.
    #[must_use]
    pub const fn memory_bytes_max(routes: usize) -> usize {
        size_of::<Self>()
            + Traffic::bytes_max(routes)
            + Rolling::BYTES_MAX
            + History::BYTES
            + Records::BYTES_MAX
            + Vitals::BYTES_MAX
            + Alerts::BYTES_MAX
            + Self::CORES_MAX * size_of::<f64>()
    }

    /// Bytes in use now, what is allocated ahead included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.traffic.memory_bytes() + self.lock().memory_bytes()
    }

    // A panic under the lock leaves counters that are each valid: go on. The atomics are read under
    // it too, so that no copy is older than one that is kept.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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

    /// Counts bytes of a request's body; `route` as in [`Self::record_request`]. One relaxed
    /// addition.
    pub fn record_request_body(&self, route: usize, bytes: u64) {
        self.traffic.receive(route, bytes);
    }

    /// Counts a response whose duration the platform cannot measure: means and percentiles are of
    /// the others.
    pub fn count_request(&self, route: usize, status: u16, bytes_out: u64) {
        self.traffic.count(route, status, bytes_out);
    }

    /// Enters responses that were begun, answered and counted elsewhere; `bytes_out` is the sum of
    /// theirs. Costs as much as one.
    pub fn add_requests(&self, route: usize, status: u16, count: u64, bytes_out: u64) {
        self.traffic.add_passed(route, status, count, bytes_out);
    }

    /// Counts a request that the host application answered, beside those of this instance: in the
    /// totals, the windows and the alerts, and apart by route for the first
    /// [`Self::REPORTED_ROUTES_MAX`]; later routes count as `other`. A listed route counts as
    /// itself.
    pub fn record_host_request(
        &self,
        method: &str,
        route: &str,
        status: u16,
        duration_us: u64,
        bytes_out: u64,
    ) {
        let route = Route::new(method, route);
        self.traffic.report(route, status, duration_us, bytes_out);
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

    /// Replaces the figures of the shell's own cache; reported lookups are added to them.
    pub fn record_cache(&self, figures: CacheFigures) {
        self.lock().records.set_cache(figures);
    }

    /// The last figures of [`Self::record_cache`]: of a restored registry, those of the process
    /// before.
    #[must_use]
    pub fn cache_figures(&self) -> CacheFigures {
        self.lock().records.cache_figures()
    }

    /// Counts one lookup in a cache of the host application's.
    pub fn record_cache_lookup(&self, hit: bool) {
        self.lock().records.cache_lookup(hit);
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

    /// Counts several web vitals and custom metrics, all or none.
    ///
    /// # Errors
    /// The index of the first wrong one and what is wrong, as [`Self::record_web_metric`].
    pub fn record_web_metrics(
        &self,
        metrics: &[WebMetric<'_>],
    ) -> Result<(), (usize, MonitorError)> {
        self.lock().vitals.add_all(metrics)
    }

    /// Takes over a sample of the system. Numbers that are not finite count as unknown.
    pub fn record_system(&self, now: Timestamp, sample: &SystemSample) {
        self.lock().record_system(now, sample);
    }

    /// Takes over the use of each core, percent: of the first [`Self::CORES_MAX`], and the last
    /// figures only.
    pub fn record_cores(&self, percent: &[f64]) {
        self.lock().record_cores(percent, Self::CORES_MAX);
    }

    /// Keeps a copy of the counters for the rolling windows; call it about once a second. Reads
    /// 896 counters a route that ever answered.
    pub fn tick(&self, now: Timestamp) {
        let mut state = self.lock();
        let totals = self.traffic.totals();
        let copy = snapshot(now, &totals, &state.records);
        state.rolling.push(copy);
    }

    /// Begins the windows anew where the clock was set back, as the next [`Self::tick`] would.
    pub(super) fn catch_up(&self, now: Timestamp) {
        let set_back = self.lock().rolling.set_back(now);
        if set_back {
            self.tick(now);
        }
    }

    /// Takes a sample of every category into the history, and returns it; call it every five
    /// seconds (more often: the five-second rows are means, counters the last value).
    pub fn sample(&self, now: Timestamp) -> Sample {
        let mut state = self.lock();
        let totals = self.traffic.totals();
        let sample = state.view(now, &totals);
        state.history.push(now, sample.cells());
        sample
    }

    pub(super) fn with_sample<T>(&self, now: Timestamp, f: impl FnOnce(&Sample, &State) -> T) -> T {
        let state = self.lock();
        let totals = self.traffic.totals();
        f(&state.view(now, &totals), &state)
    }

    /// Steps every alert rule; call it with each sample. `entropy` gives 16 random bytes for a new
    /// alert's id, and must not call this monitor.
    pub fn evaluate(
        &self,
        now: Timestamp,
        entropy: &mut dyn FnMut() -> [u8; 16],
    ) -> Vec<AlertEvent> {
        let mut state = self.lock();
        let totals = self.traffic.totals();
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
}
