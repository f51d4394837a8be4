//! Alert rules and thresholds.

use serde::{Deserialize, Serialize};

use super::{MonitorError, unit};

/// What a rule watches. The reading that it compares stands beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AlertName {
    /// Processor use of the machine, percent; the process's where the machine's is unknown.
    HighCpu,
    /// Memory in use on the machine, percent.
    HighMemory,
    /// 95th percentile of the last minute's response times, milliseconds.
    HighResponseTime,
    /// Errors of the last minute's responses, percent.
    HighErrorRate,
    /// Hits of the last five minutes' lookups, percent; alarming when too low.
    CacheLowHitRate,
    /// Slow queries in the last minute, count.
    DatabaseSlowQueries,
}

impl AlertName {
    /// All six.
    pub const ALL: [Self; 6] = [
        Self::HighCpu,
        Self::HighMemory,
        Self::HighResponseTime,
        Self::HighErrorRate,
        Self::CacheLowHitRate,
        Self::DatabaseSlowQueries,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HighCpu => "HIGH_CPU",
            Self::HighMemory => "HIGH_MEMORY",
            Self::HighResponseTime => "HIGH_RESPONSE_TIME",
            Self::HighErrorRate => "HIGH_ERROR_RATE",
            Self::CacheLowHitRate => "CACHE_LOW_HIT_RATE",
            Self::DatabaseSlowQueries => "DATABASE_SLOW_QUERIES",
        }
    }

    pub(super) const fn low_is_bad(self) -> bool {
        matches!(self, Self::CacheLowHitRate)
    }

    /// The unit of its readings and its threshold.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::HighCpu | Self::HighMemory | Self::HighErrorRate | Self::CacheLowHitRate => {
                unit::PERCENT
            }
            Self::HighResponseTime => unit::MS,
            Self::DatabaseSlowQueries => unit::COUNT,
        }
    }

    /// Where its reading stands: in a system sample, or in the summary.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        match self {
            Self::HighCpu => "system.cpuPercent",
            Self::HighMemory => "system.memoryPercent",
            Self::HighResponseTime => "windows.1m.p95Ms",
            Self::HighErrorRate => "windows.1m.errorRate",
            Self::CacheLowHitRate => "windows.5m.hitRate",
            Self::DatabaseSlowQueries => "windows.1m.slowQueries",
        }
    }

    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::HighCpu => ("CPU use", "%"),
            Self::HighMemory => ("memory use", "%"),
            Self::HighResponseTime => ("95th percentile of the response time", " ms"),
            Self::HighErrorRate => ("error rate", "%"),
            Self::CacheLowHitRate => ("cache hit rate", "%"),
            Self::DatabaseSlowQueries => ("number of slow database queries in a minute", ""),
        }
    }
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Severity {
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

/// One alert rule.
///
/// A reading over the threshold (under it for [`AlertName::CacheLowHitRate`]) for `for_ms` raises
/// one alert. It ends when the reading has been back by `hysteresis` for `keep_ms`. A reading made
/// of fewer than `min_samples` observations counts as recovered; an unknown one
/// neither raises nor ends an alert.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertRule {
    /// What it watches, and the unit of the two numbers below.
    pub name: AlertName,
    /// The alarming value, exclusive.
    pub threshold: f64,
    /// How long the reading must be alarming, milliseconds.
    pub for_ms: u64,
    /// How long it must be well again, milliseconds.
    pub keep_ms: u64,
    /// How far back from the threshold is well again.
    pub hysteresis: f64,
    /// How bad it is.
    pub severity: Severity,
    /// Requests, lookups, queries or system samples behind a reading that counts.
    pub min_samples: u64,
    /// Whether it is looked at. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
}

const fn yes() -> bool {
    true
}

impl AlertRule {
    pub(super) fn check(&self) -> Result<(), MonitorError> {
        for (field, value) in [
            ("threshold", self.threshold),
            ("hysteresis", self.hysteresis),
        ] {
            if !value.is_finite() || value < 0.0 {
                return Err(MonitorError::InvalidRule {
                    rule: self.name.as_str(),
                    field,
                    expected: "a finite number of at least 0",
                });
            }
        }
        // A reading is never below 0: with a wider hysteresis the alert could not end.
        if !self.name.low_is_bad() && self.hysteresis > self.threshold {
            return Err(MonitorError::InvalidRule {
                rule: self.name.as_str(),
                field: "hysteresis",
                expected: "at most the threshold",
            });
        }
        Ok(())
    }

    pub(super) fn alarming(&self, value: f64) -> bool {
        if self.name.low_is_bad() {
            value < self.threshold
        } else {
            value > self.threshold
        }
    }

    /// The reading that is well again, in the rule's unit: at or below it, at or above it where low
    /// is bad.
    #[must_use]
    pub fn clear(&self) -> f64 {
        if self.name.low_is_bad() {
            (self.threshold + self.hysteresis).min(100.0)
        } else {
            self.threshold - self.hysteresis
        }
    }

    pub(super) fn recovered(&self, value: f64) -> bool {
        if self.name.low_is_bad() {
            value >= self.clear()
        } else {
            value <= self.clear()
        }
    }
}

/// The thresholds of the rules, by SommOS's names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Thresholds {
    /// Processor use, percent. Default 80.
    pub cpu: f64,
    /// Memory use, percent. Default 85.
    pub memory: f64,
    /// 95th percentile of the response time, milliseconds. Default 5000.
    pub response_time: f64,
    /// Errors of the responses, percent. Default 5.
    pub error_rate: f64,
    /// Hits of the lookups, percent. Default 50.
    pub cache_hit_rate: f64,
    /// Slow queries a minute, count. Default 5.
    pub slow_queries: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            cpu: 80.0,
            memory: 85.0,
            response_time: 5000.0,
            error_rate: 5.0,
            cache_hit_rate: 50.0,
            slow_queries: 5.0,
        }
    }
}

impl Thresholds {
    /// All six rules with these thresholds; a tenth of each is its hysteresis.
    #[must_use]
    pub fn rules(&self) -> Vec<AlertRule> {
        use {AlertName as N, Severity as S};
        let rule = |name, threshold: f64, for_ms, min_samples, severity| AlertRule {
            name,
            threshold,
            for_ms,
            keep_ms: 30_000,
            hysteresis: threshold / 10.0,
            severity,
            min_samples,
            enabled: true,
        };
        vec![
            rule(N::HighCpu, self.cpu, 60_000, 1, S::Warning),
            rule(N::HighMemory, self.memory, 60_000, 1, S::Critical),
            rule(
                N::HighResponseTime,
                self.response_time,
                30_000,
                10,
                S::Warning,
            ),
            rule(N::HighErrorRate, self.error_rate, 30_000, 20, S::Critical),
            rule(
                N::CacheLowHitRate,
                self.cache_hit_rate,
                60_000,
                100,
                S::Warning,
            ),
            rule(
                N::DatabaseSlowQueries,
                self.slow_queries,
                30_000,
                1,
                S::Warning,
            ),
        ]
    }
}
