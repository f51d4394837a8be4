//! The whole API in memory: every call of the route list answered by core alone.
//!
//! This is what the shells without a store of their own embed, and what the shared vectors are
//! replayed against. Drive it like this: hand each request to [`Service::handle`] with the time;
//! while [`Service::run_next`] gives true, there is work; sleep until
//! [`Service::next_deadline`] otherwise.
//!
//! Here: routing, decoding, deciding, encoding. Absent on purpose: HTTP, clocks, threads, JavaScript
//! processors (they answer 501), and calls that need a process (load and memory tests, events).

mod cache;
mod memory;
mod monitoring;
mod work;

use serde::{Deserialize, Serialize};

use crate::{
    cache::{Cache, CacheConfig, CacheError},
    limits::Limits,
    metrics::Monitor,
    rng::Rng,
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        jobs::{SubmitDefaults, WorkKind},
        memory::AllocationTracker,
        routes::{self, Route},
    },
};

/// Expired entries that one call removes from the cache at most.
const CLEANUP_MAX: usize = 256;

/// One request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// GET, POST or DELETE.
    pub method: &'a str,
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// The query string, without its question mark.
    pub query: &'a str,
    /// The `Content-Type` header.
    pub content_type: &'a str,
    /// The `Accept` header.
    pub accept: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    fn json(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            body,
        }
    }
}

/// How a service is set up. In JSON every field may be left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceConfig {
    /// The limits of every call.
    pub limits: Limits,
    /// The cache's limits.
    pub cache: CacheConfig,
    /// Defaults of jobs.
    pub jobs: SubmitDefaults,
    /// Milliseconds that a task may take when it does not say.
    pub task_timeout_ms: u64,
    /// Milliseconds that a batch may take when it does not say.
    pub batch_timeout_ms: u64,
    /// Bytes that may be tracked by allocate.
    pub memory_limit_bytes: u64,
    /// Seed of the ids. Ids are as hard to guess as this is.
    pub seed: u64,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            cache: CacheConfig {
                max_entries: 10_000,
                ..CacheConfig::default()
            },
            jobs: SubmitDefaults::default(),
            task_timeout_ms: 300_000,
            batch_timeout_ms: 1_800_000,
            memory_limit_bytes: 100 << 20,
            seed: 0,
        }
    }
}

/// The API's state.
pub struct Service {
    config: ServiceConfig,
    cache: Cache<Box<str>, Box<[u8]>>,
    work: work::Works,
    allocations: AllocationTracker,
    monitor: Monitor,
    watch: monitoring::Watch,
    entropy: Rng,
}

impl Service {
    /// An empty service.
    ///
    /// # Errors
    /// [`CacheError`] when the cache's limits are out of range.
    pub fn new(config: ServiceConfig, now: Timestamp) -> Result<Self, CacheError> {
        Ok(Self {
            cache: Cache::new(config.cache.clone())?,
            work: work::Works::new(&config),
            allocations: AllocationTracker::new(config.memory_limit_bytes),
            monitor: monitoring::monitor(now),
            watch: monitoring::Watch::default(),
            entropy: Rng::new(config.seed),
            config,
        })
    }

    /// Answers a request.
    pub fn handle(&mut self, now: Timestamp, request: &Request<'_>) -> Response {
        self.work.tick(now);
        self.cache.cleanup(now, CLEANUP_MAX);
        self.watch(now);
        let found = routes::find(request.method, request.path);
        let route = found.as_ref().ok().map(|m| m.route);
        self.monitor.request_started();
        let response = match found.and_then(|m| self.call(now, m.route, m.param, request)) {
            Ok(response) => response,
            Err(error) => Response {
                status: error.code.status(),
                content_type: "application/json",
                body: error.body(),
            },
        };
        // Time stands still within a call: its duration is not known here.
        monitoring::count(&self.monitor, route, &response);
        response
    }

    fn call(
        &mut self,
        now: Timestamp,
        route: Route,
        param: &str,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let limit = self.config.limits.body_bytes;
        if request.body.len() > limit {
            return Err(ApiError::too_large(
                "body",
                request.body.len(),
                limit as u64,
            ));
        }
        match route {
            Route::CacheStats
            | Route::CacheSet
            | Route::CacheGet
            | Route::CacheDelete
            | Route::CacheClear
            | Route::CacheGetMany
            | Route::CacheSetMany
            | Route::CacheKeys
            | Route::CacheWarm => self.cache_call(now, route, param, request),
            Route::JobSubmit => self.submit(now, WorkKind::Job, request),
            Route::JobGet => self.job(WorkKind::Job, param),
            Route::JobCancel => self.cancel(now, WorkKind::Job, param),
            Route::JobResult => self.result(WorkKind::Job, param, request),
            Route::JobRetry => self.retry(now, param),
            Route::JobList => self.job_list(request),
            Route::JobMetrics => self.job_metrics(),
            Route::TaskSubmit => self.submit(now, WorkKind::Task, request),
            Route::TaskGet => self.job(WorkKind::Task, param),
            Route::TaskCancel => self.cancel(now, WorkKind::Task, param),
            Route::TaskResult => self.result(WorkKind::Task, param, request),
            Route::TaskMetrics => self.task_metrics(),
            Route::BatchProcess => self.process(now, request),
            Route::BatchGet => self.batch(param),
            Route::BatchCancel => self.cancel_batch(now, param),
            Route::BatchResults => self.batch_results(param, request),
            Route::BatchMetrics => self.batch_metrics(),
            Route::MemoryStats
            | Route::MemoryAllocate
            | Route::MemoryDeallocate
            | Route::MemoryCompress
            | Route::MemoryDecompress => self.memory_call(now, route, request),
            Route::MetricsReport
            | Route::MonitoringSummary
            | Route::MonitoringMetrics
            | Route::MonitoringAlerts
            | Route::MonitoringExport
            | Route::AlertResolve
            | Route::Prometheus => self.monitoring_call(now, route, param, request),
            Route::HealthLive => Ok(Response::json(br#"{"status":"live"}"#.to_vec())),
            Route::HealthReady => Ok(Response::json(br#"{"status":"ready"}"#.to_vec())),
            Route::TestLoad | Route::TestMemory | Route::Events | Route::OpenApi | Route::Docs => {
                Err(not_offered(route))
            }
        }
    }

    fn entropy(&mut self) -> [u8; 16] {
        random_bytes(&mut self.entropy)
    }
}

fn random_bytes(rng: &mut Rng) -> [u8; 16] {
    let (a, b) = (rng.next_u64(), rng.next_u64());
    ((u128::from(a) << 64) | u128::from(b)).to_le_bytes()
}

fn not_offered(route: Route) -> ApiError {
    let message = format!("{} is not offered by this shell", route.info().path);
    ApiError::new(ErrorCode::NotImplemented, message)
}
