import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Runs in a process of its own: it must get hold of the worker that the package starts. */
const script = `
  import threads from 'node:worker_threads';
  import { syncBuiltinESMExports } from 'node:module';
  const workers = [];
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      workers.push(this);
    }
  };
  syncBuiltinESMExports();
  const { MatrixProcessingEngine, SimilarityCalculationEngine } = await import('@sommos/performance');
  const told = [];
  const similarity = new SimilarityCalculationEngine();
  similarity.on('workerError', (error) => told.push('error ' + error.code));
  similarity.on('workerExited', () => told.push('exited'));
  const [guests, wines] = [3000, 300];
  const run = similarity
    .calculateSimilarities(
      {
        offsets: Uint32Array.from({ length: guests + 1 }, (_, row) => row * wines),
        items: Uint32Array.from({ length: guests * wines }, (_, i) => i % wines),
        ratings: Float32Array.from({ length: guests * wines }, (_, i) => Math.sin(i)),
      },
      'pearson',
      { compact: true, limit: 10, onProgress: () => workers[0].terminate() },
    )
    .catch((error) => error);
  const error = await run;
  const again = await new MatrixProcessingEngine().multiplyMatrices([[2]], [[3]]);
  console.log(JSON.stringify({ code: error.code, message: error.message, told, again, workers: workers.length }));
`;

describe('a compute worker that dies', () => {
  it('rejects what it ran, says so, and is replaced', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      timeout: 60_000,
    });
    const { code, message, told, again, workers } = JSON.parse(stdout);
    assert.equal(code, 'WORKER_LOST');
    assert.include(message, 'the compute worker ended while it ran allPairs');
    assert.deepEqual(told, ['exited', 'error WORKER_LOST']);
    assert.deepEqual(again, [[6]]);
    assert.equal(workers, 2);
  });
});
