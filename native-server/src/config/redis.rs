//! What servers share, and how.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use sommos_core::{distributed::BreakerConfig, limits::Limits};

use crate::{
    distributed::{DistributedConfig, OutageWrites, Writes},
    queue::BullOptions,
};

/// Counters of so many servers add up without running over.
const INSTANCES_MAX: usize = 10_000;

/// Redis between servers.
#[derive(Debug, Clone, Args)]
pub struct RedisConfig {
    /// Redis that several servers share: redis://[user:password@]host:port[/db]. None: this server
    /// works alone.
    #[arg(long = "redis-url", env = "SOMMOS_REDIS_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// What the names of this system's keys in Redis begin with.
    #[arg(
        long = "redis-prefix",
        env = "SOMMOS_REDIS_PREFIX",
        default_value = "sommos"
    )]
    pub prefix: String,
    /// Name of this server among those that share Redis. Default: random.
    #[arg(long = "node-id", env = "SOMMOS_NODE_ID")]
    pub node_id: Option<String>,
    /// Milliseconds that a read waits for Redis when there is a copy to answer with.
    #[arg(
        long = "redis-soft-timeout-ms",
        env = "SOMMOS_REDIS_SOFT_TIMEOUT_MS",
        default_value_t = 50
    )]
    pub soft_timeout_ms: u64,
    /// Milliseconds that anything waits for Redis.
    #[arg(
        long = "redis-hard-timeout-ms",
        env = "SOMMOS_REDIS_HARD_TIMEOUT_MS",
        default_value_t = 500
    )]
    pub hard_timeout_ms: u64,
    /// Milliseconds that copies of shared values are trusted without a sign of life of Redis.
    #[arg(
        long = "redis-lease-ms",
        env = "SOMMOS_REDIS_LEASE_MS",
        default_value_t = 1000
    )]
    pub lease_ms: u64,
    /// Milliseconds that copies are served while Redis cannot be reached.
    #[arg(
        long = "redis-stale-ms",
        env = "SOMMOS_REDIS_STALE_MS",
        default_value_t = 30_000
    )]
    pub stale_ms: u64,
    /// When a write to the cache is answered.
    #[arg(long = "redis-writes", env = "SOMMOS_REDIS_WRITES", value_enum, default_value_t = Writes::Through)]
    pub writes: Writes,
    /// What becomes of writes to the cache while Redis cannot be reached.
    #[arg(long = "redis-outage-writes", env = "SOMMOS_REDIS_OUTAGE_WRITES", value_enum, default_value_t = OutageWrites::Replay)]
    pub outage_writes: OutageWrites,
    /// Writes that may wait for Redis, count.
    #[arg(
        long = "redis-replay-max",
        env = "SOMMOS_REDIS_REPLAY_MAX",
        default_value_t = 100_000
    )]
    pub replay_max: usize,
    /// Bytes of writes that may wait for Redis.
    #[arg(long = "redis-replay-bytes", env = "SOMMOS_REDIS_REPLAY_BYTES", default_value_t = 64 << 20)]
    pub replay_bytes: u64,
    /// Other servers that the summary of the cluster reads, count; each some kilobytes.
    #[arg(
        long = "cluster-instances-max",
        env = "SOMMOS_CLUSTER_INSTANCES_MAX",
        default_value_t = 1000
    )]
    pub instances_max: usize,
    /// JSON values of this many bytes and more are packed in Redis.
    #[arg(
        long = "redis-pack-bytes",
        env = "SOMMOS_REDIS_PACK_BYTES",
        default_value_t = 1024
    )]
    pub pack_bytes: usize,
    /// Milliseconds that a worker's claim of a shared job lasts unless it is renewed. What a dead
    /// server ran is taken over after at most twice as long.
    #[arg(
        long = "redis-job-lease-ms",
        env = "SOMMOS_REDIS_JOB_LEASE_MS",
        default_value_t = 30_000
    )]
    pub job_lease_ms: u64,
    /// Times that a shared job may lose its worker before it counts as failed.
    #[arg(
        long = "redis-stalled-max",
        env = "SOMMOS_REDIS_STALLED_MAX",
        default_value_t = 3
    )]
    pub stalled_max: u32,
    /// Bytes of a shared job's input, or of a chunk of a batch.
    #[arg(long = "redis-job-bytes", env = "SOMMOS_REDIS_JOB_BYTES", default_value_t = 64 << 20)]
    pub job_bytes: usize,
    /// Types of jobs that workers of npm's bullmq run, each in a queue of its name, separated by
    /// commas.
    #[arg(
        long = "redis-job-types",
        env = "SOMMOS_REDIS_JOB_TYPES",
        value_delimiter = ','
    )]
    pub job_types: Vec<String>,
}

impl RedisConfig {
    /// How the queue is shared; `None` without `--redis-url`.
    ///
    /// # Errors
    /// Names a flag that is out of range.
    pub fn queue(&self) -> anyhow::Result<Option<BullOptions>> {
        let Some(url) = self.url.clone() else {
            return Ok(None);
        };
        ensure!(
            (100..=3_600_000).contains(&self.job_lease_ms),
            "--redis-job-lease-ms must be 100 to 3600000"
        );
        check_types(&self.job_types)?;
        Ok(Some(BullOptions {
            url,
            prefix: self.prefix.clone(),
            hard: Duration::from_millis(self.hard_timeout_ms),
            lease: Duration::from_millis(self.job_lease_ms),
            stalled_max: self.stalled_max,
            external: self.job_types.clone(),
            job_bytes_max: self.job_bytes,
        }))
    }

    /// How the cache is shared; `None` without `--redis-url`.
    ///
    /// # Errors
    /// Names a flag that is out of range.
    pub fn distributed(
        &self,
        listen: SocketAddr,
        limits: &Limits,
    ) -> anyhow::Result<Option<DistributedConfig>> {
        let Some(url) = self.url.clone() else {
            return Ok(None);
        };
        ensure!(
            (1..=self.hard_timeout_ms).contains(&self.soft_timeout_ms),
            "--redis-soft-timeout-ms must be at least 1 and at most --redis-hard-timeout-ms"
        );
        ensure!(
            (4..=self.stale_ms).contains(&self.lease_ms),
            "--redis-lease-ms must be at least 4 and at most --redis-stale-ms"
        );
        ensure!(
            !self.prefix.is_empty() && self.prefix.len() <= 64,
            "--redis-prefix must have 1 to 64 bytes"
        );
        ensure!(
            self.instances_max <= INSTANCES_MAX,
            "--cluster-instances-max must be at most {INSTANCES_MAX}"
        );
        let node = match &self.node_id {
            Some(node) => node.clone(),
            None => format!(
                "{:016x}",
                getrandom::u64().context("no randomness for --node-id")?
            ),
        };
        Ok(Some(DistributedConfig {
            url,
            prefix: self.prefix.clone(),
            address: listen.to_string(),
            node,
            soft: Duration::from_millis(self.soft_timeout_ms),
            hard: Duration::from_millis(self.hard_timeout_ms),
            lease_ms: self.lease_ms,
            stale_ms: self.stale_ms,
            writes: self.writes,
            outage: self.outage_writes,
            replay_max: self.replay_max,
            replay_bytes: self.replay_bytes,
            pack_from: self.pack_bytes,
            value_max: limits.cache_value_bytes,
            members_max: self.instances_max,
            breaker: BreakerConfig::default(),
        }))
    }
}

/// External types at most: each costs this server a connection.
const TYPES_MAX: usize = 32;

fn check_types(types: &[String]) -> anyhow::Result<()> {
    ensure!(
        types.len() <= TYPES_MAX,
        "--redis-job-types has {} types; at most {TYPES_MAX}",
        types.len()
    );
    for name in types {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        ensure!(
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
            "--redis-job-types: {name:?} must have 1 to 64 letters, digits, _, - or ."
        );
        ensure!(
            !["jobs", "tasks", "chunks", "batches"].contains(&name.as_str()),
            "--redis-job-types: {name:?} is the name of a queue of the servers' own"
        );
    }
    Ok(())
}
