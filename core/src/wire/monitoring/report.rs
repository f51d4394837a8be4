//! POST /metrics: what browsers and the host application measured.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::refused;
use crate::{
    limits::Limits,
    metrics::{ErrorOrigin, Monitor, Rating, Route, WebMetric},
    time::Timestamp,
    wire::{ApiError, decode, envelope},
};

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
    /// request, error, dbQuery, mlPrediction or cacheOperation; absent: a web vital or custom
    /// metric.
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
    /// Milliseconds of a request, query or prediction.
    duration: Option<f64>,
    /// Accuracy of a prediction, percent.
    accuracy: Option<f64>,
    /// Whether a cache operation found a value.
    hit: Option<bool>,
    /// An error's message.
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    /// A request's method.
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    /// A request's route as a template, such as /api/wines/{id}: the first 128 are counted apart.
    #[serde(borrow)]
    route: Option<Cow<'a, str>>,
    /// A request's status, 100 to 599.
    status: Option<u64>,
    /// Bytes of a request's answer; 0 when absent.
    bytes: Option<u64>,
}

/// Names of the kinds of records.
const KINDS: [&str; 5] = [
    "request",
    "error",
    "dbQuery",
    "mlPrediction",
    "cacheOperation",
];

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
    envelope::encode(&MetricsReportResponse {
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
    Request {
        method: String,
        route: &'a str,
        status: u16,
        ms: f64,
        bytes: u64,
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
            "request" => self.request(&at, duration()?),
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

/// Longest method of a reported request, bytes.
const METHOD_BYTES_MAX: usize = 16;

impl ReportedMetric<'_> {
    fn request(&self, at: &dyn Fn(&str) -> String, ms: f64) -> Result<Record<'_>, ApiError> {
        let missing = |field: &str| ApiError::invalid(&at(field), "is required");
        let method = self.method.as_deref().ok_or_else(|| missing("method"))?;
        let letters = method.bytes().all(|b| b.is_ascii_alphabetic());
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !letters {
            let what = "expected an HTTP method of 1 to 16 letters";
            return Err(ApiError::invalid(&at("method"), what));
        }
        let route = self.route.as_deref().ok_or_else(|| missing("route"))?;
        let odd = |c: char| c.is_control() || matches!(c, '?' | '#');
        if route.is_empty() || route.len() > Route::TEXT_BYTES_MAX || route.contains(odd) {
            let what = "expected a template of 1 to 256 bytes without a query, such as \
                        /api/wines/{id}";
            return Err(ApiError::invalid(&at("route"), what));
        }
        let status = self.status.ok_or_else(|| missing("status"))?;
        let wrong = || ApiError::invalid(&at("status"), "expected an HTTP status, 100 to 599");
        let status = u16::try_from(status).map_err(|_| wrong())?;
        if !(100..=599).contains(&status) {
            return Err(wrong());
        }
        let bytes = self.bytes.unwrap_or(0);
        decode::in_range(&at("bytes"), Some(bytes), 0..=1 << 53, "bytes", 0)?;
        Ok(Record::Request {
            method: method.to_ascii_uppercase(),
            route,
            status,
            ms,
            bytes,
        })
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
            Self::Request {
                method,
                route,
                status,
                ms,
                bytes,
            } => monitor.record_host_request(method, route, *status, (ms * 1000.0) as u64, *bytes),
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
