//! The cache held equal to a naive twin over random operations in random time.

use core::hash::{BuildHasher, Hasher};

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

type Log = Vec<(u8, u32, Removal)>;

struct Listener(Log);

impl OnRemove<u8, u32> for Listener {
    fn on_remove(&mut self, key: u8, value: u32, why: Removal) {
        self.0.push((key, value, why));
    }
}

/// A hash with this many values: 1 makes every key collide, 256 none.
#[derive(Clone, Copy)]
struct Few(u64);

struct FewHasher(u64, u64);

impl BuildHasher for Few {
    type Hasher = FewHasher;

    fn build_hasher(&self) -> FewHasher {
        FewHasher(self.0, 0)
    }
}

impl Hasher for FewHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.1 = self.1 * 256 + u64::from(byte);
        }
    }

    fn finish(&self) -> u64 {
        // Spread over the bits that the index looks at.
        (self.1 % self.0) * 0x0101_0101_0101_0101
    }
}

type Tested = Cache<u8, u32, Few, Listener>;

/// The naive twin: a vector from the most to the least recently used, searched from end to end.
struct Twin {
    config: CacheConfig,
    entries: Vec<Entry>,
    hits: u64,
    misses: u64,
    evictions: u64,
    expirations: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    key: u8,
    value: u32,
    charge: u64,
    /// None: never.
    deadline: Option<u64>,
}

impl Entry {
    fn expired(&self, now: u64) -> bool {
        self.deadline.is_some_and(|d| d <= now)
    }
}

impl Twin {
    fn take(&mut self, key: u8) -> Option<Entry> {
        let at = self.entries.iter().position(|e| e.key == key)?;
        Some(self.entries.remove(at))
    }

    fn weight(&self) -> u64 {
        self.entries.iter().map(|e| e.charge).sum()
    }

    fn get(&mut self, now: u64, key: u8) -> Option<u32> {
        match self.take(key) {
            Some(e) if e.expired(now) => self.expirations += 1,
            Some(e) => {
                self.hits += 1;
                self.entries.insert(0, e);
                return Some(e.value);
            }
            None => {}
        }
        self.misses += 1;
        None
    }

    /// Follows the removals that the cache reports during a set of `new`, checking each.
    fn set(&mut self, now: u64, new: Entry, log: &[(u8, u32, Removal)]) -> SetOutcome {
        let mut outcome = SetOutcome::default();
        let mut log = log.iter();
        let old = self.entries.iter().find(|e| e.key == new.key).copied();
        if let Some(old) = old {
            let why = if old.expired(now) {
                Removal::Expired
            } else {
                Removal::Replaced
            };
            assert_eq!(log.next(), Some(&(old.key, old.value, why)));
            self.take(old.key);
            if old.expired(now) {
                self.expirations += 1;
                outcome.expired += 1;
            } else {
                outcome.replaced = true;
            }
        }
        for &(key, value, why) in log {
            assert!(!self.fits(new.charge), "an entry removed without need");
            let gone = match why {
                Removal::Expired => {
                    self.expirations += 1;
                    outcome.expired += 1;
                    self.take(key).expect("expired entry is held")
                }
                Removal::Evicted => {
                    assert!(
                        self.entries.iter().all(|e| !e.expired(now)),
                        "expired go first"
                    );
                    self.evictions += 1;
                    outcome.evicted += 1;
                    self.entries.pop().expect("something to evict")
                }
                other => panic!("{other:?} during a set"),
            };
            assert_eq!((gone.key, gone.value), (key, value));
            assert_eq!(gone.expired(now), why == Removal::Expired);
        }
        assert!(self.fits(new.charge));
        self.entries.insert(0, new);
        outcome
    }

    fn fits(&self, charge: u64) -> bool {
        self.entries.len() < self.config.max_entries
            && charge <= self.config.max_weight_bytes - self.weight()
    }
}

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    Peek(u8),
    Set(u8, u64, Option<u64>),
    Recycle(u64, Option<u64>),
    Remove(u8),
    Evict,
    Cleanup(usize),
    Clear,
    Forward(u64),
    Back(u64),
    Jump(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let weight = prop_oneof![8 => 0u64..60, 1 => Just(0), 1 => 90u64..120, 1 => Just(u64::MAX)];
    let ttl = prop_oneof![
        2 => Just(None),
        1 => Just(Some(0)),
        6 => (1u64..300).prop_map(Some),
        2 => (1u64..1_000_000).prop_map(Some),
        1 => any::<u64>().prop_map(Some),
        1 => Just(Some(u64::MAX)),
    ];
    prop_oneof![
        10 => (0u8..12).prop_map(Op::Get),
        2 => (0u8..12).prop_map(Op::Peek),
        12 => (0u8..12, weight, ttl).prop_map(|(k, w, t)| Op::Set(k, w, t)),
        3 => (0u64..120, prop_oneof![Just(None), (0u64..300).prop_map(Some)])
            .prop_map(|(w, t)| Op::Recycle(w, t)),
        3 => (0u8..12).prop_map(Op::Remove),
        1 => Just(Op::Evict),
        3 => prop_oneof![Just(usize::MAX), 0usize..3].prop_map(Op::Cleanup),
        1 => Just(Op::Clear),
        6 => prop_oneof![0u64..100, 0u64..10_000, 0u64..(1 << 40)].prop_map(Op::Forward),
        2 => prop_oneof![0u64..100, 0u64..10_000, 0u64..(1 << 40)].prop_map(Op::Back),
        1 => prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)].prop_map(Op::Jump),
    ]
}

fn step(cache: &mut Tested, twin: &mut Twin, now: &mut u64, value: u32, op: &Op) {
    let time = Timestamp(*now);
    cache.listener_mut().0.clear();
    match *op {
        Op::Get(key) => assert_eq!(cache.get(time, &key).copied(), twin.get(*now, key)),
        Op::Peek(key) => {
            let live = twin
                .entries
                .iter()
                .find(|e| e.key == key && !e.expired(*now));
            assert_eq!(cache.peek(time, &key).copied(), live.map(|e| e.value));
            assert_eq!(cache.contains(time, &key), live.is_some());
        }
        Op::Set(key, weight, ttl) => set(cache, twin, *now, (key, value, weight, ttl)),
        Op::Recycle(weight, ttl) => recycle(cache, twin, *now, (value, weight, ttl)),
        Op::Remove(key) => {
            let gone = twin.take(key);
            twin.expirations += u64::from(gone.is_some_and(|e| e.expired(*now)));
            let live = gone.filter(|e| !e.expired(*now));
            assert_eq!(cache.remove(time, &key), live.map(|e| e.value));
        }
        Op::Evict => {
            let gone = twin.entries.pop();
            assert_eq!(cache.evict_lru(time), gone.map(|e| (e.key, e.value)));
            match gone {
                Some(e) if e.expired(*now) => twin.expirations += 1,
                Some(_) => twin.evictions += 1,
                None => {}
            }
        }
        Op::Cleanup(max) => {
            let expired = twin.entries.iter().filter(|e| e.expired(*now)).count();
            assert_eq!(cache.cleanup(time, max), expired.min(max));
            for (key, value, why) in cache.listener_mut().0.drain(..) {
                let gone = twin.take(key).expect("held");
                assert!(gone.expired(*now) && gone.value == value && why == Removal::Expired);
                twin.expirations += 1;
            }
        }
        Op::Clear => {
            assert_eq!(cache.clear(), twin.entries.len());
            assert_eq!(cache.listener_mut().0.len(), twin.entries.len());
            twin.entries.clear();
        }
        Op::Forward(ms) => *now = now.saturating_add(ms),
        Op::Back(ms) => *now = now.saturating_sub(ms),
        Op::Jump(to) => *now = to,
    }
}

fn set(cache: &mut Tested, twin: &mut Twin, now: u64, new: (u8, u32, u64, Option<u64>)) {
    let (key, value, weight, ttl) = new;
    let result = cache.set(Timestamp(now), key, value, weight, ttl);
    let log = core::mem::take(&mut cache.listener_mut().0);
    let overhead = twin.config.entry_overhead_bytes;
    let charge = weight.saturating_add(overhead);
    if charge > twin.config.max_weight_bytes {
        assert!(
            matches!(result, Err(CacheError::TooHeavy { weight_bytes, .. })
            if weight_bytes == weight)
        );
        let gone = twin.take(key);
        twin.expirations += u64::from(gone.is_some_and(|e| e.expired(now)));
        assert_eq!(log.len(), usize::from(gone.is_some()));
        return;
    }
    let deadline = ttl
        .or(twin.config.default_ttl_ms)
        .and_then(|ttl| now.checked_add(ttl))
        .filter(|&d| d != u64::MAX);
    let outcome = twin.set(
        now,
        Entry {
            key,
            value,
            charge,
            deadline,
        },
        &log,
    );
    assert_eq!(result, Ok(outcome));
}

/// Recycling is an eviction and a set under the evicted key, where exactly that is due.
fn recycle(cache: &mut Tested, twin: &mut Twin, now: u64, new: (u32, u64, Option<u64>)) {
    let (value, weight, ttl) = new;
    let recycled = cache
        .recycle_lru(Timestamp(now), value, weight, ttl)
        .copied();
    assert!(cache.listener_mut().0.is_empty());
    let Some(key) = recycled else { return };
    assert_eq!(
        twin.entries.len(),
        twin.config.max_entries,
        "there was room"
    );
    assert!(
        twin.entries.iter().all(|e| !e.expired(now)),
        "expired go first"
    );
    assert_eq!(twin.entries.pop().map(|e| e.key), Some(key));
    twin.evictions += 1;
    let charge = weight + twin.config.entry_overhead_bytes;
    assert!(twin.fits(charge), "one eviction was not enough");
    let deadline = ttl
        .or(twin.config.default_ttl_ms)
        .and_then(|ttl| now.checked_add(ttl))
        .filter(|&d| d != u64::MAX);
    let entry = Entry {
        key,
        value,
        charge,
        deadline,
    };
    twin.entries.insert(0, entry);
}

fn check(cache: &Tested, twin: &Twin, now: u64) {
    let stats = cache.stats();
    assert_eq!(stats.size, twin.entries.len());
    assert_eq!(stats.memory_usage, twin.weight());
    assert_eq!(
        (stats.hits, stats.misses, stats.evictions, stats.expirations),
        (twin.hits, twin.misses, twin.evictions, twin.expirations)
    );
    let live: Vec<_> = twin
        .entries
        .iter()
        .filter(|e| !e.expired(now))
        .map(|e| (e.key, e.value, e.deadline.map(|d| d - now)))
        .collect();
    let seen: Vec<_> = cache
        .entries(Timestamp(now))
        .map(|e| (*e.key, *e.value, e.remaining_ttl_ms))
        .collect();
    assert_eq!(seen, live);
    let first = twin.entries.iter().filter_map(|e| e.deadline).min();
    match (cache.next_deadline(), first) {
        (None, None) => {}
        (Some(wake), Some(first)) => assert!(wake.0 <= first, "{wake:?} after {first}"),
        (wake, first) => panic!("wake at {wake:?}, first deadline {first:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn equals_the_naive_twin(
        max_entries in 1usize..8,
        hashes in prop_oneof![Just(1), Just(3), Just(256)],
        default_ttl_ms in prop_oneof![Just(None), Just(Some(50)), Just(Some(3_600_000))],
        start in prop_oneof![Just(0), Just(1_700_000_000_000), Just(u64::MAX - 1000)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let config = CacheConfig {
            max_entries,
            max_weight_bytes: 200,
            default_ttl_ms,
            entry_overhead_bytes: 10,
        };
        let hasher = Few(hashes);
        let mut cache =
            Cache::with_parts(config.clone(), hasher, Listener(Vec::new())).unwrap();
        let mut twin = Twin {
            config,
            entries: Vec::new(),
            hits: 0,
            misses: 0,
            evictions: 0,
            expirations: 0,
        };
        let mut now = start;
        for (value, op) in ops.iter().enumerate() {
            step(&mut cache, &mut twin, &mut now, value as u32, op);
            check(&cache, &twin, now);
        }
    }
}
