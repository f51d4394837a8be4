//! Monitoring calls, answered from a [`Monitor`].

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    decode,
    error::{ApiError, ErrorCode},
    routes::Route,
};
#[cfg(feature = "openapi")]
use super::{
    envelope,
    error::ErrorCode as Code,
    openapi::{Schemas, Shape},
};
use crate::{
    limits::Limits,
    metrics::{
        Category, ErrorOrigin, ExportRange, ExtraMetric, Monitor, MonitorError, Rating, WebMetric,
    },
    time::Timestamp,
};

/// The message of POST /monitoring/alert/{id}/resolve.
pub const RESOLVED: &str = "Alert resolved successfully";

/// POST /metrics.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricsReportRequest<'a> {
    /// What the frontend or the host application measured.
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(required))]
    metrics: Option<Vec<ReportedMetric<'a>>>,
}

/// A web vital or custom metric (`name`, `value`), or a record of the host application (`kind`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportedMetric<'a> {
    /// error, dbQuery, mlPrediction or cacheOperation; absent: a web vital or custom metric.
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    /// lcp, inp, cls, fcp, ttfb or custom:NAME; of a prediction the model's, of an error its type.
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    /// Milliseconds; a plain number for cls and custom metrics.
    value: Option<f64>,
    /// good, needs-improvement or poor.
    #[serde(borrow)]
    rating: Option<Cow<'a, str>>,
    /// The page; not kept.
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
    /// Milliseconds of a query or prediction.
    duration: Option<f64>,
    /// Accuracy of a prediction, percent.
    accuracy: Option<f64>,
    /// Whether a cache operation found a value.
    hit: Option<bool>,
    /// An error's message.
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

/// Names of the kinds of records.
const KINDS: [&str; 4] = ["error", "dbQuery", "mlPrediction", "cacheOperation"];

/// The answer of POST /metrics.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricsReportResponse {
    /// Always true.
    pub success: bool,
    /// A sentence for people.
    pub message: String,
    /// Metrics taken.
    pub processed: usize,
}

/// Takes a report, all of it or, when an entry is wrong, nothing.
///
/// # Errors
/// 400 or 422 naming the entry's field.
pub fn report(
    monitor: &Monitor,
    now: Timestamp,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, ApiError> {
    let request: MetricsReportRequest<'_> = decode::body(bytes, limits)?;
    let metrics = request
        .metrics
        .ok_or_else(|| ApiError::missing("metrics", "Metrics array is required"))?;
    if metrics.len() > limits.metrics_batch {
        let limit = limits.metrics_batch as u64;
        return Err(ApiError::over("metrics", "metrics", metrics.len(), limit));
    }
    let records: Vec<Record<'_>> = metrics
        .iter()
        .enumerate()
        .map(|(i, m)| m.check(i))
        .collect::<Result<_, _>>()?;
    let web: Vec<(usize, WebMetric<'_>)> = records
        .iter()
        .enumerate()
        .filter_map(|(i, record)| match record {
            Record::Web(metric) => Some((i, *metric)),
            _ => None,
        })
        .collect();
    let metrics: Vec<_> = web.iter().map(|(_, metric)| *metric).collect();
    // Only these may still be refused: they go first, all or none.
    monitor
        .record_web_metrics(&metrics)
        .map_err(|(i, error)| refused(&format!("metrics[{}].name", web[i].0), &error))?;
    records.iter().for_each(|record| record.take(monitor, now));
    let processed = records.len();
    let message = format!("Processed {processed} metrics");
    super::envelope::encode(&MetricsReportResponse {
        success: true,
        message,
        processed,
    })
}

/// A checked entry.
enum Record<'a> {
    Web(WebMetric<'a>),
    Error {
        kind: &'a str,
        message: &'a str,
    },
    Query(f64),
    Prediction {
        model: &'a str,
        ms: f64,
        accuracy: Option<f64>,
    },
    Cache(bool),
}

impl ReportedMetric<'_> {
    fn check(&self, index: usize) -> Result<Record<'_>, ApiError> {
        let at = |field: &str| format!("metrics[{index}].{field}");
        let required = |field: &str| ApiError::invalid(&at(field), "is required");
        let _ = &self.url;
        let Some(kind) = self.kind.as_deref() else {
            let name = self.name.as_deref().ok_or_else(|| required("name"))?;
            let value = self.value.ok_or_else(|| required("value"))?;
            if !(value.is_finite() && value >= 0.0) {
                let what = "expected a finite number of at least 0";
                return Err(ApiError::invalid(&at("value"), what));
            }
            let rating = match self.rating.as_deref() {
                None => None,
                Some("good") => Some(Rating::Good),
                Some("needs-improvement") => Some(Rating::NeedsImprovement),
                Some("poor") => Some(Rating::Poor),
                Some(other) => {
                    let what = format!("expected good, needs-improvement or poor, got {other:?}");
                    return Err(ApiError::invalid(&at("rating"), what));
                }
            };
            return Ok(Record::Web(WebMetric {
                name,
                value,
                rating,
            }));
        };
        let duration = || match self.duration {
            Some(ms) if ms.is_finite() && ms >= 0.0 => Ok(ms),
            _ => Err(ApiError::invalid(
                &at("duration"),
                "expected milliseconds of at least 0",
            )),
        };
        match kind {
            "error" => Ok(Record::Error {
                kind: self.name.as_deref().ok_or_else(|| required("name"))?,
                message: self.message.as_deref().unwrap_or_default(),
            }),
            "dbQuery" => duration().map(Record::Query),
            "mlPrediction" => Ok(Record::Prediction {
                model: self.name.as_deref().ok_or_else(|| required("name"))?,
                ms: duration()?,
                accuracy: match self.accuracy {
                    Some(a) if !(0.0..=100.0).contains(&a) => {
                        let what = "expected percent, 0 to 100";
                        return Err(ApiError::invalid(&at("accuracy"), what));
                    }
                    accuracy => accuracy,
                },
            }),
            "cacheOperation" => self.hit.map(Record::Cache).ok_or_else(|| required("hit")),
            other => Err(ApiError::unknown("kind", "kind", other, &KINDS).at(at("kind"))),
        }
    }
}

impl Record<'_> {
    /// Counts it, unless it is a web metric: these are counted together.
    fn take(&self, monitor: &Monitor, now: Timestamp) {
        match self {
            Self::Web(_) => {}
            Self::Error { kind, message } => {
                monitor.record_error(now, ErrorOrigin::Other, kind, message, None);
            }
            Self::Query(ms) => monitor.record_db_query(*ms),
            Self::Prediction {
                model,
                ms,
                accuracy,
            } => {
                monitor.record_ml_prediction(model, *ms, *accuracy);
            }
            Self::Cache(hit) => monitor.record_cache_lookup(*hit),
        }
    }
}

/// The answer of GET /monitoring/metrics: samples of a category over a range, or, without a
/// category, the present of all.
///
/// # Errors
/// 400 naming the parameter.
pub fn metrics(monitor: &Monitor, now: Timestamp, query: &str) -> Result<Vec<u8>, ApiError> {
    let category = match decode::query_value(query, "category") {
        None => None,
        Some(name) => Some(
            name.parse::<Category>()
                .map_err(|e| refused("category", &e))?,
        ),
    };
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

/// `startTime`, `endTime` and `step`, all milliseconds; the last hour when absent.
fn range(now: Timestamp, query: &str) -> Result<ExportRange, ApiError> {
    const HOUR_MS: u64 = 3_600_000;
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
    extra: &[ExtraMetric<'_>],
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

/// What the OpenAPI document says of the monitoring routes.
#[cfg(feature = "openapi")]
pub(super) fn shape(route: Route, s: &mut Schemas) -> Shape {
    use serde_json::json;

    use crate::metrics::{Alert, Summary};
    const RANGE: &[super::openapi::Query] = &[
        (
            "category",
            "string",
            "system, application, database, api, cache or ml",
        ),
        (
            "startTime",
            "integer",
            "Unix milliseconds; an hour before endTime when absent",
        ),
        ("endTime", "integer", "Unix milliseconds; now when absent"),
        (
            "step",
            "integer",
            "milliseconds of one row; as kept when absent",
        ),
    ];
    const EXPORT: &[super::openapi::Query] = &[
        ("format", "string", "json, csv or prometheus"),
        (
            "startTime",
            "integer",
            "Unix milliseconds; an hour before endTime when absent",
        ),
        ("endTime", "integer", "Unix milliseconds; now when absent"),
        (
            "step",
            "integer",
            "milliseconds of one row; as kept when absent",
        ),
    ];
    let get = |response| Shape::get(response);
    match route {
        Route::MetricsReport => Shape {
            errors: &[Code::UnknownName],
            ..Shape::post(
                s.of::<MetricsReportRequest<'_>>(),
                s.of::<MetricsReportResponse>(),
            )
        },
        Route::MonitoringSummary => get(s.data::<Summary>()),
        Route::MonitoringMetrics => Shape {
            query: RANGE,
            errors: &[Code::UnknownName, Code::InvalidField],
            ..get(s.enveloped(json!({})))
        },
        Route::MonitoringAlerts => {
            let alert = s.of::<Alert>();
            get(s.enveloped(json!({"type": "array", "items": alert})))
        }
        Route::AlertResolve => Shape {
            errors: &[Code::AlertNotFound],
            ..get(s.of::<envelope::Message<'_>>())
        },
        Route::MonitoringExport => Shape {
            query: EXPORT,
            response_types: &["application/json", "text/csv", "text/plain"],
            errors: &[Code::UnknownName, Code::InvalidField],
            ..get(s.enveloped(json!({})))
        },
        _ => Shape {
            response_types: &["text/plain"],
            ..get(json!({}))
        },
    }
}
