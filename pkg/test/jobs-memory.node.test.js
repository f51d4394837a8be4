import { assert } from 'chai';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Runs in a process of its own: it must see the module being instantiated. */
const script = `
  let memory;
  const keep = ({ exports }) => (memory ??= exports.memory);
  const { Instance, instantiate } = WebAssembly;
  WebAssembly.Instance = function (...args) {
    const instance = new Instance(...args);
    keep(instance);
    return instance;
  };
  WebAssembly.Instance.prototype = Instance.prototype;
  WebAssembly.instantiate = async (...args) => {
    const made = await instantiate(...args);
    keep(made.instance ?? made);
    return made;
  };
  const { AsyncProcessingEngine, BatchProcessingEngine, init } = await import('@sommos/performance');
  await init();
  const round = async () => {
    const jobs = new AsyncProcessingEngine({ maxConcurrentJobs: 50, retryAttempts: 0 });
    jobs.registerJobHandler('x', (n) => {
      if (n % 10 === 0) throw new Error('a tenth fails');
      return n;
    });
    const ids = [];
    for (let n = 0; n < 100; n += 1) ids.push(await jobs.addJob('x', n, { delay: n % 7 ? 0 : 60_000 }));
    await jobs.waitForTask(ids[99]);
    await jobs.shutdown();
    const batches = new BatchProcessingEngine({ batchSize: 10 });
    const data = Array.from({ length: 300 }, (_, n) => n);
    await batches.waitForBatch(await batches.processBatch(data, (chunk) => chunk));
    await batches.processBatch(data, () => new Promise(() => {}));
    await batches.shutdown();
  };
  const sizes = [];
  for (let n = 1; n <= 1000; n += 1) {
    await round();
    if (n === 10 || n === 1000) sizes.push(memory.buffer.byteLength);
  }
  console.log(JSON.stringify(sizes));
  process.exit(0);
`;

describe('Memory of jobs and batches', () => {
  it('is after 1,000 rounds what it was after ten', async function () {
    this.timeout(120_000);
    const cwd = fileURLToPath(new URL('..', import.meta.url));
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd });
    const [ten, thousand] = JSON.parse((await run).stdout);
    assert.isAbove(ten, 0);
    assert.equal(thousand, ten);
  });
});
