use std::collections::HashMap;

use super::*;
use crate::cache::{AnyPolicy, CacheConfig, CachePolicy, SetOptions};
use crate::rng::Rng;

type Bytes = Arc<[u8]>;
type Packing = TaggedCache<Kept<Bytes>, AnyPolicy>;

fn cache(max_weight_bytes: u64, policy: CachePolicy) -> Packing {
    let config = CacheConfig {
        max_entries: 10_000,
        max_weight_bytes,
        default_ttl_ms: None,
        entry_overhead_bytes: 0,
    };
    TaggedCache::with_policy(config, policy).unwrap()
}

/// A record of some 600 bytes; much of it is in every one.
fn record(i: u64) -> Bytes {
    let mut rng = Rng::new(i);
    let mut text = String::new();
    for field in [
        "country", "region", "producer", "grapes", "vintage", "rating",
    ] {
        let (a, b) = (rng.below(1 << 20), rng.below(9));
        text += &format!(
            "\"{field}\":{{\"code\":{a},\"tasting notes and more\":{b},\"kind\":\"{field}\"}},"
        );
    }
    text.into_bytes().into()
}

fn set(cache: &mut Packing, key: u64, value: Bytes) {
    let weight = value.len() as u64;
    let options = SetOptions::default();
    let set = cache.set(
        Timestamp(0),
        key.to_string().into(),
        value.into(),
        weight,
        &options,
    );
    set.unwrap();
}

/// A whole round in steps of seven.
fn round(cache: &mut Packing, packer: &mut Packer) -> (u64, u64) {
    let (mut next, mut packed, mut saved) = (0, 0, 0);
    loop {
        let swept = cache.sweep(Timestamp(0), next, 7);
        (packed, saved) = (packed + swept.packed, saved + swept.saved_bytes);
        for cold in packer.pack(swept.cold) {
            assert!(cache.store_packed(cold));
        }
        next = swept.next;
        if next == 0 {
            packer.end_round();
            return (packed, saved);
        }
    }
}

#[test]
fn what_is_not_asked_for_is_packed_and_comes_back_as_it_was() {
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive] {
        let mut cache = cache(u64::MAX, policy);
        let mut packer = Packer::default();
        (0..1000).for_each(|i| set(&mut cache, i, record(i)));
        let plain = cache.stats().memory_usage;
        for _ in 0..4 {
            // The first ten are in use.
            (0..10).for_each(|i| {
                assert_eq!(cache.read(Timestamp(0), &i.to_string()), Some(record(i)))
            });
            round(&mut cache, &mut packer);
        }
        round(&mut cache, &mut packer);
        let (packed, saved) = round(&mut cache, &mut packer);
        let now = cache.stats().memory_usage;
        assert!(packed >= 980, "{packed}");
        assert_eq!(now, plain - saved);
        assert!(now < plain / 2, "{now} of {plain}");
        for i in 0..1000 {
            let fresh = Some((record(i), Freshness::Fresh));
            assert_eq!(cache.peek_value(Timestamp(0), &i.to_string()), fresh);
        }
        assert_eq!(cache.stats().memory_usage, now);
        for i in 0..1000 {
            assert_eq!(cache.read(Timestamp(0), &i.to_string()), Some(record(i)));
        }
        assert_eq!(cache.stats().memory_usage, plain);
    }
}

#[test]
fn more_entries_fit_when_they_are_packed() {
    let value = record(1).len() as u64 + 100;
    let mut cache = cache(200 * value, CachePolicy::Lru);
    let mut packer = Packer::default();
    for i in 0..1000 {
        set(&mut cache, i, record(i));
        if i % 20 == 0 {
            round(&mut cache, &mut packer);
        }
    }
    assert!(cache.len() > 400, "{}", cache.len());
    // Reading the oldest makes it plain again, for which others go; the limit holds.
    let keys: Vec<_> = cache.keys(Timestamp(0)).map(str::to_owned).collect();
    let mut found = 0;
    for key in keys.iter().rev() {
        if let Some(value) = cache.read(Timestamp(0), key) {
            assert_eq!(value, record(key.parse().unwrap()));
            found += 1;
        }
        assert!(cache.stats().memory_usage <= 200 * value);
    }
    assert!(found >= 150, "{found}");
}

#[test]
fn a_value_that_was_set_or_read_meanwhile_stays_as_it_is() {
    let mut cache = cache(u64::MAX, CachePolicy::Lru);
    let mut packer = Packer::default();
    (0..4).for_each(|i| set(&mut cache, i, record(i)));
    for _ in 0..2 {
        let swept = cache.sweep(Timestamp(0), 0, usize::MAX);
        packer.pack(swept.cold);
        packer.end_round();
    }
    let cold = cache.sweep(Timestamp(0), 0, usize::MAX).cold;
    let packed = packer.pack(cold);
    assert_eq!(packed.len(), 4);
    set(&mut cache, 0, record(100));
    cache.read(Timestamp(0), "1");
    // The last entry moves into the place of the third.
    cache.remove(Timestamp(0), "2");
    let stored: Vec<_> = packed.into_iter().map(|p| cache.store_packed(p)).collect();
    assert_eq!(stored, [false, false, false, false]);
    for (key, value) in [("0", 100), ("1", 1), ("3", 3)] {
        assert_eq!(cache.read(Timestamp(0), key), Some(record(value)));
    }
}

#[test]
fn small_and_incompressible_values_stay_as_they_are() {
    let mut cache = cache(u64::MAX, CachePolicy::Lru);
    let mut packer = Packer::default();
    let mut rng = Rng::new(1);
    let mut noise = |cache: &mut Packing, keys: std::ops::Range<u64>| {
        for i in keys {
            let noise: Vec<u8> = (0..400).map(|_| rng.below(256) as u8).collect();
            set(cache, i, noise.into());
            set(cache, 1000 + i, b"small"[..].into());
        }
    };
    noise(&mut cache, 0..100);
    for _ in 0..4 {
        // What the dictionary was taken from is in it.
        let (packed, _) = round(&mut cache, &mut packer);
        assert!(packed <= 8, "{packed}");
    }
    cache.clear();
    noise(&mut cache, 100..300);
    for _ in 0..4 {
        assert_eq!(round(&mut cache, &mut packer), (0, 0));
    }
}

/// Sets, reads, removals, tags, sweeps and time in any order: what is read is what was set last.
#[test]
fn agrees_with_a_map() {
    for policy in [CachePolicy::Lru, CachePolicy::Adaptive] {
        let mut cache = cache(60_000, policy);
        let mut packer = Packer::default();
        let mut twin = HashMap::new();
        let mut rng = Rng::new(5);
        let (mut next, mut packed, mut hits) = (0, 0, 0);
        for step in 0..60_000u64 {
            let now = Timestamp(step);
            let key = rng.below(300);
            let name = key.to_string();
            match rng.below(10) {
                0..3 => {
                    let value = record(rng.below(1000));
                    let options = SetOptions {
                        ttl_ms: key.is_multiple_of(3).then_some(500),
                        stale_ms: 100 * (key % 2),
                        tags: &[["red", "white"][key as usize % 2].into()][..key as usize % 5 / 4],
                    };
                    let weight = value.len() as u64;
                    cache
                        .set(now, name.into(), value.clone().into(), weight, &options)
                        .unwrap();
                    twin.insert(key, value);
                }
                3..7 => {
                    if let Some((value, _)) = cache.read_stale(now, &name) {
                        assert_eq!(Some(&value), twin.get(&key), "step {step}");
                        hits += 1;
                    }
                }
                7 => {
                    cache.remove(now, &name);
                    twin.remove(&key);
                }
                8 if step % 100 == 0 => {
                    cache.invalidate_tag(now, "white");
                }
                _ => {
                    let swept = cache.sweep(now, next, 20);
                    next = swept.next;
                    let cold = packer.pack(swept.cold);
                    packed += cold
                        .into_iter()
                        .map(|c| cache.store_packed(c))
                        .filter(|&p| p)
                        .count();
                    if next == 0 {
                        packer.end_round();
                    }
                }
            }
            assert!(cache.stats().memory_usage <= 60_000);
        }
        assert!(packed > 100 && hits > 1000, "{packed} {hits}");
        // What is charged comes back to nothing.
        for key in 0..300 {
            cache.remove(Timestamp(60_000), &key.to_string());
        }
        cache.cleanup(Timestamp(61_000), usize::MAX);
        assert_eq!(cache.stats().memory_usage, 0);
    }
}

#[test]
fn a_packed_value_takes_no_more_room_in_its_entry_than_a_plain_one_of_32_bytes() {
    assert_eq!(
        size_of::<Kept<[usize; 4]>>(),
        size_of::<[usize; 4]>() + PACKING_WORD_BYTES as usize
    );
}
