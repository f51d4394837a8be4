// Compiled, never run: how the types serve a strict project. `@ts-expect-error` marks what must not
// compile.

import Monitoring, {
  AdvancedCacheManager,
  AsyncProcessingEngine,
  BatchProcessingEngine,
  CacheFactory,
  MatrixProcessingEngine,
  MemoryOptimizationEngine,
  ParallelProcessingEngine,
  SimilarityCalculationEngine,
  init,
  mode,
} from '@sommos/performance';

interface Wine {
  name: string;
  vintage: number;
}

export async function usage(): Promise<void> {
  const { threads } = await init({ mode: 'auto' });
  const count: number = threads + mode().threads;
  // @ts-expect-error: no such mode
  await init({ mode: 'turbo' });

  const cache = new AdvancedCacheManager<Wine>({ maxSize: count });
  const wine: Wine | null = cache.get('barolo');
  cache.set({ cellar: 1, bin: 7 }, wine ?? { name: 'Barolo', vintage: 2016 });
  // @ts-expect-error: no wine
  cache.set('barolo', 7);
  const loaded: Wine = await cache.getOrSet('cava', async () => ({ name: 'Cava', vintage: 2020 }));
  cache.on('hit', (_key, value) => value.vintage.toFixed());
  // @ts-expect-error: no such event
  cache.on('hits', () => {});
  const basic = CacheFactory.createCache('basic', { maxSize: 10 });
  basic.destroy();

  const jobs = new AsyncProcessingEngine<{ age: { data: Wine; result: number } }>();
  jobs.registerJobHandler('age', (data, _job, { signal }) => (signal.aborted ? 0 : 2026 - data.vintage));
  const id = await jobs.addJob('age', loaded, { priority: 1 });
  // @ts-expect-error: no such job
  await jobs.addJob('drink', loaded);
  const job = await jobs.waitForTask(id);
  if (job.status === 'completed') job.result.toFixed();
  if (job.status === 'failed') job.errorCode.toLowerCase();

  const batches = new BatchProcessingEngine();
  await batches.processBatch([loaded], async (chunk) => chunk.map((each) => each.vintage));

  const parallel = new ParallelProcessingEngine();
  const [product] = await parallel.executeTasks([
    { type: 'matrix_multiplication', data: { matrixA: [[1]], matrixB: [[2]] } },
  ]);
  if (Array.isArray(product)) product[0]?.[0]?.toFixed();

  const similarity = new SimilarityCalculationEngine();
  const pairs = await similarity.calculateSimilarities([{ id: 1, ratings: [{ item_id: 'a', rating: 4 }] }], 'jaccard');
  const algorithm: 'jaccard' | undefined = pairs[0]?.algorithm;
  const table = await similarity.calculateSimilarities([], 'pearson', { compact: true, signal: AbortSignal.timeout(1) });
  table.similarity satisfies Float64Array;
  // @ts-expect-error: no such measure
  await similarity.calculateSimilarities([], 'manhattan');
  algorithm satisfies string | undefined;

  const matrices = new MatrixProcessingEngine();
  const flat = { rows: 1, cols: 1, data: Float32Array.of(1) };
  (await matrices.multiplyMatrices(flat, flat)).data satisfies Float32Array;
  (await matrices.multiplyMatrices([[1]], [[2]]))[0]?.[0]?.toFixed();

  const memory = new MemoryOptimizationEngine();
  memory.createEfficientStructure('sparse_matrix', { rows: 2, cols: 2 }).set(0, 1, 2.5);
  // @ts-expect-error: no such structure
  memory.createEfficientStructure('hash_map', {});
  (await memory.compress('Barolo', 'gzip')) satisfies Uint8Array;

  const monitoring = new Monitoring({ alertThresholds: { cpu: 90 } });
  monitoring.getPerformanceSummary();
  monitoring.destroy();
}
