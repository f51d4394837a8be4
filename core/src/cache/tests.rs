use super::*;
use crate::time::Timestamp;

fn config(max_entries: usize) -> CacheConfig {
    CacheConfig {
        max_entries,
        default_ttl_ms: None,
        ..CacheConfig::default()
    }
}

#[test]
fn a_large_cache_under_churn_keeps_exactly_the_newest() {
    let mut cache: Cache<u64, u64> = Cache::new(config(1000)).unwrap();
    let now = Timestamp(5);
    for i in 0..50_000u64 {
        let ttl = (i % 3 == 0).then_some(1 << (i % 40));
        cache.set(now, i, i, i % 7, ttl).unwrap();
    }
    let keys: Vec<u64> = cache.keys(now).copied().collect();
    assert_eq!(keys, (49_000..50_000).rev().collect::<Vec<_>>());
    for key in 49_000..50_000 {
        assert_eq!(cache.remove(now, &key), Some(key));
    }
    assert_eq!((cache.len(), cache.weight_bytes()), (0, 0));
}

#[test]
fn the_wheel_wakes_the_caller_few_times_before_a_far_deadline() {
    let mut cache: Cache<u8, ()> = Cache::new(config(4)).unwrap();
    let mut now = Timestamp(1_700_000_000_123);
    let deadline = now.plus_ms(365 * 86_400_000);
    cache.set(now, 1, (), 0, Some(365 * 86_400_000)).unwrap();
    let mut wakes = 0;
    while let Some(next) = cache.next_deadline() {
        assert!(next > now, "time stands still");
        now = next;
        wakes += 1;
        assert_eq!(cache.cleanup(now, usize::MAX), usize::from(now == deadline));
    }
    assert_eq!(now, deadline);
    assert!(wakes <= 11, "{wakes} wake-ups");
}

#[test]
fn a_clock_that_was_years_ahead_does_not_keep_entries_for_years() {
    let mut cache: Cache<u8, ()> = Cache::new(config(4)).unwrap();
    let (real, wrong) = (Timestamp(1_700_000_000_000), Timestamp(4_000_000_000_000));
    cache.set(wrong, 1, (), 0, Some(1000)).unwrap();
    assert_eq!(cache.cleanup(wrong, 9), 0);
    cache.set(real, 2, (), 0, Some(1000)).unwrap();
    assert!(cache.next_deadline().unwrap() <= real.plus_ms(1000));
    assert_eq!(cache.cleanup(real.plus_ms(1000), 9), 1);
    assert!(cache.contains(real.plus_ms(1000), &1));
}

#[test]
fn the_stated_overhead_covers_the_tables_and_little_more() {
    // Bytes has the size of four pointers. 6,145 entries load the index least, 6,144 most.
    for max_entries in [100, 1000, 6_144, 6_145, 100_000] {
        let config = CacheConfig {
            max_weight_bytes: 1 << 40,
            ..config(max_entries)
        };
        let mut cache: Cache<Box<str>, [usize; 4]> = Cache::new(config).unwrap();
        for i in 0..2 * max_entries {
            let key = i.to_string().into_boxed_str();
            let ttl = Some(1 + i as u64);
            cache.set(Timestamp::ZERO, key, [i; 4], 0, ttl).unwrap();
        }
        assert_eq!(cache.len(), max_entries);
        assert_eq!(
            cache.weight_bytes(),
            max_entries as u64 * ENTRY_OVERHEAD_BYTES
        );
        if size_of::<usize>() == 8 {
            let fixed = 3000;
            let each = (cache.allocated_bytes() - fixed) as f64 / max_entries as f64;
            let stated = ENTRY_OVERHEAD_BYTES as f64;
            assert!(
                each <= stated && each > 0.75 * stated,
                "{each} bytes an entry"
            );
        }
    }
}

#[test]
fn an_entry_over_the_limit_names_both_figures_and_drops_the_stale_value() {
    let config = CacheConfig {
        max_weight_bytes: 1000,
        ..config(4)
    };
    let mut cache: Cache<&str, u8> = Cache::new(config).unwrap();
    let now = Timestamp::ZERO;
    cache.set(now, "k", 1, 5, None).unwrap();
    let error = cache.set(now, "k", 2, 900, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entry of 900 bytes plus 112 bytes overhead exceeds the cache's limit of 1000 bytes"
    );
    assert_eq!(cache.get(now, "k"), None);
    assert!(
        Cache::<u8, u8>::new(CacheConfig {
            max_entries: 0,
            ..CacheConfig::default()
        })
        .is_err()
    );
}

#[test]
fn operations_on_many_and_statistics() {
    let mut cache: Cache<Box<str>, u32> = Cache::new(config(10)).unwrap();
    let now = Timestamp(1);
    let entry = |key: &str, value| NewEntry {
        key: key.into(),
        value,
        weight_bytes: 3,
        ttl_ms: None,
    };
    assert_eq!(cache.warm(now, [entry("a", 1), entry("b", 2)]), 2);
    let heavy = NewEntry {
        weight_bytes: u64::MAX,
        ..entry("d", 4)
    };
    let outcomes = cache.set_many(now, [entry("a", 3), heavy]);
    assert!(outcomes[0].as_ref().unwrap().replaced && outcomes[1].is_err());
    let mut seen = Vec::new();
    let hits = cache.get_many(now, ["a", "c", "b"], |k, v| seen.push((k, v.copied())));
    assert_eq!(hits, 2);
    assert_eq!(seen, [("a", Some(3)), ("c", None), ("b", Some(2))]);
    *cache.get_mut(now, "a").unwrap() = 9;
    assert_eq!(cache.remove(now, "a"), Some(9));
    let stats = cache.stats();
    assert_eq!((stats.sets, stats.deletes, stats.size), (3, 1, 1));
    assert_eq!((stats.hit_rate, stats.utilization), (0.75, 0.1));
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(json["memoryUsage"], 3 + ENTRY_OVERHEAD_BYTES);
}

#[test]
fn a_closure_is_a_listener() {
    let mut gone = Vec::new();
    let listener = |key: u8, (): (), why: Removal| gone.push((key, why));
    let mut cache = Cache::with_parts(config(1), FixedState::default(), listener).unwrap();
    cache.set(Timestamp::ZERO, 1, (), 0, None).unwrap();
    cache.set(Timestamp::ZERO, 2, (), 0, None).unwrap();
    drop(cache);
    assert_eq!(gone, [(1, Removal::Evicted)]);
}
