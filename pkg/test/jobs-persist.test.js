import { assert } from 'chai';
import { AsyncProcessingEngine, init } from '@sommos/performance';

/** A store that outlives engines, as a database outlives pages. */
class MemoryStore {
  jobs = new Map();
  refuse;

  async load() {
    return [...this.jobs.values()].map((job) => structuredClone(job));
  }

  async put(job) {
    if (this.refuse) throw this.refuse;
    this.jobs.set(job.id, structuredClone(job));
  }

  async delete(id) {
    this.jobs.delete(id);
  }
}

describe('AsyncProcessingEngine over a store', () => {
  before(() => init());

  it('a reload loses no waiting job, and ids stay', async () => {
    const persist = new MemoryStore();
    const first = new AsyncProcessingEngine({ persist, maxConcurrentJobs: 1 });
    first.registerJobHandler('x', () => new Promise(() => {}));
    const running = await first.addJob('x', 'a');
    const waiting = await first.addJob('x', 'b', { priority: 2, delay: 3_600_000 });
    const lost = first.waitForTask(waiting).then(assert.fail, (error) => error);
    assert.sameMembers([...persist.jobs.keys()], [running, waiting]);
    await first.shutdown({ timeout: 0 });
    assert.equal((await lost).code, 'CLOSED');
    assert.sameMembers([...persist.jobs.keys()], [running, waiting]);

    const second = new AsyncProcessingEngine({ persist });
    second.registerJobHandler('x', (data) => `${data} again`);
    await second.ready;
    assert.deepInclude(second.getJobStatus(waiting), { status: 'queued', data: 'b' });
    const ended = await second.waitForTask(running);
    assert.deepInclude(ended, { status: 'completed', result: 'a again', maxAttempts: 4 });
    second.cancelJob(waiting);
    await Promise.resolve();
    assert.equal(persist.jobs.size, 0);
    await second.shutdown();
  });

  it('a job that used up its attempts with its pages is not run again', async () => {
    const persist = new MemoryStore();
    const options = { priority: 0, timeout: 1000, retries: 1, delay: 0, retryDelay: 1 };
    const id = `job_5_${'0'.repeat(32)}`;
    persist.jobs.set(id, { id, type: 'x', data: 1, options, attempts: 2 });
    const engine = new AsyncProcessingEngine({ persist });
    const errors = [];
    engine.on('error', (error) => errors.push(error.code));
    await engine.ready;
    await Promise.resolve();
    assert.isNull(engine.getJobStatus(id));
    assert.equal(persist.jobs.size, 0);
    assert.deepEqual(errors, ['WORKER_LOST']);
    await engine.shutdown();
  });

  it('a second job of the same idempotency key leaves the first as it is stored', async () => {
    const persist = new MemoryStore();
    const engine = new AsyncProcessingEngine({ persist });
    const options = { idempotencyKey: 'k', delay: 60_000 };
    const id = await engine.addJob('x', 'first', options);
    assert.equal(await engine.addJob('x', 'second', options), id);
    assert.equal(persist.jobs.get(id).data, 'first');
    await engine.shutdown();
  });

  it('a job that cannot be stored is refused with the reason', async () => {
    const persist = new MemoryStore();
    const engine = new AsyncProcessingEngine({ persist });
    persist.refuse = Object.assign(new Error('the disk is full'), { code: 'QUOTA_EXCEEDED' });
    const error = await engine.addJob('x', 1, { delay: 1000 }).then(assert.fail, (thrown) => thrown);
    assert.equal(error.code, 'QUOTA_EXCEEDED');
    assert.include(error.message, 'disk is full');
    assert.equal(engine.getMetrics().cancelledJobs, 1);
    await engine.shutdown();
  });

  it('a store that cannot be read rejects ready and every job', async () => {
    const persist = new MemoryStore();
    persist.load = () => Promise.reject(new Error('corrupt'));
    const engine = new AsyncProcessingEngine({ persist });
    engine.on('error', () => undefined);
    const error = await engine.addJob('x', 1).then(assert.fail, (thrown) => thrown);
    assert.equal(error.code, 'STORE_FAILED');
    assert.include(error.message, 'corrupt');
    await engine.shutdown();
  });
});
