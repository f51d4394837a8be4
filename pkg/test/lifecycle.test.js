// What the engines of the compute worker leave behind, and how heavy work treats the page.

import { assert } from 'chai';
import { compute, init, mode, moduleBytes, MatrixProcessingEngine, ParallelProcessingEngine, SimilarityCalculationEngine, WorkerPoolManager } from '@sommos/performance';

const rounds = async (count, round) => {
  for (let i = 0; i < count; i++) await round();
};

describe('1,000 rounds', () => {
  before(() => init());

  const guests = [1, 2].map((id) => ({ id, ratings: [1, 2, 3].map((item_id) => ({ item_id, rating: id * item_id })) }));
  const uses = {
    ParallelProcessingEngine: async () => {
      const engine = new ParallelProcessingEngine();
      await engine.waitForTask(await engine.executeTask('matrix_multiplication', { matrixA: [[1]], matrixB: [[2]] }));
      await engine.shutdown();
    },
    SimilarityCalculationEngine: async () => {
      const engine = new SimilarityCalculationEngine();
      await engine.calculateSimilarities(guests);
      await engine.shutdown();
    },
    MatrixProcessingEngine: async () => {
      const engine = new MatrixProcessingEngine();
      await engine.multiplyMatrices([[1, 2]], [[3], [4]]);
      await engine.shutdown();
    },
    WorkerPoolManager: async () => {
      const pool = new WorkerPoolManager();
      await pool.executeTask('matrix_similarity', { matrix: [[1, 0], [0, 1]] });
      await pool.shutdown();
    },
  };
  for (const [name, use] of Object.entries(uses)) {
    it(`of ${name} leave the memory of the module as after ten`, async () => {
      await rounds(10, use);
      const before = moduleBytes();
      const worker = await compute.call('memory', undefined);
      await rounds(990, use);
      assert.equal(moduleBytes(), before);
      assert.equal((await compute.call('memory', undefined)).bytes, worker.bytes);
    });
  }
});

describe('a heavy run', () => {
  before(() => init());

  /** Ratings without a common step: the engine's slow path, so that the run lasts. */
  const ratings = (guests, wines) => ({
    offsets: Uint32Array.from({ length: guests + 1 }, (_, row) => row * wines),
    items: Uint32Array.from({ length: guests * wines }, (_, i) => i % wines),
    ratings: Float32Array.from({ length: guests * wines }, (_, i) => Math.sin(i) * 5),
  });

  it('over 2,000 guests holds up no timer of the page, tells of its progress and ends when aborted', async () => {
    const engine = new SimilarityCalculationEngine();
    const controller = new AbortController();
    const input = ratings(2000, 1000);
    // Making the input took long by itself.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const tasks = [];
    const observer =
      typeof PerformanceObserver === 'function' && PerformanceObserver.supportedEntryTypes.includes('longtask')
        ? new PerformanceObserver((list) => tasks.push(...list.getEntries()))
        : undefined;
    observer?.observe({ type: 'longtask' });
    const seen = [];
    const started = performance.now();
    const run = engine
      .calculateSimilarities(input, 'pearson', {
        compact: true,
        limit: 1000,
        signal: controller.signal,
        onProgress: (progress) => seen.push({ at: performance.now() - started, ...progress }),
      })
      .catch((error) => error);
    // On a busy machine the first report may take longer than the 600 ms.
    do await new Promise((resolve) => setTimeout(resolve, 600));
    while (seen.length === 0);
    const aborted = performance.now();
    controller.abort();
    const outcome = await run;
    const ended = performance.now() - aborted;
    const told = seen.length;
    // Longer than the time between two reports: the next one is due when this ends.
    while (performance.now() - aborted < 80);
    // The worker must be free again, too: the next call waits for it.
    const next = performance.now();
    await engine.calculateSimilarities([{ id: 1, ratings: [] }]);
    const free = performance.now() - next;
    observer?.disconnect();
    console.log(
      `      ${mode().mode}: ${seen.length} reports of progress in ${Math.round(aborted - started)} ms, rejected ${ended.toFixed(1)} ms after ` +
        `the abort, worker free ${free.toFixed(1)} ms later, long tasks: ` +
        `${observer ? tasks.map((task) => task.duration).join(' ') || 'none' : 'not observable here'}`,
    );
    assert.equal(outcome.name, 'AbortError');
    assert.equal(seen.length, told, 'progress was told after the run had been rejected');
    assert.isNotEmpty(seen);
    assert.isTrue(seen.every(({ done, total }) => done <= total && total > 0));
    assert.isTrue(seen.every(({ done }, i) => i === 0 || done >= seen[i - 1].done));
    await engine.shutdown();
  });
});
