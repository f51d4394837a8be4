//! Of the Redis that servers share; none without it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use sommos_core::{
    distributed::BreakerState,
    metrics::{MetricKind, MetricValue},
};

use super::{Family, counter, gauge, labels};
use crate::app::App;

/// The breaker, the connection and what became of reads and writes.
pub(super) fn redis(app: &App) -> Vec<Family> {
    let Some(shared) = &app.shared else {
        return Vec::new();
    };
    let stats = shared.figures();
    let mut breaker = Family::new(
        MetricKind::Gauge,
        "sommos_redis_breaker_state",
        "1",
        "The circuit breaker before Redis: 1 for the state that it is in, 0 for the others.",
    );
    for (state, name) in [
        (BreakerState::Closed, "closed"),
        (BreakerState::Open, "open"),
        (BreakerState::HalfOpen, "half-open"),
    ] {
        let is = f64::from(u8::from(stats.breaker == Some(state)));
        breaker.push(labels(&[("state", name)]), MetricValue::Number(is));
    }
    let mut reads = Family::new(
        MetricKind::Counter,
        "sommos_redis_reads_total",
        "{read}",
        "Reads of the cache that Redis answered, by whether with a value.",
    );
    for (found, count) in [("hit", stats.remote_hits), ("miss", stats.remote_misses)] {
        let labels = labels(&[("result", found)]);
        reads.push(labels, MetricValue::Number(count as f64));
    }
    let mut families = vec![breaker, reads];
    families.extend(counters(&stats));
    families.extend(gauges(&stats));
    families.extend(limits(app));
    families
}

type Stats = sommos_core::wire::cache::DistributedStatsResponse;

fn counters(stats: &Stats) -> impl Iterator<Item = Family> {
    [
        (
            "sommos_redis_breaker_opened_total",
            "{time}",
            "Times that the circuit breaker before Redis opened.",
            stats.breaker_opened,
        ),
        (
            "sommos_redis_reconnects_total",
            "{connection}",
            "Connections to Redis made after the first.",
            stats.reconnects,
        ),
        (
            "sommos_redis_timeouts_total",
            "{command}",
            "Commands that Redis did not answer within the hard timeout.",
            stats.timeouts,
        ),
        (
            "sommos_redis_failures_total",
            "{command}",
            "Commands to Redis that failed otherwise.",
            stats.failures,
        ),
        (
            "sommos_redis_soft_timeouts_total",
            "{read}",
            "Reads that waited for Redis longer than the soft timeout.",
            stats.soft_timeouts,
        ),
        (
            "sommos_redis_replayed_writes_total",
            "{write}",
            "Writes sent to Redis after an outage or behind their answer.",
            stats.replayed,
        ),
        (
            "sommos_redis_dropped_writes_total",
            "{write}",
            "Writes that Redis never got.",
            stats.dropped,
        ),
        (
            "sommos_redis_stale_served_total",
            "{read}",
            "Reads served from a copy because Redis did not answer.",
            stats.fallbacks,
        ),
        (
            "sommos_redis_invalidations_total",
            "{message}",
            "Changes by other servers that Redis told of.",
            stats.invalidations,
        ),
        (
            "sommos_redis_resyncs_total",
            "{time}",
            "Times that all copies were dropped after a connection was made.",
            stats.resyncs,
        ),
    ]
    .map(|(name, unit, help, count)| counter(name, unit, help, count as f64))
    .into_iter()
}

fn gauges(stats: &Stats) -> [Family; 4] {
    [
        gauge(
            "sommos_redis_lag_seconds",
            "s",
            "Round trip of the last sign of life of Redis.",
            stats.lag_ms / 1000.0,
        ),
        gauge(
            "sommos_redis_synced_age_seconds",
            "s",
            "Time since copies were last known to be complete.",
            stats.synced_ms_ago as f64 / 1000.0,
        ),
        gauge(
            "sommos_redis_replay_waiting",
            "{write}",
            "Writes that wait for Redis.",
            stats.sync_queue_size as f64,
        ),
        gauge(
            "sommos_redis_replay_bytes",
            "By",
            "Bytes of the writes that wait for Redis.",
            stats.sync_queue_bytes as f64,
        ),
    ]
}

/// What the common limit on requests costs.
fn limits(app: &App) -> Vec<Family> {
    let Some(limiter) = &app.limiter else {
        return Vec::new();
    };
    let count = |n: &AtomicU64| n.load(Relaxed) as f64;
    vec![
        counter(
            "sommos_rate_limit_questions_total",
            "{question}",
            "Questions to Redis for the limit on requests.",
            count(&limiter.asks),
        ),
        counter(
            "sommos_rate_limit_alone_total",
            "{request}",
            "Requests that this server limited alone, for Redis did not answer in time.",
            count(&limiter.alone),
        ),
    ]
}
