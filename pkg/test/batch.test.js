import { assert } from 'chai';
import {
  BatchProcessingEngine,
  MemoryEfficientBatchProcessor,
  ParallelBatchProcessor,
  SommosError,
  init,
} from '@sommos/performance';

const rejection = (promise) =>
  promise.then(
    () => assert.fail('it should have rejected'),
    (error) => error,
  );
const range = (n) => Array.from({ length: n }, (_, i) => i);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

describe('BatchProcessingEngine', () => {
  let engine;

  before(() => init());
  afterEach(() => engine?.shutdown());

  const make = (options) => (engine = new BatchProcessingEngine(options));

  it('answers with an id at once and gives results in the order of the input', async () => {
    make({ batchSize: 10 });
    const events = [];
    for (const event of ['batchQueued', 'batchStarted', 'batchProgress', 'batchCompleted']) {
      engine.on(event, (batch) => events.push([event, batch.status, batch.progress]));
    }
    const contexts = [];
    const progress = [];
    const id = await engine.processBatch(
      range(35),
      async (chunk, context) => {
        contexts.push([context.index, context.offset, chunk.length, context.attempt, context.batchId]);
        // The later the chunk, the sooner it ends.
        await sleep(8 - 2 * context.index);
        return chunk.map((n) => n * 2);
      },
      { onProgress: (at) => progress.push(at) },
    );
    assert.match(id, /^batch_\d+_[0-9a-f]+$/);
    assert.deepInclude(engine.getBatchStatus(id), {
      id,
      status: 'queued',
      totalItems: 35,
      totalChunks: 4,
      processedItems: 0,
      progress: 0,
      results: [],
      errors: [],
      startedAt: null,
      completedAt: null,
    });
    const ended = await engine.waitForBatch(id);
    assert.deepEqual(ended.results, range(35).map((n) => n * 2));
    assert.deepInclude(ended, { status: 'completed', processedItems: 35, progress: 100, error: null });
    assert.isNumber(ended.processingTime);
    assert.isAtLeast(ended.completedAt, ended.startedAt);
    assert.deepEqual(engine.getBatchStatus(id).results, ended.results);
    assert.deepEqual(contexts, [[0, 0, 10, 1, id], [1, 10, 10, 1, id], [2, 20, 10, 1, id], [3, 30, 5, 1, id]]);
    assert.lengthOf(progress, 4);
    assert.deepEqual(progress[3], { done: 35, total: 35 });
    assert.deepEqual(events[0], ['batchQueued', 'queued', 0]);
    assert.deepEqual(events[1].slice(0, 2), ['batchStarted', 'running']);
    assert.equal(events.filter(([event]) => event === 'batchProgress').length, 4);
    assert.deepEqual(events.at(-1), ['batchCompleted', 'completed', 100]);
    const read = [];
    for await (const item of engine.results(id)) read.push(item);
    assert.deepEqual(read, ended.results);
  });

  it('runs at most maxConcurrency chunks of a batch, and maxActiveChunks of all', async () => {
    make({ batchSize: 1, maxConcurrency: 3, maxActiveChunks: 4 });
    const active = [0, 0];
    const most = [0, 0, 0];
    const work = (which) => async () => {
      active[which] += 1;
      most[which] = Math.max(most[which], active[which]);
      most[2] = Math.max(most[2], active[0] + active[1]);
      await sleep(2);
      active[which] -= 1;
      return [];
    };
    const ids = [
      await engine.processBatch(range(9), work(0)),
      await engine.processBatch(range(9), work(1), { maxConcurrency: 2 }),
    ];
    await Promise.all(ids.map((id) => engine.waitForBatch(id)));
    assert.deepEqual(most, [3, 2, 4]);
  });

  it('a chunk that fails fails alone and is named', async () => {
    make({ batchSize: 2 });
    const id = await engine.processBatch(range(6), (chunk, { index }) => {
      if (index === 1) throw new Error('bad chunk');
      return chunk;
    });
    const ended = await engine.waitForBatch(id);
    assert.deepInclude(ended, { status: 'completed', processedItems: 4, failedChunks: 1 });
    assert.deepEqual(ended.results, [0, 1, 4, 5]);
    assert.deepEqual(ended.errors, [{ chunk: 1, error: 'bad chunk' }]);
  });

  it('fails when every chunk does, or the first with stopOnError', async () => {
    make({ batchSize: 2, maxConcurrency: 1 });
    const failures = [];
    engine.on('batchFailed', (batch, error) => failures.push([batch.status, error]));
    let runs = 0;
    const bad = () => {
      runs += 1;
      throw new Error('no');
    };
    const all = await engine.waitForBatch(await engine.processBatch(range(4), bad));
    assert.deepInclude(all, { status: 'failed', error: 'every chunk failed' });
    const first = await engine.waitForBatch(
      await engine.processBatch(range(6), bad, { stopOnError: true }),
    );
    assert.deepInclude(first, { status: 'failed', error: 'chunk 0 failed: no' });
    assert.equal(runs, 3);
    assert.deepEqual(failures, [
      ['failed', 'every chunk failed'],
      ['failed', 'chunk 0 failed: no'],
    ]);
  });

  it('tries a chunk again where retries are asked for', async () => {
    make();
    const id = await engine.processBatch(
      [1],
      (chunk, { attempt }) => {
        if (attempt < 3) throw new Error('not yet');
        return [`${chunk[0]} in attempt ${attempt}`];
      },
      { retries: 2, retryDelay: 1 },
    );
    assert.deepEqual((await engine.waitForBatch(id)).results, ['1 in attempt 3']);
  });

  it('refuses what is no list of items, with a message', async () => {
    make();
    const ended = await engine.waitForBatch(await engine.processBatch([1], () => 7));
    assert.match(ended.errors[0].error, /must give an array.*number/);
    const set = await engine.processBatch([1, 1, 2], (chunk) => new Set(chunk));
    assert.deepEqual((await engine.waitForBatch(set)).results, [1, 2]);
  });

  it('cancels: signals abort, slots are free at once, late ends change nothing', async () => {
    make({ batchSize: 1, maxConcurrency: 2, maxActiveChunks: 2 });
    const cancelled = [];
    engine.on('batchCancelled', (batch) => cancelled.push(batch.id));
    const gates = [];
    const signals = [];
    const id = await engine.processBatch(range(5), (chunk, { signal, index }) => {
      signals.push(signal);
      return index === 0 ? chunk : new Promise((resolve) => gates.push(() => resolve(chunk)));
    });
    while (gates.length < 2) await sleep(1);
    const other = await engine.processBatch([9], (chunk) => chunk);
    assert.isTrue(engine.cancelBatch(id));
    assert.isFalse(engine.cancelBatch(id));
    assert.isTrue(signals[1].aborted && signals[2].aborted);
    assert.equal(signals[1].reason.name, 'AbortError');
    assert.equal((await engine.waitForBatch(other)).status, 'completed');
    for (const open of gates) open();
    await sleep(3);
    const ended = await engine.waitForBatch(id);
    assert.deepInclude(ended, { status: 'cancelled', processedItems: 1 });
    assert.deepEqual(ended.results, [0]);
    assert.deepEqual(cancelled, [id]);
    assert.lengthOf(signals, 3);
  });

  it('an aborted signal cancels; one aborted before rejects', async () => {
    make();
    const controller = new AbortController();
    const { signal } = controller;
    const id = await engine.processBatch([1], () => new Promise(() => {}), { signal });
    controller.abort();
    assert.equal((await engine.waitForBatch(id)).status, 'cancelled');
    const error = await rejection(engine.processBatch([1], () => [], { signal }));
    assert.equal(error.name, 'AbortError');
  });

  it('fails when its time is over', async () => {
    make();
    let signal;
    const id = await engine.processBatch(
      [1],
      (_chunk, context) => {
        ({ signal } = context);
        return new Promise(() => {});
      },
      // Long enough that the chunk has surely begun.
      { timeout: 250 },
    );
    const ended = await engine.waitForBatch(id);
    assert.equal(ended.status, 'failed');
    assert.isTrue(signal.aborted);
    assert.equal(signal.reason.name, 'TimeoutError');
  });

  it('draws from iterables as chunks end, not far ahead', async () => {
    make({ batchSize: 2, maxConcurrency: 1, chunkSize: 2 });
    let drawn = 0;
    let closed = false;
    async function* source() {
      try {
        for (let n = 0; n < 1000; n += 1) {
          drawn += 1;
          yield n;
        }
      } finally {
        closed = true;
      }
    }
    const ahead = [];
    let stop;
    const id = await engine.processBatch(source(), async (chunk, { index }) => {
      await sleep(1);
      ahead.push(drawn - 2 * index);
      if (index === 10) stop();
      return chunk;
    });
    await new Promise((resolve) => (stop = resolve));
    engine.cancelBatch(id);
    const ended = await engine.waitForBatch(id);
    assert.isAtMost(Math.max(...ahead), 6);
    assert.isBelow(ended.totalItems, 40);
    while (!closed) await sleep(1);

    const set = await engine.processBatch(new Set([1, 2, 3]), (chunk) => chunk);
    const whole = await engine.waitForBatch(set);
    assert.deepInclude(whole, { status: 'completed', totalItems: 3, totalChunks: 2, progress: 100 });
    assert.deepEqual(whole.results, [1, 2, 3]);
  });

  it('a source that throws fails the batch with its message', async () => {
    make({ batchSize: 1 });
    const id = await engine.processBatch(
      (function* () {
        yield 1;
        throw new Error('the file ended early');
      })(),
      (chunk) => chunk,
    );
    const ended = await engine.waitForBatch(id);
    assert.equal(ended.status, 'failed');
    assert.include(ended.error, 'the file ended early');
  });

  it('an empty data set is completed at once', async () => {
    make();
    for (const data of [[], new Set()]) {
      const ended = await engine.waitForBatch(await engine.processBatch(data, () => assert.fail()));
      assert.deepInclude(ended, { status: 'completed', totalItems: 0, results: [] });
    }
  });

  it('lets the event loop have its turn between chunks', async () => {
    make({ batchSize: 1 });
    let turns = 0;
    let over = false;
    const timer = setInterval(() => {
      if (!over) turns += 1;
    }, 1);
    const id = await engine.processBatch(range(200), (chunk) => {
      const until = performance.now() + 0.3;
      while (performance.now() < until);
      return chunk;
    });
    await engine.waitForBatch(id);
    over = true;
    clearInterval(timer);
    assert.isAtLeast(turns, 3);
  });

  it('counts, and forgets ended batches', async () => {
    make({ batchSize: 2 });
    const cleared = [];
    engine.on('batchesCleared', (count) => cleared.push(count));
    const id = await engine.processBatch(range(5), (chunk) => chunk);
    await engine.waitForBatch(id);
    assert.deepInclude(engine.getMetrics(), {
      totalBatches: 1,
      completedBatches: 1,
      failedBatches: 0,
      cancelledBatches: 0,
      activeBatches: 0,
      totalItemsProcessed: 5,
      activeChunks: 0,
    });
    assert.isNumber(engine.getMetrics().averageProcessingTime);
    assert.equal(engine.clearCompletedBatches(86_400_000), 0);
    assert.equal(engine.clearCompletedBatches(), 1);
    assert.isNull(engine.getBatchStatus(id));
    assert.deepEqual(cleared, [0, 1]);
    const error = await rejection(engine.waitForBatch(id));
    assert.instanceOf(error, SommosError);
    assert.equal(error.code, 'NOT_FOUND');
    assert.isFalse(engine.cancelBatch(id));
  });

  it('runs built-in operations in the compute worker', async () => {
    make({ batchSize: 2 });
    const wines = [{ r: 3 }, { r: 1 }, { r: 2 }];
    const rows = await engine.processBatch(wines, [
      { type: 'transform', transform: { r: { type: 'multiply', value: 10 } } },
    ]);
    const scaled = await engine.waitForBatch(rows);
    assert.deepEqual(scaled.results, [{ r: 30 }, { r: 10 }, { r: 20 }], JSON.stringify(scaled.errors));
    assert.equal(scaled.totalChunks, 2);
    // What looks at the whole data set gets it in one chunk.
    const sorted = await engine.waitForBatch(
      await engine.processBatch(wines, [{ type: 'sort', sortBy: 'r' }]),
    );
    assert.deepEqual(sorted.results, [{ r: 1 }, { r: 2 }, { r: 3 }]);
  });

  it('names a wrong option; after shutdown everything is refused', async () => {
    assert.throws(() => new BatchProcessingEngine({ batchSize: 0 }), /batchSize is 0; expected/);
    make();
    for (const [data, processor, options, word] of [
      [7, () => [], {}, 'data'],
      ['text', () => [], {}, 'data'],
      [[1], 7, {}, 'processor'],
      [[1], () => [], { maxConcurrency: 0 }, 'maxConcurrency'],
      [[1], () => [], { signal: 1 }, 'signal'],
    ]) {
      const error = await rejection(engine.processBatch(data, processor, options));
      assert.equal(error.code, 'INVALID_OPTION');
      assert.include(error.message, word);
    }
    const id = await engine.processBatch([1], () => new Promise(() => {}));
    const waiting = engine.waitForBatch(id);
    await engine.shutdown();
    await engine.shutdown();
    assert.equal((await waiting).status, 'cancelled');
    assert.equal((await rejection(engine.processBatch([1], () => []))).code, 'CLOSED');
    assert.throws(() => engine.getBatchStatus(id), /was shut down/);
    assert.throws(() => engine.getMetrics(), /was shut down/);
  });
});

describe('ParallelBatchProcessor', () => {
  before(() => init());

  it('gives chunks of operations and of named tasks to the pool, functions run here', async () => {
    const calls = [];
    const workerPool = {
      async executeTask(type, data) {
        calls.push(type);
        return type === 'data_processing' ? data.dataset : data.map((n) => -n);
      },
    };
    const engine = new ParallelBatchProcessor({ workerPool, batchSize: 2 });
    const results = async (processor) =>
      (await engine.waitForBatch(await engine.processBatch([1, 2, 3], processor))).results;
    assert.deepEqual(await results('negate'), [-1, -2, -3]);
    assert.deepEqual(await results([{ type: 'filter', criteria: {} }]), [1, 2, 3]);
    assert.deepEqual(await results((chunk) => chunk), [1, 2, 3]);
    assert.deepEqual(calls, ['negate', 'negate', 'data_processing', 'data_processing']);
    await engine.shutdown();

    const alone = new ParallelBatchProcessor({ workerPool, useWorkers: false });
    const error = await rejection(alone.processBatch([1], 'negate'));
    assert.match(error.message, /no workerPool/);
    await alone.shutdown();
    assert.throws(() => new ParallelBatchProcessor({ workerPool: {} }), /workerPool/);
  });
});

describe('MemoryEfficientBatchProcessor', () => {
  before(() => init());

  const wines = (chunk) => chunk.map((n) => ({ id: n, name: `Château ${n % 7}`, tags: ['red', null, true] }));

  it('keeps results beyond memoryLimit compressed and gives them back the same', async () => {
    const engine = new MemoryEfficientBatchProcessor({ memoryLimit: 20_000, batchSize: 100 });
    const id = await engine.processBatch(range(2000), wines);
    const ended = await engine.waitForBatch(id);
    assert.isAtMost(engine.getResultMemory(), 20_000);
    assert.deepEqual(ended.results, wines(range(2000)));
    const { compressedChunks, freedBytes } = engine.garbageCollect();
    assert.isAbove(compressedChunks, 0);
    assert.isAbove(freedBytes, 0);
    assert.equal(engine.getResultMemory(), 0);
    assert.deepEqual(engine.garbageCollect(), { compressedChunks: 0, freedBytes: 0 });
    const read = [];
    for await (const wine of engine.results(id)) read.push(wine);
    assert.deepEqual(read, wines(range(2000)));
    await engine.shutdown();
  });

  it('leaves alone what JSON would alter', async () => {
    const engine = new MemoryEfficientBatchProcessor({ memoryLimit: 0, batchSize: 1 });
    const odd = [
      new Date(5),
      new Map([[1, 2]]),
      undefined,
      NaN,
      -0,
      { a: undefined },
      [, 1],
      '\ud800'.repeat(200),
      Object.assign([1], { x: 1 }),
      { toJSON: () => 'no' },
    ];
    const id = await engine.processBatch(odd, (chunk) => [...chunk, 'x'.repeat(500)]);
    const ended = await engine.waitForBatch(id);
    engine.garbageCollect();
    const kept = engine.getBatchStatus(id).results.filter((_, i) => i % 2 === 0);
    odd.forEach((value, i) => assert.isTrue(Object.is(kept[i], value), `item ${i}`));
    assert.lengthOf(ended.results, 20);
    await engine.shutdown();
  });

  it('keeps results that compress beyond what decompression allows', async () => {
    const engine = new MemoryEfficientBatchProcessor({ memoryLimit: 0, batchSize: 1 });
    const long = 'a'.repeat(3_000_000);
    const id = await engine.processBatch([1], () => [long]);
    await engine.waitForBatch(id);
    engine.garbageCollect();
    assert.isTrue(engine.getBatchStatus(id).results[0] === long);
    await engine.shutdown();
  });

  it('compresses nothing when that is off, and names wrong options', async () => {
    const engine = new MemoryEfficientBatchProcessor({ memoryLimit: 0, compressionEnabled: false });
    await engine.waitForBatch(await engine.processBatch(range(500), wines));
    assert.equal(engine.garbageCollect().compressedChunks, 0);
    assert.isAbove(engine.getResultMemory(), 0);
    await engine.shutdown();
    for (const options of [{ memoryLimit: -1 }, { compressionEnabled: 1 }, { diskCacheEnabled: 'x' }]) {
      const name = Object.keys(options)[0];
      assert.throws(() => new MemoryEfficientBatchProcessor(options), new RegExp(name));
    }
  });
});
