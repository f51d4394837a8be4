//! Exports for people and programs: JSON and CSV.

use core::fmt::Write as _;

use serde::Serialize;

use super::{
    Alert, Category, CategoryData, Endpoint, ErrorReport, ModelMetrics, Monitor, MonitorError,
    Point, Sample, Summary, VitalMetrics, history::Row,
};
use crate::time::Timestamp;

/// Which part of the history is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportRange {
    /// Start, inclusive.
    pub from: Timestamp,
    /// End, inclusive.
    pub to: Timestamp,
    /// One row an interval of so many milliseconds; none: as kept.
    pub step_ms: Option<u64>,
}

impl Default for ExportRange {
    fn default() -> Self {
        Self {
            from: Timestamp::ZERO,
            to: Timestamp::FAR_FUTURE,
            step_ms: None,
        }
    }
}

/// The history of each category.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistorySection {
    /// Of [`Category::System`].
    pub system: Vec<Point>,
    /// Of [`Category::Application`].
    pub application: Vec<Point>,
    /// Of [`Category::Database`].
    pub database: Vec<Point>,
    /// Of [`Category::Api`].
    pub api: Vec<Point>,
    /// Of [`Category::Cache`].
    pub cache: Vec<Point>,
    /// Of [`Category::Ml`].
    pub ml: Vec<Point>,
}

/// Everything that is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricsExport {
    /// When it was made, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The summary.
    pub summary: Summary,
    /// Every category now.
    pub metrics: Sample,
    /// Each route that answered at least once.
    pub endpoints: Vec<Endpoint>,
    /// Each model.
    pub models: Vec<ModelMetrics>,
    /// Errors by type, and the last ones.
    pub errors: ErrorReport,
    /// Web vitals and custom metrics.
    pub web_vitals: Vec<VitalMetrics>,
    /// Open alerts.
    pub alerts: Vec<Alert>,
    /// Alerts that ended, oldest first.
    pub alert_history: Vec<Alert>,
    /// The history in the range asked for.
    pub history: HistorySection,
}

pub(super) fn points(category: Category, rows: &[Row]) -> Vec<Point> {
    let point = |row: &Row| Point {
        timestamp: Timestamp(row.at),
        data: CategoryData::read(category, &row.cells),
    };
    rows.iter().map(point).collect()
}

impl HistorySection {
    pub(super) fn new(rows: &[Row]) -> Self {
        Self {
            system: points(Category::System, rows),
            application: points(Category::Application, rows),
            database: points(Category::Database, rows),
            api: points(Category::Api, rows),
            cache: points(Category::Cache, rows),
            ml: points(Category::Ml, rows),
        }
    }
}

impl Monitor {
    /// [`Monitor::export`] as JSON text. The whole history makes about 2 MB; give a step for less.
    ///
    /// # Errors
    /// As [`Monitor::range`].
    pub fn export_json(&self, now: Timestamp, range: &ExportRange) -> Result<String, MonitorError> {
        let export = self.export(now, range)?;
        serde_json::to_string(&export).map_err(|error| MonitorError::Encode(error.to_string()))
    }

    /// The history as CSV after RFC 4180: a header, then one row a sample, lines ended by CR LF.
    /// The first column is `timestamp` (Unix milliseconds), the others are `category.field`; an
    /// unknown value is an empty field. Every field is a plain number, so none needs quotes.
    ///
    /// # Errors
    /// As [`Monitor::range`].
    pub fn export_csv(&self, range: &ExportRange) -> Result<String, MonitorError> {
        let rows = self.rows(range.from, range.to, range.step_ms)?;
        let mut out = String::from("timestamp");
        for category in Category::ALL {
            for column in category.columns() {
                // Writing to a String cannot fail.
                let _ = write!(out, ",{}.{column}", category.as_str());
            }
        }
        out.push_str("\r\n");
        for row in &rows {
            let _ = write!(out, "{}", row.at);
            for cell in row.cells {
                out.push(',');
                if cell.is_finite() {
                    let _ = write!(out, "{cell}");
                }
            }
            out.push_str("\r\n");
        }
        Ok(out)
    }
}
