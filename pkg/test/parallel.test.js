import { assert } from 'chai';
import {
  init,
  MatrixProcessingEngine,
  ParallelProcessingEngine,
  SimilarityCalculationEngine,
  SimilarityTable,
  SommosError,
  WorkerPoolManager,
} from '@sommos/performance';

/** The error of a promise that must reject. */
const rejection = (promise) => promise.then(() => assert.fail('resolved'), (error) => error);

/** Five guests and their ratings; Ada and Bo agree, Cy does not. */
const guests = [
  { id: 'ada', ratings: [{ item_id: 1, rating: 5 }, { item_id: 2, rating: 3 }, { item_id: 3, rating: 1 }] },
  { id: 'bo', ratings: [{ itemId: 1, rating: 4 }, { itemId: 2, rating: 3 }, { itemId: 3, rating: 2 }] },
  { id: 'cy', ratings: [{ item_id: 1, rating: 1 }, { item_id: 2, rating: 3 }, { item_id: 3, rating: 5 }] },
  { id: 4, ratings: [{ item_id: 9, rating: 2 }] },
];

/** Ratings that take a while: `n` entities, each with `m` ratings of any value. */
function manyRatings(n, m) {
  const offsets = Uint32Array.from({ length: n + 1 }, (_, row) => row * m);
  const items = Uint32Array.from({ length: n * m }, (_, i) => i % m);
  // Not multiples of a small fraction: the engine then adds doubles, which is its slow path.
  const ratings = Float32Array.from({ length: n * m }, (_, i) => Math.sin(i) * 5);
  return { offsets, items, ratings };
}

describe('SimilarityCalculationEngine', () => {
  let engine;
  before(() => init());
  beforeEach(() => (engine = new SimilarityCalculationEngine()));
  afterEach(() => engine.shutdown());

  it('gives all pairs sorted by similarity, as SommOS does', async () => {
    const pairs = await engine.calculateSimilarities(guests, 'pearson', { minSimilarity: -1 });
    assert.deepEqual(
      pairs.map((pair) => [pair.entity1, pair.entity2, pair.commonItems, pair.algorithm]),
      [
        ['ada', 'bo', 3, 'pearson'],
        ['ada', 'cy', 3, 'pearson'],
        ['bo', 'cy', 3, 'pearson'],
      ],
    );
    assert.closeTo(pairs[0].similarity, 1, 1e-12);
    assert.closeTo(pairs[1].similarity, -1, 1e-12);
  });

  it('leaves out pairs below minSimilarity, 0.1 by default', async () => {
    const pairs = await engine.calculateSimilarities(guests);
    assert.deepEqual(pairs.map((pair) => [pair.entity1, pair.entity2]), [['ada', 'bo']]);
  });

  it('knows cosine, jaccard and euclidean', async () => {
    const one = async (algorithm) => {
      const pairs = await engine.calculateSimilarities(guests.slice(0, 2), algorithm);
      return pairs[0].similarity;
    };
    assert.closeTo(await one('cosine'), 31 / Math.sqrt(35 * 29), 1e-12);
    assert.equal(await one('jaccard'), 1);
    assert.closeTo(await one('euclidean'), 1 / (1 + Math.sqrt(2)), 1e-12);
  });

  it('takes typed arrays and triplets and gives the same', async () => {
    const wanted = await engine.calculateSimilarities(guests, 'cosine', { minSimilarity: 0 });
    const triplets = { users: [], items: [], ratings: [] };
    for (const { id, ratings } of guests) {
      for (const rating of ratings) {
        triplets.users.push(id);
        triplets.items.push(rating.item_id ?? rating.itemId);
        triplets.ratings.push(rating.rating);
      }
    }
    const csr = {
      ids: guests.map((guest) => guest.id),
      offsets: Uint32Array.of(0, 3, 6, 9, 10),
      items: Uint32Array.of(0, 1, 2, 0, 1, 2, 0, 1, 2, 3),
      ratings: Float32Array.of(5, 3, 1, 4, 3, 2, 1, 3, 5, 2),
    };
    assert.deepEqual(await engine.calculateSimilarities(triplets, 'cosine', { minSimilarity: 0 }), wanted);
    assert.deepEqual(await engine.calculateSimilarities(csr, 'cosine', { minSimilarity: 0 }), wanted);
  });

  it('gives a table without objects when asked', async () => {
    const table = await engine.calculateSimilarities(guests, 'cosine', { compact: true });
    assert.instanceOf(table, SimilarityTable);
    assert.deepEqual([...table], await engine.calculateSimilarities(guests, 'cosine'));
    assert.deepEqual(table.at(0), [...table][0]);
    assert.isUndefined(table.at(table.length));
  });

  it('finds the nearest of each and of those asked for', async () => {
    const all = await engine.findSimilar(guests, 'cosine', { topK: 1 });
    assert.deepEqual(all.map((list) => [list.entity, list.neighbours[0]?.entity]), [
      ['ada', 'bo'],
      ['bo', 'ada'],
      ['cy', 'bo'],
      [4, undefined],
    ]);
    const [list] = await engine.findSimilar(guests, 'cosine', { topK: 2, queryIds: ['cy'] });
    assert.deepEqual(list.neighbours.map((n) => n.entity), ['bo', 'ada']);
  });

  it('finds the nearest of an item', async () => {
    const options = { topK: 1, by: 'item', queryIds: [2] };
    const [list] = await engine.findSimilar(guests, 'euclidean', options);
    assert.equal(list.entity, 2);
    const error = await rejection(engine.findSimilar(guests, 'cosine', { ...options, queryIds: [77] }));
    assert.include(error.message, 'no item has the id 77');
  });

  it('compares items when asked', async () => {
    const pairs = await engine.calculateSimilarities(guests, 'jaccard', { by: 'item' });
    assert.deepEqual(pairs.map((pair) => [pair.entity1, pair.entity2]), [[1, 2], [1, 3], [2, 3]]);
  });

  it('keeps results for inputs that come again, and sees a change of the input', async () => {
    const again = structuredClone(guests);
    const first = await engine.calculateSimilarities(again, 'cosine');
    assert.deepEqual(await engine.calculateSimilarities(again, 'cosine'), first);
    again[0].ratings[0].rating = 1;
    assert.notDeepEqual(await engine.calculateSimilarities(again, 'cosine'), first);
    engine.clearSimilarityCache();
    assert.deepEqual(await engine.calculateSimilarities(guests, 'cosine'), first);
  });

  it('names what is wrong', async () => {
    const bad = [{ id: 1, ratings: [{ item_id: 2, rating: 'good' }] }];
    const error = await rejection(engine.calculateSimilarities(bad));
    assert.instanceOf(error, SommosError);
    assert.equal(error.code, 'INVALID_FIELD');
    assert.include(error.message, 'entities[0].ratings[0].rating is good; expected a finite number');
    const unknown = await rejection(engine.calculateSimilarities(guests, 'manhattan'));
    assert.include(unknown.message, 'algorithm is "manhattan"; expected one of pearson, cosine');
    const many = await rejection(engine.calculateSimilarities(guests, 'cosine', { maxPairs: 1, minSimilarity: 0 }));
    assert.equal(many.code, 'LIMIT_EXCEEDED');
  });

  it('reports progress, and ends when aborted', async () => {
    const controller = new AbortController();
    const seen = [];
    const run = engine.calculateSimilarities(manyRatings(3000, 300), 'pearson', {
      compact: true,
      limit: 10,
      signal: controller.signal,
      onProgress(progress) {
        seen.push(progress);
        controller.abort();
      },
    });
    const error = await rejection(run);
    assert.equal(error.name, 'AbortError');
    assert.isAbove(seen[0].total, 0);
    assert.isAtMost(seen[0].done, seen[0].total);
    // The worker is free again.
    assert.lengthOf(await engine.calculateSimilarities(guests), 1);
  });

  it('refuses calls after shutdown', async () => {
    await engine.shutdown();
    assert.equal((await rejection(engine.calculateSimilarities(guests))).code, 'CLOSED');
  });
});

describe('MatrixProcessingEngine', () => {
  let engine;
  before(() => init());
  beforeEach(() => (engine = new MatrixProcessingEngine()));
  afterEach(() => engine.shutdown());

  it('multiplies rows', async () => {
    assert.deepEqual(await engine.multiplyMatrices([[1, 2], [3, 4]], [[5, 6], [7, 8]]), [[19, 22], [43, 50]]);
  });

  it('multiplies typed arrays in their precision, moving them when asked', async () => {
    const a = { rows: 1, cols: 2, data: Float32Array.of(1, 2) };
    const b = { rows: 2, cols: 1, data: Float32Array.of(3, 4) };
    const product = await engine.multiplyMatrices(a, b, { transfer: [a.data.buffer] });
    assert.deepEqual(product, { rows: 1, cols: 1, data: Float32Array.of(11) });
    assert.equal(a.data.length, 0);
    const doubles = { rows: 2, cols: 1, data: Float64Array.of(3, 4) };
    const mixed = await engine.multiplyMatrices({ rows: 1, cols: 2, data: Float32Array.of(1, 2) }, doubles);
    assert.instanceOf(mixed.data, Float64Array);
  });

  it('tells of a detached array', async () => {
    const a = { rows: 1, cols: 1, data: Float32Array.of(1) };
    structuredClone(a, { transfer: [a.data.buffer] });
    const error = await rejection(engine.multiplyMatrices(a, a));
    assert.equal(error.code, 'INVALID_FIELD');
    assert.match(error.message, /detached/);
  });

  it('compares rows', async () => {
    const rows = [[1, 0], [0, 1], [1, 1]];
    const cosine = await engine.calculateMatrixSimilarity(rows);
    assert.closeTo(cosine[0][2], Math.SQRT1_2, 1e-12);
    assert.equal(cosine[0][1], 0);
    const euclidean = await engine.calculateMatrixSimilarity(rows, 'euclidean');
    assert.closeTo(euclidean[0][1], 1 / (1 + Math.SQRT2), 1e-12);
  });

  it('names what is wrong', async () => {
    const ragged = await rejection(engine.multiplyMatrices([[1, 2], [3]], [[1], [2]]));
    assert.include(ragged.message, 'matrixA: row 1 has 1 columns, row 0 has 2');
    const shapes = await rejection(engine.multiplyMatrices([[1, 2]], [[1, 2]]));
    assert.include(shapes.message, 'matrixB has 1 rows, but matrixA has 2 columns');
    const text = await rejection(engine.multiplyMatrices([['a']], [[1]]));
    assert.include(text.message, 'matrixA[0][0] is a; expected a number');
    const infinite = await rejection(engine.multiplyMatrices([[Infinity]], [[1]]));
    assert.include(infinite.message, 'not finite');
  });

  it('ends a long product when aborted', async () => {
    const n = 2000;
    const big = { rows: n, cols: n, data: new Float64Array(n * n).fill(1) };
    const signal = AbortSignal.timeout(30);
    const error = await rejection(engine.multiplyMatrices(big, big, { signal }));
    assert.equal(error.name, 'TimeoutError');
    assert.deepEqual(await engine.multiplyMatrices([[2]], [[3]]), [[6]]);
  });
});

describe('ParallelProcessingEngine', () => {
  let engine;
  const product = { matrixA: [[1, 2]], matrixB: [[3], [4]] };
  before(() => init());
  beforeEach(() => (engine = new ParallelProcessingEngine({ maxWorkers: 2 })));
  afterEach(() => engine.shutdown());

  it('runs each kind of task', async () => {
    const results = await engine.executeTasks([
      { type: 'similarity_calculation', data: { entities: guests, algorithm: 'cosine' } },
      { type: 'matrix_multiplication', data: product },
      { type: 'matrix_similarity', data: { matrix: [[1, 0], [2, 0]], topK: 1 } },
      { type: 'feature_extraction', data: { items: [{ name: 'Barolo' }], featureTypes: ['text_features'] } },
      { type: 'data_processing', data: { dataset: [{ a: 2 }, { a: 1 }], operations: [{ type: 'sort', sortBy: 'a' }] } },
      {
        type: 'model_training',
        data: {
          modelType: 'collaborative_filtering',
          trainingData: { users: [1, 1, 2, 2], items: [1, 2, 1, 2], ratings: [5, 3, 4, 2] },
          parameters: { epochs: 2 },
        },
      },
    ]);
    assert.equal(results[0][0].entity1, 'ada');
    assert.deepEqual(results[1], [[11]]);
    assert.deepEqual(results[2], [[{ row: 1, similarity: 1 }], [{ row: 0, similarity: 1 }]]);
    assert.isObject(results[3]);
    assert.deepEqual(results[4], [{ a: 1 }, { a: 2 }]);
    assert.equal(results[5].modelType, 'collaborative_filtering');
  });

  it('tells the status and the result of a task', async () => {
    const id = await engine.executeTask('matrix_multiplication', product);
    assert.deepEqual(await engine.waitForTask(id), [[11]]);
    const task = engine.getTaskStatus(id);
    assert.equal(task.status, 'completed');
    assert.deepEqual(task.data, product);
    assert.isNull(engine.getTaskStatus('task_0_0'));
  });

  it('emits queued, started and completed in order', async () => {
    const seen = [];
    for (const event of ['taskQueued', 'taskStarted', 'taskCompleted']) {
      engine.on(event, (task) => seen.push([event, task.type, task.data]));
    }
    await engine.waitForTask(await engine.executeTask('matrix_multiplication', product));
    assert.deepEqual(seen.map(([event]) => event), ['taskQueued', 'taskStarted', 'taskCompleted']);
    assert.deepEqual(seen[2].slice(1), ['matrix_multiplication', product]);
  });

  it('fails a task with the reason, and says so', async () => {
    let failed;
    engine.on('taskFailed', (task) => (failed = task));
    const id = await engine.executeTask('matrix_multiplication', { matrixA: [[1]], matrixB: [] });
    const error = await rejection(engine.waitForTask(id));
    assert.include(error.message, 'matrixB must be an array of rows of numbers');
    assert.equal(failed.id, id);
    assert.equal(engine.getMetrics().failedTasks, 1);
  });

  it('runs the higher priority first', async () => {
    await engine.shutdown();
    engine = new ParallelProcessingEngine({ maxWorkers: 1 });
    const order = [];
    engine.registerTaskHandler('note', (name) => void order.push(name));
    await Promise.all(
      [['low', 0], ['high', 9], ['middle', 5]].map(async ([name, priority]) =>
        engine.waitForTask(await engine.executeTask('note', name, { priority })),
      ),
    );
    assert.deepEqual(order, ['high', 'middle', 'low']);
  });

  it('cancels a running task and frees its place', async () => {
    let cancelled;
    engine.on('taskCancelled', (task) => (cancelled = task));
    const entities = manyRatings(3000, 300);
    const data = { entities, options: { limit: 10 } };
    const started = new Promise((resolve) => engine.once('taskStarted', resolve));
    const id = await engine.executeTask('similarity_calculation', data);
    const waiting = rejection(engine.waitForTask(id));
    await started;
    assert.isTrue(engine.cancelTask(id));
    assert.equal((await waiting).code, 'CANCELLED');
    assert.equal(cancelled.id, id);
    assert.isFalse(engine.cancelTask(id));
    assert.deepEqual(await engine.waitForTask(await engine.executeTask('matrix_multiplication', product)), [[11]]);
  });

  it('ends a task at its timeout', async () => {
    const seen = [];
    engine.on('taskTimeout', (task) => seen.push(task.id));
    const data = { entities: manyRatings(3000, 300), options: { limit: 10 } };
    const id = await engine.executeTask('similarity_calculation', data, { timeout: 20 });
    assert.equal((await rejection(engine.waitForTask(id))).code, 'TIMED_OUT');
    assert.deepEqual(seen, [id]);
  });

  it('stops waiting, not the task, after the time given to waitForTask', async () => {
    let finish;
    engine.registerTaskHandler('slow', () => new Promise((resolve) => (finish = resolve)));
    const started = new Promise((resolve) => engine.once('taskStarted', resolve));
    const id = await engine.executeTask('slow', 1);
    await started;
    assert.equal((await rejection(engine.waitForTask(id, 1))).code, 'TIMED_OUT');
    assert.equal(engine.getTaskStatus(id).status, 'running');
    finish('late');
    assert.equal(await engine.waitForTask(id), 'late');
  });

  it('counts', async () => {
    await engine.executeTasks([{ type: 'matrix_multiplication', data: product }]);
    const metrics = engine.getMetrics();
    assert.include(metrics, { totalTasks: 1, completedTasks: 1, failedTasks: 0, activeTasks: 0, queueSize: 0 });
    assert.equal(metrics.workerUtilization, 0);
    assert.isAtLeast(metrics.averageTaskTime, 0);
  });

  it('clears the tasks that ended', async () => {
    const cleared = [];
    engine.on('tasksCleared', (count) => cleared.push(count));
    const id = await engine.executeTask('matrix_multiplication', product);
    await engine.waitForTask(id);
    assert.equal(engine.clearCompletedTasks(), 1);
    assert.isNull(engine.getTaskStatus(id));
    assert.deepEqual(cleared, [1]);
  });

  it('tells of an unknown type', async () => {
    const id = await engine.executeTask('divination', {});
    const error = await rejection(engine.waitForTask(id));
    assert.match(error.message, /divination.*similarity_calculation/);
  });

  it('cancels what runs at shutdown', async () => {
    const seen = [];
    engine.on('shutdownStarted', () => seen.push('started'));
    engine.on('shutdownCompleted', () => seen.push('completed'));
    engine.registerTaskHandler('endless', () => new Promise(() => {}));
    const waiting = rejection(engine.waitForTask(await engine.executeTask('endless', 1)));
    await engine.shutdown();
    assert.include(['CANCELLED', 'CLOSED'], (await waiting).code);
    assert.deepEqual(seen, ['started', 'completed']);
    assert.equal((await rejection(engine.executeTask('matrix_multiplication', product))).code, 'CLOSED');
  });

  it('aborts through a signal', async () => {
    const controller = new AbortController();
    engine.registerTaskHandler('endless', () => new Promise(() => {}));
    const id = await engine.executeTask('endless', 1, { signal: controller.signal });
    const waiting = rejection(engine.waitForTask(id));
    controller.abort(new Error('dinner is served'));
    assert.equal((await waiting).message, 'dinner is served');
  });
});

describe('the compute worker', () => {
  before(() => init());

  it('tells of its life, and a lost one rejects what it ran', async () => {
    const { compute } = await import('@sommos/performance');
    compute.close();
    const engine = new ParallelProcessingEngine();
    const seen = [];
    engine.on('workerCreated', (worker) => seen.push(['created', worker.mode]));
    engine.on('workerExited', () => seen.push(['exited']));
    const data = { entities: manyRatings(3000, 300), options: { limit: 10 } };
    const started = new Promise((resolve) => engine.once('workerCreated', resolve));
    const waiting = rejection(engine.waitForTask(await engine.executeTask('similarity_calculation', data)));
    await started;
    compute.close();
    assert.equal((await waiting).code, 'CLOSED');
    assert.deepEqual(seen.map(([what]) => what), ['created', 'exited']);
    // The next call starts another.
    assert.deepEqual(
      await engine.waitForTask(await engine.executeTask('matrix_multiplication', { matrixA: [[1]], matrixB: [[2]] })),
      [[2]],
    );
    await engine.shutdown();
  });
});

describe('a compute worker that is starting', () => {
  before(() => init());
  const product = { matrixA: [[1]], matrixB: [[2]] };

  it('serves the next call when the first is aborted', async () => {
    const { compute } = await import('@sommos/performance');
    compute.close();
    const engine = new MatrixProcessingEngine();
    const created = [];
    engine.on('workerCreated', (worker) => created.push(worker));
    const controller = new AbortController();
    const first = rejection(engine.multiplyMatrices([[1]], [[2]], { signal: controller.signal }));
    controller.abort();
    assert.equal((await first).name, 'AbortError');
    assert.deepEqual(await engine.multiplyMatrices([[3]], [[4]]), [[12]]);
    assert.lengthOf(created, 1);
    await engine.shutdown();
  });

  it('is given up when it is closed meanwhile', async () => {
    const { compute } = await import('@sommos/performance');
    compute.close();
    const engine = new ParallelProcessingEngine();
    const id = await engine.executeTask('matrix_multiplication', product);
    await new Promise((resolve) => engine.once('taskStarted', resolve));
    const waiting = rejection(engine.waitForTask(id));
    compute.close();
    assert.equal((await waiting).code, 'CLOSED');
    assert.deepEqual(await engine.waitForTask(await engine.executeTask('matrix_multiplication', product)), [[2]]);
    await engine.shutdown();
  });
});

describe('WorkerPoolManager', () => {
  before(() => init());

  it('gives results, statistics, and ends', async () => {
    const pool = new WorkerPoolManager({ maxWorkers: 2 });
    assert.deepEqual(await pool.executeTask('matrix_multiplication', { matrixA: [[2]], matrixB: [[3]] }), [[6]]);
    assert.include(pool.getStats(), { maxWorkers: 2, activeWorkers: 0, idleWorkers: 2, completedTasks: 1 });
    await pool.shutdown();
    const error = await rejection(pool.executeTask('matrix_multiplication', { matrixA: [[2]], matrixB: [[3]] }));
    assert.equal(error.code, 'CLOSED');
  });
});
