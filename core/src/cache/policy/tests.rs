use std::collections::HashMap;

use foldhash::fast::FixedState;
use proptest::prelude::*;

use super::*;
use crate::{
    cache::{Cache, CacheConfig, ENTRY_OVERHEAD_BYTES, Index, OnRemove, Removal, TaggedCache},
    rng::Rng,
    time::Timestamp,
};

type Learning<K, V, L = ()> = Cache<K, V, FixedState, L, Index, Adaptive>;

fn config(max_entries: usize, max_weight_bytes: u64) -> CacheConfig {
    CacheConfig {
        max_entries,
        max_weight_bytes,
        default_ttl_ms: None,
        entry_overhead_bytes: 0,
    }
}

fn learning<K, V, L>(config: CacheConfig, listener: L) -> Learning<K, V, L> {
    let policy = Adaptive::new(config.max_entries, config.max_weight_bytes);
    Cache::with_policy(config, FixedState::default(), listener, policy).unwrap()
}

/// Asks for each key and stores it when it is not there; percent of hits.
fn replay<P: Policy>(
    cache: &mut Cache<u64, (), FixedState, (), Index, P>,
    keys: impl IntoIterator<Item = u64>,
) -> f64 {
    let (mut hits, mut all) = (0u32, 0u32);
    for key in keys {
        let hit = cache.get(Timestamp(1), &key).is_some();
        if !hit {
            cache.set(Timestamp(1), key, (), 1, None).unwrap();
        }
        hits += u32::from(hit);
        all += 1;
    }
    100.0 * f64::from(hits) / f64::from(all)
}

fn both(size: usize, keys: &[u64]) -> (f64, f64) {
    let mut ours = learning(config(size, u64::MAX), ());
    let mut lru: Cache<u64, ()> = Cache::new(config(size, u64::MAX)).unwrap();
    (
        replay(&mut ours, keys.iter().copied()),
        replay(&mut lru, keys.iter().copied()),
    )
}

/// Keys whose frequencies fall about as 1 / rank.
fn skewed(rng: &mut Rng, keys: f64) -> u64 {
    libm::pow(keys, rng.unit_f64()) as u64
}

#[test]
fn a_loop_over_more_than_fits_hits_nearly_as_often_as_it_could() {
    let keys: Vec<u64> = (0..100_000).map(|i| i % 1500).collect();
    let (ours, lru) = both(1000, &keys);
    assert!(ours > 62.0 && lru == 0.0, "{ours} {lru}");
}

#[test]
fn what_a_loop_asks_for_twice_in_a_row_pushes_nothing_out() {
    let keys: Vec<u64> = (0..10)
        .flat_map(|_| 0..1400)
        .flat_map(|key| std::iter::repeat_n(key, 1 + usize::from(key % 10 == 0)))
        .collect();
    let (ours, lru) = both(140, &keys);
    // Of 1540 accesses of a round 140 repeat the one before, and 139 keys can be kept besides.
    let most = lru + 9.0 * 139.0 / 154.0;
    assert!(ours > most - 1.0, "{ours} of {most}");
}

#[test]
fn a_loop_stays_under_its_rule_whatever_the_hashes() {
    for first in 0..20 {
        let keys: Vec<u64> = (0..60_000).map(|i| first * 10_000 + i % 1011).collect();
        let (ours, _) = both(512, &keys);
        assert!(ours > 48.0, "{ours} from {first}");
    }
}

#[test]
fn a_stream_of_recency_hits_as_under_lru() {
    // Each key comes three times within less than the cache's size, and never again.
    let keys: Vec<u64> = (0..120_000)
        .map(|i| (i / 3).max(i % 3 * 200) - i % 3 * 200)
        .collect();
    let (ours, lru) = both(500, &keys);
    assert!(ours > lru - 1.0, "{ours} {lru}");
}

#[test]
fn skewed_keys_hit_more_often_than_under_lru() {
    let mut rng = Rng::new(7);
    let keys: Vec<u64> = (0..200_000).map(|_| skewed(&mut rng, 1e5)).collect();
    let (ours, lru) = both(1000, &keys);
    assert!(ours > lru + 2.0, "{ours} {lru}");
}

#[test]
fn a_scan_does_not_flush_what_is_hot() {
    let mut cache = learning(config(1000, u64::MAX), ());
    let mut rng = Rng::new(3);
    let hot = 0..800u64;
    for _ in 0..20 {
        replay(&mut cache, hot.clone());
    }
    replay(&mut cache, 1_000_000..1_010_000);
    let kept = hot.filter(|key| cache.contains(Timestamp(1), key)).count();
    assert!(kept > 700, "{kept} of 800");
    // Nor does it among a mix of all.
    let mut scan = 2_000_000;
    let mixed = (0..200_000).map(|i| match i % 4 {
        0 => {
            scan += 1;
            scan
        }
        1 => 500_000 + i / 4 % 300,
        _ => skewed(&mut rng, 1e4),
    });
    let hits = replay(&mut cache, mixed);
    assert!(hits > 45.0, "{hits}");
}

#[test]
fn what_was_hot_long_ago_makes_room() {
    let mut cache = learning(config(500, u64::MAX), ());
    for _ in 0..200 {
        replay(&mut cache, 0..450);
    }
    let rounds = (0..40).map(|_| replay(&mut cache, 10_000..10_450));
    let last = rounds.last().unwrap();
    assert!(last > 95.0, "{last}");
}

#[test]
fn large_values_asked_for_once_do_not_flush_small_ones() {
    for large in [10_000, 40_000, 100_000] {
        let mut cache: Learning<u64, ()> = learning(config(1_000_000, 1_000_000), ());
        let mut hits = 0;
        for i in 0..200_000u64 {
            let (key, weight) = match i % 10 {
                0 => (1_000_000 + i, large),
                _ => (i * 7919 % 700, 1000),
            };
            let hit = cache.get(Timestamp(1), &key).is_some();
            if !hit {
                cache.set(Timestamp(1), key, (), weight, None).unwrap();
            }
            hits += u32::from(hit);
            assert!(cache.weight_bytes() <= 1_000_000);
        }
        // 640 kB of 1 MB are asked for again and again, 180,000 times; LRU hits none of them.
        assert!(hits > 150_000, "{hits} beside {large} bytes");
    }
}

#[test]
fn two_runs_agree_and_clear_forgets_all() {
    let mut rng = Rng::new(1);
    let keys: Vec<u64> = (0..50_000).map(|_| skewed(&mut rng, 1e4)).collect();
    let mut cache = learning(config(300, u64::MAX), ());
    let first = replay(&mut cache, keys.iter().copied());
    let order: Vec<u64> = cache.keys(Timestamp(1)).copied().collect();
    assert_eq!(cache.clear(), 300);
    assert_eq!(replay(&mut cache, keys.iter().copied()), first);
    assert!(cache.keys(Timestamp(1)).eq(&order));
}

#[test]
fn the_stated_bytes_cover_the_policy() {
    for max_entries in [100, 6_145, 100_000] {
        let limits = CacheConfig {
            entry_overhead_bytes: ENTRY_OVERHEAD_BYTES,
            ..config(max_entries, 1 << 40)
        };
        let mut cache: Learning<Box<str>, [usize; 4]> = learning(limits, ());
        for i in 0..3 * max_entries {
            let key = i.to_string().into_boxed_str();
            cache.set(Timestamp::ZERO, key, [i; 4], 0, Some(1)).unwrap();
        }
        let stated = ENTRY_OVERHEAD_BYTES + ADAPTIVE_ENTRY_BYTES;
        assert_eq!(cache.weight_bytes(), max_entries as u64 * stated);
        let fixed = 3000 + ADAPTIVE_FIXED_BYTES as usize;
        if size_of::<usize>() == 8 && max_entries > 1000 {
            let each = (cache.allocated_bytes() - fixed) as f64 / max_entries as f64;
            assert!(each <= stated as f64, "{each} bytes an entry");
        }
        assert!(cache.allocated_bytes() < fixed + max_entries * stated as usize);
    }
}

#[test]
fn a_tagged_cache_takes_a_policy_at_run_time() {
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive] {
        let mut cache = TaggedCache::with_policy(config(100, 1 << 20), policy).unwrap();
        for i in 0..1000u32 {
            let key = (i % 150).to_string();
            if cache.get(Timestamp(1), &key).is_none() {
                let options = crate::cache::SetOptions::default();
                cache.set(Timestamp(1), key.into(), i, 1, &options).unwrap();
            }
        }
        let hits = cache.stats().hits;
        assert_eq!(
            hits > 0,
            policy == CachePolicy::Adaptive,
            "{policy}: {hits}"
        );
        assert_eq!(cache.len(), 100);
    }
}

/// Hears what is given up.
#[derive(Default)]
struct Log(Vec<(u8, u32, Removal)>);

impl OnRemove<u8, u32> for Log {
    fn on_remove(&mut self, key: u8, value: u32, why: Removal) {
        self.0.push((key, value, why));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// What a cache holds is what was set and neither removed, expired nor reported as given up.
    #[test]
    fn nothing_is_lost_and_nothing_stays(
        max_entries in 1usize..12,
        ops in prop::collection::vec((0u8..8, 0u8..20, 0u64..60, 1u64..400), 1..300),
    ) {
        let mut cache = learning(config(max_entries, 200), Log::default());
        let mut held: HashMap<u8, (u32, u64, u64)> = HashMap::new();
        let mut now = 0;
        for (value, &(op, key, weight, ttl)) in ops.iter().enumerate() {
            now += 1;
            let (time, value) = (Timestamp(now), value as u32);
            let live = held.get(&key).filter(|e| e.2 > now).map(|e| e.0);
            match op {
                0..=2 => prop_assert_eq!(cache.get(time, &key).copied(), live),
                3 => prop_assert_eq!(cache.remove(time, &key), live),
                4 => if let Some((key, _)) = cache.evict_lru(time) {
                    prop_assert!(held.remove(&key).is_some());
                },
                _ => {
                    let room = held.iter().filter(|e| *e.0 != key);
                    let bytes: u64 = room.clone().map(|e| e.1.1).sum();
                    let fits = room.count() < max_entries && bytes + weight + ADAPTIVE_ENTRY_BYTES <= 200;
                    let done = cache.set(time, key, value, weight, Some(ttl)).unwrap();
                    prop_assert!(!fits || done.evicted == 0);
                }
            }
            for (gone, old, why) in core::mem::take(&mut cache.listener_mut().0) {
                let entry = held.remove(&gone).unwrap();
                prop_assert_eq!(entry.0, old);
                prop_assert_eq!(why == Removal::Expired, entry.2 <= now);
            }
            match op {
                3 => { held.remove(&key); }
                5.. => { held.insert(key, (value, weight + ADAPTIVE_ENTRY_BYTES, now + ttl)); }
                _ => {}
            }
            prop_assert_eq!(cache.len(), held.len());
            prop_assert_eq!(cache.weight_bytes(), held.values().map(|e| e.1).sum::<u64>());
            let seen = cache.keys(time).count();
            prop_assert_eq!(seen, held.values().filter(|e| e.2 > now).count());
        }
    }
}
