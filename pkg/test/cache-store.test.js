import { assert } from 'chai';
import { AdvancedCacheManager, init, openCacheStore, SommosError } from '@sommos/performance';

const rejection = (promise) => promise.then(() => assert.fail('resolved'), (error) => error);

/** As much of IndexedDB as the store uses, in memory; `failure` aborts every write. */
function memoryFactory() {
  const kept = new Map();
  const factory = { failure: null, kept };
  const later = (call) => setTimeout(call, 0);
  const transaction = (mode) => {
    const t = { error: null };
    const run = (call) => {
      const request = { result: undefined, error: null };
      later(() => {
        if (mode === 'readwrite' && factory.failure) {
          t.error = factory.failure;
          t.onabort?.();
        } else {
          request.result = call();
          t.oncomplete?.();
        }
      });
      return request;
    };
    t.objectStore = () => ({
      put: (value, key) => run(() => void kept.set(key, structuredClone(value))),
      get: (key) => run(() => kept.get(key)),
      delete: (key) => run(() => void kept.delete(key)),
    });
    return t;
  };
  factory.open = (name) => {
    const database = { name, transaction: (_store, mode) => transaction(mode), createObjectStore() {}, close() {} };
    const request = { result: database, error: null };
    later(() => {
      if (factory.refuse) {
        request.error = factory.refuse;
        return request.onerror();
      }
      request.onupgradeneeded?.();
      request.onsuccess();
    });
    return request;
  };
  return factory;
}

// The real IndexedDB where there is one, and always the one in memory.
const places = [['memory', memoryFactory]];
if (globalThis.indexedDB) places.push(['IndexedDB', () => globalThis.indexedDB]);

for (const [name, factoryOf] of places) {
  describe(`CacheStore in ${name}`, () => {
    const caches = [];
    const make = () => {
      const cache = new AdvancedCacheManager({ cleanupInterval: 0 });
      caches.push(cache);
      return cache;
    };
    let store;
    before(() => init());
    beforeEach(async () => {
      store = await openCacheStore({ indexedDB: factoryOf(), database: `test ${Math.random()}`, name: 'wines' });
    });
    afterEach(() => {
      store.close();
      for (const cache of caches.splice(0)) cache.destroy();
    });

    it('keeps a cache from one visit to the next', async () => {
      const [cache, next] = [make(), make()];
      const saved = [];
      store.on('saved', (bytes) => saved.push(bytes));
      assert.equal(await store.load(next), 0);
      cache.set('a', { b: 1 });
      cache.set({ k: 1 }, 2);
      const bytes = await store.save(cache);
      assert.deepEqual(saved, [bytes]);
      assert.equal(await store.load(next), 2);
      assert.deepEqual(next.entries(), cache.entries());
      await store.remove();
      assert.equal(await store.load(next), 0);
    });

    it('leaves out what JSON cannot hold and tells it', async () => {
      const [cache, next] = [make(), make()];
      const errors = [];
      store.on('error', (error) => errors.push(error));
      cache.set('good', 1);
      cache.set('bad', new Map());
      await store.save(cache);
      assert.equal(errors[0].code, 'NOT_SERIALIZABLE');
      assert.include(errors[0].message, '"bad"');
      assert.equal(await store.load(next), 1);
    });

    it('saves by itself until it is told to stop', async () => {
      const cache = make();
      cache.set('a', 1);
      const stop = store.autosave(cache, 1);
      await new Promise((resolve) => store.once('saved', resolve));
      await new Promise((resolve) => store.once('saved', resolve));
      stop();
      store.autosave(cache, 1);
      cache.destroy();
      const error = await new Promise((resolve) => store.once('error', resolve));
      assert.equal(error.code, 'CLOSED');
    });

    it('says that it was closed', async () => {
      const cache = make();
      store.close();
      assert.equal((await rejection(store.save(cache))).code, 'CLOSED');
      assert.equal((await rejection(store.load(cache))).code, 'CLOSED');
    });
  });
}

describe('openCacheStore', () => {
  before(() => init());

  it('says where there is no IndexedDB', async () => {
    if (globalThis.indexedDB) return assert.isFunction(globalThis.indexedDB.open);
    const error = await rejection(openCacheStore());
    assert.instanceOf(error, SommosError);
    assert.equal(error.code, 'UNSUPPORTED');
    assert.include(error.message, 'indexedDB');
  });

  it('says what to do when there is no room left, and keeps what was kept', async () => {
    const factory = memoryFactory();
    const store = await openCacheStore({ indexedDB: factory });
    const cache = new AdvancedCacheManager({ cleanupInterval: 0 });
    cache.set('a', 1);
    await store.save(cache);
    factory.failure = new DOMException('full', 'QuotaExceededError');
    cache.set('b', 1);
    const error = await rejection(store.save(cache));
    assert.equal(error.code, 'QUOTA_EXCEEDED');
    assert.include(error.message, 'maxMemory');
    store.autosave(cache, 1);
    assert.equal((await new Promise((resolve) => store.once('error', resolve))).code, 'QUOTA_EXCEEDED');
    assert.equal(await store.load(cache), 1);
    store.close();
    cache.destroy();
  });

  it('tells damage and leaves the cache as it was', async () => {
    const factory = memoryFactory();
    const store = await openCacheStore({ indexedDB: factory, name: 'x' });
    const cache = new AdvancedCacheManager({ cleanupInterval: 0 });
    cache.set('a', 1);
    await store.save(cache);
    factory.kept.get('x')[25] ^= 1;
    assert.equal((await rejection(store.load(cache))).code, 'CORRUPT_DATA');
    factory.kept.set('x', 'text');
    assert.equal((await rejection(store.load(cache))).code, 'CORRUPT_DATA');
    assert.equal(cache.get('a'), 1);
    store.close();
    cache.destroy();
    factory.refuse = new DOMException('denied', 'InvalidStateError');
    const error = await rejection(openCacheStore({ indexedDB: factory, database: 'db' }));
    assert.equal(error.code, 'STORAGE_FAILED');
    assert.include(error.message, '"db"');
  });
});
