import { assert } from 'chai';
import {
  BloomFilter,
  CircularBuffer,
  CompressedArray,
  init,
  LRUCache,
  MemoryOptimizationEngine,
  PerformanceMonitoringEngine,
  SommosError,
  SparseMatrix,
} from '@sommos/performance';

before(() => init());

/** What a call throws. */
function thrown(call) {
  try {
    call();
  } catch (error) {
    assert.instanceOf(error, SommosError);
    return error;
  }
  return assert.fail('nothing was thrown');
}

function closed(object, ...calls) {
  object.destroy();
  object.destroy();
  for (const call of calls) assert.equal(thrown(call).code, 'CLOSED');
}

describe('SparseMatrix', () => {
  it('keeps what differs from the default', () => {
    const matrix = new SparseMatrix({ rows: 1000, cols: 2000 });
    matrix.set(3, 1999, 2.5);
    matrix.set(4, 0, -1);
    assert.equal(matrix.get(3, 1999), 2.5);
    assert.equal(matrix.get(0, 0), 0);
    assert.equal(matrix.getSize(), 2);
    matrix.set(4, 0, 0);
    assert.equal(matrix.getSize(), 1);
    matrix.destroy();
  });

  it('has a default of its own, many writes at once, and a dense form', () => {
    const matrix = new SparseMatrix({ rows: 2, cols: 3, defaultValue: 7 });
    matrix.setMany(Uint32Array.of(0, 1), Uint32Array.of(1, 2), Float64Array.of(1, 2));
    assert.deepEqual([...matrix.toDense()], [7, 1, 7, 7, 7, 2]);
    const uneven = thrown(() => matrix.setMany(Uint32Array.of(0), Uint32Array.of(), Float64Array.of()));
    assert.equal(uneven.code, 'INVALID_FIELD');
    matrix.destroy();
  });

  it('takes 12 bytes an element once compacted', () => {
    const matrix = new SparseMatrix({ rows: 1000, cols: 1000 });
    for (let i = 0; i < 10_000; i++) matrix.set(i % 100, (i * 7) % 1000, 1);
    matrix.compact();
    assert.equal(matrix.getSize(), 1000);
    assert.isBelow(matrix.getMemoryUsage(), 1000 * 12 + 100 * 8 + 500);
    matrix.destroy();
  });

  it('refuses what is outside, not finite, or too much', () => {
    const matrix = new SparseMatrix({ rows: 2, cols: 2, maxEntries: 1 });
    for (const [row, col] of [[2, 0], [-1, 0], [0.5, 0], [0, '1']]) {
      assert.equal(thrown(() => matrix.get(row, col)).code, 'INVALID_FIELD');
    }
    assert.equal(thrown(() => matrix.set(0, 0, NaN)).code, 'INVALID_FIELD');
    matrix.set(0, 0, 1);
    assert.equal(thrown(() => matrix.set(1, 1, 1)).code, 'LIMIT_EXCEEDED');
    assert.include(thrown(() => new SparseMatrix({ rows: 0, cols: 1 })).message, 'rows is 0');
    assert.equal(thrown(() => new SparseMatrix({ rows: 1 })).code, 'INVALID_OPTION');
    closed(matrix, () => matrix.get(0, 0), () => matrix.getSize());
  });
});

describe('CircularBuffer', () => {
  it('keeps the last ones and tells the one it forgets', () => {
    const buffer = new CircularBuffer({ capacity: 3 });
    const told = [1, 2, 3, 4, 5].map((n) => buffer.push({ n }));
    assert.deepEqual(told, [null, null, null, { n: 1 }, { n: 2 }]);
    assert.deepEqual(buffer.peek(), { n: 3 });
    assert.deepEqual(buffer.toArray(), [{ n: 3 }, { n: 4 }, { n: 5 }]);
    assert.deepEqual(buffer.pop(), { n: 3 });
    assert.equal(buffer.getSize(), 2);
    buffer.push({ n: 6 });
    assert.deepEqual([...buffer].map(({ n }) => n), [4, 5, 6]);
    assert.isAbove(buffer.getMemoryUsage(), 3 * 24);
    buffer.clear();
    assert.isNull(buffer.pop());
    assert.isNull(buffer.peek());
    buffer.push({ n: 7 });
    assert.deepEqual(buffer.toArray(), [{ n: 7 }]);
    closed(buffer, () => buffer.push(1), () => buffer.peek());
  });

  it('agrees with an array under random pushes and pops', () => {
    const buffer = new CircularBuffer({ capacity: 7 });
    const twin = [];
    let state = 1;
    for (let i = 0; i < 2000; i++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      if (state % 3 > 0) {
        assert.equal(buffer.push(i), twin.length === 7 ? twin.shift() : null);
        twin.push(i);
      } else assert.equal(buffer.pop(), twin.shift() ?? null);
      assert.deepEqual(buffer.toArray(), twin);
    }
    buffer.destroy();
  });

  it('refuses a capacity of 0', () => {
    assert.equal(thrown(() => new CircularBuffer({ capacity: 0 })).code, 'INVALID_OPTION');
    assert.equal(new CircularBuffer().capacity, 1000);
  });
});

describe('LRUCache', () => {
  it('gives up what was used least recently', () => {
    const cache = new LRUCache({ capacity: 2 });
    assert.isTrue(cache.set('a', 1));
    cache.set('b', 2);
    assert.equal(cache.get('a'), 1);
    cache.set('c', 3);
    assert.isNull(cache.get('b'));
    assert.deepEqual(cache.keys(), ['c', 'a']);
    cache.set('a', 10);
    assert.deepEqual(cache.keys(), ['a', 'c']);
    assert.equal(cache.peek('c'), 3);
    assert.deepEqual([cache.get('a'), cache.getSize()], [10, 2]);
    assert.isTrue(cache.delete('a'));
    assert.isFalse(cache.delete('a'));
    assert.isFalse(cache.has('a'));
    assert.isTrue(cache.has('c'));
    assert.equal(cache.clear(), 1);
    assert.equal(cache.getSize(), 0);
    cache.set('d', 4);
    assert.equal(cache.get('d'), 4);
    closed(cache, () => cache.get('a'), () => cache.set('a', 1), () => cache.has('a'));
  });

  it('is limited by memory', () => {
    const cache = new LRUCache({ maxMemory: 10_000, sizeOf: (value) => value.length });
    for (let i = 0; i < 20; i++) cache.set(i, 'x'.repeat(1000));
    assert.isAtMost(cache.getMemoryUsage(), 10_000);
    assert.isAbove(cache.getSize(), 5);
    assert.deepEqual(cache.keys()[0], 19);
    const size = cache.getSize();
    cache.set(20, 'x'.repeat(5000));
    assert.isBelow(cache.getSize(), size);
    assert.equal(cache.get(20).length, 5000);
    assert.isFalse(cache.set(20, 'x'.repeat(20_000)), 'too heavy');
    assert.isNull(cache.get(20), 'the older value is out of date');
    assert.isFalse(cache.set(21, 'x'.repeat(20_000)));
    assert.isNull(cache.get(21));
    cache.destroy();
  });

  it('agrees with a Map under random use', () => {
    const cache = new LRUCache({ capacity: 10 });
    const twin = new Map();
    let state = 7;
    for (let i = 0; i < 5000; i++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      const key = (state >> 8) % 25;
      const known = twin.get(key);
      if (state % 5 === 0) assert.equal(cache.delete(key), twin.delete(key));
      else if (state % 2) {
        assert.equal(cache.get(key), known ?? null);
        if (twin.delete(key)) twin.set(key, known);
      } else {
        cache.set(key, i);
        twin.delete(key);
        twin.set(key, i);
        if (twin.size > 10) twin.delete(twin.keys().next().value);
      }
      assert.equal(cache.getSize(), twin.size);
    }
    assert.deepEqual(cache.keys().reverse(), [...twin.keys()]);
    cache.destroy();
  });

  it('takes keys of any kind', () => {
    const cache = new LRUCache();
    const key = { id: 1 };
    cache.set(key, 'object');
    assert.equal(cache.get(key), 'object');
    assert.isNull(cache.get({ id: 1 }));
    assert.deepEqual([cache.capacity, cache.maxMemory], [1000, 10485760]);
    cache.destroy();
  });
});

describe('BloomFilter', () => {
  it('never forgets and rarely claims', () => {
    const filter = new BloomFilter({ expectedItems: 2000, falsePositiveRate: 0.01, seed: 7 });
    for (let i = 0; i < 2000; i++) filter.add(`wine ${i}`);
    for (let i = 0; i < 2000; i++) assert.isTrue(filter.contains(`wine ${i}`));
    let claimed = 0;
    for (let i = 0; i < 10_000; i++) claimed += filter.contains(`beer ${i}`);
    assert.isBelow(claimed, 200);
    assert.approximately(filter.estimatedCount(), 2000, 60);
    assert.approximately(filter.falsePositiveRate(), 0.01, 0.003);
    assert.isBelow(filter.getMemoryUsage(), 3200);
    filter.destroy();
  });

  it('takes text of any length and script, numbers, and bytes, all as UTF-8', () => {
    const filter = new BloomFilter({ size: 100_000 });
    const texts = ['', 'a', 'Château Margaux', '葡萄酒', '🍷'.repeat(50), 'é'.repeat(600), 'x'.repeat(512), 'y'.repeat(513), `${'z'.repeat(500)}é`];
    for (const text of texts) {
      assert.isFalse(filter.contains(text), text);
      assert.isTrue(filter.add(text), text);
      assert.isFalse(filter.add(text), text);
      assert.isTrue(filter.contains(text), text);
      assert.isTrue(filter.contains(new TextEncoder().encode(text)), text);
    }
    filter.add(42);
    assert.isTrue(filter.contains('42'));
    const long = new Uint8Array(2000).fill(9);
    assert.isTrue(filter.add(long));
    assert.isTrue(filter.contains(long));
    filter.clear();
    assert.isFalse(filter.contains('a'));
    closed(filter, () => filter.add('a'), () => filter.contains('a'), () => filter.toBytes());
  });

  it('goes on when the module has grown', () => {
    const filter = new BloomFilter();
    filter.add('before');
    // 128 MiB: the module's memory grows, and views of the old one are empty.
    const large = new BloomFilter({ size: 2 ** 30 });
    assert.isTrue(filter.contains('before'));
    assert.isFalse(filter.contains('after'));
    filter.add('after');
    assert.isTrue(filter.contains('after'));
    large.destroy();
    filter.destroy();
  });

  it('becomes bytes and again a filter; merges with its like', () => {
    const options = { size: 5000, hashCount: 4, seed: 3 };
    const [one, two] = [new BloomFilter(options), new BloomFilter(options)];
    one.add('merlot');
    two.add('syrah');
    one.merge(two);
    const bytes = one.toBytes();
    const again = BloomFilter.fromBytes(bytes);
    assert.deepEqual([again.size, again.hashCount, again.seed], [5000, 4, 3]);
    assert.isTrue(again.contains('merlot') && again.contains('syrah'));
    assert.isFalse(again.contains('cava'));
    again.add('cava');
    assert.isTrue(again.contains('cava'));
    const corrupt = bytes.slice();
    corrupt[100] ^= 1;
    for (const bad of [corrupt, bytes.slice(0, 50), new Uint8Array(0)]) {
      assert.equal(thrown(() => BloomFilter.fromBytes(bad)).code, 'CORRUPT_DATA');
    }
    const other = new BloomFilter({ ...options, seed: 4 });
    assert.equal(thrown(() => one.merge(other)).code, 'MISMATCH');
    for (const filter of [one, two, again, other]) filter.destroy();
  });

  it('has the defaults of SommOS and checks its options', () => {
    const filter = new BloomFilter();
    assert.deepEqual([filter.size, filter.hashCount, filter.seed], [10_000, 3, 0]);
    filter.destroy();
    for (const options of [{ size: 0 }, { hashCount: 33 }, { expectedItems: 0 }, { expectedItems: 5, falsePositiveRate: 1 }, { expectedItems: 5, falsePositiveRate: 0 }, { seed: -1 }]) {
      assert.equal(thrown(() => new BloomFilter(options)).code, 'INVALID_OPTION', JSON.stringify(options));
    }
  });
});

describe('CompressedArray', () => {
  it('stores a run once', () => {
    const array = new CompressedArray({ compressionThreshold: 3 });
    const values = ['a', 'a', 'b', 'b', 'b', 'b', null, undefined, NaN, NaN, NaN, 0, -0, 5];
    for (const value of values) array.push(value);
    assert.equal(array.getLength(), values.length);
    assert.deepEqual(array.toArray(), values);
    values.forEach((value, i) => assert.isTrue(Object.is(array.get(i), value), `${i}`));
    assert.equal(array.getStoredLength(), 2 + 1 + 2 + 1 + 3);
    assert.isNull(array.get(values.length));
    assert.isNull(array.get(-1));
    closed(array, () => array.push(1), () => array.get(0));
  });

  it('keeps a million equal values in some bytes', () => {
    const array = new CompressedArray();
    for (let i = 0; i < 1_000_000; i++) array.push('same');
    assert.equal(array.getLength(), 1_000_000);
    assert.equal(array.get(999_999), 'same');
    assert.isBelow(array.getMemoryUsage(), 500);
    array.destroy();
  });

  it('refuses more than its limit and a threshold of 1', () => {
    const array = new CompressedArray({ maxLength: 1 });
    array.push(1);
    assert.equal(thrown(() => array.push(2)).code, 'LIMIT_EXCEEDED');
    assert.deepEqual(array.toArray(), [1]);
    array.destroy();
    assert.equal(thrown(() => new CompressedArray({ compressionThreshold: 1 })).code, 'INVALID_OPTION');
  });
});

describe('createEfficientStructure', () => {
  it('makes each structure by its name', () => {
    const engine = new MemoryOptimizationEngine();
    const cases = [
      ['sparse_matrix', SparseMatrix, { rows: 1, cols: 1 }],
      ['circular_buffer', CircularBuffer, undefined],
      ['lru_cache', LRUCache, { capacity: 5 }],
      ['bloom_filter', BloomFilter, undefined],
      ['compressed_array', CompressedArray, undefined],
    ];
    for (const [name, type, options] of cases) {
      const structure = engine.createEfficientStructure(name, options);
      assert.instanceOf(structure, type);
      assert.isAtLeast(structure.getMemoryUsage(), 0);
      structure[Symbol.dispose]();
    }
    const error = thrown(() => engine.createEfficientStructure('btree'));
    assert.equal(error.code, 'INVALID_OPTION');
    assert.include(error.message, 'sparse_matrix');
    engine.destroy();
    assert.equal(thrown(() => engine.createEfficientStructure('bloom_filter')).code, 'CLOSED');
  });
});

describe('the memory of the module', () => {
  const classes = {
    SparseMatrix: () => {
      const matrix = new SparseMatrix({ rows: 100, cols: 100 });
      for (let i = 0; i < 300; i++) matrix.set(i % 100, i % 97, i);
      return matrix;
    },
    CircularBuffer: () => {
      const buffer = new CircularBuffer({ capacity: 500 });
      for (let i = 0; i < 600; i++) buffer.push(i);
      return buffer;
    },
    LRUCache: () => {
      const cache = new LRUCache({ capacity: 200 });
      for (let i = 0; i < 300; i++) cache.set(i, i);
      return cache;
    },
    BloomFilter: () => {
      const first = new BloomFilter({ size: 50_000 });
      const filter = BloomFilter.fromBytes(first.toBytes());
      first.destroy();
      for (let i = 0; i < 100; i++) filter.add(`${i}`);
      return filter;
    },
    CompressedArray: () => {
      const array = new CompressedArray();
      for (let i = 0; i < 500; i++) array.push(i >> 1);
      return array;
    },
    MemoryOptimizationEngine: () => {
      const engine = new MemoryOptimizationEngine();
      engine.allocate(10);
      return engine;
    },
    PerformanceMonitoringEngine: () => {
      const engine = new PerformanceMonitoringEngine();
      engine.recordResponse(engine.recordRequest('/', 'GET'), 200);
      engine.recordError('E', 'm');
      engine.collect();
      return engine;
    },
  };
  /** Fills the holes that earlier tests left, in which a leak would go unseen. */
  function fillHoles(bytes) {
    const fill = [];
    for (const size of [2 ** 20, 2 ** 16, 2 ** 12]) {
      const before = bytes();
      while (bytes() === before) fill.push(new BloomFilter({ size: 8 * size }));
    }
    return fill;
  }

  for (const [name, make] of Object.entries(classes)) {
    it(`is after 1,000 rounds of ${name} as after ten`, () => {
      const engine = new MemoryOptimizationEngine();
      const bytes = () => engine.getMemoryStats().current.engine;
      const fill = fillHoles(bytes);
      for (let i = 0; i < 10; i++) make().destroy();
      const before = bytes();
      for (let i = 0; i < 990; i++) make().destroy();
      const after = bytes();
      for (const filter of fill) filter.destroy();
      assert.equal(after, before);
      engine.destroy();
    });
  }
});
