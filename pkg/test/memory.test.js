import { assert } from 'chai';
import { init, MemoryOptimizationEngine, SommosError } from '@sommos/performance';

before(() => init());

/** What a call throws or rejects with. */
async function refusal(call) {
  const error = await (async () => call())().then(() => assert.fail('nothing was thrown'), (thrown) => thrown);
  assert.instanceOf(error, SommosError);
  return error;
}

/** Every event of an engine, in order. */
function log(engine, ...events) {
  const seen = [];
  for (const event of events) engine.on(event, (...args) => seen.push([event, ...args]));
  return seen;
}

describe('MemoryOptimizationEngine', () => {
  let engine;
  beforeEach(() => (engine = new MemoryOptimizationEngine({ memoryLimit: 1000 })));
  afterEach(() => engine.destroy());

  it('has the defaults of SommOS and checks its options', async () => {
    const plain = new MemoryOptimizationEngine();
    assert.deepInclude(plain, { memoryLimit: 104857600, compressionEnabled: true, lazyLoadingEnabled: true });
    plain.destroy();
    for (const options of [{ memoryLimit: 0 }, { compressionEnabled: 1 }, { garbageCollectionInterval: 1 }, { maxPools: 0 }]) {
      assert.equal((await refusal(() => new MemoryOptimizationEngine(options))).code, 'INVALID_OPTION');
    }
  });

  describe('allocate and deallocate', () => {
    it('keep the account', () => {
      const seen = log(engine, 'memoryAllocated', 'memoryDeallocated');
      const before = Date.now();
      const allocation = engine.allocate(600, 'image');
      assert.deepInclude(allocation, { size: 600, type: 'image' });
      assert.isAtLeast(allocation.allocatedAt, before);
      engine.allocate(400);
      engine.deallocate(700, 'image');
      assert.deepEqual(engine.getMemoryStats().tracking, {
        memoryUsage: 300,
        memoryPeak: 1000,
        allocationCount: 2,
        deallocationCount: 1,
        memoryLimit: 1000,
      });
      assert.deepEqual(seen.map(([event, { size, type }]) => [event, size, type]), [
        ['memoryAllocated', 600, 'image'],
        ['memoryAllocated', 400, 'general'],
        ['memoryDeallocated', 700, 'image'],
      ]);
    });

    it('tell and refuse what is over the limit, and free what they can', async () => {
      const seen = log(engine, 'memoryLimitExceeded');
      engine.returnToPool('idle', {});
      engine.allocate(900);
      assert.equal((await refusal(() => engine.allocate(200))).code, 'LIMIT_EXCEEDED');
      assert.deepEqual(seen, [['memoryLimitExceeded', 1100, 1000]]);
      assert.equal(engine.getMemoryStats().tracking.memoryUsage, 900);
      assert.equal(engine.getMemoryStats().pools.objectPools, 0);
    });

    it('refuse what is no size, and more than is counted', async () => {
      for (const size of [0, -1, 1.5, NaN, '5', undefined]) {
        assert.equal((await refusal(() => engine.allocate(size))).code, 'INVALID_FIELD');
        assert.equal((await refusal(() => engine.deallocate(size))).code, 'INVALID_FIELD');
      }
      const error = await refusal(() => engine.deallocate(1));
      assert.include(error.message, '1 bytes is more than the 0 bytes');
    });
  });

  describe('object pools', () => {
    it('give objects again', async () => {
      const seen = log(engine, 'objectCreated', 'objectReused', 'objectReturned');
      const made = engine.getFromPool('vec', () => ({ n: 1 }));
      assert.isTrue(engine.returnToPool('vec', made, (object) => (object.n = 0)));
      assert.equal((await refusal(() => engine.returnToPool('vec', made))).code, 'INVALID_FIELD', 'twice');
      const again = engine.getFromPool('vec', () => assert.fail('made anew'));
      assert.strictEqual(again, made);
      assert.equal(again.n, 0);
      assert.deepEqual(seen, [['objectCreated', 'vec'], ['objectReturned', 'vec'], ['objectReused', 'vec']]);
    });

    it('are bounded', async () => {
      const small = new MemoryOptimizationEngine({ maxPools: 1, maxPooledObjects: 2 });
      assert.deepEqual([1, 2, 3].map((n) => small.returnToPool('a', { n })), [true, true, false]);
      assert.equal((await refusal(() => small.returnToPool('b', {}))).code, 'LIMIT_EXCEEDED');
      small.destroy();
    });

    it('drop an object that cannot be reset, and count buffers apart', () => {
      assert.throws(() => engine.returnToPool('a', {}, () => { throw new Error('stuck'); }), 'stuck');
      engine.returnToPool('bytes', new Uint8Array(8));
      engine.returnToPool('objects', {});
      assert.deepInclude(engine.getMemoryStats().pools, { objectPools: 1, bufferPools: 1 });
    });
  });

  describe('lazyLoad', () => {
    it('loads once, however many ask at the same time', async () => {
      const seen = log(engine, 'dataLazyLoaded');
      let loads = 0;
      const loader = async () => ({ load: ++loads });
      const [one, two] = await Promise.all([engine.lazyLoad('k', loader), engine.lazyLoad('k', loader)]);
      assert.strictEqual(one, two);
      assert.strictEqual(await engine.lazyLoad('k', loader), one);
      assert.equal(loads, 1);
      assert.deepEqual(seen, [['dataLazyLoaded', 'k']]);
      assert.equal(engine.getMemoryStats().pools.lazyCache, 1);
    });

    it('keeps nothing when asked not to, or when lazy loading is off', async () => {
      let loads = 0;
      const loader = () => ++loads;
      await engine.lazyLoad('k', loader, { cache: false });
      assert.equal(await engine.lazyLoad('k', loader, { cache: false }), 2);
      const off = new MemoryOptimizationEngine({ lazyLoadingEnabled: false });
      await off.lazyLoad('k', loader);
      assert.equal(await off.lazyLoad('k', loader), 4);
      off.destroy();
    });

    it('rejects as the loader does, and asks it again', async () => {
      for (const loader of [() => { throw new Error('no'); }, () => Promise.reject(new Error('no'))]) {
        const outcomes = await Promise.allSettled([engine.lazyLoad('k', loader), engine.lazyLoad('k', loader)]);
        assert.deepEqual(outcomes.map(({ reason }) => reason.message), ['no', 'no']);
      }
      assert.equal(await engine.lazyLoad('k', () => 'yes'), 'yes');
    });

    it('is bounded, and refuses what is no loader', async () => {
      const small = new MemoryOptimizationEngine({ maxLazyEntries: 2 });
      for (const key of ['a', 'b', 'c']) await small.lazyLoad(key, () => key);
      assert.equal(small.getMemoryStats().pools.lazyCache, 2);
      assert.equal((await refusal(() => small.lazyLoad('d', 'x'))).code, 'INVALID_OPTION');
      small.destroy();
    });

    it('keeps nothing that arrives after destroy', async () => {
      let arrive;
      const late = new MemoryOptimizationEngine();
      const loading = late.lazyLoad('k', () => new Promise((resolve) => (arrive = resolve)));
      late.destroy();
      arrive('value');
      assert.equal(await loading, 'value');
    });
  });

  describe('triggerGarbageCollection', () => {
    it('drops what was idle since the last one', async () => {
      const seen = log(engine, 'garbageCollectionTriggered');
      engine.returnToPool('p', { idle: 1 });
      engine.returnToPool('p', { used: 1 });
      await engine.lazyLoad('idle', () => 1);
      await engine.lazyLoad('used', () => 2);
      assert.deepInclude(engine.triggerGarbageCollection(), { pooledObjects: 0, lazyEntries: 0 });
      const used = engine.getFromPool('p', () => assert.fail('made anew'));
      engine.returnToPool('p', used);
      await engine.lazyLoad('used', () => assert.fail('loaded anew'));
      const outcome = engine.triggerGarbageCollection();
      assert.deepInclude(outcome, { pooledObjects: 1, lazyEntries: 1 });
      assert.isAbove(outcome.lazyBytes, 0);
      assert.deepEqual(engine.getFromPool('p', () => assert.fail('made anew')), { used: 1 });
      assert.equal(await engine.lazyLoad('used', () => assert.fail('loaded anew')), 2);
      assert.equal(await engine.lazyLoad('idle', () => 'anew'), 'anew');
      assert.deepEqual(seen.at(-1), ['garbageCollectionTriggered', outcome]);
    });

    it('drops everything when asked', async () => {
      engine.returnToPool('p', {});
      await engine.lazyLoad('k', () => 1);
      assert.deepInclude(engine.triggerGarbageCollection({ all: true }), { pooledObjects: 1, lazyEntries: 1 });
      const { objectPools, lazyCache } = engine.getMemoryStats().pools;
      assert.deepEqual([objectPools, lazyCache], [0, 0]);
    });

    it('runs by itself, with fresh figures', async () => {
      const quick = new MemoryOptimizationEngine({ garbageCollectionInterval: 10 });
      const collected = new Promise((resolve) => quick.once('garbageCollectionTriggered', resolve));
      const stats = await new Promise((resolve) => quick.once('memoryMetricsUpdated', resolve));
      assert.containsAllKeys(await collected, ['pooledObjects', 'lazyEntries', 'collected', 'heapFreed']);
      assert.hasAllKeys(stats, ['current', 'tracking', 'pools']);
      quick.destroy();
    });
  });

  it('tells its figures in the shape of SommOS', () => {
    const { current, tracking, pools } = engine.getMemoryStats();
    assert.hasAllKeys(current, ['heapUsed', 'heapTotal', 'external', 'rss', 'engine']);
    for (const bytes of Object.values(current)) assert.isTrue(bytes === null || bytes > 0);
    assert.isAbove(current.engine, 0);
    assert.containsAllKeys(tracking, ['memoryUsage', 'memoryPeak', 'allocationCount', 'deallocationCount']);
    assert.deepEqual(pools, { objectPools: 0, bufferPools: 0, lazyCache: 0, compressionCache: 0 });
  });

  it('is closed once it is destroyed', async () => {
    engine.destroy();
    engine[Symbol.dispose]();
    for (const call of [
      () => engine.allocate(1),
      () => engine.deallocate(1),
      () => engine.getMemoryStats(),
      () => engine.getFromPool('p', () => 1),
      () => engine.returnToPool('p', {}),
      () => engine.lazyLoad('k', () => 1),
      () => engine.compress('x'),
      () => engine.decompress(new Uint8Array(1)),
      () => engine.triggerGarbageCollection(),
    ]) {
      assert.equal((await refusal(call)).code, 'CLOSED', String(call));
    }
  });
});
