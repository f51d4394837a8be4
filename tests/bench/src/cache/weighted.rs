//! Replays with values of different sizes under a limit in bytes: hits, and the bytes of hits.

use std::{collections::HashMap, path::PathBuf};

use sommos_core::{
    cache::{Cache, CacheConfig},
    time::Timestamp,
};

use super::peers::Adaptive;
use crate::report::Report;

/// Traces without sizes of their own, each of another kind, that are given some.
const TRACES: [&str; 4] = ["arc-oltp", "cache2k-web07", "cdn-adaptsize", "lirs-multi3"];
/// The limit as a share of all keys' bytes.
const PERCENT: [u64; 2] = [5, 10];

/// Bytes of a key's value: from 128 B to 128 KiB, each doubling as frequent as the other, by the
/// key alone.
fn weight(key: u64) -> u64 {
    let mixed = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = 128 << ((mixed >> 40) % 10);
    low + (mixed >> 8) % low
}

/// Hits and bytes of hits over all, percent.
fn measure(keys: &[u64], mut access: impl FnMut(u64, u64) -> bool) -> (f64, f64) {
    let (mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64);
    for &key in keys {
        let size = weight(key);
        bytes += size;
        if access(key, size) {
            hits += 1;
            hit_bytes += size;
        }
    }
    let percent = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
    (percent(hits, keys.len() as u64), percent(hit_bytes, bytes))
}

#[derive(Clone)]
struct ByKey;

impl quick_cache::Weighter<u64, u64> for ByKey {
    fn weight(&self, key: &u64, _value: &u64) -> u64 {
        weight(*key)
    }
}

/// Runs the traces that are there.
pub fn run(
    traces: &[(String, PathBuf)],
    read: impl Fn(&std::path::Path) -> anyhow::Result<Vec<u64>>,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.note(
        "cache",
        "with sizes of 128 B to 128 KiB made from the keys, limit in bytes; hits and bytes of hits",
    );
    for (name, path) in traces {
        if !TRACES.contains(&name.as_str()) {
            continue;
        }
        let keys = read(path)?;
        let mut sizes = HashMap::new();
        for &key in &keys {
            sizes.insert(key, weight(key));
        }
        let all: u64 = sizes.values().sum();
        for percent in PERCENT {
            let case = format!("{name}, {percent} % of the bytes");
            one(report, &case, &keys, sizes.len(), all * percent / 100)?;
        }
    }
    Ok(())
}

fn one(
    report: &mut Report,
    case: &str,
    keys: &[u64],
    entries: usize,
    bytes: u64,
) -> anyhow::Result<()> {
    let mut adaptive = Adaptive::weighted(entries, bytes)?;
    let ours = measure(keys, |key, size| adaptive.access_weighted(key, size));
    let config = CacheConfig {
        max_entries: entries,
        max_weight_bytes: bytes,
        default_ttl_ms: None,
        entry_overhead_bytes: 0,
    };
    let mut lru: Cache<u64, u64> = Cache::new(config)?;
    let lru = measure(keys, |key, size| {
        let hit = lru.get(Timestamp::ZERO, &key).is_some();
        if !hit {
            let _ = lru.set(Timestamp::ZERO, key, key, size, None);
        }
        hit
    });
    let quick = quick_cache::sync::Cache::with_weighter(entries / 10, bytes, ByKey);
    let quick = measure(keys, |key, _| {
        let hit = quick.get(&key).is_some();
        if !hit {
            quick.insert(key, key);
        }
        hit
    });
    let moka = moka::sync::Cache::builder()
        .max_capacity(bytes)
        .weigher(|key: &u64, _: &u64| weight(*key) as u32)
        .build();
    let moka = measure(keys, |key, _| {
        let hit = moka.get(&key).is_some();
        if !hit {
            moka.insert(key, key);
        }
        moka.run_pending_tasks();
        hit
    });
    for (peer, figures) in [("our LRU", lru), ("quick_cache", quick), ("moka", moka)] {
        report.points("cache", &format!("{case}, hits"), ours.0, peer, figures.0);
        report.points("cache", &format!("{case}, bytes"), ours.1, peer, figures.1);
    }
    Ok(())
}
