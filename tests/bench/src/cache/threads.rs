//! Read-through on Zipf keys in several threads at once, wall time: a cache in shards behind
//! locks, as the server has it, beside concurrent caches.

use std::{thread, time::Instant};

use parking_lot::Mutex;

use sommos_core::{
    cache::{self, AnyPolicy, Cache, CacheConfig, CachePolicy, Index},
    time::Timestamp,
};
use sommos_server::cache::shard_count;

use super::{
    peers::{Moka, Quick},
    zipf,
};
use crate::{
    Options,
    plot::Curve,
    report::{Report, interleaved},
};

const THREADS: usize = 2;
const UNIT: &str = "million ops/s, 2 threads";
type Entries = Cache<u64, u64, foldhash::fast::FixedState, (), Index, AnyPolicy>;

/// Apart from its neighbours, as in the server.
#[repr(align(128))]
struct Shard(Mutex<Entries>);

struct Sharded(Box<[Shard]>);

impl Sharded {
    fn new(capacity: usize, policy: CachePolicy) -> anyhow::Result<Self> {
        let count = shard_count(capacity, usize::MAX);
        let shards = (0..count).map(|_| {
            let config = CacheConfig {
                max_entries: capacity / count,
                max_weight_bytes: u64::MAX,
                default_ttl_ms: None,
                ..CacheConfig::default()
            };
            let policy = AnyPolicy::new(policy, config.max_entries, u64::MAX);
            let hasher = foldhash::fast::FixedState::default();
            let entries = cache::Cache::with_policy(config, hasher, (), policy)?;
            anyhow::Ok(Shard(Mutex::new(entries)))
        });
        Ok(Self(shards.collect::<Result<_, _>>()?))
    }

    #[inline]
    fn ask(&self, key: u64) -> bool {
        // Keys are scattered: their high bits are as good as a hash.
        let shard = &self.0[(key >> 32) as usize & (self.0.len() - 1)];
        let hit = shard.0.lock().get(Timestamp::ZERO, &key).copied().is_some();
        if !hit {
            // Weight 8 is never over the limit.
            let _ = shard.0.lock().set(Timestamp::ZERO, key, key, 8, None);
        }
        hit
    }
}

/// Each thread asks for keys of its own seed. Million accesses a second, and the share of hits.
fn run_threads(keys: &[Vec<u64>], hits: impl Fn(u64) -> bool + Sync) -> (f64, f64) {
    let began = Instant::now();
    let hits: usize = thread::scope(|scope| {
        let ask = |keys: &[u64]| keys.iter().filter(|&&key| hits(key)).count();
        let threads: Vec<_> = keys
            .iter()
            .map(|keys| scope.spawn(move || ask(keys)))
            .collect();
        threads.into_iter().filter_map(|t| t.join().ok()).sum()
    });
    let seconds = began.elapsed().as_secs_f64();
    let all: usize = keys.iter().map(Vec::len).sum();
    (all as f64 / seconds / 1e6, hits as f64 / all as f64)
}

/// Runs all capacities.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    for (capacity, requests, most_rounds) in zipf::CASES {
        let keys: Vec<_> = (1..)
            .take(THREADS)
            .map(|seed| zipf::keys(zipf::UNIVERSE * capacity as u64, requests, seed))
            .collect();
        let mut ratios = [0.0; 4];
        let [lru, adaptive, quick, moka] = &mut ratios;
        let ours = |policy, ratio: &mut f64| {
            Sharded::new(capacity, policy).map_or(f64::NAN, |cache| {
                let (speed, hits) = run_threads(&keys, |key| cache.ask(key));
                *ratio = hits;
                speed
            })
        };
        let theirs = |(speed, hits), ratio: &mut f64| {
            *ratio = hits;
            speed
        };
        let speeds = interleaved(
            options.rounds.min(most_rounds),
            &mut [
                &mut || ours(CachePolicy::Lru, lru),
                &mut || ours(CachePolicy::Adaptive, adaptive),
                &mut || {
                    let cache = Quick::new(capacity);
                    theirs(run_threads(&keys, |key| cache.ask(key)), quick)
                },
                &mut || {
                    let cache = Moka::new(capacity, false);
                    theirs(run_threads(&keys, |key| cache.ask(key)), moka)
                },
            ],
        );
        for (ours, policy) in [(0, "lru"), (1, "adaptive")] {
            let case = format!("zipf capacity {capacity}, {policy} in shards");
            let curve = Curve {
                title: "Zipf 0.99 read-through, two threads",
                ours: &format!("ours, {policy} in shards"),
                size_unit: "entries",
                unit: "ns an access (wall time over the accesses of both)",
                cost: |million_per_second| 1e3 / million_per_second,
            };
            for (peer, name) in [(2, "quick_cache"), (3, "moka")] {
                let at = report.at(&curve, capacity);
                at.case("cache", &case, UNIT, speeds[ours], name, speeds[peer]);
            }
            let (unit, quick) = ("hit ratio", ratios[2]);
            report.case("cache", &case, unit, ratios[ours], "quick_cache", quick);
        }
    }
    Ok(())
}
