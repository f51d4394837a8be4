//! The server's parts, put together once, for the binary and for tests.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use sommos_core::{
    jobs::Retention,
    limits::Limits,
    time::Timestamp,
    wire::{
        access::Tokens,
        cache::CacheSet,
        jobs::SubmitDefaults,
        memory::{AllocationTracker, CurrentMemory, MemoryPools, MemoryStatsResponse},
        testing::TargetOrigins,
    },
};
use tokio::sync::Semaphore;

use crate::{
    allocator,
    auth::RateLimiter,
    cache::ShardedCache,
    config::Config,
    cors::Cors,
    distributed::{Distributed, OwnedSet},
    executor::{TaskExecutor, sandbox_options},
    handlers::{EventHandlers, register_own},
    http::PERMIT_BYTES,
    loading::Loads,
    loadtest::LoadTests,
    monitoring::Monitoring,
    queue::{Clock, Queue, QueueConfig},
    sandbox::{self, Sandbox},
    system,
};

/// Everything that a handler may need.
pub struct App {
    /// The configuration as given.
    pub config: Config,
    /// The limits of every call.
    pub limits: Limits,
    /// The tokens that are known.
    pub tokens: Tokens,
    /// The limit on requests from one address.
    pub limiter: Option<RateLimiter>,
    /// The origins that may call.
    pub cors: Cors,
    /// The cache: with Redis, this server's copies.
    pub cache: Arc<ShardedCache>,
    /// The cache that servers share, with `--redis-url`.
    pub shared: Option<Arc<Distributed>>,
    /// Values on their way into the cache.
    pub loads: Loads,
    /// Jobs, tasks and batches.
    pub queue: Queue,
    /// Runs processors for streams, too.
    pub executor: Arc<TaskExecutor>,
    /// Load tests that wait or run.
    pub load_tests: Arc<LoadTests>,
    /// Origins that load tests may go to besides this server.
    pub load_test_origins: TargetOrigins,
    /// The turn of memory tests: one at a time.
    pub memory_tests: Semaphore,
    /// Metrics, history and alerts.
    pub monitoring: Monitoring,
    /// Handlers of events.
    pub handlers: EventHandlers,
    /// Allocations of the host application.
    pub allocations: Mutex<AllocationTracker>,
    /// Children that run processors.
    pub sandbox: Arc<Sandbox>,
    /// Budget of bodies in memory, in permits of [`PERMIT_BYTES`].
    pub bodies: Arc<Semaphore>,
    /// Turns of decoding and coding on blocking threads.
    pub cpu: Semaphore,
    /// The OpenAPI document, made once.
    pub openapi: OnceLock<Bytes>,
    /// Where the server listens, once it does.
    pub address: OnceLock<SocketAddr>,
    clock: Clock,
    draining: AtomicBool,
    ending: tokio::sync::watch::Sender<bool>,
}

/// What tests choose beside the configuration.
#[derive(Clone, Default)]
pub struct Parts {
    /// The clock; absent: the wall clock.
    pub clock: Option<Clock>,
    /// The binary that sandbox children run; absent: this one.
    pub sandbox_program: Option<PathBuf>,
}

impl App {
    /// Opens the store and starts the workers.
    ///
    /// # Errors
    /// When the configuration is wrong or the data directory cannot be used.
    pub fn open(config: Config, parts: Parts) -> anyhow::Result<Arc<Self>> {
        config.check()?;
        let limits = config.limits()?;
        let given = parts.clock;
        let clock = given.clone().unwrap_or_else(crate::queue::wall_clock);
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("--data-dir {}", config.data_dir.display()))?;
        let workers_max = config.workers_max();
        let sandbox = Arc::new(Sandbox::new(sandbox_options(
            parts.sandbox_program,
            workers_max,
        ))?);
        let processor_limits = processor_limits(&config);
        let load_tests = Arc::new(LoadTests::new(config.load_tests_max));
        let executor = Arc::new(TaskExecutor::new(
            limits.clone(),
            Arc::clone(&sandbox),
            processor_limits,
            Arc::clone(&load_tests),
        ));
        let queue_config = queue_config(&config, &limits, &clock);
        let queue = match config.redis.queue()? {
            None => Queue::open(queue_config, executor.clone())?,
            Some(shared) => Queue::open_shared(queue_config, executor.clone(), shared)?,
        };
        let handlers = EventHandlers::default();
        register_own(&handlers)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cache = Arc::new(ShardedCache::with_policy(
            config.cache_max_size,
            config.cache_max_bytes,
            config.cache_default_ttl_ms,
            &limits,
            config.cache_policy.into(),
        )?);
        let shared = config
            .redis
            .distributed(config.listen, &limits)?
            .map(|shared| Distributed::new(shared, Arc::clone(&cache), given.clone()))
            .transpose()
            .context("--redis-url")?;
        let limiter = config
            .effective_rate_limit()
            .map(|rate| RateLimiter::new(rate, shared.clone(), Arc::clone(&clock)));
        Ok(Arc::new(Self {
            tokens: config.tokens()?,
            limiter,
            cors: Cors::new(&config.cors_origin)?,
            cache,
            shared,
            loads: Loads::default(),
            queue,
            executor,
            load_tests,
            load_test_origins: config.load_test_origins()?,
            memory_tests: Semaphore::new(1),
            monitoring: Monitoring::open(&config, clock())?,
            handlers,
            allocations: Mutex::new(AllocationTracker::new(config.memory_limit_bytes)),
            sandbox,
            bodies: Arc::new(Semaphore::new((config.bodies_bytes / PERMIT_BYTES).max(1))),
            cpu: Semaphore::new(cores),
            openapi: OnceLock::new(),
            address: OnceLock::new(),
            clock,
            draining: AtomicBool::new(false),
            ending: tokio::sync::watch::Sender::new(false),
            limits,
            config,
        }))
    }

    /// A set for the shared cache.
    #[must_use]
    pub fn owned_set(&self, set: &CacheSet<'_>) -> OwnedSet {
        OwnedSet::new(set, self.config.cache_default_ttl_ms)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Whether new work is refused because the server ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Resolves when the server begins to end: open streams end with it.
    pub async fn ended(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as self.
        let _ = ending.wait_for(|ended| *ended).await;
    }

    /// Refuses new work, lets running jobs finish within the grace, and closes the store.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.ending.send_replace(true);
        self.load_tests.end();
        // The last tenth is for stopping what still runs, writing it down and closing.
        let grace = Duration::from_millis(self.config.grace_ms);
        self.queue.drain(grace - grace / 10).await;
    }

    /// Defaults of a job's submission.
    #[must_use]
    pub fn job_defaults(&self) -> SubmitDefaults {
        SubmitDefaults {
            timeout_ms: self.config.job_timeout_ms,
            retries: self.config.retry_attempts,
            retry_delay_ms: self.config.retry_delay_ms,
        }
    }

    /// Defaults of a task's submission: it is not retried.
    #[must_use]
    pub fn task_defaults(&self) -> SubmitDefaults {
        SubmitDefaults {
            timeout_ms: self.config.task_timeout_ms,
            retries: 0,
            ..self.job_defaults()
        }
    }

    /// The figures of GET /memory/stats.
    #[must_use]
    pub fn memory_stats(&self) -> MemoryStatsResponse {
        let process = system::process_memory();
        let heap = allocator::figures();
        let mut tracking = self
            .allocations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tracking();
        tracking.allocator_allocations = heap.map(|h| h.allocations);
        tracking.allocator_deallocations = heap.map(|h| h.deallocations);
        tracking.allocator_peak = heap.map(|h| h.peak_bytes);
        MemoryStatsResponse {
            current: CurrentMemory {
                heap_used: heap.map(|h| h.current_bytes),
                heap_total: process.data,
                external: process.shared,
                rss: process.rss,
            },
            tracking,
            pools: MemoryPools {
                object_pools: self.sandbox.stats().idle as u64,
                buffer_pools: 0,
                lazy_cache: self.cache.len() as u64,
                compression_cache: 0,
            },
        }
    }
}

fn processor_limits(config: &Config) -> sandbox::Limits {
    sandbox::Limits {
        time_ms: config.processor_time_ms,
        memory_bytes: config.processor_memory_bytes as u64,
        output_bytes: config.processor_output_bytes as u64,
        ..Default::default()
    }
}

fn queue_config(config: &Config, limits: &Limits, clock: &Clock) -> QueueConfig {
    let mut queue = QueueConfig::new(config.data_dir.join("sommos.db"));
    queue.scheduler.queued_max = limits.queued_jobs;
    queue.retention = Retention {
        age_ms: config.result_ttl_ms,
        bytes: config.results_max_bytes,
        ..Retention::default()
    };
    queue.min_workers = config.workers_min;
    queue.max_workers = config.workers_max();
    queue.idle_timeout = Duration::from_millis(config.worker_idle_ms);
    queue.result_bytes_max = limits.result_bytes;
    queue.clock = Arc::clone(clock);
    queue
}
