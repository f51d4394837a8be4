//! What is shown now: the summary in the seed's shape, and each category.

use serde::Serialize;

use super::{
    CategoryData, Endpoint, ErrorReport, MlMetrics, ModelMetrics, SystemSample, VitalMetrics,
    Windows, category::ApiMetrics,
};
use crate::time::Timestamp;

/// GET monitoring/summary: SommOS's fields, and more beside them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Summary {
    /// When, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The machine and the process.
    pub system: SummarySystem,
    /// Requests.
    pub application: SummaryApplication,
    /// Queries.
    pub database: SummaryDatabase,
    /// The cache.
    pub cache: SummaryCache,
    /// Predictions.
    pub ml: SummaryMl,
    /// Alerts that are open, count.
    pub alerts: u64,
    /// The rolling windows.
    pub windows: Windows,
}

/// The machine and the process in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SummarySystem {
    /// Processor use of the machine, else of the process, percent; null where unknown.
    pub cpu: Option<f64>,
    /// Resident memory of this process, else memory in use on the machine, bytes; null where
    /// unknown.
    pub memory: Option<u64>,
    /// Time since the process started, seconds; null where unknown.
    pub uptime: Option<u64>,
}

/// Requests in the summary: counts and means since the start, the rest over the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SummaryApplication {
    /// Requests begun.
    pub requests: u64,
    /// Responses.
    pub responses: u64,
    /// Responses of 500 and above, and recorded errors that belong to no response.
    pub errors: u64,
    /// `errors` of `requests`, percent.
    pub error_rate: f64,
    /// Mean response time, milliseconds; null when none could be measured.
    pub response_time: Option<f64>,
    /// Responses a second in the last minute.
    pub throughput: f64,
    /// Median of the last minute, milliseconds; null without responses.
    pub p50_ms: Option<f64>,
    /// 95th percentile of the last minute, milliseconds.
    pub p95_ms: Option<f64>,
    /// 99th percentile of the last minute, milliseconds.
    pub p99_ms: Option<f64>,
    /// Requests at work now.
    pub in_flight: u64,
}

/// Queries in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SummaryDatabase {
    /// Queries since the start.
    pub queries: u64,
    /// Mean time of a query, milliseconds.
    pub query_time: f64,
    /// Slow queries since the start.
    pub slow_queries: u64,
}

/// The cache in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SummaryCache {
    /// Lookups that found a value.
    pub hits: u64,
    /// Lookups that found none.
    pub misses: u64,
    /// `hits` of all lookups, percent.
    pub hit_rate: f64,
}

/// Predictions in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SummaryMl {
    /// Predictions since the start.
    pub predictions: u64,
    /// Mean accuracy, percent; null when none was reported.
    pub accuracy: Option<f64>,
}

/// [`super::Category::Api`] now, with every route.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiCurrent {
    /// Every route together.
    #[serde(flatten)]
    pub totals: ApiMetrics,
    /// Each route that answered at least once.
    pub endpoints: Vec<Endpoint>,
    /// Errors by type.
    pub errors: ErrorReport,
    /// Web vitals and custom metrics.
    pub web_vitals: Vec<VitalMetrics>,
}

/// [`super::Category::System`] now, with every core.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemCurrent {
    /// The machine and the process.
    #[serde(flatten)]
    pub totals: SystemSample,
    /// Use of each core, percent; empty where unknown.
    pub cpu_per_core: Vec<f64>,
}

/// [`super::Category::Ml`] now, with every model.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MlCurrent {
    /// Every model together.
    #[serde(flatten)]
    pub totals: MlMetrics,
    /// Each model.
    pub models: Vec<ModelMetrics>,
}

/// One category now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Current {
    /// A category that is as in the history.
    Plain(CategoryData),
    /// The machine and the process.
    System(SystemCurrent),
    /// HTTP.
    Api(ApiCurrent),
    /// Predictions.
    Ml(MlCurrent),
}
