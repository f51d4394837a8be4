//! The configuration: every flag has a default, a unit and an environment variable.

mod alerts;
mod names;
mod otlp;
mod redis;

pub use alerts::AlertConfig;
pub use names::{CachePolicyName, LogFormat};
pub use otlp::OtlpConfig;
pub use redis::RedisConfig;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use sommos_core::limits::Limits;
use sommos_core::wire::{access::Tokens, routes::Scope, testing::TargetOrigins};
use tokio::sync::Semaphore;

/// The performance engine of SommOS: cache, jobs, batches, parallel tasks, monitoring.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Config {
    /// Address to listen on; any but a loopback address needs a token.
    #[arg(long, env = "SOMMOS_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder of the database; made when absent.
    #[arg(long, env = "SOMMOS_DATA_DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Bearer token with every right.
    #[arg(long, env = "SOMMOS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// File of further tokens, one a line: TOKEN SCOPE[,SCOPE] with scopes read, write, admin.
    #[arg(long, env = "SOMMOS_TOKENS_FILE")]
    pub tokens_file: Option<PathBuf>,
    /// Origin that browsers may call from; repeatable. None: no cross-origin calls.
    #[arg(long, env = "SOMMOS_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<String>,
    /// Requests a second from one address, with a burst of twice as many; 0: no limit. Default: no
    /// limit on loopback, 500 elsewhere.
    #[arg(long, env = "SOMMOS_RATE_LIMIT")]
    pub rate_limit: Option<u32>,
    /// Milliseconds until a request is answered 503.
    #[arg(long, env = "SOMMOS_REQUEST_TIMEOUT_MS", default_value_t = 30_000)]
    pub request_timeout_ms: u64,
    /// Most connections at once; more wait until one is closed.
    #[arg(long, env = "SOMMOS_MAX_CONNECTIONS", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Milliseconds that a connection may take to send a request's head, or be idle.
    #[arg(long, env = "SOMMOS_HEADER_TIMEOUT_MS", default_value_t = 30_000)]
    pub header_timeout_ms: u64,
    /// Bytes of request bodies in memory at once; more wait.
    #[arg(long, env = "SOMMOS_BODIES_BYTES", default_value_t = 256 << 20)]
    pub bodies_bytes: usize,
    /// Milliseconds that running jobs get to finish on SIGTERM.
    #[arg(long, env = "SOMMOS_GRACE_MS", default_value_t = 10_000)]
    pub grace_ms: u64,

    /// Most cache entries.
    #[arg(long, env = "SOMMOS_CACHE_MAX_SIZE", default_value_t = 10_000)]
    pub cache_max_size: usize,
    /// Most bytes of the cache.
    #[arg(long, env = "SOMMOS_CACHE_MAX_BYTES", default_value_t = 256 << 20)]
    pub cache_max_bytes: u64,
    /// Which entries go when it is full. lru: those not asked for longest. adaptive: learns which
    /// pay; more hits with loops, scans and uneven or changing use, 16 bytes more an entry.
    #[arg(long, env = "SOMMOS_CACHE_POLICY", value_enum, default_value_t = CachePolicyName::Lru)]
    pub cache_policy: CachePolicyName,
    /// Milliseconds that a value lives when its set does not say.
    #[arg(long, env = "SOMMOS_CACHE_DEFAULT_TTL_MS", default_value_t = 3_600_000)]
    pub cache_default_ttl_ms: u64,
    /// Milliseconds between clean-ups of expired entries.
    #[arg(long, env = "SOMMOS_CACHE_CLEANUP_INTERVAL_MS", default_value_t = 1000)]
    pub cache_cleanup_interval_ms: u64,
    /// Milliseconds after which a value that nobody asks for is packed, to be unpacked when somebody
    /// does: between once and twice as many; 0: never.
    #[arg(long, env = "SOMMOS_CACHE_PACK_AFTER_MS", default_value_t = 60_000)]
    pub cache_pack_after_ms: u64,
    /// NDJSON file of {key, value, ttl, staleTtl, tags} lines that warms the cache at start.
    #[arg(long, env = "SOMMOS_CACHE_WARM_FILE")]
    pub cache_warm_file: Option<PathBuf>,
    /// Loader that warming and get-or-load may name: NAME=FILE, such an NDJSON file; repeatable.
    #[arg(long, env = "SOMMOS_CACHE_LOADER", value_delimiter = ',', value_parser = parse_loader)]
    pub cache_loader: Vec<(String, PathBuf)>,

    /// Fewest worker threads.
    #[arg(long, env = "SOMMOS_WORKERS_MIN", default_value_t = 1)]
    pub workers_min: usize,
    /// Most worker threads; 0: twice the cores, at least 4.
    #[arg(long, env = "SOMMOS_WORKERS_MAX", default_value_t = 0)]
    pub workers_max: usize,
    /// Milliseconds after which an idle worker above the minimum ends.
    #[arg(long, env = "SOMMOS_WORKER_IDLE_MS", default_value_t = 10_000)]
    pub worker_idle_ms: u64,
    /// Milliseconds that a job's attempt may take when the submission does not say.
    #[arg(long, env = "SOMMOS_JOB_TIMEOUT_MS", default_value_t = 1_800_000)]
    pub job_timeout_ms: u64,
    /// Milliseconds that a task may take when the submission does not say.
    #[arg(long, env = "SOMMOS_TASK_TIMEOUT_MS", default_value_t = 300_000)]
    pub task_timeout_ms: u64,
    /// Milliseconds that a batch may take when the submission does not say.
    #[arg(long, env = "SOMMOS_BATCH_TIMEOUT_MS", default_value_t = 1_800_000)]
    pub batch_timeout_ms: u64,
    /// Retries of a job when the submission does not say.
    #[arg(long, env = "SOMMOS_RETRY_ATTEMPTS", default_value_t = 3)]
    pub retry_attempts: u32,
    /// Milliseconds before the first retry; doubled for each further one.
    #[arg(long, env = "SOMMOS_RETRY_DELAY_MS", default_value_t = 1000)]
    pub retry_delay_ms: u64,
    /// Milliseconds that finished jobs and batches are kept.
    #[arg(long, env = "SOMMOS_RESULT_TTL_MS", default_value_t = 86_400_000)]
    pub result_ttl_ms: u64,
    /// Bytes of results that are kept; the oldest go first.
    #[arg(long, env = "SOMMOS_RESULTS_MAX_BYTES", default_value_t = 2 << 30)]
    pub results_max_bytes: u64,

    /// Milliseconds that a processor may take for one chunk.
    #[arg(long, env = "SOMMOS_PROCESSOR_TIME_MS", default_value_t = 5000)]
    pub processor_time_ms: u64,
    /// Bytes of memory of a processor.
    #[arg(long, env = "SOMMOS_PROCESSOR_MEMORY_BYTES", default_value_t = 128 << 20)]
    pub processor_memory_bytes: usize,
    /// Bytes of JSON that a processor may return for one chunk.
    #[arg(long, env = "SOMMOS_PROCESSOR_OUTPUT_BYTES", default_value_t = 32 << 20)]
    pub processor_output_bytes: usize,

    /// Origin that load tests may go to besides this server: http://host or http://host:port;
    /// repeatable. None: only this server is tested.
    #[arg(long, env = "SOMMOS_LOAD_TEST_ORIGIN", value_delimiter = ',')]
    pub load_test_origin: Vec<String>,
    /// Load tests at once; more are answered 429.
    #[arg(long, env = "SOMMOS_LOAD_TESTS_MAX", default_value_t = 1)]
    pub load_tests_max: usize,

    /// Milliseconds between samples of the system.
    #[arg(long, env = "SOMMOS_MONITORING_INTERVAL_MS", default_value_t = 5000)]
    pub monitoring_interval_ms: u64,
    /// Percent of CPU above which an alert is raised.
    #[arg(long, env = "SOMMOS_ALERT_CPU", default_value_t = 80.0)]
    pub alert_cpu: f64,
    /// Percent of memory above which an alert is raised.
    #[arg(long, env = "SOMMOS_ALERT_MEMORY", default_value_t = 85.0)]
    pub alert_memory: f64,
    /// Milliseconds of the 95th percentile of response times above which an alert is raised.
    #[arg(long, env = "SOMMOS_ALERT_RESPONSE_TIME_MS", default_value_t = 5000.0)]
    pub alert_response_time_ms: f64,
    /// Percent of errors above which an alert is raised.
    #[arg(long, env = "SOMMOS_ALERT_ERROR_RATE", default_value_t = 5.0)]
    pub alert_error_rate: f64,
    /// Rules of alerts and who is told.
    #[command(flatten)]
    pub alerts: AlertConfig,
    /// A collector of metrics.
    #[command(flatten)]
    pub otlp: OtlpConfig,
    /// Bytes that the host application may track by allocate.
    #[arg(long, env = "SOMMOS_MEMORY_LIMIT_BYTES", default_value_t = 100 << 20)]
    pub memory_limit_bytes: u64,

    /// The cache and queue that servers share.
    #[command(flatten)]
    pub redis: RedisConfig,

    /// A limit: NAME=VALUE, such as bodyBytes=1048576; repeatable. The list is in ARCHITECTURE.md.
    #[arg(long = "limit", env = "SOMMOS_LIMITS", value_delimiter = ',')]
    pub limit: Vec<String>,
    /// What to log, as in RUST_LOG.
    #[arg(long, env = "SOMMOS_LOG", default_value = "info")]
    pub log: String,
    /// How to log.
    #[arg(long, env = "SOMMOS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

fn parse_loader(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err(format!("expected NAME=FILE, got {text:?}")),
    }
}

impl Config {
    /// The defaults, for tests: nothing is read from the command line or the environment.
    ///
    /// # Panics
    /// Never: the defaults parse.
    #[must_use]
    #[allow(
        clippy::expect_used,
        reason = "the defaults are constants of this file"
    )]
    pub fn for_tests(data_dir: PathBuf) -> Self {
        let mut config = Self::try_parse_from(["sommos-server"]).expect("every flag has a default");
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.data_dir = data_dir;
        config
    }

    /// Checks what single flags cannot: ranges, and that a reachable server has a token.
    ///
    /// # Errors
    /// A sentence that names the flag and what would be right.
    pub fn check(&self) -> anyhow::Result<()> {
        let tokens = self.tokens()?;
        if !self.listen.ip().is_loopback() && tokens.is_empty() {
            bail!(
                "--listen {} can be reached from other machines: set --token or --tokens-file, or \
                 listen on 127.0.0.1",
                self.listen
            );
        }
        ensure!(
            (1..=Semaphore::MAX_PERMITS).contains(&self.max_connections),
            "--max-connections must be at least 1"
        );
        ensure!(
            self.header_timeout_ms > 0,
            "--header-timeout-ms must be at least 1"
        );
        ensure!(
            self.cache_max_size > 0,
            "--cache-max-size must be at least 1"
        );
        ensure!(
            self.cache_max_bytes > 0,
            "--cache-max-bytes must be at least 1"
        );
        ensure!(
            self.cache_default_ttl_ms > 0,
            "--cache-default-ttl-ms must be at least 1"
        );
        ensure!(
            self.cache_cleanup_interval_ms > 0,
            "--cache-cleanup-interval-ms must be at least 1"
        );
        ensure!(
            self.monitoring_interval_ms >= 100,
            "--monitoring-interval-ms must be at least 100"
        );
        ensure!(
            self.otlp.otlp_interval_ms >= 100,
            "--otlp-interval-ms must be at least 100"
        );
        self.alerts.check()?;
        ensure!(self.workers_min >= 1, "--workers-min must be at least 1");
        ensure!(
            self.workers_min <= self.workers_max(),
            "--workers-min {} is more than --workers-max {}",
            self.workers_min,
            self.workers_max()
        );
        ensure!(
            self.processor_time_ms >= 10,
            "--processor-time-ms must be at least 10"
        );
        ensure!(
            self.load_tests_max > 0,
            "--load-tests-max must be at least 1"
        );
        self.load_test_origins()?;
        self.limits().map(|_| ())
    }

    /// The origins of `--load-test-origin`.
    ///
    /// # Errors
    /// Names the origin that is wrong and says what would be right.
    pub fn load_test_origins(&self) -> anyhow::Result<TargetOrigins> {
        let listed = self.load_test_origin.iter().map(String::as_str);
        TargetOrigins::new(listed).context("--load-test-origin")
    }

    /// The limits with the overrides of `--limit`.
    ///
    /// # Errors
    /// Names an unknown limit or a value that is no whole number.
    pub fn limits(&self) -> anyhow::Result<Limits> {
        let mut json = serde_json::to_value(Limits::default())?;
        for text in &self.limit {
            let (name, value) = text
                .split_once('=')
                .with_context(|| format!("--limit {text:?}: expected NAME=VALUE"))?;
            let value: u64 = value
                .parse()
                .with_context(|| format!("--limit {text:?}: expected a whole number"))?;
            let slot = json
                .get_mut(name)
                .with_context(|| format!("--limit {text:?}: no limit is named {name:?}"))?;
            *slot = value.into();
        }
        serde_json::from_value(json).context("--limit: a value is out of range")
    }

    /// The tokens of `--token` and `--tokens-file`.
    ///
    /// # Errors
    /// When the file cannot be read or a line is malformed.
    pub fn tokens(&self) -> anyhow::Result<Tokens> {
        let file = match &self.tokens_file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("--tokens-file {}", path.display()))?,
        };
        let mut tokens = Tokens::parse(&file).context("--tokens-file")?;
        if let Some(token) = &self.token {
            tokens.add(token, Scope::Admin).context("--token")?;
        }
        Ok(tokens)
    }

    /// Requests a second from one address; `None`: no limit.
    #[must_use]
    pub fn effective_rate_limit(&self) -> Option<u32> {
        match self.rate_limit {
            Some(0) => None,
            Some(rate) => Some(rate),
            None if is_loopback(self.listen.ip()) => None,
            None => Some(500),
        }
    }

    /// Most worker threads.
    #[must_use]
    pub fn workers_max(&self) -> usize {
        if self.workers_max > 0 {
            return self.workers_max;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (2 * cores).max(4)
    }

    /// The request timeout as a duration.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Config {
        Config::try_parse_from(std::iter::once("sommos-server").chain(args.iter().copied()))
            .unwrap()
    }

    #[test]
    fn a_reachable_address_needs_a_token() {
        let error = config(&["--listen", "0.0.0.0:80"])
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains("--token"), "{error}");
        assert!(
            config(&["--listen", "0.0.0.0:80", "--token", "0123456789abcdef"])
                .check()
                .is_ok()
        );
        assert!(config(&[]).check().is_ok());
    }

    #[test]
    fn origins_that_are_never_tested_end_the_start() {
        let check = |origin| config(&["--load-test-origin", origin]).check();
        assert!(check("http://127.0.0.1:9000,http://cellar.example").is_ok());
        for wrong in [
            "https://cellar.example",
            "http://169.254.169.254",
            "http://a/b",
            "x",
        ] {
            let error = format!("{:#}", check(wrong).unwrap_err());
            assert!(error.contains("--load-test-origin"), "{error}");
        }
    }

    #[test]
    fn limits_are_overridden_by_name() {
        assert_eq!(
            config(&["--limit", "bodyBytes=5"])
                .limits()
                .unwrap()
                .body_bytes,
            5
        );
        let error = config(&["--limit", "nothing=5"])
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains("nothing"), "{error}");
    }
}
