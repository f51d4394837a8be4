//! The route list: every call of the API, its method, path and scope, at a glance.

use super::error::{ApiError, ErrorCode};

/// The right that a token must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Open to anyone who reaches the server (health, documentation).
    Public,
    /// Read values, states, metrics.
    Read,
    /// Change values, submit work.
    Write,
    /// Clear, test under load, profile.
    Admin,
}

/// The part of a shell that answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// Cached values.
    Cache,
    /// Submissions, which carry work.
    Submission,
    /// States, results and counters of work.
    Work,
    /// Compression, which has no state.
    Compression,
    /// Metrics, alerts and tracked allocations.
    Monitoring,
    /// What only a process can answer: health, tests, events, documents.
    Process,
}

macro_rules! routes {
    ($($name:ident $method:ident $path:literal $scope:ident $summary:literal;)*) => {
        /// One call of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Route { $(#[doc = $summary] $name,)* }

        /// Every route, in the order of the documentation.
        pub const ROUTES: &[RouteInfo] = &[$(RouteInfo {
            route: Route::$name, method: stringify!($method), path: $path,
            scope: Scope::$scope, summary: $summary, template: Template::of($path),
        },)*];
    };
}

impl Route {
    /// The part of a shell that answers it.
    #[must_use]
    pub const fn part(self) -> Part {
        match self {
            Self::CacheStats
            | Self::CacheSet
            | Self::CacheGet
            | Self::CacheDelete
            | Self::CacheClear
            | Self::CacheGetMany
            | Self::CacheSetMany
            | Self::CacheKeys
            | Self::CacheWarm
            | Self::CacheInvalidateTag
            | Self::CacheGetOrLoad => Part::Cache,
            Self::JobSubmit | Self::TaskSubmit | Self::BatchProcess => Part::Submission,
            Self::JobGet
            | Self::JobCancel
            | Self::JobResult
            | Self::JobRetry
            | Self::JobList
            | Self::JobMetrics
            | Self::TaskGet
            | Self::TaskCancel
            | Self::TaskResult
            | Self::TaskMetrics
            | Self::BatchGet
            | Self::BatchCancel
            | Self::BatchResults
            | Self::BatchMetrics => Part::Work,
            Self::MemoryCompress | Self::MemoryDecompress => Part::Compression,
            Self::MemoryStats
            | Self::MemoryAllocate
            | Self::MemoryDeallocate
            | Self::MetricsReport
            | Self::MonitoringSummary
            | Self::MonitoringMetrics
            | Self::MonitoringAlerts
            | Self::MonitoringExport
            | Self::MonitoringTrends
            | Self::MonitoringRules
            | Self::AlertHistory
            | Self::AlertResolve
            | Self::Prometheus => Part::Monitoring,
            Self::HealthLive
            | Self::CacheDistributedStats
            | Self::HealthReady
            | Self::TestLoad
            | Self::TestMemory
            | Self::MonitoringProfile
            | Self::Events
            | Self::OpenApi
            | Self::Docs => Part::Process,
        }
    }
}

/// One row of the route list. A path has at most one parameter, written `{name}`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RouteInfo {
    /// Which call.
    pub route: Route,
    /// The HTTP method.
    pub method: &'static str,
    /// The path template.
    pub path: &'static str,
    /// The right it needs.
    pub scope: Scope,
    /// One sentence.
    pub summary: &'static str,
    template: Template,
}

/// A path cut at its parameter while compiling, so that finding a route compares bytes only.
#[derive(Debug, Clone, Copy)]
struct Template {
    prefix: &'static str,
    /// What follows the parameter; `None` for a path without one.
    suffix: Option<&'static str>,
}

impl Template {
    #[expect(
        clippy::panic,
        reason = "evaluated while compiling: it fails the build"
    )]
    const fn of(path: &'static str) -> Self {
        let Some(open) = position(path, b'{') else {
            return Self {
                prefix: path,
                suffix: None,
            };
        };
        let (prefix, rest) = path.split_at(open);
        let Some(close) = position(rest, b'}') else {
            panic!("a parameter's brace is not closed");
        };
        Self {
            prefix,
            suffix: Some(rest.split_at(close + 1).1),
        }
    }

    /// `Some("")` for an equal literal path, `Some(param)` for a template that fits.
    fn fit<'a>(&self, path: &'a str) -> Option<&'a str> {
        let Some(suffix) = self.suffix else {
            return (self.prefix == path).then_some("");
        };
        let param = path.strip_prefix(self.prefix)?.strip_suffix(suffix)?;
        (!param.is_empty() && !param.contains('/')).then_some(param)
    }
}

const fn position(text: &str, byte: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == byte {
            return Some(at);
        }
        at += 1;
    }
    None
}

routes! {
    CacheStats      GET    "/api/performance/cache/stats"                 Read   "Cache statistics";
    CacheDistributedStats GET "/api/performance/cache/distributed/stats"  Read   "The cache that servers share: nodes, lag, breaker, waiting writes";
    CacheSet        POST   "/api/performance/cache/set"                   Write  "Set a value, optionally with a time to live";
    CacheGet        GET    "/api/performance/cache/get/{key}"             Read   "Get a value by its key";
    CacheDelete     DELETE "/api/performance/cache/delete/{key}"          Write  "Delete one value";
    CacheClear      DELETE "/api/performance/cache/clear"                 Admin  "Clear the cache";
    CacheGetMany    POST   "/api/performance/cache/get-many"              Read   "Get several values";
    CacheSetMany    POST   "/api/performance/cache/set-many"              Write  "Set several values";
    CacheKeys       GET    "/api/performance/cache/keys"                  Read   "Keys of the cache, a page at a time";
    CacheGetOrLoad  POST   "/api/performance/cache/get-or-load"           Write  "Get a value; an allowed loader loads an absent or stale one";
    CacheInvalidateTag DELETE "/api/performance/cache/tag/{tag}"          Write  "Delete every value with a tag";
    CacheWarm       POST   "/api/performance/cache/warm"                  Write  "Warm the cache from NDJSON or from an allowed loader";
    JobSubmit       POST   "/api/performance/async/job"                   Write  "Submit a job; answered after it is on disk";
    JobList         GET    "/api/performance/async/jobs"                  Read   "Jobs by status, newest first";
    JobMetrics      GET    "/api/performance/async/metrics"               Read   "Counters of the job queue and its workers";
    JobGet          GET    "/api/performance/async/job/{id}"              Read   "Status, progress, position and result of a job";
    JobCancel       DELETE "/api/performance/async/job/{id}"              Write  "Cancel a job; a running one is stopped";
    JobResult       GET    "/api/performance/async/job/{id}/result"       Read   "The bare result of a job, with an ETag";
    JobRetry        POST   "/api/performance/async/job/{id}/retry"        Write  "Queue a failed job again";
    BatchProcess    POST   "/api/performance/batch/process"               Write  "Process a data set in chunks; JSON or NDJSON";
    BatchMetrics    GET    "/api/performance/batch/metrics"               Read   "Counters of the batches";
    BatchGet        GET    "/api/performance/batch/{id}"                  Read   "Status, progress and errors of a batch";
    BatchCancel     DELETE "/api/performance/batch/{id}"                  Write  "Cancel a batch; running chunks are stopped";
    BatchResults    GET    "/api/performance/batch/{id}/results"          Read   "Processed records, a page at a time, JSON or NDJSON";
    TaskSubmit      POST   "/api/performance/parallel/task"               Write  "Execute a parallel task";
    TaskMetrics     GET    "/api/performance/parallel/metrics"            Read   "Counters of the parallel tasks";
    TaskGet         GET    "/api/performance/parallel/task/{id}"          Read   "Status, progress and result of a task";
    TaskCancel      DELETE "/api/performance/parallel/task/{id}"          Write  "Cancel a task; a running one is stopped";
    TaskResult      GET    "/api/performance/parallel/task/{id}/result"   Read   "The bare result of a task: JSON, NPY or MessagePack";
    MemoryStats     GET    "/api/performance/memory/stats"                Read   "Memory of the process and of what is tracked";
    MemoryAllocate  POST   "/api/performance/memory/allocate"             Write  "Track an allocation of the host application";
    MemoryDeallocate POST  "/api/performance/memory/deallocate"           Write  "End the tracking of an allocation";
    MemoryCompress  POST   "/api/performance/memory/compress"             Write  "Compress data";
    MemoryDecompress POST  "/api/performance/memory/decompress"           Write  "Decompress data, within limits";
    MetricsReport   POST   "/api/performance/metrics"                     Write  "Report web vitals and custom metrics";
    MonitoringSummary GET  "/api/performance/monitoring/summary"          Read   "The state of everything, in one answer";
    MonitoringMetrics GET  "/api/performance/monitoring/metrics"          Read   "Samples of a category over a range of time";
    MonitoringAlerts GET   "/api/performance/monitoring/alerts"           Read   "Open alerts";
    MonitoringExport GET   "/api/performance/monitoring/export"           Read   "Metrics as JSON, CSV or Prometheus text";
    MonitoringTrends GET   "/api/performance/monitoring/trends"           Read   "Slope, change, outliers and time to threshold of a category's figures";
    MonitoringRules GET    "/api/performance/monitoring/rules"            Read   "Alert rules and where each stands";
    AlertHistory    GET    "/api/performance/monitoring/alerts/history"   Read   "Alerts that ended, newest first";
    AlertResolve    POST   "/api/performance/monitoring/alert/{id}/resolve" Write "Resolve an alert by hand";
    MonitoringProfile GET  "/api/performance/monitoring/profile"          Admin  "A flame graph of the process, over some seconds";
    TestLoad        POST   "/api/performance/test/load"                   Admin  "Load test with real requests to this server";
    TestMemory      POST   "/api/performance/test/memory"                 Admin  "Memory test with real allocations";
    Events          GET    "/api/performance/events"                      Read   "Server-sent events: job, batch, task, alert, metrics";
    OpenApi         GET    "/api/openapi.json"                            Public "This API as an OpenAPI document";
    Docs            GET    "/api/docs"                                    Public "This API as a page";
    Prometheus      GET    "/metrics"                                     Read   "Metrics as Prometheus text";
    HealthLive      GET    "/health/live"                                 Public "Whether the process lives";
    HealthReady     GET    "/health/ready"                                Public "Whether the server takes work";
}

impl Route {
    /// Its row.
    #[must_use]
    pub fn info(self) -> &'static RouteInfo {
        // ROUTES is generated in the order of the enum.
        &ROUTES[self as usize]
    }
}

/// A route found for a path, with the raw (still percent-encoded) parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    /// Which call.
    pub route: Route,
    /// The path's parameter; empty for paths without one.
    pub param: &'a str,
}

/// Finds the call of a method and path. Literal paths win over parameters, so `/batch/metrics` is
/// never taken for a batch id. Cost: one pass over the list, prefix comparisons only.
///
/// # Errors
/// `ROUTE_NOT_FOUND`, or `METHOD_NOT_ALLOWED` naming the methods of this path.
pub fn find<'a>(method: &str, path: &'a str) -> Result<Matched<'a>, ApiError> {
    let mut found: Option<(&RouteInfo, &'a str)> = None;
    let mut allowed: Vec<&str> = Vec::new();
    for info in ROUTES {
        let Some(param) = info.template.fit(path) else {
            continue;
        };
        // HEAD is GET without its body.
        if info.method != method && !(method == "HEAD" && info.method == "GET") {
            allowed.push(info.method);
            continue;
        }
        if param.is_empty() {
            return Ok(Matched {
                route: info.route,
                param,
            });
        }
        found.get_or_insert((info, param));
    }
    if let Some((info, param)) = found {
        return Ok(Matched {
            route: info.route,
            param,
        });
    }
    if allowed.is_empty() {
        let shown: String = path.chars().take(128).collect();
        return Err(ApiError::new(
            ErrorCode::RouteNotFound,
            format!("no such path: {shown}; the list is at /api/docs"),
        ));
    }
    let message = format!(
        "method {method} is not allowed here; allowed: {}",
        allowed.join(", ")
    );
    Err(ApiError::new(ErrorCode::MethodNotAllowed, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_finds_itself() {
        for info in ROUTES {
            let path = info
                .path
                .replace("{id}", "abc")
                .replace("{key}", "a%2Fb")
                .replace("{tag}", "a%2Fb");
            let found = find(info.method, &path).unwrap();
            assert_eq!(found.route, info.route, "{path}");
            assert_eq!(info.route.info().path, info.path);
        }
    }

    #[test]
    fn literals_win_over_parameters() {
        let found = find("GET", "/api/performance/batch/metrics").unwrap();
        assert_eq!(found.route, Route::BatchMetrics);
    }

    #[test]
    fn wrong_methods_and_paths_are_told_apart() {
        let error = find("PUT", "/api/performance/cache/set").unwrap_err();
        assert_eq!(error.code, ErrorCode::MethodNotAllowed);
        assert!(error.message.contains("POST"));
        assert_eq!(
            find("GET", "/api/nothing").unwrap_err().code,
            ErrorCode::RouteNotFound
        );
        assert_eq!(
            find("GET", "/api/performance/cache/get/").unwrap_err().code,
            ErrorCode::RouteNotFound
        );
    }
}
