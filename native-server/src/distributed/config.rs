//! How a server shares its cache.

use std::time::Duration;

use clap::ValueEnum;
use sommos_core::distributed::BreakerConfig;

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Writes {
    /// When Redis has it.
    Through,
    /// At once; it is sent behind the answer.
    Behind,
}

/// What becomes of writes while Redis cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutageWrites {
    /// Kept, and sent once it is back.
    Replay,
    /// Not kept; counted.
    Drop,
}

/// The configuration of the shared cache.
#[derive(Debug, Clone)]
pub struct DistributedConfig {
    /// Where Redis is: `redis://[user:password@]host:port[/db]`.
    pub url: String,
    /// What the names of keys begin with.
    pub prefix: String,
    /// Where this server listens, as the others are told.
    pub address: String,
    /// The name of this server among the others.
    pub node: String,
    /// How long a copy may be served instead of waiting for Redis.
    pub soft: Duration,
    /// The longest wait for Redis.
    pub hard: Duration,
    /// How long copies are trusted without a sign of life, ms.
    pub lease_ms: u64,
    /// How old copies may get while Redis cannot be reached, ms.
    pub stale_ms: u64,
    /// When a write is answered.
    pub writes: Writes,
    /// What becomes of writes during an outage.
    pub outage: OutageWrites,
    /// Changes that may wait for Redis, count.
    pub replay_max: usize,
    /// Bytes of changes that may wait for Redis.
    pub replay_bytes: u64,
    /// JSON of this many bytes and more is packed.
    pub pack_from: usize,
    /// The largest value, bytes of JSON.
    pub value_max: usize,
    /// Other servers whose figures are read, count.
    pub members_max: usize,
    /// When to stop asking.
    pub breaker: BreakerConfig,
}
