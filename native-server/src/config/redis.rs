//! What servers share, and how.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use sommos_core::{distributed::BreakerConfig, limits::Limits};

use crate::distributed::{DistributedConfig, OutageWrites, Writes};

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
}

impl RedisConfig {
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
