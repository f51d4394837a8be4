//! The figures of the shared cache.

use std::sync::atomic::{AtomicU64, Ordering};

use sommos_core::{
    distributed::BreakerState,
    wire::cache::{DistributedStatsResponse, RemoteNode},
};

use super::Distributed;

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Distributed {
    /// The figures, with the servers that gave a sign of life; none of them while Redis is away.
    pub async fn stats(&self) -> DistributedStatsResponse {
        DistributedStatsResponse {
            remote_nodes: self.nodes().await.unwrap_or_default(),
            ..self.figures()
        }
    }

    /// The figures of this server alone: Redis is not asked.
    #[must_use]
    pub fn figures(&self) -> DistributedStatsResponse {
        let replay = self.replay().stats();
        let synced = self.synced_at();
        let (link, own) = (&self.link.counters, &self.counters);
        DistributedStatsResponse {
            node_id: self.config.node.clone(),
            enable_sync: true,
            remote_nodes: Vec::new(),
            sync_queue_size: replay.waiting,
            sync_queue_bytes: replay.bytes,
            replayed: replay.replayed,
            dropped: replay.dropped + read(&own.dropped_writes),
            breaker: Some(self.link.state()),
            breaker_opened: self.link.opened(),
            reconnects: read(&link.reconnects),
            timeouts: read(&link.timeouts),
            failures: read(&link.failures),
            lag_ms: read(&link.lag_us) as f64 / 1000.0,
            synced_ms_ago: self.link.now().ms_since(synced),
            remote_hits: read(&own.remote_hits),
            remote_misses: read(&own.remote_misses),
            fallbacks: read(&own.fallbacks),
            soft_timeouts: read(&own.soft_timeouts),
            invalidations: read(&own.invalidations),
            origin_loads: 0,
            resyncs: read(&own.resyncs),
        }
    }

    /// Where the circuit breaker before Redis stands.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.link.state()
    }

    /// Whether Redis answers.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.is_closed()
    }

    async fn nodes(&self) -> Option<Vec<RemoteNode>> {
        let mut pipe = redis::pipe();
        pipe.cmd("SMEMBERS").arg(self.keys.nodes());
        let (mut ids,): (Vec<String>,) = self.link.ask(&pipe).await.ok()?;
        ids.retain(|id| *id != self.config.node);
        ids.sort_unstable();
        if ids.is_empty() {
            return Some(Vec::new());
        }
        let mut pipe = redis::pipe();
        let names: Vec<_> = ids.iter().map(|id| self.keys.node(id)).collect();
        pipe.cmd("MGET").arg(names);
        let (addresses,): (Vec<Option<String>>,) = self.link.ask(&pipe).await.ok()?;
        let mut gone = Vec::new();
        let mut nodes = Vec::new();
        for (id, address) in ids.into_iter().zip(addresses) {
            match address {
                Some(address) => nodes.push(RemoteNode { id, address }),
                None => gone.push(id),
            }
        }
        if !gone.is_empty() {
            let mut pipe = redis::pipe();
            pipe.cmd("SREM").arg(self.keys.nodes()).arg(gone).ignore();
            // They are left out either way.
            let _: Result<(), _> = self.link.ask(&pipe).await;
        }
        Some(nodes)
    }
}
