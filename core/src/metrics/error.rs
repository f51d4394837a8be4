//! What the registry refuses.

use thiserror::Error;

/// Why a call was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// More routes than [`super::MonitorConfig::ROUTES_MAX`].
    #[error("{count} routes given; at most {max} are counted apart")]
    TooManyRoutes {
        /// Routes given.
        count: usize,
        /// Routes allowed.
        max: usize,
    },
    /// A history that is too short or too long.
    #[error("a history of {ms} ms; it must be {min} to {max}")]
    InvalidRetention {
        /// Asked for, milliseconds.
        ms: u64,
        /// Shortest, milliseconds.
        min: u64,
        /// Longest, milliseconds.
        max: u64,
    },
    /// A rule whose numbers cannot work.
    #[error("alert rule {rule}: {field} must be {expected}")]
    InvalidRule {
        /// The rule's name.
        rule: &'static str,
        /// The field at fault.
        field: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// Settings of rules that are no JSON array of them.
    #[error("alert rules: {0}")]
    InvalidSettings(String),
    /// Two rules of one name.
    #[error("alert rule {0} is given twice; give each name once")]
    DuplicateRule(&'static str),
    /// A metric name that is neither a web vital nor custom.
    #[error("unknown metric {0:?}; expected lcp, inp, cls, fcp, ttfb or custom:<name>")]
    UnknownMetric(String),
    /// A metric name that is too long.
    #[error("metric name of {bytes} bytes; at most {max}")]
    MetricNameTooLong {
        /// Length given, bytes.
        bytes: usize,
        /// Length allowed, bytes.
        max: usize,
    },
    /// A metric's value that is no finite number of at least 0.
    #[error("metric {0:?}: the value must be a finite number of at least 0")]
    InvalidMetricValue(String),
    /// A new custom metric over the limit.
    #[error("custom metric {name:?} refused: {max} names are in use already")]
    TooManyMetrics {
        /// The name refused.
        name: String,
        /// Names allowed.
        max: usize,
    },
    /// A category that does not exist.
    #[error("unknown category {0:?}; expected system, application, database, api, cache or ml")]
    UnknownCategory(String),
    /// A range that ends before it begins.
    #[error("the range ends at {to}, before its start at {from}")]
    InvalidRange {
        /// Start, Unix milliseconds.
        from: u64,
        /// End, Unix milliseconds.
        to: u64,
    },
    /// A step of 0 ms.
    #[error("the step must be at least 1 ms")]
    InvalidStep,
    /// A window of trends that is too short or too long.
    #[error("a window of {ms} ms; it must be {min} to {max}")]
    InvalidWindow {
        /// Asked for, milliseconds.
        ms: u64,
        /// Shortest, milliseconds.
        min: u64,
        /// Longest, milliseconds.
        max: u64,
    },
    /// No alert of this id is open or remembered.
    #[error("no alert {0:?}")]
    UnknownAlert(String),
    /// The JSON text could not be made.
    #[error("the metrics could not be written as JSON: {0}")]
    Encode(String),
}
