//! What is shown of a route.

use core::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::{
    Histogram, Route, percent, rounded,
    traffic::{CLIENT_ERROR, ClassCounts, RouteCell, SERVER_ERROR, mean_ms},
};

/// What one route did since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Endpoint {
    /// The HTTP method.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub method: Box<str>,
    /// The route's template; `other` for requests of no listed route.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub route: Box<str>,
    /// Responses.
    pub responses: u64,
    /// Responses of 400 to 499.
    pub client_errors: u64,
    /// Responses of 500 and above.
    pub errors: u64,
    /// `errors` of `responses`, percent.
    pub error_rate: f64,
    /// Mean response time, milliseconds; null when none could be measured.
    pub response_time: Option<f64>,
    /// Median, milliseconds; null likewise.
    pub p50_ms: Option<f64>,
    /// 95th percentile, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile, milliseconds.
    pub p99_ms: Option<f64>,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

impl Endpoint {
    /// None of a route that never answered.
    pub(super) fn new(route: &Route, cell: &RouteCell) -> Option<Self> {
        let classes = cell.counts();
        let responses: u64 = classes.iter().map(ClassCounts::count).sum();
        if responses == 0 {
            return None;
        }
        let mut durations = Histogram::default();
        cell.durations.add_to(&mut durations);
        let ms = |q| durations.quantile(q).map(|us| rounded(us / 1000.0, 3));
        let sum_us: u64 = classes.iter().map(|class| class.sum_us).sum();
        let errors = classes[SERVER_ERROR].count();
        Some(Self {
            method: route.method.clone(),
            route: route.template.clone(),
            responses,
            client_errors: classes[CLIENT_ERROR].count(),
            errors,
            error_rate: percent(errors as f64, responses as f64),
            response_time: mean_ms(sum_us, classes.iter().map(ClassCounts::measured).sum()),
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
            p99_ms: ms(0.99),
            bytes_out: cell.bytes_out.load(Relaxed),
        })
    }
}
