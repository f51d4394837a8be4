//! What the registry keeps behind its mutex, and what it makes of it.

use super::{
    AlertName, AlertRule, ApiMetrics, ApplicationMetrics, Figures, Sample, Summary, SystemSample,
    Windows,
    alert::{Alerts, Reading},
    history::History,
    percent,
    record::Records,
    traffic::{CLASSES, SERVER_ERROR, Totals, mean_ms},
    vitals::Vitals,
    window::{Rolling, Snapshot},
};
use crate::time::Timestamp;

/// A system sample older than this raises and ends no alert, milliseconds.
const SYSTEM_STALE_MS: u64 = 60_000;

/// What the mutex guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) records: Records,
    pub(super) vitals: Vitals,
    pub(super) alerts: Alerts,
    pub(super) rolling: Rolling,
    pub(super) history: History,
    pub(super) system: SystemSample,
    /// When the system sample came, and how many came without a pause.
    pub(super) system_at: Option<Timestamp>,
    pub(super) system_run: u64,
    /// Use of each core, percent.
    pub(super) cores: Vec<f64>,
}

/// The counters as the windows keep them.
pub(super) fn snapshot(now: Timestamp, totals: &Totals, records: &Records) -> Snapshot {
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
    pub(super) fn new(
        now: Timestamp,
        totals: &Totals,
        rules: &[AlertRule],
        retention_ms: u64,
    ) -> Self {
        let records = Records::default();
        Self {
            rolling: Rolling::new(snapshot(now, totals, &records)),
            records,
            vitals: Vitals::default(),
            alerts: Alerts::new(rules),
            history: History::new(retention_ms),
            system: SystemSample::default(),
            system_at: None,
            system_run: 0,
            cores: Vec::new(),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rolling.memory_bytes()
            + self.history.memory_bytes()
            + self.records.memory_bytes()
            + self.vitals.memory_bytes()
            + self.alerts.memory_bytes()
            + self.cores.capacity() * size_of::<f64>()
    }

    pub(super) fn record_system(&mut self, now: Timestamp, sample: &SystemSample) {
        let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
        self.system = SystemSample {
            cpu_percent: finite(sample.cpu_percent),
            process_cpu_percent: finite(sample.process_cpu_percent),
            load1: finite(sample.load1),
            load5: finite(sample.load5),
            load15: finite(sample.load15),
            disk_read: finite(sample.disk_read),
            disk_write: finite(sample.disk_write),
            network_in: finite(sample.network_in),
            network_out: finite(sample.network_out),
            process_read: finite(sample.process_read),
            process_write: finite(sample.process_write),
            ..*sample
        };
        let last = self.system_at.replace(now);
        let pause = last.is_none_or(|last| now.ms_since(last) > SYSTEM_STALE_MS);
        self.system_run = if pause {
            1
        } else {
            self.system_run.saturating_add(1)
        };
    }

    /// Takes over the use of each core, so many at most.
    pub(super) fn record_cores(&mut self, percent: &[f64], max: usize) {
        let percent = percent.iter().take(max);
        self.cores.clear();
        self.cores.reserve_exact(percent.len());
        self.cores
            .extend(percent.map(|p| if p.is_finite() { *p } else { 0.0 }));
    }

    /// The system sample and the length of its run; none when it is stale.
    pub(super) fn fresh_system(&self, now: Timestamp) -> Option<(SystemSample, u64)> {
        let at = self.system_at?;
        (now.ms_since(at) <= SYSTEM_STALE_MS).then_some((self.system, self.system_run))
    }

    pub(super) fn summary(&self, now: Timestamp, totals: &Totals) -> Summary {
        self.figures(now, totals).summary(now)
    }

    pub(super) fn figures(&self, now: Timestamp, totals: &Totals) -> Figures {
        Figures::new(now, self, totals)
    }

    pub(super) fn view(&self, now: Timestamp, totals: &Totals) -> Sample {
        let live = snapshot(now, totals, &self.records);
        let minute = self.rolling.minute(&live);
        // A shell that never reports starts has begun at least what it answered.
        let requests = totals.started.max(live.responses);
        // Nothing answered took no time; what could not be measured took an unknown one.
        let nothing = (live.responses == 0).then_some(0.0);
        let [_, success, redirects, client_errors, server_errors]: [u64; CLASSES] = totals.classes;
        Sample {
            timestamp: now,
            system: self.system,
            application: ApplicationMetrics {
                requests,
                responses: live.responses,
                errors: live.errors,
                error_rate: percent(live.errors as f64, requests as f64).min(100.0),
                response_time: mean_ms(totals.sum_us, totals.measured).or(nothing),
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
pub(super) fn reading(
    name: AlertName,
    windows: &Windows,
    system: Option<(SystemSample, u64)>,
) -> Reading {
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
            let lookups = five.cache_hits.saturating_add(five.cache_misses);
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
