//! The tagged cache held equal to a naive twin over random operations, time going forward.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A vector from the most to the least recently used, without what is past its last deadline.
struct Twin {
    config: CacheConfig,
    entries: Vec<Known>,
    hits: u64,
    misses: u64,
    evictions: u64,
    deletes: u64,
    sets: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Known {
    key: u8,
    value: u32,
    weight: u64,
    fresh_until: u64,
    held_until: u64,
    tags: BTreeSet<u8>,
}

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    GetStale(u8),
    Set(u8, u64, Option<u64>, u64, Vec<u8>),
    Remove(u8),
    Invalidate(u8),
    Cleanup(usize),
    Clear,
    Forward(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0u8..10;
    let weight = prop_oneof![8 => 0u64..100, 1 => 3_000u64..6_000, 1 => Just(u64::MAX)];
    let ttl = prop_oneof![
        2 => Just(None),
        6 => (0u64..100).prop_map(Some),
        1 => Just(Some(u64::MAX)),
    ];
    let stale = prop_oneof![3 => Just(0), 3 => 1u64..100, 1 => Just(u64::MAX)];
    let tags = prop::collection::vec(0u8..6, 0..4);
    let set = (key(), weight, ttl, stale, tags);
    prop_oneof![
        6 => key().prop_map(Op::Get),
        6 => key().prop_map(Op::GetStale),
        14 => set.prop_map(|(k, w, t, s, tags)| Op::Set(k, w, t, s, tags)),
        3 => key().prop_map(Op::Remove),
        4 => (0u8..6).prop_map(Op::Invalidate),
        2 => prop_oneof![Just(usize::MAX), 0usize..3].prop_map(Op::Cleanup),
        1 => Just(Op::Clear),
        8 => (0u64..60).prop_map(Op::Forward),
    ]
}

fn text(n: u8) -> String {
    format!("name {n}")
}

impl Twin {
    fn expire(&mut self, now: u64) {
        self.entries
            .retain(|e| now < e.held_until || e.held_until == u64::MAX);
    }

    fn take(&mut self, key: u8) -> Option<Known> {
        let at = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.remove(at))
    }

    fn weight(&self) -> u64 {
        self.entries.iter().map(|e| e.weight).sum()
    }

    fn get(&mut self, now: u64, key: u8) -> Option<(u32, Freshness)> {
        let at = self.entries.iter().position(|e| e.key == key);
        let Some(at) = at else {
            self.misses += 1;
            return None;
        };
        let value = self.entries[at].value;
        if !self.entries[at].fresh(now) {
            self.misses += 1;
            return Some((value, Freshness::Stale));
        }
        self.hits += 1;
        let entry = self.entries.remove(at);
        self.entries.insert(0, entry);
        Some((value, Freshness::Fresh))
    }

    fn remove(&mut self, now: u64, key: u8) -> Option<u32> {
        let gone = self.take(key).filter(|e| e.fresh(now))?;
        self.deletes += 1;
        Some(gone.value)
    }

    /// Whether it was stored.
    fn set(&mut self, new: Known) -> bool {
        self.take(new.key);
        if new.weight > self.config.max_weight_bytes {
            return false;
        }
        while self.entries.len() >= self.config.max_entries
            || self.weight() + new.weight > self.config.max_weight_bytes
        {
            self.entries.pop().unwrap();
            self.evictions += 1;
        }
        self.sets += 1;
        self.entries.insert(0, new);
        true
    }
}

impl Known {
    fn fresh(&self, now: u64) -> bool {
        now < self.fresh_until || self.fresh_until == u64::MAX
    }
}

/// What an entry weighs in all, said a second time.
fn charge(overhead: u64, key: &str, weight: u64, stale_ms: u64, tags: &BTreeSet<u8>) -> u64 {
    let mut sum = weight.saturating_add(overhead);
    if stale_ms > 0 || !tags.is_empty() {
        sum = sum.saturating_add(STALE_BYTES);
    }
    if !tags.is_empty() {
        sum = sum.saturating_add(TAGGED_KEY_BYTES + key.len() as u64);
    }
    for tag in tags {
        sum = sum.saturating_add(TAG_BYTES + text(*tag).len() as u64);
    }
    sum
}

fn step(cache: &mut TaggedCache<u32>, twin: &mut Twin, now: &mut u64, value: u32, op: &Op) {
    let time = Timestamp(*now);
    twin.expire(*now);
    match op {
        Op::Get(key) => {
            let found = twin.get(*now, *key);
            let fresh = found.filter(|found| found.1 == Freshness::Fresh);
            assert_eq!(cache.get(time, &text(*key)).copied(), fresh.map(|f| f.0));
        }
        Op::GetStale(key) => {
            let peeked = cache.peek(time, &text(*key)).map(|(v, f)| (*v, f));
            let found = cache.get_stale(time, &text(*key)).map(|(v, f)| (*v, f));
            assert_eq!(found, twin.get(*now, *key));
            assert_eq!(peeked, found);
        }
        Op::Set(key, weight, ttl_ms, stale_ms, tags) => {
            let names: Vec<Cow<'_, str>> = tags.iter().map(|t| text(*t).into()).collect();
            let options = SetOptions {
                ttl_ms: *ttl_ms,
                stale_ms: *stale_ms,
                tags: &names,
            };
            let tags: BTreeSet<u8> = tags.iter().copied().collect();
            let ttl = ttl_ms.or(twin.config.default_ttl_ms).unwrap_or(u64::MAX);
            let overhead = cache.config().entry_overhead_bytes;
            let known = Known {
                key: *key,
                value,
                weight: charge(overhead, &text(*key), *weight, *stale_ms, &tags),
                fresh_until: now.saturating_add(ttl),
                held_until: now.saturating_add(ttl.saturating_add(*stale_ms)),
                tags,
            };
            let stored = cache.set(time, text(*key).into(), value, *weight, &options);
            assert_eq!(stored.is_ok(), twin.set(known));
        }
        Op::Remove(key) => assert_eq!(cache.remove(time, &text(*key)), twin.remove(*now, *key)),
        Op::Invalidate(tag) => {
            let tagged: Vec<u8> = twin
                .entries
                .iter()
                .filter(|e| e.tags.contains(tag))
                .map(|e| e.key)
                .collect();
            let fresh = tagged
                .iter()
                .filter(|key| twin.remove(*now, **key).is_some())
                .count();
            assert_eq!(cache.invalidate_tag(time, &text(*tag)), fresh);
        }
        Op::Cleanup(max) => {
            cache.cleanup(time, *max);
        }
        Op::Clear => {
            assert!(cache.clear() >= twin.entries.len());
            twin.entries.clear();
        }
        Op::Forward(ms) => *now += ms,
    }
}

fn check(cache: &mut TaggedCache<u32>, twin: &mut Twin, now: u64) {
    let time = Timestamp(now);
    twin.expire(now);
    // The index is what a walk over all entries gives.
    let mut walked: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in &cache.cache.nodes {
        for tag in node.value.tags() {
            walked.entry(tag).or_default().insert(&node.key);
        }
    }
    let index: BTreeMap<&str, BTreeSet<&str>> = (cache.cache.listener.iter())
        .map(|(tag, keys)| (tag, keys.iter().map(|key| &**key).collect()))
        .collect();
    assert_eq!(index, walked);
    let fresh: Vec<String> = (twin.entries.iter().filter(|e| e.fresh(now)))
        .map(|e| text(e.key))
        .collect();
    assert!(cache.keys(time).eq(fresh.iter().map(String::as_str)));
    assert_eq!(cache.live_len(time), fresh.len());
    cache.cleanup(time, usize::MAX);
    let stats = cache.stats();
    assert_eq!(
        (
            stats.hits,
            stats.misses,
            stats.evictions,
            stats.deletes,
            stats.sets
        ),
        (
            twin.hits,
            twin.misses,
            twin.evictions,
            twin.deletes,
            twin.sets
        )
    );
    assert_eq!(
        (stats.size, stats.memory_usage),
        (twin.entries.len(), twin.weight())
    );
    for entry in &twin.entries {
        let key = text(entry.key);
        let (value, fresh, held) = cache.peek_deadline(&key).unwrap();
        assert_eq!(*value, entry.value);
        assert_eq!((fresh.0, held.0), (entry.fresh_until, entry.held_until));
        assert!(cache.tags(&key).eq(entry.tags.iter().map(|t| text(*t))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn equals_the_naive_twin(
        max_entries in 1usize..8,
        default_ttl_ms in prop_oneof![Just(None), Just(Some(50))],
        checked in any::<bool>(),
        ops in prop::collection::vec(op(), 1..100),
    ) {
        let config = CacheConfig {
            max_entries,
            max_weight_bytes: 4_000,
            default_ttl_ms,
            entry_overhead_bytes: 10,
        };
        let mut cache = TaggedCache::new(config.clone()).unwrap();
        let mut twin = Twin {
            config,
            entries: Vec::new(),
            hits: 0,
            misses: 0,
            evictions: 0,
            deletes: 0,
            sets: 0,
        };
        let mut now = 1_700_000_000_000;
        for (value, op) in ops.iter().enumerate() {
            step(&mut cache, &mut twin, &mut now, value as u32, op);
            // Checking cleans up; half of the runs leave that to the operations.
            if checked {
                check(&mut cache, &mut twin, now);
            }
        }
        check(&mut cache, &mut twin, now);
    }
}

#[test]
fn what_is_charged_covers_tables_and_texts() {
    for (entries, tags_each, distinct) in [(1_000, 3, true), (2_000, 1, false), (1_800, 1, true)] {
        let config = CacheConfig {
            max_entries: entries,
            max_weight_bytes: 1 << 40,
            default_ttl_ms: None,
            entry_overhead_bytes: 0,
        };
        let mut cache: TaggedCache<()> = TaggedCache::new(config).unwrap();
        let mut texts = 0;
        for i in 0..entries {
            let key = i.to_string();
            let tag = |n| format!("tag {}", if distinct { i * 10 + n } else { n });
            let tags: Vec<Cow<'_, str>> = (0..tags_each).map(|n| tag(n).into()).collect();
            // Each text and its two counts; the box, and in it a pointer and a length per tag.
            let per_tag: usize = tags.iter().map(|t| 16 + t.len() + 16).sum();
            texts += 16 + key.len() + 24 + per_tag;
            let options = SetOptions {
                tags: &tags,
                ..SetOptions::default()
            };
            cache
                .set(Timestamp(0), key.into(), (), 0, &options)
                .unwrap();
        }
        let charged = cache.stats().memory_usage - entries as u64 * TAGGED_WORD_BYTES;
        let taken = (cache.cache.listener.allocated_bytes() + texts) as u64;
        assert!(taken <= charged, "{taken} bytes of {charged} charged");
        cache.clear();
        assert!(cache.cache.listener.allocated_bytes() < 4096);
    }
}

#[test]
fn an_entry_without_tags_costs_one_word() {
    assert_eq!(size_of::<Entry<[usize; 4]>>(), 5 * size_of::<usize>());
}
