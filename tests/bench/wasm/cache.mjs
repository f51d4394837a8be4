// Read-through on keys that follow Zipf's law: get, and set on a miss.

import { interleaved, zipf } from './support.mjs';

const REQUESTS = 1_000_000;

export async function run({ sommos, LRUCache, QuickLRU, rounds }, report) {
  for (const capacity of [100, 10_000]) {
    const keys = Array.from(zipf(capacity * 10, 0.99, REQUESTS, 7), (rank) => `wine:${rank}`);
    const hits = {};
    const through = (name, make, absent) => () => {
      const cache = make();
      let count = 0;
      for (const key of keys) {
        if (cache.get(key) === absent) cache.set(key, key);
        else count += 1;
      }
      cache.destroy?.();
      hits[name] = count / REQUESTS;
    };
    const ttl = 3_600_000;
    const times = await interleaved(
      {
        ours: through('ours', () => new sommos.AdvancedCacheManager({ maxSize: capacity }), null),
        'lru-cache': through('lru-cache', () => new LRUCache({ max: capacity }), undefined),
        'lru-cache, ttl': through('lru-cache, ttl', () => new LRUCache({ max: capacity, ttl }), undefined),
        'quick-lru': through('quick-lru', () => new QuickLRU({ maxSize: capacity }), undefined),
      },
      rounds,
    );
    const speed = (name) => REQUESTS / times[name] / 1000;
    for (const peer of ['lru-cache', 'lru-cache, ttl', 'quick-lru']) {
      const target = peer === 'lru-cache' ? 0.8 : undefined;
      report.add(`cache ${capacity}, read-through`, 'M ops/s', speed('ours'), peer, speed(peer), target);
      report.add(`cache ${capacity}, hit ratio`, 'hits/get', hits.ours, peer, hits[peer], peer === 'lru-cache' ? 1 : undefined);
    }
  }
}
