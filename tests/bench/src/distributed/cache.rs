//! Reads of the shared cache: from a copy, and from Redis.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use redis::{AsyncCommands as _, aio::MultiplexedConnection};
use serde_json::value::{RawValue, to_raw_value};
use sommos_core::{distributed::BreakerConfig, limits::Limits, wire::cache::CacheSet};
use sommos_server::{
    cache::ShardedCache,
    distributed::{Distributed, DistributedConfig, OutageWrites, OwnedSet, Writes},
    queue::wall_clock,
};
use tokio::runtime::Runtime;

use super::placement::Placement;
use crate::{
    Options,
    queue::redis::Redis,
    report::{Report, interleaved, median},
};

/// Keys that both levels hold, and reads of a round.
const COPIES: usize = 1000;
const COPY_READS: usize = 2_000_000;
/// Keys in Redis alone, read once each in a round.
const REMOTE: usize = 50_000;
/// Reads under way at once.
const AT_ONCE: usize = 64;
/// Reads one at once of a turn, and turns of a round: a machine's speed changes more slowly than
/// that, so both have the same share of its moods.
const TURN: usize = 500;
const TURNS: usize = 20;

/// Both.
pub fn run(options: &Options, report: &mut Report, redis: &Redis) -> anyhow::Result<()> {
    let url = redis.url();
    copies(options, report, &Runtime::new()?, &url)?;
    for placement in Placement::possible() {
        let runtime = placement.runtime(redis.pid())?;
        remote(options, report, &runtime, &url, placement)?;
    }
    Placement::Free.runtime(redis.pid())?;
    Ok(())
}

fn local(entries: usize) -> anyhow::Result<Arc<ShardedCache>> {
    let cache = ShardedCache::new(entries, 256 << 20, 3_600_000, &Limits::default())?;
    Ok(Arc::new(cache))
}

/// A server's view, connected.
fn join(
    runtime: &Runtime,
    url: &str,
    local: Arc<ShardedCache>,
) -> anyhow::Result<Arc<Distributed>> {
    let config = DistributedConfig {
        url: url.to_owned(),
        prefix: "bench".into(),
        node: "bench".into(),
        address: "127.0.0.1:0".into(),
        soft: std::time::Duration::from_millis(50),
        hard: std::time::Duration::from_millis(500),
        lease_ms: 1000,
        stale_ms: 30_000,
        writes: Writes::Through,
        outage: OutageWrites::Replay,
        replay_max: 100_000,
        replay_bytes: 64 << 20,
        pack_from: 1024,
        value_max: Limits::default().cache_value_bytes,
        members_max: 1000,
        breaker: BreakerConfig::default(),
    };
    let shared = Distributed::new(config, local, None)?;
    runtime.spawn(Arc::clone(&shared).run());
    runtime.block_on(shared.tried());
    ensure!(shared.is_connected(), "Redis does not answer");
    Ok(shared)
}

fn key(n: usize) -> String {
    format!("guest:{n}:preferences")
}

fn value(n: usize) -> anyhow::Result<Box<RawValue>> {
    let value = serde_json::json!({"guest": n, "likes": ["Riesling", "Rioja"]});
    Ok(to_raw_value(&value)?)
}

fn cache_set<'a>(key: &'a str, value: &'a RawValue) -> CacheSet<'a> {
    CacheSet {
        key: key.into(),
        value: value.get(),
        ttl_ms: None,
        stale_ttl_ms: None,
        tags: Vec::new(),
    }
}

fn set(n: usize) -> anyhow::Result<OwnedSet> {
    let (key, value) = (key(n), value(n)?);
    Ok(OwnedSet::new(&cache_set(&key, &value), 3_600_000))
}

fn fill(runtime: &Runtime, shared: &Distributed, keys: usize) -> anyhow::Result<()> {
    let sets: Vec<_> = (0..keys).map(set).collect::<Result<_, _>>()?;
    let filled = runtime.block_on(shared.set_many(&sets));
    filled.map_err(|error| anyhow::anyhow!(error.message.into_owned()))
}

/// A hit on a copy, beside the same hit in the cache of a server alone.
fn copies(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    url: &str,
) -> anyhow::Result<()> {
    let clock = wall_clock();
    let alone = local(10_000)?;
    for n in 0..COPIES {
        let (key, value) = (key(n), value(n)?);
        let stored = alone.set(clock(), &cache_set(&key, &value));
        ensure!(stored.is_ok(), "the embedded cache refused a value");
    }
    let shared = join(runtime, url, local(10_000)?)?;
    fill(runtime, &shared, COPIES)?;
    let keys: Vec<String> = (0..COPIES).map(key).collect();
    let mut missed = 0usize;
    let rate = |began: Instant| COPY_READS as f64 / began.elapsed().as_secs_f64() / 1e6;
    let figures = interleaved(
        options.rounds,
        &mut [
            &mut || {
                let began = Instant::now();
                missed += runtime.block_on(async {
                    let mut missed = 0;
                    for key in keys.iter().cycle().take(COPY_READS) {
                        missed += usize::from(shared.get(key).await.is_none());
                    }
                    missed
                });
                rate(began)
            },
            &mut || {
                let began = Instant::now();
                for key in keys.iter().cycle().take(COPY_READS) {
                    std::hint::black_box(alone.get(clock(), key));
                }
                rate(began)
            },
        ],
    );
    ensure!(missed == 0, "{missed} reads found nothing");
    let case = "get, a copy of 1,000 keys, one thread";
    report.case(
        "distributed",
        case,
        "M/s",
        figures[0],
        "embedded cache",
        figures[1],
    );
    Ok(())
}

/// A read that goes to Redis, beside the same GET by a bare client.
fn remote(
    options: &Options,
    report: &mut Report,
    runtime: &Runtime,
    url: &str,
    placement: Placement,
) -> anyhow::Result<()> {
    // So small that nothing is read twice from a copy.
    let shared = join(runtime, url, local(16)?)?;
    fill(runtime, &shared, REMOTE)?;
    let client = redis::Client::open(url)?;
    let bare = runtime.block_on(client.get_multiplexed_async_connection())?;
    let keys: Vec<String> = (0..REMOTE).map(key).collect();
    let bare_keys: Vec<String> = keys.iter().map(|key| format!("bare:{key}")).collect();
    for (part, first) in bare_keys.chunks(1000).zip((0..).step_by(1000)) {
        let mut pipe = redis::pipe();
        for (name, n) in part.iter().zip(first..) {
            pipe.set(name, value(n)?.get()).ignore();
        }
        let _: () = runtime.block_on(pipe.query_async(&mut bare.clone()))?;
    }
    let (at_once, turn, turns) = match placement {
        Placement::Free => (AT_ONCE, REMOTE, 1),
        Placement::Apart | Placement::Together => (1, TURN, TURNS),
    };
    let (mut failed, mut missed) = (None, 0);
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds.max(1) {
        let mut seconds = [0.0; 2];
        for (ours_turn, bare_turn) in keys.chunks(turn).zip(bare_keys.chunks(turn)).take(turns) {
            let began = Instant::now();
            missed += runtime.block_on(ours(&shared, ours_turn, at_once));
            let middle = Instant::now();
            let read = runtime.block_on(plain(&bare, bare_turn, at_once));
            failed = failed.or(read.err());
            seconds[0] += (middle - began).as_secs_f64();
            seconds[1] += middle.elapsed().as_secs_f64();
        }
        for (figures, seconds) in figures.iter_mut().zip(seconds) {
            figures.push((turn * turns) as f64 / seconds);
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    ensure!(missed == 0, "{missed} reads found nothing");
    let [ours, bare] = figures.map(median);
    let case = format!("get from Redis, {at_once} at once{}", placement.words());
    report.case(
        "distributed",
        &case,
        "gets/s",
        ours,
        "redis crate, GET",
        bare,
    );
    Ok(())
}

/// Reads of tasks, as a server's are.
async fn ours(shared: &Arc<Distributed>, keys: &[String], at_once: usize) -> usize {
    let parts = keys.chunks(keys.len().div_ceil(at_once));
    let tasks = parts.map(|keys| {
        let (shared, keys) = (Arc::clone(shared), keys.to_vec());
        tokio::spawn(async move {
            let mut missed = 0;
            for key in &keys {
                missed += usize::from(shared.get(key).await.is_none());
            }
            missed
        })
    });
    // A task that failed read nothing.
    let missed = join_all(tasks).await.into_iter();
    missed.map(|missed| missed.unwrap_or(keys.len())).sum()
}

async fn plain(
    bare: &MultiplexedConnection,
    keys: &[String],
    at_once: usize,
) -> anyhow::Result<()> {
    let parts = keys.chunks(keys.len().div_ceil(at_once));
    let tasks = parts.map(|keys| {
        let (mut bare, keys) = (bare.clone(), keys.to_vec());
        tokio::spawn(async move {
            for key in &keys {
                let value: Option<Vec<u8>> = bare.get(key).await?;
                value.context("a key that was set is not there")?;
            }
            anyhow::Ok(())
        })
    });
    join_all(tasks).await.into_iter().try_for_each(|read| read?)
}
