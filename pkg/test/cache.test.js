import { assert } from 'chai';
import { AdvancedCacheManager, CacheFactory, DistributedCacheManager, init, SommosError } from '@sommos/performance';

const HOUR = 3_600_000;
const START = 1_700_000_000_000;

/** A clock that the test moves. */
function clock() {
  const now = () => now.time;
  now.time = START;
  return now;
}

/** The arguments of every emit of these events, in order. */
function record(cache, ...events) {
  const log = [];
  for (const event of events) cache.on(event, (...args) => log.push([event, ...args]));
  return log;
}

const rejection = (promise) => promise.then(() => assert.fail('resolved'), (error) => error);
const thrown = (call) => {
  try {
    call();
  } catch (error) {
    return error;
  }
  return assert.fail('did not throw');
};
const pending = () => {
  let settle;
  const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
  return { promise, ...settle };
};
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

describe('AdvancedCacheManager', () => {
  let caches = [];
  const make = (options) => {
    const cache = new AdvancedCacheManager({ cleanupInterval: 0, ...options });
    caches.push(cache);
    return cache;
  };
  before(() => init());
  afterEach(() => {
    for (const cache of caches) cache.destroy();
    caches = [];
  });

  it('gives a value back as it was set, and null for a key that is not there', () => {
    const cache = make();
    const value = { vintage: 2016 };
    assert.isTrue(cache.set('barolo', value));
    assert.strictEqual(cache.get('barolo'), value);
    assert.isNull(cache.get('cava'));
    assert.isTrue(cache.set('none', null));
    assert.isTrue(cache.has('none'));
    assert.isFalse(cache.has('cava'));
  });

  it('has the defaults of SommOS', () => {
    const stats = make().getStats();
    assert.equal(stats.maxSize, 1000);
    const now = clock();
    const cache = make({ now });
    cache.set('a', 1);
    now.time += HOUR - 1;
    assert.equal(cache.get('a'), 1);
    now.time += 1;
    assert.isNull(cache.get('a'));
  });

  it('emits hit, miss, set, delete, clear', () => {
    const now = clock();
    const cache = make({ now });
    const log = record(cache, 'hit', 'miss', 'set', 'delete', 'clear');
    cache.set('a', 1, 500);
    cache.get('a');
    cache.get('b');
    assert.isTrue(cache.delete('a'));
    assert.isFalse(cache.delete('a'));
    cache.set('c', 3, Infinity);
    assert.equal(cache.clear(), 1);
    assert.deepEqual(log, [
      ['set', 'a', 1, START + 500],
      ['hit', 'a', 1],
      ['miss', 'b'],
      ['delete', 'a'],
      ['set', 'c', 3, Infinity],
      ['clear', 1],
    ]);
    assert.equal(cache.size(), 0);
  });

  it('expires an entry at its deadline, not before', () => {
    const now = clock();
    const cache = make({ now, defaultTTL: 1000 });
    cache.set('default', 1);
    cache.set('short', 2, 10);
    cache.set('at once', 3, 0);
    cache.set('never', 4, { ttl: Infinity });
    assert.isNull(cache.get('at once'));
    now.time += 9;
    assert.equal(cache.get('short'), 2);
    now.time += 1;
    assert.isNull(cache.get('short'));
    now.time += 990;
    assert.isFalse(cache.has('default'));
    now.time += 1e12;
    assert.equal(cache.get('never'), 4);
    assert.equal(cache.cleanup(), 1);
    assert.isNull(cache.nextDeadline());
  });

  it('evicts the least recently used and tells which', () => {
    const cache = make({ maxSize: 3 });
    const log = record(cache, 'eviction');
    for (const key of ['a', 'b', 'c']) cache.set(key, key);
    cache.get('a');
    cache.peek('b');
    cache.set('d', 'd');
    assert.deepEqual(cache.keys(), ['d', 'a', 'c']);
    assert.equal(cache.evictLRU(), 'c');
    assert.deepEqual(cache.entries(), [['d', 'd'], ['a', 'a']]);
    assert.deepEqual(log, [['eviction', 'b'], ['eviction', 'c']]);
    cache.clear();
    assert.isNull(cache.evictLRU());
  });

  it('stays equal to a plain model over many operations', () => {
    const now = clock();
    const cache = make({ maxSize: 20, now, defaultTTL: Infinity });
    const model = new Map();
    let seed = 7;
    const random = (n) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
    cache.on('eviction', (key) => {
      assert.equal(key, model.keys().next().value);
      model.delete(key);
    });
    for (let round = 0; round < 20_000; round++) {
      const key = `k${random(60)}`;
      const kind = random(10);
      if (kind < 5) {
        const value = model.get(key);
        assert.strictEqual(cache.get(key), value ?? null);
        if (value !== undefined) model.delete(key), model.set(key, value);
      } else if (kind < 9) {
        cache.set(key, round);
        model.delete(key);
        model.set(key, round);
      } else {
        assert.equal(cache.delete(key), model.delete(key));
      }
    }
    assert.deepEqual(cache.entries(), [...model].reverse());
  });

  it('takes any JSON value as a key', () => {
    const cache = make();
    const keys = [{ a: 1, b: [2, { c: null }] }, '{"a":1}', { a: 1 }, 1, '1', true, null, 'null', [1], '', '\0j1', '\0'];
    keys.forEach((key, at) => cache.set(key, at));
    keys.forEach((key, at) => assert.equal(cache.get(key), at, JSON.stringify(key)));
    assert.deepEqual(cache.keys().reverse(), keys);
    assert.equal(cache.get({ b: [2, { c: null }], a: 1 }), 0);
    assert.isTrue(cache.delete({ a: 1 }));
    assert.isTrue(cache.has('{"a":1}'));
  });

  it('refuses keys that are no JSON, saying why', () => {
    const cache = make({ maxKeyLength: 10 });
    const loop = {};
    loop.self = loop;
    for (const [key, word] of [[NaN, 'NaN'], [undefined, 'undefined'], [new Map(), 'Map'], [loop, 'nested'], [() => 1, 'function'], ['x'.repeat(11), 'at most 10']]) {
      const error = thrown(() => cache.set(key, 1));
      assert.instanceOf(error, SommosError);
      assert.equal(error.code, 'INVALID_KEY');
      assert.include(error.message, word);
    }
  });

  it('gets and sets many', () => {
    const cache = make();
    assert.deepEqual(cache.setMany({ a: 1, b: 2 }), { a: true, b: true });
    assert.deepEqual(cache.getMany(['a', 'x', 'b', { y: 1 }]), { results: { a: 1, b: 2 }, missing: ['x', { y: 1 }] });
    assert.deepEqual(cache.setMany(new Map([[{ k: 1 }, 3]])), { '{"k":1}': true });
    cache.set('__proto__', 4);
    const { results } = cache.getMany(['__proto__']);
    assert.deepEqual(Object.entries(results), [['__proto__', 4]]);
  });

  it('counts', () => {
    const cache = make({ maxSize: 2 });
    cache.set('a', 1);
    cache.set('b', 1);
    cache.set('c', 1);
    cache.get('b');
    cache.get('c');
    cache.get('x');
    cache.delete('b');
    const stats = cache.getStats();
    const { hits, misses, evictions, sets, deletes, size, hitRate, maxSize, utilization } = stats;
    assert.deepEqual(
      { hits, misses, evictions, sets, deletes, size, hitRate, maxSize, utilization },
      { hits: 2, misses: 1, evictions: 1, sets: 3, deletes: 1, size: 1, hitRate: 0.67, maxSize: 2, utilization: 0.5 },
    );
    assert.equal(stats.memoryUsage, 200 + 2 + 8);
    const silent = make({ enableMetrics: false });
    silent.set('a', 1);
    silent.get('a');
    assert.equal(silent.getStats().hits + silent.getStats().sets, 0);
    assert.equal(silent.getStats().size, 1);
  });

  it('is bounded in bytes', () => {
    const cache = make({ maxMemory: 10_000, sizeOf: (value) => value });
    const log = record(cache, 'eviction', 'error');
    cache.set('a', 4000);
    cache.set('b', 4000);
    cache.set('c', 4000);
    assert.deepEqual(log, [['eviction', 'a']]);
    assert.isAtMost(cache.getStats().memoryUsage, 10_000);
    assert.isFalse(cache.set('b', 20_000));
    assert.equal(log[1][1].code, 'LIMIT_EXCEEDED');
    assert.include(log[1][1].message, 'maxMemory 10000');
    assert.isNull(cache.get('b'));
    assert.equal(cache.get('c'), 4000);
  });

  it('estimates the bytes of values within bounds', () => {
    const usage = (value) => {
      const cache = make();
      cache.set('k', value);
      return cache.getStats().memoryUsage - 202;
    };
    assert.equal(usage('x'.repeat(100)), 232);
    assert.isAtLeast(usage(new Float64Array(1000)), 8000);
    assert.isAtLeast(usage(Array.from({ length: 1000 }, (_, id) => ({ id, name: 'Barolo' }))), 50_000);
    const loop = {};
    loop.self = loop;
    assert.isAbove(usage(loop), 0);
  });

  it('cleanup removes what has expired', () => {
    const now = clock();
    const cache = make({ now });
    const log = record(cache, 'cleanup', 'eviction');
    for (let i = 0; i < 100; i++) cache.set(i, i, i < 60 ? 10 : 1000);
    now.time += 10;
    assert.equal(cache.size(), 100);
    assert.isAtMost(cache.nextDeadline(), now.time);
    assert.equal(cache.cleanup(), 60);
    assert.equal(cache.size(), 40);
    assert.deepEqual(log, [['cleanup', 60]]);
  });

  it('cleans up by its timer', async () => {
    const now = clock();
    const cache = make({ now, cleanupInterval: 5 });
    cache.set('a', 1, 10);
    now.time += 10;
    const count = await new Promise((resolve) => cache.once('cleanup', resolve));
    assert.equal(count, 1);
    assert.equal(cache.size(), 0);
  });

  it('sees time pass without a clock of the test, also within one turn', async () => {
    const cache = make();
    cache.set('a', 1, 5);
    const start = Date.now();
    while (cache.has('a') && Date.now() - start < 5000);
    assert.isFalse(cache.has('a'));
    cache.set('b', 1, 5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.isNull(cache.get('b'));
  });

  it('warms', async () => {
    const cache = make();
    const log = record(cache, 'warmed', 'warmupError');
    assert.equal(await cache.warmCache(async () => ({ a: 1, b: 2 })), 2);
    assert.equal(cache.get('b'), 2);
    const failure = new Error('no list');
    assert.equal(await cache.warmCache(async () => Promise.reject(failure)), 0);
    assert.deepEqual(log, [['warmed', 2], ['warmupError', failure]]);
    cache.removeAllListeners();
    assert.strictEqual(await rejection(cache.warmCache(() => Promise.reject(failure))), failure);
  });

  it('spreads deadlines by the jitter', () => {
    const now = clock();
    const cache = make({ now, ttlJitter: 0.5, random: () => 0.5 });
    const log = record(cache, 'set');
    cache.set('a', 1, 1000);
    assert.equal(log[0][3], START + 750);
  });

  it('getOrSet calls one loader for all who wait', async () => {
    const cache = make();
    const gate = pending();
    let calls = 0;
    const loader = () => (calls++, gate.promise);
    const all = [cache.getOrSet('a', loader), cache.getOrSet('a', loader), cache.getOrSet('a', loader)];
    await turn();
    gate.resolve(7);
    assert.deepEqual(await Promise.all(all), [7, 7, 7]);
    assert.equal(await cache.getOrSet('a', loader), 7);
    assert.equal(calls, 1);
    assert.equal(await cache.getOrSet('sync', () => null), null);
    assert.isTrue(cache.has('sync'));
  });

  it('a loader that fails rejects all, emits error and caches nothing', async () => {
    const cache = make();
    const log = record(cache, 'error');
    const failure = new Error('db down');
    const load = () => cache.getOrSet('a', async () => Promise.reject(failure));
    assert.deepEqual(await Promise.all([rejection(load()), rejection(load())]), [failure, failure]);
    assert.deepEqual(log, [['error', failure]]);
    assert.isFalse(cache.has('a'));
    assert.equal(await cache.getOrSet('a', () => 1), 1);
    const throwing = cache.getOrSet('b', () => {
      throw failure;
    });
    assert.strictEqual(await rejection(throwing), failure);
  });

  it('a write during the load wins over what was loaded', async () => {
    const cache = make();
    for (const [write, after] of [
      [() => cache.set('a', 'newer'), 'newer'],
      [() => cache.delete('a'), null],
      [() => cache.clear(), null],
      [() => cache.deleteByTag('t'), null],
    ]) {
      cache.clear();
      const gate = pending();
      const load = cache.getOrSet('a', () => gate.promise, { tags: ['t'] });
      write();
      gate.resolve('older');
      assert.equal(await load, 'older');
      assert.equal(cache.get('a'), after);
    }
  });

  it('hands out stale values while they are loaded anew', async () => {
    const now = clock();
    const cache = make({ now });
    const options = { ttl: 100, staleWhileRevalidate: 50 };
    await cache.getOrSet('a', () => 1, options);
    now.time += 100;
    assert.isNull(cache.get('a'));
    assert.equal(await cache.getOrSet('a', async () => 2, options), 1);
    await turn();
    assert.equal(cache.get('a'), 2);
    now.time += 150;
    assert.equal(await cache.getOrSet('a', () => 3, options), 3);
    assert.equal(cache.getStats().staleHits, 1);
  });

  it('hands out stale values when the loader fails', async () => {
    const now = clock();
    const cache = make({ now, failSafe: 1000 });
    cache.on('error', () => {});
    cache.set('a', 1, 100);
    now.time += 1099;
    const fail = () => Promise.reject(new Error('down'));
    assert.equal(await cache.getOrSet('a', fail), 1);
    now.time += 1;
    assert.equal((await rejection(cache.getOrSet('a', fail))).message, 'down');
  });

  it('abort ends the waiting of one, and the loader once nobody waits', async () => {
    const cache = make();
    const [one, two] = [new AbortController(), new AbortController()];
    let seen;
    const loader = ({ signal }) => ((seen = signal), new Promise(() => {}));
    const first = cache.getOrSet('a', loader, { signal: one.signal });
    const second = cache.getOrSet('a', loader, { signal: two.signal });
    one.abort();
    assert.equal((await rejection(first)).name, 'AbortError');
    assert.isFalse(seen.aborted);
    two.abort(new Error('enough'));
    assert.equal((await rejection(second)).message, 'enough');
    assert.isTrue(seen.aborted);
    assert.equal(await cache.getOrSet('a', () => 5), 5);
    assert.equal((await rejection(cache.getOrSet('b', () => 1, { signal: one.signal }))).name, 'AbortError');
  });

  it('bounds the loaders under way', async () => {
    const cache = make({ maxLoads: 1 });
    const gate = pending();
    const first = cache.getOrSet('a', () => gate.promise);
    assert.equal((await rejection(cache.getOrSet('b', () => 1))).code, 'LIMIT_EXCEEDED');
    gate.resolve(1);
    await first;
    assert.equal(await cache.getOrSet('b', () => 1), 1);
  });

  it('deletes by tag what was set before, not after', () => {
    const cache = make();
    cache.set('a', 1, { tags: ['red', 'italy'] });
    cache.set('b', 2, { tags: ['white'] });
    cache.set('c', 3);
    cache.deleteByTag('red');
    cache.set('d', 4, { tags: ['red'] });
    assert.isNull(cache.get('a'));
    assert.isFalse(cache.has('a'));
    assert.deepEqual(cache.keys(), ['d', 'c', 'b']);
    cache.deleteByTag(['white', 'red']);
    assert.equal(cache.size(), 1);
    // Many tags: the oldest barriers become one, and nothing comes back.
    for (let i = 0; i < 3000; i++) {
      cache.set(`k${i}`, i, { tags: [`t${i}`] });
      cache.deleteByTag(`t${i}`);
    }
    assert.deepEqual(cache.keys(), ['c']);
  });

  it('keeps entries, order and deadlines in a snapshot', () => {
    const now = clock();
    const cache = make({ now });
    cache.set('a', { deep: [1, 'ü', null] }, 1000);
    cache.set({ k: 1 }, 2, { ttl: 500, staleWhileRevalidate: 500, tags: ['t'] });
    cache.set('never', 3, Infinity);
    cache.set('short', 4, 10);
    cache.get('a');
    const bytes = cache.snapshot();
    now.time += 400;
    const other = make({ now });
    other.set('gone', 1);
    const log = record(other, 'warmed');
    assert.equal(other.restore(bytes), 3);
    assert.deepEqual(log, [['warmed', 3]]);
    assert.deepEqual(other.entries(), [['a', { deep: [1, 'ü', null] }], ['never', 3], [{ k: 1 }, 2]]);
    now.time += 100;
    assert.isNull(other.get({ k: 1 }));
    now.time += 500;
    assert.isNull(other.get('a'));
    assert.equal(other.get('never'), 3);
    other.restore(bytes);
    other.deleteByTag('t');
    assert.isFalse(other.has({ k: 1 }));
  });

  it('says which value a snapshot cannot hold', () => {
    const cache = make();
    const loop = {};
    loop.self = loop;
    for (const [value, word] of [[{ a: [1, new Map()] }, '.a[1] is a Map'], [() => 1, 'function'], [NaN, 'NaN'], [10n, 'bigint'], [new Date(), 'Date'], [loop, 'nested']]) {
      cache.clear();
      cache.set('good', 1);
      cache.set('bad', value);
      const error = thrown(() => cache.snapshot());
      assert.equal(error.code, 'NOT_SERIALIZABLE');
      assert.include(error.message, '"bad"');
      assert.include(error.message, word);
      const skipped = [];
      const bytes = cache.snapshot({ skip: (_error, key) => skipped.push(key) });
      assert.deepEqual(skipped, ['bad']);
      assert.equal(cache.restore(bytes), 1);
    }
  });

  it('refuses every damaged snapshot and stays as it was', () => {
    const cache = make();
    cache.set('a', 1);
    cache.set('b', { c: 2 });
    const bytes = cache.snapshot();
    const before = cache.entries();
    const check = (damaged, what) => {
      const error = thrown(() => cache.restore(damaged));
      assert.equal(error.code, 'CORRUPT_DATA', what);
      assert.match(error.message, /byte|entry/);
      assert.deepEqual(cache.entries(), before);
    };
    for (let length = 0; length < bytes.length; length++) check(bytes.slice(0, length), `cut at ${length}`);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at] ^= 0x10;
      check(damaged, `byte ${at}`);
    }
    check(new Uint8Array([...bytes, 0]), 'one more');
    assert.equal(thrown(() => cache.restore('text')).code, 'INVALID_OPTION');
  });

  it('is closed by destroy, and then says so', async () => {
    const cache = make();
    const waiting = cache.getOrSet('a', () => new Promise(() => {}));
    cache.destroy();
    cache.destroy();
    assert.equal((await rejection(waiting)).code, 'CLOSED');
    for (const call of [
      () => cache.get('a'),
      () => cache.set('a', 1),
      () => cache.has('a'),
      () => cache.delete('a'),
      () => cache.clear(),
      () => cache.keys(),
      () => cache.size(),
      () => cache.getStats(),
      () => cache.cleanup(),
      () => cache.evictLRU(),
      () => cache.snapshot(),
      () => cache.restore(new Uint8Array()),
      () => cache.deleteByTag('t'),
      () => cache.getMany(['a']),
    ]) {
      assert.equal(thrown(call).code, 'CLOSED');
    }
    assert.equal((await rejection(cache.getOrSet('a', () => 1))).code, 'CLOSED');
    assert.equal((await rejection(cache.warmCache(() => ({})))).code, 'CLOSED');
    const disposed = make();
    disposed[Symbol.dispose]();
    assert.equal(thrown(() => disposed.get('a')).code, 'CLOSED');
  });

  it('listeners may call the cache', () => {
    const cache = make({ maxSize: 2 });
    cache.on('eviction', (key) => {
      if (key === 'a') cache.set('again', 1);
    });
    for (const key of ['a', 'b', 'c', 'd']) cache.set(key, key);
    assert.equal(cache.size(), 2);
    assert.deepEqual(cache.keys(), ['d', 'again']);
    cache.once('eviction', () => cache.destroy());
    cache.set('last', 1);
    assert.equal(thrown(() => cache.get('last')).code, 'CLOSED');
  });

  it('refuses options out of range by their name', () => {
    for (const options of [
      { maxSize: 0 },
      { maxSize: 1.5 },
      { maxMemory: -1 },
      { defaultTTL: -5 },
      { defaultTTL: '1' },
      { cleanupInterval: -1 },
      { enableMetrics: 1 },
      { ttlJitter: 2 },
      { sizeOf: 3 },
    ]) {
      const error = thrown(() => new AdvancedCacheManager(options));
      assert.equal(error.code, 'INVALID_OPTION');
      assert.include(error.message, Object.keys(options)[0]);
    }
    const cache = make();
    assert.equal(thrown(() => cache.set('a', 1, -1)).code, 'INVALID_OPTION');
    assert.equal(thrown(() => cache.set('a', 1, NaN)).code, 'INVALID_OPTION');
    assert.equal(thrown(() => cache.set('a', 1, { tags: [''] })).code, 'INVALID_OPTION');
  });

  it('gives the memory back', () => {
    const round = () => {
      const cache = new AdvancedCacheManager({ maxSize: 2000, cleanupInterval: 0 });
      for (let i = 0; i < 2000; i++) cache.set(`k${i}`, i);
      const { allocatedBytes } = cache.getStats();
      cache.destroy();
      return allocatedBytes;
    };
    const first = round();
    for (let i = 0; i < 50; i++) assert.equal(round(), first);
  });
});

describe('CacheFactory', () => {
  before(() => init());

  it('makes both kinds', () => {
    const basic = CacheFactory.createCache('basic', { maxSize: 5 });
    const distributed = CacheFactory.createCache('distributed', { nodeId: 'n1', channel: 'factory' });
    assert.instanceOf(basic, AdvancedCacheManager);
    assert.notInstanceOf(basic, DistributedCacheManager);
    assert.equal(basic.getStats().maxSize, 5);
    assert.instanceOf(distributed, DistributedCacheManager);
    assert.equal(distributed.nodeId, 'n1');
    assert.equal(thrown(() => CacheFactory.createCache('other')).code, 'INVALID_OPTION');
    basic.destroy();
    distributed.destroy();
  });
});
