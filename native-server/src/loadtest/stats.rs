//! What workers count, in lanes so that they seldom meet.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

use super::{
    client::{Answer, Failure},
    report::{LoadErrors, ResponseTimes},
};

/// Longest time told apart, microseconds: a test and a timeout at their longest.
const MICROS_MAX: u64 = 1_200_000_000;
/// Lanes: more than the cores of a machine of this kind.
const LANES: usize = 8;

/// A histogram of microseconds, 0.1 % wide.
pub(super) struct Times(Option<Histogram<u64>>);

impl Times {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 3).ok())
    }

    fn record(&mut self, time: Duration) {
        if let Some(times) = &mut self.0 {
            let micros = u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(MICROS_MAX);
            times.saturating_record(micros.max(1));
        }
    }

    fn merge(&mut self, other: &Self) {
        if let (Some(times), Some(others)) = (&mut self.0, &other.0) {
            // Equal bounds: cannot fail.
            let _ = times.add(others);
        }
    }

    /// None when nothing was recorded.
    pub(super) fn summary(&self) -> Option<ResponseTimes> {
        let times = self.0.as_ref().filter(|times| !times.is_empty())?;
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |quantile| ms(times.value_at_quantile(quantile).min(times.max()));
        Some(ResponseTimes {
            min: ms(times.min()),
            mean: times.mean() / 1e3,
            max: ms(times.max()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
        })
    }
}

/// The figures of some workers.
pub(super) struct Stats {
    pub(super) successful: u64,
    pub(super) failed: u64,
    pub(super) bytes_received: u64,
    pub(super) connections: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) errors: LoadErrors,
    /// From when a request was due.
    pub(super) response: Times,
    /// From when it was sent.
    pub(super) service: Times,
}

impl Stats {
    fn new() -> Self {
        Self {
            successful: 0,
            failed: 0,
            bytes_received: 0,
            connections: 0,
            statuses: BTreeMap::new(),
            errors: LoadErrors::default(),
            response: Times::new(),
            service: Times::new(),
        }
    }

    fn record(&mut self, outcome: Result<Answer, Failure>, response: Duration, service: Duration) {
        match outcome {
            Ok(answer) => {
                if answer.status < 400 {
                    self.successful += 1;
                } else {
                    self.failed += 1;
                }
                *self.statuses.entry(answer.status).or_default() += 1;
                self.bytes_received += answer.body_bytes;
            }
            Err(failure) => {
                self.failed += 1;
                match failure {
                    Failure::Connect => self.errors.connect += 1,
                    Failure::Timeout => self.errors.timeout += 1,
                    Failure::Closed => self.errors.closed += 1,
                    Failure::Protocol => self.errors.protocol += 1,
                }
            }
        }
        // A timeout is a time too, the least that it took: without it an overloaded server would
        // look faster than it is.
        if matches!(outcome, Ok(_) | Err(Failure::Timeout)) {
            self.response.record(response);
            self.service.record(service);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.successful += other.successful;
        self.failed += other.failed;
        self.bytes_received += other.bytes_received;
        self.connections += other.connections;
        for (&status, count) in &other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.errors.connect += other.errors.connect;
        self.errors.timeout += other.errors.timeout;
        self.errors.closed += other.errors.closed;
        self.errors.protocol += other.errors.protocol;
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }
}

/// The figures of all workers, about 0.3 MB a lane.
pub(super) struct Lanes(Vec<Mutex<Stats>>);

impl Lanes {
    pub(super) fn new(workers: usize) -> Self {
        let lanes = workers.clamp(1, LANES);
        Self((0..lanes).map(|_| Mutex::new(Stats::new())).collect())
    }

    pub(super) fn record(
        &self,
        worker: usize,
        outcome: Result<Answer, Failure>,
        response: Duration,
        service: Duration,
    ) {
        self.with(worker, |stats| stats.record(outcome, response, service));
    }

    pub(super) fn connected(&self, worker: usize, connections: u64) {
        self.with(worker, |stats| stats.connections += connections);
    }

    fn with(&self, worker: usize, change: impl FnOnce(&mut Stats)) {
        let lane = &self.0[worker % self.0.len()];
        change(&mut lane.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn total(&self) -> Stats {
        let mut total = Stats::new();
        for lane in &self.0 {
            total.merge(&lane.lock().unwrap_or_else(PoisonError::into_inner));
        }
        total
    }
}
