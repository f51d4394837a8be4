//! Read-through on keys that follow Zipf's law, one thread.

use sommos_core::rng::Rng;

use super::peers::{Adaptive, Lru, LruLocked, Moka, Ours, OursLocked, Quick, ReadThrough, replay};
use crate::{
    Options,
    plot::Curve,
    report::{Report, cpu_seconds, interleaved},
    zipf::{EXPONENT, Zipf},
};

/// Different keys per place in the cache.
pub(super) const UNIVERSE: u64 = 10;
/// Capacity, requests, most rounds.
pub(super) const CASES: [(usize, usize, usize); 3] = [
    (100, 2_000_000, 9),
    (10_000, 2_000_000, 9),
    (1_000_000, 8_000_000, 3),
];

/// Of this file's cases; `threads` has its own.
const CURVE: Curve<'static> = Curve {
    title: "Zipf 0.99 read-through, one thread",
    ours: "ours, LRU behind a Mutex",
    size_unit: "entries",
    unit: "CPU ns an access",
    cost: |million_per_second| 1e3 / million_per_second,
};

/// Keys of a seeded run: ranks scattered over 64 bits (the finalizer of SplitMix64), since real
/// keys do not come numbered by their popularity.
pub(super) fn keys(n: u64, count: usize, seed: u64) -> Vec<u64> {
    let zipf = Zipf::new(n, EXPONENT);
    let mut rng = Rng::new(seed);
    let scatter = |rank: u64| {
        let z = rank.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count).map(|_| scatter(zipf.sample(&mut rng))).collect()
}

/// A contestant: its figure per round, and the hits of its last round.
fn timed<'a, C: ReadThrough>(
    keys: &'a [u64],
    make: impl Fn() -> anyhow::Result<C> + 'a,
    hits: &'a mut u64,
) -> impl FnMut() -> f64 + 'a {
    move || {
        let Ok(mut cache) = make() else {
            return f64::NAN;
        };
        let start = cpu_seconds();
        *hits = replay(keys, &mut cache);
        keys.len() as f64 / (cpu_seconds() - start) / 1e6
    }
}

/// Runs all capacities.
pub fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    report.note(
        "cache",
        "Zipf 0.99 over 10 keys per place, u64 keys and values, one thread, cold start; peers \
         quick_cache and moka lock inside, so compare them with ours behind a Mutex",
    );
    for (capacity, requests, most_rounds) in CASES {
        let rounds = options.rounds.min(most_rounds);
        one_capacity(
            report,
            capacity,
            &keys(UNIVERSE * capacity as u64, requests, 1),
            rounds,
        );
    }
    Ok(())
}

fn one_capacity(report: &mut Report, capacity: usize, keys: &[u64], rounds: usize) {
    const UNIT: &str = "million ops/CPU-s";
    let mut hits = [0; 8];
    let [
        ours_hits,
        locked_hits,
        ttl_hits,
        lru_hits,
        lru_locked_hits,
        quick_hits,
        moka_hits,
        adaptive_hits,
    ] = &mut hits;
    let mut ours = timed(keys, || Ours::new(capacity, None), ours_hits);
    let mut locked = timed(keys, || OursLocked::new(capacity), locked_hits);
    let mut ttl = timed(keys, || Ours::new(capacity, Some(3_600_000)), ttl_hits);
    let mut lru = timed(keys, || Lru::new(capacity), lru_hits);
    let mut lru_locked = timed(keys, || LruLocked::new(capacity), lru_locked_hits);
    let mut quick = timed(keys, || Ok(Quick::new(capacity)), quick_hits);
    let mut moka = timed(keys, || Ok(Moka::new(capacity, false)), moka_hits);
    let mut adaptive = timed(keys, || Adaptive::new(capacity), adaptive_hits);
    let speeds = interleaved(
        rounds,
        &mut [
            &mut ours,
            &mut locked,
            &mut ttl,
            &mut lru,
            &mut lru_locked,
            &mut quick,
            &mut moka,
            &mut adaptive,
        ],
    );
    drop((ours, locked, ttl, lru, lru_locked, quick, moka, adaptive));
    let name = |variant: &str| format!("zipf capacity {capacity}, {variant}");
    let [ours, locked, ttl, lru, lru_locked, quick, moka, adaptive] = speeds[..] else {
        return;
    };
    report.case("cache", &name("bare"), UNIT, ours, "lru bare", lru);
    report.case(
        "cache",
        &name("bare, TTL 1 h"),
        UNIT,
        ttl,
        "lru bare, no TTL",
        lru,
    );
    report.case(
        "cache",
        &name("Mutex"),
        UNIT,
        locked,
        "lru+Mutex",
        lru_locked,
    );
    for (peer, speed) in [("quick_cache", quick), ("moka", moka)] {
        let at = report.at(&CURVE, capacity);
        at.case("cache", &name("Mutex"), UNIT, locked, peer, speed);
    }
    report.case("cache", &name("bare"), UNIT, ours, "quick_cache", quick);
    let curve = Curve {
        ours: "ours, adaptive",
        ..CURVE
    };
    report.at(&curve, capacity).case(
        "cache",
        &name("adaptive"),
        UNIT,
        adaptive,
        "quick_cache",
        quick,
    );
    let ratio = |hits: u64| hits as f64 / keys.len() as f64;
    let [ours, .., lru, quick, moka, adaptive] = hits;
    for (peer, hits) in [("quick_cache", quick), ("moka", moka)] {
        let (name, unit) = (name("adaptive"), "hit ratio");
        report.case("cache", &name, unit, ratio(adaptive), peer, ratio(hits));
    }
    for (peer, hits) in [("lru+Mutex", lru), ("quick_cache", quick), ("moka", moka)] {
        report.case(
            "cache",
            &name("LRU"),
            "hit ratio",
            ratio(ours),
            peer,
            ratio(hits),
        );
    }
}
