//! Monitoring calls, answered from a [`Monitor`].

use super::{
    decode,
    error::{ApiError, ErrorCode},
    routes::Route,
};
use crate::{
    metrics::{Category, ExportRange, MetricFamily, Monitor, MonitorError},
    time::Timestamp,
};

mod cluster;
mod report;
mod rules;
#[cfg(feature = "openapi")]
mod shape;
#[cfg(test)]
mod tests;

pub use cluster::{
    ALONE, ClusterJobs, ClusterState, ClusterSummary, InstanceSummary, Member, Others, Scope,
    cluster, summary,
};
pub use report::{MetricsReportRequest, MetricsReportResponse, ReportedMetric, report};
pub use rules::{AlertHistoryResponse, RuleResponse, RulesResponse, alert_history, rules};
#[cfg(feature = "openapi")]
pub(super) use shape::shape;

const HOUR_MS: u64 = 3_600_000;

/// The message of POST /monitoring/alert/{id}/resolve.
pub const RESOLVED: &str = "Alert resolved successfully";

/// The answer of GET /monitoring/metrics: samples of a category over a range, or, without a
/// category, the present of all.
///
/// # Errors
/// 400 naming the parameter.
pub fn metrics(monitor: &Monitor, now: Timestamp, query: &str) -> Result<Vec<u8>, ApiError> {
    let category = category(query)?;
    let range = range(now, query)?;
    let asks_range = ["startTime", "endTime", "step"]
        .iter()
        .any(|name| decode::query_value(query, name).is_some());
    match category {
        Some(category) if asks_range => {
            let points = monitor
                .range(category, range.from, range.to, range.step_ms)
                .map_err(|error| refused("startTime", &error))?;
            super::envelope::data(&points)
        }
        Some(category) => super::envelope::data(&monitor.current(now, category)),
        None => {
            let all: serde_json::Map<_, _> = Category::ALL
                .into_iter()
                .map(|c| {
                    let current = serde_json::to_value(monitor.current(now, c));
                    (c.as_str().to_owned(), current.unwrap_or_default())
                })
                .collect();
            super::envelope::data(&all)
        }
    }
}

fn category(query: &str) -> Result<Option<Category>, ApiError> {
    let name = decode::query_value(query, "category");
    name.map(|name| name.parse().map_err(|error| refused("category", &error)))
        .transpose()
}

/// The answer of GET /monitoring/trends: where each figure of a category is going over `window`
/// milliseconds, an hour when absent.
///
/// # Errors
/// 400 naming the parameter.
pub fn trends(monitor: &Monitor, now: Timestamp, query: &str) -> Result<Vec<u8>, ApiError> {
    const WORDS: &str = "Category is required";
    let category = category(query)?.ok_or_else(|| ApiError::missing("category", WORDS))?;
    let range = Monitor::TREND_WINDOW_MS_MIN..=Monitor::TREND_WINDOW_MS_MAX;
    let window = decode::query_number(query, "window", range, "milliseconds", HOUR_MS)?;
    let trends = monitor
        .trends(now, category, window)
        .map_err(|error| refused("window", &error))?;
    super::envelope::data(&trends)
}

/// `startTime`, `endTime` and `step`, all milliseconds; the last hour when absent.
fn range(now: Timestamp, query: &str) -> Result<ExportRange, ApiError> {
    const MS: &str = "milliseconds";
    let far = 1 << 53;
    let to = decode::query_number(query, "endTime", 0..=far, MS, now.0)?;
    let from = decode::query_number(query, "startTime", 0..=far, MS, to.saturating_sub(HOUR_MS))?;
    let step_ms = match decode::query_value(query, "step") {
        None => None,
        Some(_) => Some(decode::query_number(query, "step", 1..=86_400_000, MS, 0)?),
    };
    Ok(ExportRange {
        from: Timestamp(from),
        to: Timestamp(to),
        step_ms,
    })
}

/// The answer of GET /monitoring/export and its media type.
///
/// # Errors
/// 400 naming the parameter.
pub fn export(
    monitor: &Monitor,
    now: Timestamp,
    query: &str,
    extra: &[MetricFamily<'_>],
) -> Result<(&'static str, Vec<u8>), ApiError> {
    const NAMES: [&str; 3] = ["json", "csv", "prometheus"];
    let range = range(now, query)?;
    let wrong = |error: MonitorError| refused("startTime", &error);
    match decode::query_value(query, "format")
        .as_deref()
        .unwrap_or("json")
    {
        "json" => {
            let export = monitor.export(now, &range).map_err(wrong)?;
            Ok(("application/json", super::envelope::data(&export)?))
        }
        "csv" => Ok((
            "text/csv; charset=utf-8",
            monitor.export_csv(&range).map_err(wrong)?.into_bytes(),
        )),
        "prometheus" => Ok((
            PROMETHEUS,
            monitor.export_prometheus(now, extra).into_bytes(),
        )),
        other => Err(ApiError::unknown("format", "format", other, &NAMES)),
    }
}

/// The media type of Prometheus text.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer of GET /monitoring/alerts.
///
/// # Errors
/// `INTERNAL`, should a type of ours fail to serialize.
pub fn alerts(monitor: &Monitor) -> Result<Vec<u8>, ApiError> {
    super::envelope::data(&monitor.alerts())
}

/// Resolves an alert by hand.
///
/// # Errors
/// `ALERT_NOT_FOUND`.
pub fn resolve(monitor: &Monitor, now: Timestamp, id: &str) -> Result<Vec<u8>, ApiError> {
    monitor
        .resolve(now, id)
        .map_err(|error| refused("id", &error))?;
    Ok(super::envelope::message(RESOLVED))
}

fn refused(field: &str, error: &MonitorError) -> ApiError {
    match error {
        MonitorError::UnknownAlert(_) => {
            ApiError::new(ErrorCode::AlertNotFound, "Alert not found").at("id")
        }
        MonitorError::UnknownCategory(_) | MonitorError::UnknownMetric(_) => {
            ApiError::new(ErrorCode::UnknownName, error.to_string()).at(field.to_owned())
        }
        MonitorError::TooManyMetrics { .. } => {
            ApiError::new(ErrorCode::LimitExceeded, error.to_string()).at(field.to_owned())
        }
        other => ApiError::invalid(field, other),
    }
}

/// The route list as a monitor counts it: a request names its route by its place in the list.
#[must_use]
pub fn routes() -> Vec<crate::metrics::Route> {
    super::routes::ROUTES
        .iter()
        .map(|info| crate::metrics::Route::new(info.method, info.path))
        .collect()
}

/// The place of a route in that list; one past its end for a request that named none.
#[must_use]
pub fn route_index(route: Option<Route>) -> usize {
    route.map_or(super::routes::ROUTES.len(), |route| route as usize)
}
