//! The figures of one instance so that those of several add up to those of all.
//!
//! Counters, sums and the buckets of histograms are added; means, shares and quantiles are made of
//! the sums, never of other means. So the 95th percentile of ten instances is that of one
//! histogram which counted the requests of all.

use super::{
    Monitor, Summary, SummaryApplication, SummaryCache, SummaryDatabase, SummaryMl, SummarySystem,
    Windows, percent,
    record::Predictions,
    rounded,
    state::{State, snapshot},
    traffic::{Totals, mean_ms},
    window::WindowCounts,
};
use crate::time::Timestamp;

/// What [`Monitor::summary`] is made of. See the [module](self).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    pub(super) requests: u64,
    pub(super) in_flight: u64,
    pub(super) responses: u64,
    pub(super) errors: u64,
    pub(super) measured: u64,
    pub(super) sum_us: u64,
    pub(super) queries: u64,
    pub(super) slow_queries: u64,
    pub(super) query_ms: f64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) predictions: Predictions,
    pub(super) alerts: u64,
    /// Sum of the use in percent, and of how many instances.
    pub(super) cpu: (f64, u64),
    pub(super) memory: Option<u64>,
    pub(super) uptime_s: Option<u64>,
    /// The last minute, five minutes and hour.
    pub(super) windows: [WindowCounts; 3],
}

/// Jobs of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InstanceJobs {
    /// Jobs, tasks and chunks that it runs, from whichever queue.
    pub active: u64,
    /// Jobs, tasks and chunks that wait in its own queue.
    pub queued: u64,
}

/// What one instance tells the others: see [`Self::encode`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Instance {
    /// Where it listens, at most 256 bytes; empty where nobody calls it by an address.
    pub address: Box<str>,
    /// How long its figures count as those of now, ms: some of its sampling intervals.
    pub fresh_ms: u64,
    /// Its jobs, where it knows them.
    pub jobs: Option<InstanceJobs>,
    /// Its figures.
    pub figures: Figures,
}

fn both<T>(a: Option<T>, b: Option<T>, join: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join(a, b)),
        (a, b) => a.or(b),
    }
}

impl Figures {
    pub(super) fn new(now: Timestamp, state: &State, totals: &Totals) -> Self {
        let live = snapshot(now, totals, &state.records);
        let (records, system) = (&state.records, &state.system);
        let cpu = system.cpu_percent.or(system.process_cpu_percent);
        Self {
            // A shell that never reports starts has begun at least what it answered.
            requests: totals.started.max(live.responses),
            in_flight: totals.in_flight,
            responses: live.responses,
            errors: live.errors,
            measured: totals.measured,
            sum_us: totals.sum_us,
            queries: records.queries,
            slow_queries: records.slow_queries,
            query_ms: records.query_ms,
            hits: records.cache.hits,
            misses: records.cache.misses,
            predictions: records.predictions,
            alerts: state.alerts.open().count() as u64,
            cpu: (cpu.unwrap_or(0.0), cpu.is_some().into()),
            memory: system.rss.or(system.memory_used),
            uptime_s: system.uptime_s,
            windows: state.rolling.counts(&live),
        }
    }

    /// Adds those of another instance: counters, sums and buckets are added, memory too; of the
    /// time since the start, the longest stays. The order does not matter but for the last digits
    /// of sums of fractions. O(2,688).
    pub fn merge(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.in_flight, other.in_flight),
            (&mut self.responses, other.responses),
            (&mut self.errors, other.errors),
            (&mut self.measured, other.measured),
            (&mut self.sum_us, other.sum_us),
            (&mut self.queries, other.queries),
            (&mut self.slow_queries, other.slow_queries),
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
            (&mut self.alerts, other.alerts),
            (&mut self.cpu.1, other.cpu.1),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.query_ms += other.query_ms;
        self.cpu.0 += other.cpu.0;
        self.predictions.merge(&other.predictions);
        self.memory = both(self.memory, other.memory, u64::saturating_add);
        self.uptime_s = both(self.uptime_s, other.uptime_s, u64::max);
        for (sum, more) in self.windows.iter_mut().zip(&other.windows) {
            sum.merge(more);
        }
    }

    /// Use of the processor in percent, the mean over the instances that know theirs.
    #[must_use]
    pub fn cpu_percent(&self) -> Option<f64> {
        (self.cpu.1 > 0).then(|| self.cpu.0 / self.cpu.1 as f64)
    }

    /// The summary of them all.
    #[must_use]
    pub fn summary(&self, timestamp: Timestamp) -> Summary {
        let [minute, five_minutes, hour] = self.windows.each_ref().map(WindowCounts::stats);
        let lookups = self.hits.saturating_add(self.misses);
        let ml = self.predictions.view();
        Summary {
            timestamp,
            system: SummarySystem {
                cpu: self.cpu_percent(),
                memory: self.memory,
                uptime: self.uptime_s,
            },
            application: SummaryApplication {
                requests: self.requests,
                responses: self.responses,
                errors: self.errors,
                error_rate: percent(self.errors as f64, self.requests as f64).min(100.0),
                // Nothing answered took no time; what could not be measured took an unknown one.
                response_time: mean_ms(self.sum_us, self.measured)
                    .or((self.responses == 0).then_some(0.0)),
                throughput: minute.throughput,
                p50_ms: minute.p50_ms,
                p95_ms: minute.p95_ms,
                p99_ms: minute.p99_ms,
                in_flight: self.in_flight,
            },
            database: SummaryDatabase {
                queries: self.queries,
                query_time: rounded(self.query_ms / self.queries.max(1) as f64, 3),
                slow_queries: self.slow_queries,
            },
            cache: SummaryCache {
                hits: self.hits,
                misses: self.misses,
                hit_rate: percent(self.hits as f64, lookups as f64),
            },
            ml: SummaryMl {
                predictions: ml.predictions,
                accuracy: ml.accuracy,
            },
            alerts: self.alerts,
            windows: Windows {
                minute,
                five_minutes,
                hour,
            },
        }
    }
}

impl Monitor {
    /// The figures that [`Self::summary`] is made of, for adding up those of several instances.
    #[must_use]
    pub fn figures(&self, now: Timestamp) -> Figures {
        let state = self.lock();
        state.figures(now, &self.traffic.totals())
    }
}
