import { assert } from 'chai';
import { init, MemoryOptimizationEngine, SommosError } from '@sommos/performance';

const ALGORITHMS = ['gzip', 'deflate', 'lz4', 'brotli', 'zstd'];
/** First bytes of each format that has such. */
const MAGIC = { gzip: [0x1f, 0x8b], lz4: [0x04, 0x22, 0x4d, 0x18], zstd: [0x28, 0xb5, 0x2f, 0xfd] };

before(() => init());

async function refusal(call) {
  const error = await call().then(() => assert.fail('it did not reject'), (thrown) => thrown);
  assert.instanceOf(error, SommosError);
  return error;
}

describe('compress and decompress', () => {
  let engine;
  beforeEach(() => (engine = new MemoryOptimizationEngine()));
  afterEach(() => engine.destroy());

  const wines = Array.from({ length: 200 }, (_, id) => ({ id, name: `Château ${id % 7}`, price: id / 3 }));
  // Above the size from which the compute worker does it.
  const large = JSON.stringify(Array.from({ length: 40 }, () => wines));

  for (const algorithm of ALGORITHMS) {
    it(`${algorithm} gives back what it was given`, async () => {
      const packed = await engine.compress(wines, algorithm);
      assert.instanceOf(packed, Uint8Array);
      assert.isBelow(packed.length, JSON.stringify(wines).length / 2);
      assert.deepEqual([...packed.subarray(0, MAGIC[algorithm]?.length ?? 0)], MAGIC[algorithm] ?? []);
      assert.deepEqual(await engine.decompress(packed, algorithm), wines);
      for (const value of [null, true, 0, 'plain text', '', [], {}]) {
        assert.deepEqual(await engine.decompress(await engine.compress(value, algorithm), algorithm), value);
      }
      const bytes = Uint8Array.from({ length: 3000 }, (_, i) => 255 - (i % 200));
      assert.deepEqual(await engine.decompress(await engine.compress(bytes, algorithm), algorithm), bytes);
    });

    it(`${algorithm} refuses corrupt bytes`, async () => {
      const packed = await engine.compress(wines, algorithm);
      for (const bad of [packed.slice(0, packed.length >> 1), new Uint8Array(0), Uint8Array.of(1, 2, 3, 255, 255)]) {
        assert.equal((await refusal(() => engine.decompress(bad, algorithm))).code, 'CORRUPT_DATA');
      }
    });

    it(`${algorithm} takes large inputs`, async () => {
      const seen = [];
      const onProgress = (progress) => seen.push(progress);
      const packed = await engine.compress(large, algorithm, { onProgress });
      assert.equal(await engine.decompress(packed, algorithm, { as: 'text' }), large);
      for (const { done, total } of seen) assert.isAtMost(done, total);
    });
  }

  it('emits the sizes before and after', async () => {
    const seen = [];
    engine.on('dataCompressed', (...args) => seen.push(args));
    const packed = await engine.compress('é'.repeat(500), 'lz4');
    assert.deepEqual(seen, [['lz4', 1000, packed.length]]);
  });

  it('gives the form that is asked for', async () => {
    const packed = await engine.compress('{"a":1}');
    assert.deepEqual(await engine.decompress(packed), { a: 1 });
    assert.equal(await engine.decompress(packed, 'gzip', { as: 'text' }), '{"a":1}');
    assert.deepEqual(await engine.decompress(packed, 'gzip', { as: 'json' }), { a: 1 });
    const bytes = await engine.decompress(packed, 'gzip', { as: 'bytes' });
    assert.equal(new TextDecoder().decode(bytes), '{"a":1}');
    const text = await engine.compress('not json');
    assert.equal((await refusal(() => engine.decompress(text, 'gzip', { as: 'json' }))).code, 'CORRUPT_DATA');
    const noText = await engine.compress(Uint8Array.of(255, 254));
    assert.equal((await refusal(() => engine.decompress(noText, 'gzip', { as: 'text' }))).code, 'CORRUPT_DATA');
    assert.equal((await refusal(() => engine.decompress(text, 'gzip', { as: 'xml' }))).code, 'INVALID_OPTION');
  });

  it('takes ArrayBuffers and parts of them, and leaves them as they are', async () => {
    const { buffer } = Uint8Array.of(9, 1, 2, 3, 9);
    const part = new Uint8Array(buffer, 1, 3);
    assert.deepEqual([...(await engine.decompress(await engine.compress(part), 'gzip', { as: 'bytes' }))], [1, 2, 3]);
    assert.deepEqual([...(await engine.decompress(await engine.compress(buffer), 'gzip', { as: 'bytes' }))], [9, 1, 2, 3, 9]);
    const big = new Uint8Array(600_000).fill(7);
    await engine.compress(big);
    assert.equal(big.length, 600_000, 'it was not transferred');
  });

  it('has levels', async () => {
    const [fast, small] = await Promise.all([1, 9].map((level) => engine.compress(large, 'gzip', { level })));
    assert.isBelow(small.length, fast.length);
    assert.equal((await refusal(() => engine.compress('x', 'gzip', { level: 10 }))).code, 'INVALID_FIELD');
    assert.equal((await refusal(() => engine.compress('x', 'gzip', { level: 2.5 }))).code, 'INVALID_OPTION');
  });

  it('says that a buffer is detached', async () => {
    for (const make of [(buffer) => buffer, (buffer) => new Uint8Array(buffer)]) {
      const buffer = new ArrayBuffer(64);
      const data = make(buffer);
      structuredClone(buffer, { transfer: [buffer] });
      const error = await refusal(() => engine.compress(data));
      assert.equal(error.code, 'DETACHED');
      assert.include(error.message, 'detached');
      assert.equal((await refusal(() => engine.decompress(data))).code, 'DETACHED');
    }
  });

  it('refuses what it cannot compress', async () => {
    const cyclic = {};
    cyclic.self = cyclic;
    for (const data of [undefined, () => 1, 10n, cyclic]) {
      assert.equal((await refusal(() => engine.compress(data))).code, 'INVALID_FIELD');
    }
    assert.equal((await refusal(() => engine.decompress('text'))).code, 'INVALID_FIELD');
    const error = await refusal(() => engine.compress('x', 'rar'));
    assert.equal(error.code, 'INVALID_OPTION');
    assert.include(error.message, 'gzip');
    const off = new MemoryOptimizationEngine({ compressionEnabled: false });
    assert.equal((await refusal(() => off.compress('x'))).code, 'DISABLED');
    off.destroy();
  });

  it('stops a decompression at its limit, and knows no limit of ratio', async () => {
    const packed = await engine.compress(new Uint8Array(8_000_000));
    assert.isBelow(packed.length, 10_000);
    assert.equal((await engine.decompress(packed, 'gzip', { as: 'bytes' })).length, 8_000_000);
    const error = await refusal(() => engine.decompress(packed, 'gzip', { maxBytes: 1_000_000 }));
    assert.equal(error.code, 'TOO_LARGE');
  });

  it('ends when it is aborted', async () => {
    const reason = new Error('enough');
    const outcome = (promise) => promise.then(() => assert.fail('it did not reject'), (thrown) => thrown);
    const signal = AbortSignal.abort(reason);
    assert.strictEqual(await outcome(engine.compress('x', 'gzip', { signal })), reason);
    const controller = new AbortController();
    const running = engine.compress(large.repeat(8), 'brotli', { level: 11, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    assert.strictEqual(await outcome(running), reason);
    assert.deepEqual(await engine.decompress(await engine.compress('after')), 'after');
  });
});
