//! What a registry is made from.

use super::{AlertRule, MonitorError, Route, Thresholds};

/// The configuration of a [`super::Monitor`].
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorConfig {
    /// Routes counted apart, at most [`Self::ROUTES_MAX`]; a request names one by its index.
    /// Requests of any other index are counted as `other`.
    pub routes: Vec<Route>,
    /// A database query of at least this many milliseconds is slow. Default 1000.
    pub slow_query_ms: f64,
    /// How long the history is kept, milliseconds, 60,000 to [`Self::RETENTION_MS_MAX`], which is the
    /// default. Shorter is smaller: 400 bytes a row, one every five seconds of the last hour and one
    /// a minute.
    pub retention_ms: u64,
    /// The alert rules, at most one of each name. Default: every rule at [`Thresholds::default`].
    pub rules: Vec<AlertRule>,
}

impl MonitorConfig {
    /// Most routes of one registry; each costs 8.4 KB.
    pub const ROUTES_MAX: usize = 512;
    /// The longest history, a day.
    pub const RETENTION_MS_MAX: u64 = 86_400_000;
    const RETENTION_MS_MIN: u64 = 60_000;

    pub(super) fn check(&self) -> Result<(), MonitorError> {
        if self.routes.len() > Self::ROUTES_MAX {
            return Err(MonitorError::TooManyRoutes {
                count: self.routes.len(),
                max: Self::ROUTES_MAX,
            });
        }
        if !(Self::RETENTION_MS_MIN..=Self::RETENTION_MS_MAX).contains(&self.retention_ms) {
            return Err(MonitorError::InvalidRetention {
                ms: self.retention_ms,
                min: Self::RETENTION_MS_MIN,
                max: Self::RETENTION_MS_MAX,
            });
        }
        for (i, rule) in self.rules.iter().enumerate() {
            rule.check()?;
            if self.rules[..i].iter().any(|other| other.name == rule.name) {
                return Err(MonitorError::DuplicateRule(rule.name.as_str()));
            }
        }
        Ok(())
    }
}

impl Default for MonitorConfig {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            slow_query_ms: 1000.0,
            retention_ms: Self::RETENTION_MS_MAX,
            rules: Thresholds::default().rules(),
        }
    }
}
