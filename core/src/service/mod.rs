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
pub mod memory;
pub mod monitoring;
pub mod work;

use serde::{Deserialize, Serialize};

use crate::{
    cache::{CacheConfig, CacheError, TaggedCache},
    control::Control,
    jobs,
    limits::Limits,
    metrics::CacheFigures,
    par::Par,
    rng::Rng,
    time::Timestamp,
    wire::{
        ApiError, ErrorCode,
        jobs::{SubmitDefaults, WorkKind},
        routes::{self, Part, Route},
    },
};

use monitoring::Monitoring;
use work::{BatchSubmission, Defaults, MemoryStore, Submission, Work, WorkConfig, WorkFailure};

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
    /// A JSON body with status 200.
    #[must_use]
    pub fn json(body: Vec<u8>) -> Self {
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
    cache: TaggedCache<Box<[u8]>>,
    work: Work<MemoryStore>,
    defaults: Defaults,
    monitoring: Monitoring,
    entropy: Rng,
}

impl Service {
    /// An empty service.
    ///
    /// # Errors
    /// [`CacheError`] when the cache's limits are out of range.
    pub fn new(config: ServiceConfig, now: Timestamp) -> Result<Self, CacheError> {
        Ok(Self {
            cache: TaggedCache::new(config.cache.clone())?,
            work: Work::new(work_config(&config), MemoryStore::default()),
            defaults: defaults(&config),
            monitoring: Monitoring::new(now, config.memory_limit_bytes),
            entropy: Rng::new(config.seed),
            config,
        })
    }

    /// Answers a request.
    pub fn handle(&mut self, now: Timestamp, request: &Request<'_>) -> Response {
        self.work.tick(now);
        self.cache.cleanup(now, CLEANUP_MAX);
        let (cache, entropy) = (self.cache_figures(), &mut self.entropy);
        self.monitoring
            .watch(now, cache, &mut || random_bytes(entropy));
        let found = routes::find(request.method, request.path);
        let route = found.as_ref().ok().map(|m| m.route);
        self.monitoring.monitor.request_started();
        let answer = found.and_then(|m| self.call(now, m.route, m.param, request));
        let answer = self.work.commit().and(answer);
        let response = match answer {
            Ok(response) => response,
            Err(error) => Response {
                status: error.code.status(),
                content_type: "application/json",
                body: error.body(),
            },
        };
        self.monitoring.count(route, &response);
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
        match route.part() {
            Part::Cache => self.cache_call(now, route, param, request),
            Part::Work => self.work.call(now, route, param, request),
            Part::Compression => memory::call(route, request, &self.config.limits),
            Part::Monitoring => {
                let cache = self.cache_figures();
                let limits = &self.config.limits;
                self.monitoring
                    .call(now, route, param, request, cache, limits)
            }
            Part::Submission | Part::Process => match route {
                Route::JobSubmit => self.submit(now, WorkKind::Job, request),
                Route::TaskSubmit => self.submit(now, WorkKind::Task, request),
                Route::BatchProcess => self.process(now, request),
                Route::HealthLive => Ok(Response::json(br#"{"status":"live"}"#.to_vec())),
                Route::HealthReady => Ok(Response::json(br#"{"status":"ready"}"#.to_vec())),
                other => Err(not_offered(other)),
            },
        }
    }

    fn submit(
        &mut self,
        now: Timestamp,
        kind: WorkKind,
        request: &Request<'_>,
    ) -> Result<Response, ApiError> {
        let submission = Submission::decode(kind, request, &self.defaults, &self.config.limits)?;
        let entropy = self.entropy();
        self.work.submit(now, entropy, submission)
    }

    fn process(&mut self, now: Timestamp, request: &Request<'_>) -> Result<Response, ApiError> {
        let limits = &self.config.limits;
        let submission = BatchSubmission::decode(request, &self.defaults, limits, false)?;
        let entropy = self.entropy();
        self.work.process(now, entropy, submission)
    }

    /// Runs one piece of work that is due at `now`; false when there is none.
    pub fn run_next(&mut self, now: Timestamp, par: Par, control: &dyn Control) -> bool {
        self.work.tick(now);
        let Some(claim) = self.work.claim(now).pop() else {
            return false;
        };
        // A store in memory can be read; if not, the lease of the claim ends.
        let Ok(Some(item)) = self.work.start(now, claim.id, claim.token) else {
            return true;
        };
        let outcome = item.run(par, control, &self.config.limits);
        let outcome = outcome.map_err(WorkFailure::from);
        self.work.finish(now, claim.id, claim.token, 0, outcome);
        self.work.commit().is_ok()
    }

    /// When [`Self::run_next`] will next have something to do; `None`: not before a call.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.work.next_deadline()
    }

    fn cache_figures(&self) -> CacheFigures {
        let stats = self.cache.stats();
        CacheFigures {
            hits: stats.hits,
            misses: stats.misses,
            size: Some(stats.size as u64),
            memory: Some(stats.memory_usage),
        }
    }

    fn entropy(&mut self) -> [u8; 16] {
        random_bytes(&mut self.entropy)
    }
}

fn defaults(config: &ServiceConfig) -> Defaults {
    Defaults {
        jobs: config.jobs.clone(),
        task_timeout_ms: config.task_timeout_ms,
        batch_timeout_ms: config.batch_timeout_ms,
    }
}

/// One thread runs the work, whoever calls [`Service::run_next`].
fn work_config(config: &ServiceConfig) -> WorkConfig {
    WorkConfig {
        limits: config.limits.clone(),
        scheduler: jobs::Config {
            queued_max: config.limits.queued_jobs,
            seed: config.seed,
            ..jobs::Config::default()
        },
        retention: jobs::Retention {
            bytes: 64 << 20,
            ..jobs::Retention::default()
        },
        workers: 1,
    }
}

fn random_bytes(rng: &mut Rng) -> [u8; 16] {
    let (a, b) = (rng.next_u64(), rng.next_u64());
    ((u128::from(a) << 64) | u128::from(b)).to_le_bytes()
}

/// 501: another shell offers it.
#[must_use]
pub fn not_offered(route: Route) -> ApiError {
    let message = format!("{} is not offered by this shell", route.info().path);
    ApiError::new(ErrorCode::NotImplemented, message)
}
