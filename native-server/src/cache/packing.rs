//! Packs cold values, shard after shard, without a lock while it packs.

use bytes::Bytes;
use sommos_core::{cache::Packer, time::Timestamp};

use super::ShardedCache;

/// Entries that are looked at under one lock: some 10 µs.
const AT_ONCE: usize = 64;

/// How far the round is.
#[derive(Default)]
pub(super) struct Packing {
    packer: Packer,
    shard: usize,
    /// Position in the shard.
    from: usize,
    /// What this round has met.
    met: Packed,
}

/// Entries whose values are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// How many.
    pub entries: u64,
    /// Bytes that they do not occupy.
    pub saved_bytes: u64,
}

impl ShardedCache {
    /// Goes on with the round over all entries by `share` of them (0 to 1), and packs what nobody
    /// has asked for since the last one. O(entries looked at + bytes packed).
    pub fn pack_cold(&self, now: Timestamp, share: f64) {
        let mut packing = self.packing.lock();
        let mut left = (self.len() as f64 * share).ceil() as usize;
        loop {
            let looked_at = self.pack_some(now, &mut packing, left.min(AT_ONCE));
            left = left.saturating_sub(looked_at);
            if left == 0 {
                return;
            }
        }
    }

    /// What was packed when the last whole round came by.
    pub fn packed(&self) -> Packed {
        *self.packed.lock()
    }

    /// At most so many entries of one shard; how many, at least one, so that empty shards end a
    /// step too.
    fn pack_some(&self, now: Timestamp, packing: &mut Packing, count: usize) -> usize {
        let Packing {
            packer,
            shard,
            from,
            met,
        } = packing;
        let entries = &self.shards[*shard].0;
        let swept = entries.lock().sweep(now, *from, count);
        met.entries += swept.packed;
        met.saved_bytes += swept.saved_bytes;
        let packed = packer.pack::<Bytes>(swept.cold);
        for value in packed {
            entries.lock().store_packed(value);
        }
        *from = swept.next;
        if swept.next == 0 {
            *shard = (*shard + 1) % self.shards.len();
            if *shard == 0 {
                packer.end_round();
                *self.packed.lock() = std::mem::take(met);
            }
        }
        swept.met.max(1)
    }
}

#[cfg(test)]
mod tests {
    use sommos_core::{limits::Limits, wire::cache::CacheSet};

    use super::*;

    fn set(cache: &ShardedCache, key: &str, value: &str) {
        let set = CacheSet {
            key: key.into(),
            value,
            ttl_ms: None,
            stale_ttl_ms: None,
            tags: Vec::new(),
        };
        cache.set(Timestamp(1), &set).unwrap();
    }

    fn wine(i: usize) -> String {
        let vintage = 1900 + i % 100;
        format!(
            r#"{{"id":{i},"name":"Quinta {i}","country":"Portugal","region":"Dão","grapes":["Touriga Nacional","Jaen"],"vintage":{vintage},"notes":"dark fruit, violets, firm tannins, long finish"}}"#
        )
    }

    #[test]
    fn values_nobody_asks_for_take_half_the_room_and_read_as_before() {
        let cache = ShardedCache::new(10_000, 1 << 30, 1_000_000, &Limits::default()).unwrap();
        assert!(cache.shards.len() > 1);
        (0..5000).for_each(|i| set(&cache, &i.to_string(), &wine(i)));
        let (keys, values) = (0..5000).fold((0, 0), |(k, v), i| {
            (k + i.to_string().len(), v + wine(i).len())
        });
        let plain = cache.stats().memory_usage;
        // Rounds in tenths: new, unused, dictionary, packed, met.
        (0..60).for_each(|_| cache.pack_cold(Timestamp(2), 0.1));
        let now = cache.stats().memory_usage;
        let Packed {
            entries,
            saved_bytes,
        } = cache.packed();
        assert!(entries > 4900, "{entries}");
        assert!(saved_bytes <= plain - now && saved_bytes as usize * 2 > keys + values);
        for i in (0..5000).rev() {
            let value = cache.get_value(Timestamp(3), &i.to_string()).unwrap();
            assert_eq!(value, wine(i).as_bytes());
        }
        assert_eq!(cache.stats().memory_usage, plain);
    }

    #[test]
    fn readers_and_writers_go_on_while_it_packs() {
        let cache = ShardedCache::new(10_000, 1 << 30, 1_000_000, &Limits::default()).unwrap();
        (0..2000).for_each(|i| set(&cache, &i.to_string(), &wine(i)));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..100).for_each(|_| cache.pack_cold(Timestamp(2), 0.5)));
            for thread in 0..2 {
                let cache = &cache;
                scope.spawn(move || {
                    for i in 0..20_000usize {
                        let key = i * 7919 % 2000;
                        if i % 5 == thread {
                            set(cache, &key.to_string(), &wine(key));
                        }
                        let value = cache.get_value(Timestamp(3), &key.to_string()).unwrap();
                        assert_eq!(value, wine(key).as_bytes());
                    }
                });
            }
        });
    }

    #[test]
    fn an_empty_cache_has_nothing_to_pack() {
        let cache = ShardedCache::new(10_000, 1 << 30, 1000, &Limits::default()).unwrap();
        (0..100).for_each(|_| cache.pack_cold(Timestamp(1), 1.0));
        assert_eq!(cache.packed(), Packed::default());
    }
}
