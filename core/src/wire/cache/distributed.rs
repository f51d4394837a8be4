//! The figures of a cache that several servers share.

use serde::Serialize;

use crate::distributed::BreakerState;

/// Another server with the same cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemoteNode {
    /// Its name.
    pub id: String,
    /// Where it listens.
    pub address: String,
}

/// `data` of GET /cache/distributed/stats: this server's view.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DistributedStatsResponse {
    /// The name of this server.
    pub node_id: String,
    /// Whether there is a Redis that other servers may share.
    pub enable_sync: bool,
    /// The other servers that gave a sign of life within 10 s.
    pub remote_nodes: Vec<RemoteNode>,
    /// Changes that Redis does not have yet, count.
    pub sync_queue_size: usize,
    /// Bytes that they occupy.
    pub sync_queue_bytes: u64,
    /// Changes that were sent after an outage or behind an answer, count.
    pub replayed: u64,
    /// Changes that were given up, count.
    pub dropped: u64,
    /// The circuit breaker; null without Redis.
    pub breaker: Option<BreakerState>,
    /// How often it opened, count.
    pub breaker_opened: u64,
    /// Connections made after the first, count.
    pub reconnects: u64,
    /// Commands that took longer than the hard timeout, count.
    pub timeouts: u64,
    /// Commands that failed otherwise, count.
    pub failures: u64,
    /// Round trip of the last sign of life, ms.
    pub lag_ms: f64,
    /// Time since copies were last known to be complete, ms.
    pub synced_ms_ago: u64,
    /// Reads that Redis answered with a value, count.
    pub remote_hits: u64,
    /// Reads that Redis answered with none, count.
    pub remote_misses: u64,
    /// Reads served from a copy because Redis did not answer, count.
    pub fallbacks: u64,
    /// Of these, because it took longer than the soft timeout, count.
    pub soft_timeouts: u64,
    /// Changes by other servers that were told, count.
    pub invalidations: u64,
    /// Values that get-or-load read from a loader, count.
    pub origin_loads: u64,
    /// How often all copies were dropped after a connection was made, count.
    pub resyncs: u64,
}
