import { assert } from 'chai';
import { AsyncProcessingEngine, SommosError, init } from '@sommos/performance';

/** A promise and the functions that settle it. */
function deferred() {
  const out = {};
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }));
  return out;
}

const rejection = (promise) =>
  promise.then(
    () => assert.fail('it should have rejected'),
    (error) => error,
  );

const until = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

describe('AsyncProcessingEngine', () => {
  let engine;

  before(() => init());
  afterEach(() => engine?.shutdown({ timeout: 0 }));

  const make = (options) => (engine = new AsyncProcessingEngine({ retryDelay: 1, ...options }));

  it('runs a job and tells each step with the job as it is then', async () => {
    make();
    const seen = [];
    for (const event of ['handlerRegistered', 'jobQueued', 'jobStarted', 'jobProgress', 'jobCompleted']) {
      engine.on(event, (job) => seen.push([event, job.status ?? job]));
    }
    engine.registerJobHandler('double', async (n, job, { progress, attempt, signal }) => {
      assert.deepInclude(job, { type: 'double', data: 21, status: 'running', attempts: 1 });
      assert.equal(attempt, 1);
      assert.isFalse(signal.aborted);
      progress(40, 'half way');
      job.updateProgress(40, 'nearly');
      return n * 2;
    });
    const id = await engine.addJob('double', 21, { priority: 3, timeout: 5000, retries: 1 });
    assert.match(id, /^job_\d+_[0-9a-f]+$/);
    const queued = engine.getJobStatus(id);
    assert.deepInclude(queued, {
      id,
      type: 'double',
      data: 21,
      status: 'queued',
      attempts: 0,
      maxAttempts: 2,
      progress: 0,
      result: null,
      error: null,
      startedAt: null,
      completedAt: null,
      failedAt: null,
    });
    assert.deepEqual(queued.options, { priority: 3, timeout: 5000, retries: 1, delay: 0, retryDelay: 1 });
    const ended = await engine.waitForTask(id);
    assert.deepInclude(ended, { success: true, attempts: 1, result: 42, status: 'completed', progress: 100 });
    assert.equal(ended.note, 'nearly');
    assert.isAtLeast(ended.completedAt, ended.startedAt);
    assert.deepEqual(await engine.waitForTask(id), ended);
    assert.deepEqual(seen, [
      ['handlerRegistered', 'double'],
      ['jobQueued', 'queued'],
      ['jobStarted', 'running'],
      ['jobProgress', 'running'],
      ['jobProgress', 'running'],
      ['jobCompleted', 'completed'],
    ]);
  });

  it('gives null for an unknown id, and rejects to wait for it', async () => {
    make();
    assert.isNull(engine.getJobStatus('job_1_00'));
    assert.isFalse(engine.cancelJob('job_1_00'));
    const error = await rejection(engine.waitForTask('job_1_00'));
    assert.instanceOf(error, SommosError);
    assert.equal(error.code, 'NOT_FOUND');
    assert.include(error.message, 'job_1_00');
  });

  it('tries a failed attempt again after retryDelay * 2^(attempt-1)', async () => {
    make({ retryDelay: 2, retryAttempts: 3 });
    const retries = [];
    engine.on('jobRetry', (job, delay) => retries.push([job.status, job.attempts, job.error, delay]));
    let runs = 0;
    engine.registerJobHandler('flaky', () => {
      runs += 1;
      if (runs < 4) throw new Error(`no ${runs}`);
      return 'at last';
    });
    const ended = await engine.waitForTask(await engine.addJob('flaky', null));
    assert.deepInclude(ended, { success: true, attempts: 4, result: 'at last', error: null });
    assert.deepEqual(retries, [
      ['queued', 1, 'no 1', 2],
      ['queued', 2, 'no 2', 4],
      ['queued', 3, 'no 3', 8],
    ]);
    assert.equal(engine.getMetrics().retries, 3);
  });

  it('fails for good when attempts run out, with what was thrown', async () => {
    make();
    const failed = until(engine, 'jobFailed');
    const thrown = Object.assign(new Error('broken'), { code: 'E_BROKEN' });
    engine.registerJobHandler('bad', () => Promise.reject(thrown));
    const id = await engine.addJob('bad', null, { retries: 1 });
    const ended = await engine.waitForTask(id);
    assert.deepInclude(ended, {
      status: 'failed',
      success: false,
      attempts: 2,
      error: 'broken',
      errorCode: 'E_BROKEN',
      result: null,
    });
    assert.isNumber(ended.failedAt);
    const [job, error] = await failed;
    assert.equal(job.id, id);
    assert.strictEqual(error, thrown);
    assert.equal(engine.getMetrics().failedJobs, 1);
  });

  it('does not repeat an error that says so', async () => {
    make();
    engine.registerJobHandler('bad', () => {
      throw Object.assign(new Error('never'), { retryable: false });
    });
    const ended = await engine.waitForTask(await engine.addJob('bad', null));
    assert.equal(ended.attempts, 1);
  });

  it('retryJob puts a failed job back in line', async () => {
    make({ retryAttempts: 0 });
    let good = false;
    engine.registerJobHandler('later', () => {
      if (!good) throw new Error('not yet');
      return 'now';
    });
    const id = await engine.addJob('later', null);
    assert.isFalse(engine.retryJob(id));
    assert.equal((await engine.waitForTask(id)).status, 'failed');
    good = true;
    assert.isTrue(engine.retryJob(id));
    assert.equal((await engine.waitForTask(id)).result, 'now');
  });

  it('fails a job of an unregistered type and lists the registered ones', async () => {
    make();
    engine.registerJobHandler('alpha', () => 1);
    engine.registerJobHandler('beta', () => 1);
    const ended = await engine.waitForTask(await engine.addJob('gamma', null));
    assert.equal(ended.attempts, 1);
    assert.equal(ended.errorCode, 'UNKNOWN_JOB_TYPE');
    assert.match(ended.error, /"gamma".*alpha, beta/);
  });

  it('runs at most maxConcurrentJobs, higher priorities first, then in order', async () => {
    make({ maxConcurrentJobs: 2 });
    const order = [];
    let active = 0;
    let most = 0;
    engine.registerJobHandler('work', async (name) => {
      order.push(name);
      active += 1;
      most = Math.max(most, active);
      await new Promise((resolve) => setTimeout(resolve, 2));
      active -= 1;
    });
    const ids = [];
    for (const [name, priority] of [['a', 0], ['b', 0], ['c', 5], ['d', -1], ['e', 5], ['f', 0]]) {
      ids.push(await engine.addJob('work', name, { priority }));
    }
    await Promise.all(ids.map((id) => engine.waitForTask(id)));
    assert.deepEqual(order, ['c', 'e', 'a', 'b', 'f', 'd']);
    assert.equal(most, 2);
  });

  it('starts a delayed job after its delay', async () => {
    make();
    engine.registerJobHandler('clock', () => Date.now());
    const id = await engine.addJob('clock', null, { delay: 250 });
    const now = await engine.addJob('clock', null);
    await engine.waitForTask(now);
    assert.equal(engine.getJobStatus(id).status, 'queued');
    const ended = await engine.waitForTask(id);
    assert.isAtLeast(ended.result - ended.createdAt, 250);
  });

  it('cancels a running job: signal, slot and status at once, the late end changes nothing', async () => {
    make({ maxConcurrentJobs: 1 });
    const gate = deferred();
    let signal;
    let report;
    engine.registerJobHandler('slow', async (_data, _job, context) => {
      ({ signal, progress: report } = context);
      await gate.promise;
      return 'too late';
    });
    engine.registerJobHandler('next', () => 'ran');
    const completed = [];
    engine.on('jobCompleted', (job) => completed.push(job.type));
    const cancelled = until(engine, 'jobCancelled');
    const id = await engine.addJob('slow', null);
    const next = await engine.addJob('next', null);
    await until(engine, 'jobStarted');
    const waiting = engine.waitForTask(id);
    assert.isTrue(engine.cancelJob(id));
    assert.isTrue(signal.aborted);
    assert.equal(signal.reason.name, 'AbortError');
    assert.deepInclude(await waiting, { status: 'cancelled', success: false, result: null });
    assert.equal((await cancelled)[0].id, id);
    assert.isFalse(engine.cancelJob(id));
    // Its handler still holds on, and the slot is free all the same.
    assert.equal((await engine.waitForTask(next)).result, 'ran');
    report(99);
    gate.resolve();
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepInclude(engine.getJobStatus(id), { status: 'cancelled', result: null });
    assert.deepEqual(completed, ['next']);
    assert.deepInclude(engine.getMetrics(), { completedJobs: 1, cancelledJobs: 1, activeJobs: 0 });
  });

  it('cancels a job that waits, and one in the listener of its start', async () => {
    make();
    let runs = 0;
    engine.registerJobHandler('never', () => (runs += 1));
    const waiting = await engine.addJob('never', null, { delay: 60_000 });
    assert.isTrue(engine.cancelJob(waiting));
    engine.on('jobStarted', (job) => engine.cancelJob(job.id));
    const ended = await engine.waitForTask(await engine.addJob('never', null));
    assert.equal(ended.status, 'cancelled');
    assert.equal(runs, 0);
  });

  it('counts a timeout as a failed attempt that may be repeated', async () => {
    make();
    const signals = [];
    engine.registerJobHandler('stuck', (_data, _job, { signal, attempt }) => {
      signals.push(signal);
      return attempt === 1 ? new Promise(() => {}) : 'second';
    });
    const retry = until(engine, 'jobRetry');
    const id = await engine.addJob('stuck', null, { timeout: 10, retries: 1 });
    const ended = await engine.waitForTask(id);
    assert.deepInclude(ended, { success: true, attempts: 2, result: 'second' });
    assert.equal((await retry)[0].error, 'timed out after 10 ms');
    assert.isTrue(signals[0].aborted);
    assert.equal(signals[0].reason.name, 'TimeoutError');
    assert.isFalse(signals[1].aborted);
  });

  it('a timeout in the last attempt fails the job', async () => {
    make({ jobTimeout: 5, retryAttempts: 0 });
    engine.registerJobHandler('stuck', () => new Promise(() => {}));
    const ended = await engine.waitForTask(await engine.addJob('stuck', null));
    assert.deepInclude(ended, { status: 'failed', errorCode: 'TIMED_OUT', error: 'timed out after 5 ms' });
  });

  it('waitForTask stops waiting when its signal aborts; the job goes on', async () => {
    make();
    const gate = deferred();
    engine.registerJobHandler('slow', () => gate.promise);
    const id = await engine.addJob('slow', null);
    const controller = new AbortController();
    const waiting = rejection(engine.waitForTask(id, { signal: controller.signal }));
    controller.abort();
    assert.equal((await waiting).name, 'AbortError');
    assert.equal((await rejection(engine.waitForTask(id, { signal: controller.signal }))).name, 'AbortError');
    gate.resolve('done');
    assert.equal((await engine.waitForTask(id)).result, 'done');
  });

  it('gives the events of one job to for await', async () => {
    make();
    let runs = 0;
    engine.registerJobHandler('watched', (_data, _job, { progress }) => {
      runs += 1;
      progress(50);
      if (runs === 1) throw new Error('again');
    });
    const id = await engine.addJob('watched', null);
    const types = [];
    for await (const { type, job, delay } of engine.jobEvents(id)) {
      types.push(type);
      assert.equal(job.id, id);
      if (type === 'jobRetry') assert.equal(delay, 1);
    }
    assert.deepEqual(types, ['jobStarted', 'jobProgress', 'jobRetry', 'jobStarted', 'jobProgress', 'jobCompleted']);
    for await (const event of engine.jobEvents(id)) assert.fail(event.type);
    assert.throws(() => engine.jobEvents('job_1_00'), /job_1_00/);
  });

  it('answers a second job of the same idempotency key with the first', async () => {
    make();
    let runs = 0;
    engine.registerJobHandler('once', () => (runs += 1));
    const first = await engine.addJob('once', 1, { idempotencyKey: 'k' });
    const second = await engine.addJob('once', 2, { idempotencyKey: 'k' });
    assert.equal(second, first);
    await engine.waitForTask(first);
    assert.equal(await engine.addJob('once', 3, { idempotencyKey: 'k' }), first);
    assert.equal(runs, 1);
    assert.equal(engine.getMetrics().totalJobs, 1);
  });

  it('refuses jobs beyond maxQueueSize', async () => {
    make({ maxQueueSize: 2 });
    await engine.addJob('x', null, { delay: 60_000 });
    await engine.addJob('x', null, { delay: 60_000 });
    const error = await rejection(engine.addJob('x', null));
    assert.equal(error.code, 'QUEUE_FULL');
    assert.include(error.message, '2 jobs');
  });

  it('forgets ended jobs by count and by clearCompletedJobs', async () => {
    make({ maxFinishedJobs: 3, maxConcurrentJobs: 1 });
    const cleared = [];
    engine.on('jobsCleared', (count) => cleared.push(count));
    // Each ends in a millisecond of its own: the oldest go first.
    engine.registerJobHandler('x', () => new Promise((resolve) => setTimeout(resolve, 3)));
    const ids = [];
    for (let n = 0; n < 6; n += 1) ids.push(await engine.addJob('x', n));
    await engine.waitForTask(ids[5]);
    const last = await engine.addJob('x', 6);
    await engine.waitForTask(last);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const kept = [...ids, last].filter((id) => engine.getJobStatus(id));
    assert.deepEqual(kept, [ids[4], ids[5], last]);
    assert.equal(engine.clearCompletedJobs(), 0);
    assert.equal(engine.clearCompletedJobs(0), 3);
    assert.isNull(engine.getJobStatus(last));
    assert.deepEqual(cleared, [0, 3]);
  });

  it('counts in SommOS shape, and keeps the last 100 times', async () => {
    make();
    engine.registerJobHandler('x', () => 1);
    assert.deepInclude(engine.getMetrics(), { totalJobs: 0, averageProcessingTime: 0 });
    const ids = [];
    for (let n = 0; n < 120; n += 1) ids.push(await engine.addJob('x', n));
    await Promise.all(ids.map((id) => engine.waitForTask(id)));
    const metrics = engine.getMetrics();
    assert.deepInclude(metrics, { totalJobs: 120, completedJobs: 120, failedJobs: 0, activeJobs: 0, queueSize: 0 });
    assert.lengthOf(metrics.processingTimes, 100);
    assert.isNumber(metrics.averageProcessingTime);
  });

  it('names a wrong option, its value and what is right', async () => {
    for (const [option, value] of [
      ['maxConcurrentJobs', 0],
      ['jobTimeout', 1.5],
      ['retryAttempts', -1],
      ['retryDelay', '1'],
      ['maxQueueSize', NaN],
      ['persist', 7],
    ]) {
      assert.throws(() => new AsyncProcessingEngine({ [option]: value }), new RegExp(`${option}.*expected`));
    }
    make();
    assert.throws(() => engine.registerJobHandler('x', 7), /the handler of x.*a function/);
    assert.throws(() => engine.registerJobHandler('', () => 1), /type.*a name/);
    for (const options of [{ priority: 0.5 }, { timeout: 0 }, { retries: 101 }, { delay: -1 }, { idempotencyKey: '' }]) {
      const error = await rejection(engine.addJob('x', null, options));
      assert.equal(error.code, 'INVALID_OPTION', Object.keys(options)[0]);
    }
    assert.equal((await rejection(engine.addJob('', null))).code, 'INVALID_OPTION');
  });

  it('a progress out of range fails the attempt with a message', async () => {
    make({ retryAttempts: 0 });
    engine.registerJobHandler('x', (_data, _job, { progress }) => progress(101));
    const ended = await engine.waitForTask(await engine.addJob('x', null));
    assert.match(ended.error, /progress is 101/);
  });

  it('a listener that throws goes to error and disturbs nothing', async () => {
    make();
    const errors = [];
    engine.on('error', (error) => errors.push(error.message));
    engine.on('jobStarted', () => {
      throw new Error('bad listener');
    });
    engine.registerJobHandler('x', () => 'fine');
    assert.equal((await engine.waitForTask(await engine.addJob('x', null))).result, 'fine');
    assert.deepEqual(errors, ['bad listener']);
  });

  it('shutdown lets running jobs end, cancels waiting ones, and closes', async () => {
    make({ maxConcurrentJobs: 1 });
    const gate = deferred();
    const events = [];
    for (const event of ['shutdownStarted', 'shutdownCompleted', 'jobCompleted', 'jobCancelled']) {
      engine.on(event, (job) => events.push(`${event} ${job?.data ?? ''}`.trim()));
    }
    engine.registerJobHandler('x', () => gate.promise);
    const running = engine.waitForTask(await engine.addJob('x', 'first'));
    const waiting = engine.waitForTask(await engine.addJob('x', 'second'));
    await until(engine, 'jobStarted');
    const over = engine.shutdown();
    assert.equal((await waiting).status, 'cancelled');
    assert.equal((await rejection(engine.addJob('x', 'third'))).code, 'CLOSED');
    gate.resolve(1);
    assert.equal((await running).status, 'completed');
    await over;
    await engine.shutdown();
    assert.deepEqual(events, ['shutdownStarted', 'jobCancelled second', 'jobCompleted first', 'shutdownCompleted']);
    assert.throws(() => engine.getMetrics(), /was shut down/);
    assert.throws(() => engine.getJobStatus('x'), /was shut down/);
    assert.throws(() => engine.cancelJob('x'), /was shut down/);
    assert.equal((await rejection(engine.waitForTask('x'))).code, 'CLOSED');
  });

  it('shutdown with drain runs what waits; with a timeout it cancels the rest', async () => {
    make({ maxConcurrentJobs: 1 });
    engine.registerJobHandler('x', (n) => n);
    const waiting = [];
    for (let n = 0; n < 5; n += 1) waiting.push(engine.waitForTask(await engine.addJob('x', n)));
    await engine.shutdown({ drain: true });
    assert.deepEqual((await Promise.all(waiting)).map((job) => job.result), [0, 1, 2, 3, 4]);

    make();
    let signal;
    engine.registerJobHandler('stuck', (_data, _job, context) => {
      ({ signal } = context);
      return new Promise(() => {});
    });
    const stuck = engine.waitForTask(await engine.addJob('stuck', null));
    await until(engine, 'jobStarted');
    await engine.shutdown({ drain: true, timeout: 10 });
    assert.equal((await stuck).status, 'cancelled');
    assert.isTrue(signal.aborted);
  });

  it('runs built-in types without a handler; a registered one goes first', async () => {
    make();
    const ones = { matrixA: [[1, 2]], matrixB: [[3], [4]] };
    const built = await engine.waitForTask(await engine.addJob('matrix_multiplication', ones));
    assert.isTrue(built.success, built.error);
    assert.include(JSON.stringify(built.result), '11');
    engine.registerJobHandler('matrix_multiplication', () => 'own');
    assert.equal((await engine.waitForTask(await engine.addJob('matrix_multiplication', 0))).result, 'own');
  });

  it('a built-in job with wrong data fails with a message', async () => {
    make({ retryAttempts: 0 });
    const ended = await engine.waitForTask(await engine.addJob('matrix_multiplication', { matrixA: [[1]] }));
    assert.equal(ended.status, 'failed');
    assert.include(ended.error, 'matrixB');
  });
});
