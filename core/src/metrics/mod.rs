//! Metrics: request counters and histograms, rolling windows, a bounded history, alert rules,
//! exports.
//!
//! [`Monitor`] is the one registry of an instance. It never reads a clock, starts no thread and
//! grows to no more than [`Monitor::memory_bytes_max`]. The shell drives it:
//!
//! ```
//! use sommos_core::{metrics::{Monitor, MonitorConfig, Route}, time::Timestamp};
//!
//! let routes = vec![Route::new("GET", "/api/performance/cache/get/{key}")];
//! let start = Timestamp(1_642_248_600_000);
//! let monitor = Monitor::new(start, MonitorConfig { routes, ..Default::default() })?;
//! // Around each request, from any thread:
//! let in_flight = monitor.track();
//! monitor.record_request(0, 200, 1_250, 64);
//! drop(in_flight);
//! // Once a second, and every five seconds:
//! monitor.tick(start.plus_ms(1_000));
//! monitor.sample(start.plus_ms(5_000));
//! let events = monitor.evaluate(start.plus_ms(5_000), &mut || [7; 16]);
//! assert!(events.is_empty());
//! assert_eq!(monitor.summary(start.plus_ms(5_000)).application.responses, 1);
//! # Ok::<(), sommos_core::metrics::MonitorError>(())
//! ```
//!
//! - [`Monitor::record_request`] is for the hot path: four relaxed atomic additions, no lock.
//! - [`Monitor::tick`] about once a second keeps a copy of the counters; a rolling window is the
//!   difference between the counters now and a copy as old as the window.
//! - Everything else is behind one mutex, held for microseconds.
//! - [`Monitor::snapshot`] and [`Monitor::restore`] carry it all over to another process;
//!   [`Monitor::row`], [`Monitor::present`] and [`Monitor::resume`] do so between two snapshots.

mod alert;
mod category;
mod config;
mod delivery;
mod endpoint;
mod error;
mod export;
mod families;
mod family;
mod figures;
mod histogram;
mod history;
mod monitor;
mod otlp;
mod prometheus;
mod record;
mod rule;
mod sample;
mod settings;
mod slope;
mod snapshot;
mod state;
mod traffic;
mod trend;
pub mod unit;
mod view;
mod vitals;
mod window;

pub use alert::{Alert, AlertEvent, AlertState, Resolution, RuleStatus};
pub use category::{
    ApiMetrics, ApplicationMetrics, CacheMetrics, Category, CategoryData, DatabaseMetrics,
    MlMetrics, Point, Sample, SystemSample,
};
pub use config::MonitorConfig;
pub use delivery::{Answer, Delivery, DeliveryPolicy, NextStep};
pub use endpoint::Endpoint;
pub use error::MonitorError;
pub use export::{ExportRange, HistorySection, MetricsExport};
pub use family::{Buckets, Labels, MetricFamily, MetricKind, MetricSeries, MetricValue};
pub use figures::{Figures, Instance, InstanceJobs};
pub use histogram::{AtomicHistogram, Histogram};
pub use monitor::{InFlight, Monitor};
pub use record::{CacheFigures, ErrorEntry, ErrorOrigin, ErrorReport, ErrorType, ModelMetrics};
pub use rule::{AlertName, AlertRule, Severity, Thresholds};
pub use sample::{
    ApiCurrent, Current, MlCurrent, Summary, SummaryApplication, SummaryCache, SummaryDatabase,
    SummaryMl, SummarySystem, SystemCurrent,
};
pub use settings::RuleSettings;
pub use snapshot::{Saved, SnapshotError};
pub use traffic::Route;
pub use trend::{Direction, Outlier, Trend, Trends};
pub use vitals::{Rating, VitalMetrics, WebMetric};
pub use window::{WindowStats, Windows};

#[cfg(test)]
mod tests;

/// `value` with `digits` decimals, for people: 0.3344 becomes 0.33.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// `part` of `whole` in percent with two decimals; 0 of 0 is 0.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        rounded(part / whole * 100.0, 2)
    } else {
        0.0
    }
}

/// The longest prefix of `text` within `bytes` bytes that ends between characters.
fn clipped(text: &str, bytes: usize) -> Box<str> {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}
