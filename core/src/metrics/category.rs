//! The six categories of metrics and their columns in the history.

use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MonitorError;
use crate::time::Timestamp;

/// A group of metrics that is asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Category {
    /// The machine and the process: [`SystemSample`].
    System,
    /// Requests as a whole: [`ApplicationMetrics`].
    Application,
    /// Database queries: [`DatabaseMetrics`].
    Database,
    /// HTTP: [`ApiMetrics`].
    Api,
    /// The cache: [`CacheMetrics`].
    Cache,
    /// Predictions: [`MlMetrics`].
    Ml,
}

impl Category {
    /// All six, in the order of the history's columns.
    pub const ALL: [Self; 6] = [
        Self::System,
        Self::Application,
        Self::Database,
        Self::Api,
        Self::Cache,
        Self::Ml,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Application => "application",
            Self::Database => "database",
            Self::Api => "api",
            Self::Cache => "cache",
            Self::Ml => "ml",
        }
    }

    /// Names of its columns.
    pub(super) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::System => SystemSample::NAMES,
            Self::Application => ApplicationMetrics::NAMES,
            Self::Database => DatabaseMetrics::NAMES,
            Self::Api => ApiMetrics::NAMES,
            Self::Cache => CacheMetrics::NAMES,
            Self::Ml => MlMetrics::NAMES,
        }
    }
}

impl FromStr for Category {
    type Err = MonitorError;

    fn from_str(text: &str) -> Result<Self, MonitorError> {
        let found = Self::ALL
            .into_iter()
            .find(|category| category.as_str() == text);
        found.ok_or_else(|| MonitorError::UnknownCategory(super::clipped(text, 64).into()))
    }
}

/// How several samples of a column become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// A gauge: the mean of the known values.
    Mean,
    /// A counter: the last known value.
    Last,
}

/// A column's value as the history keeps it: NaN is unknown.
trait Cell {
    fn to_cell(self) -> f64;
    fn from_cell(cell: f64) -> Self;
}

impl Cell for f64 {
    fn to_cell(self) -> f64 {
        self
    }
    fn from_cell(cell: f64) -> Self {
        if cell.is_nan() { 0.0 } else { cell }
    }
}

impl Cell for u64 {
    fn to_cell(self) -> f64 {
        self as f64
    }
    fn from_cell(cell: f64) -> Self {
        cell.round() as Self
    }
}

impl<T: Cell> Cell for Option<T> {
    fn to_cell(self) -> f64 {
        self.map_or(f64::NAN, T::to_cell)
    }
    fn from_cell(cell: f64) -> Self {
        (!cell.is_nan()).then(|| T::from_cell(cell))
    }
}

/// Declares a category's struct, its columns in the history and how each is folded. The name is a
/// `tt`: utoipa does not see a `literal` that a macro hands on.
macro_rules! category {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ty = $json:tt $fold:ident,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub struct $name {
            $($(#[$doc])* #[serde(rename = $json)] pub $field: $kind,)*
        }

        impl $name {
            pub(super) const NAMES: &'static [&'static str] = &[$($json),*];
            const FOLDS: &'static [Fold] = &[$(Fold::$fold),*];

            fn write(&self, cells: &mut Vec<f64>) {
                cells.extend([$(self.$field.to_cell()),*]);
            }

            fn read(cells: &[f64]) -> Self {
                let mut cells = cells.iter().copied();
                let mut next = || cells.next().unwrap_or(f64::NAN);
                Self { $($field: Cell::from_cell(next()),)* }
            }
        }
    };
}

category! {
    /// The machine and the process, as the shell measured them. What a platform does not tell is
    /// `None`, and null in JSON: never a made-up number.
    #[derive(Deserialize)]
    #[serde(default)]
    SystemSample {
        /// Processor use of the machine, percent of all cores.
        cpu_percent: Option<f64> = "cpuPercent" Mean,
        /// Memory in use on the machine, bytes.
        memory_used: Option<u64> = "memoryUsed" Mean,
        /// Memory of the machine, bytes.
        memory_total: Option<u64> = "memoryTotal" Last,
        /// Processor use of this process, percent of one core.
        process_cpu_percent: Option<f64> = "processCpuPercent" Mean,
        /// Resident memory of this process, bytes; in a browser the engine's memory.
        rss: Option<u64> = "rss" Mean,
        /// Threads of this process.
        threads: Option<u64> = "threads" Mean,
        /// Bytes in use on the data's disk.
        disk_used: Option<u64> = "diskUsed" Mean,
        /// Bytes of the data's disk.
        disk_total: Option<u64> = "diskTotal" Last,
        /// Load average over one minute.
        load1: Option<f64> = "load1" Mean,
        /// Time since this process started, seconds.
        uptime_s: Option<u64> = "uptime" Last,
        /// Load average over five minutes.
        load5: Option<f64> = "load5" Mean,
        /// Load average over a quarter of an hour.
        load15: Option<f64> = "load15" Mean,
        /// Bytes a second read from the machine's disks.
        disk_read: Option<f64> = "diskReadRate" Mean,
        /// Bytes a second written to the machine's disks.
        disk_write: Option<f64> = "diskWriteRate" Mean,
        /// Bytes a second received over the machine's network, loopback left out.
        network_in: Option<f64> = "networkReceiveRate" Mean,
        /// Bytes a second sent over the machine's network, loopback left out.
        network_out: Option<f64> = "networkTransmitRate" Mean,
        /// Open files of this process.
        open_files: Option<u64> = "openFiles" Mean,
        /// Heap bytes that this process's allocator has handed out.
        heap_used: Option<u64> = "heapUsed" Mean,
        /// Bytes a second that this process read from disks.
        process_read: Option<f64> = "processReadRate" Mean,
        /// Bytes a second that this process wrote to disks.
        process_write: Option<f64> = "processWriteRate" Mean,
    }
}

category! {
    /// Requests as a whole. Plain names count from the start; `recent` ones, the throughput and
    /// the percentiles cover the last minute.
    ApplicationMetrics {
        /// Requests begun.
        requests: u64 = "requests" Last,
        /// Responses.
        responses: u64 = "responses" Last,
        /// Responses of 500 and above, and recorded errors that belong to no response.
        errors: u64 = "errors" Last,
        /// `errors` of `requests`, percent, at most 100.
        error_rate: f64 = "errorRate" Mean,
        /// Mean response time, milliseconds; null when none could be measured.
        response_time: Option<f64> = "responseTime" Mean,
        /// Responses a second in the last minute.
        throughput: f64 = "throughput" Mean,
        /// Error rate of the last minute, percent.
        recent_error_rate: f64 = "recentErrorRate" Mean,
        /// Mean response time of the last minute, milliseconds; null without responses.
        recent_response_time: Option<f64> = "recentResponseTime" Mean,
        /// Median of the last minute, milliseconds.
        p50_ms: Option<f64> = "p50Ms" Mean,
        /// 95th percentile of the last minute, milliseconds.
        p95_ms: Option<f64> = "p95Ms" Mean,
        /// 99th percentile of the last minute, milliseconds.
        p99_ms: Option<f64> = "p99Ms" Mean,
    }
}

category! {
    /// Database queries since the start.
    DatabaseMetrics {
        /// Queries.
        queries: u64 = "queries" Last,
        /// Mean time of a query, milliseconds.
        query_time: f64 = "queryTime" Mean,
        /// Queries at least as slow as the configured limit.
        slow_queries: u64 = "slowQueries" Last,
    }
}

category! {
    /// HTTP since the start, every route together.
    ApiMetrics {
        /// Responses of 200 to 299.
        success: u64 = "success" Last,
        /// Responses of 300 to 399.
        redirects: u64 = "redirects" Last,
        /// Responses of 400 to 499.
        client_errors: u64 = "clientErrors" Last,
        /// Responses of 500 and above.
        server_errors: u64 = "serverErrors" Last,
        /// Bytes of response bodies.
        bytes_out: u64 = "bytesOut" Last,
        /// Requests at work now.
        in_flight: u64 = "inFlight" Mean,
    }
}

category! {
    /// The cache since the start.
    CacheMetrics {
        /// Lookups that found a value.
        hits: u64 = "hits" Last,
        /// Lookups that found none.
        misses: u64 = "misses" Last,
        /// `hits` of all lookups, percent.
        hit_rate: f64 = "hitRate" Mean,
        /// Entries; null before the shell reported any.
        size: Option<u64> = "size" Mean,
        /// Bytes in use; null before the shell reported any.
        memory: Option<u64> = "memory" Mean,
    }
}

category! {
    /// Predictions since the start, every model together.
    MlMetrics {
        /// Predictions.
        predictions: u64 = "predictions" Last,
        /// Mean of the accuracies that were reported, percent; null when none was.
        accuracy: Option<f64> = "accuracy" Mean,
        /// Mean time of a prediction, milliseconds.
        prediction_time: f64 = "predictionTime" Mean,
    }
}

/// Everything at one time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sample {
    /// When it was taken, Unix milliseconds.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The machine and the process.
    pub system: SystemSample,
    /// Requests as a whole.
    pub application: ApplicationMetrics,
    /// Database queries.
    pub database: DatabaseMetrics,
    /// HTTP.
    pub api: ApiMetrics,
    /// The cache.
    pub cache: CacheMetrics,
    /// Predictions.
    pub ml: MlMetrics,
}

/// One category at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CategoryData {
    /// Of [`Category::System`].
    System(SystemSample),
    /// Of [`Category::Application`].
    Application(ApplicationMetrics),
    /// Of [`Category::Database`].
    Database(DatabaseMetrics),
    /// Of [`Category::Api`].
    Api(ApiMetrics),
    /// Of [`Category::Cache`].
    Cache(CacheMetrics),
    /// Of [`Category::Ml`].
    Ml(MlMetrics),
}

/// One point of a history.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Point {
    /// When, Unix milliseconds; of a mean, where its interval begins.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// The figures.
    pub data: CategoryData,
}

/// Columns of one row of the history.
pub(super) const COLUMNS: usize = start_of(Category::ALL.len());

/// The first column of the category of this place in [`Category::ALL`].
pub(super) const fn start_of(place: usize) -> usize {
    let (mut start, mut i) = (0, 0);
    while i < place {
        start += Category::ALL[i].columns().len();
        i += 1;
    }
    start
}

/// How each column is folded.
pub(super) fn folds() -> impl Iterator<Item = Fold> {
    [
        SystemSample::FOLDS,
        ApplicationMetrics::FOLDS,
        DatabaseMetrics::FOLDS,
        ApiMetrics::FOLDS,
        CacheMetrics::FOLDS,
        MlMetrics::FOLDS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

impl Sample {
    pub(super) fn cells(&self) -> [f64; COLUMNS] {
        let mut cells = Vec::with_capacity(COLUMNS);
        self.system.write(&mut cells);
        self.application.write(&mut cells);
        self.database.write(&mut cells);
        self.api.write(&mut cells);
        self.cache.write(&mut cells);
        self.ml.write(&mut cells);
        let mut row = [f64::NAN; COLUMNS];
        row.copy_from_slice(&cells);
        row
    }
}

impl CategoryData {
    pub(super) fn read(category: Category, row: &[f64; COLUMNS]) -> Self {
        let start = start_of(category as usize);
        let cells = &row[start..start + category.columns().len()];
        match category {
            Category::System => Self::System(SystemSample::read(cells)),
            Category::Application => Self::Application(ApplicationMetrics::read(cells)),
            Category::Database => Self::Database(DatabaseMetrics::read(cells)),
            Category::Api => Self::Api(ApiMetrics::read(cells)),
            Category::Cache => Self::Cache(CacheMetrics::read(cells)),
            Category::Ml => Self::Ml(MlMetrics::read(cells)),
        }
    }
}
