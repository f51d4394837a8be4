// Jobs survive workerd: it is killed with SIGKILL five times while a thousand of them run, and
// started again on its storage.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanUp, folder, Host } from './process.mjs';
import { start, worker } from './workerd.mjs';

const JOBS = 1000;
const KILLS = 5;
const LEASE_MS = 2000;
after(cleanUp);

/** A number from 0 to 1 of a seed: the mix is the same in every run. */
const random = (() => {
  let state = 42;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
})();

/** Job number `n`: most complete, some fail, some wait first, some are cancelled. */
function jobOf(n) {
  const fails = random() < 0.1;
  const options = { priority: Math.floor(random() * 10), idempotencyKey: `key-${n}` };
  if (random() < 0.2) options.delay = Math.floor(random() * 4000);
  const good = { jobType: 'matrix_multiplication', data: { matrixA: [[n, 0], [0, 1]], matrixB: [[1, 2], [3, 4]] } };
  const bad = {
    jobType: 'data_processing',
    data: { dataset: [{ a: 'x' }], operations: [{ type: 'transform', transform: { a: { type: 'sqrt' } } }] },
  };
  return { n, fails, cancels: random() < 0.08, request: { ...(fails ? bad : good), options } };
}

/** Asks again and again until the worker answers: it may be dead. */
async function until(hostOf, method, path, body) {
  for (let tries = 0; tries < 600; tries += 1) {
    try {
      const host = hostOf();
      if (host) return await host.call(method, path, body);
    } catch {
      // It was killed under the request: whether it was taken is not known.
    }
    await sleep(50);
  }
  throw new Error(`${method} ${path}: no answer`);
}

/** Submits all jobs, a few at once, and cancels some soon after; gives what was acknowledged. */
async function submitAll(jobs, hostOf) {
  const acknowledged = new Map();
  const next = jobs.values();
  const client = async () => {
    for (const job of next) {
      const answer = await until(hostOf, 'POST', '/api/performance/async/job', job.request);
      assert.equal(answer.http, 200, JSON.stringify(answer));
      job.id = answer.data.jobId;
      acknowledged.set(job.id, job);
      if (!job.cancels) continue;
      const cancelled = await until(hostOf, 'DELETE', `/api/performance/async/job/${job.id}`);
      // 409: it had ended, or an earlier request of this one was heard.
      job.cancelled = cancelled.http === 200;
      assert.ok([200, 409].includes(cancelled.http), JSON.stringify(cancelled));
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  return acknowledged;
}

/** Pairs of a job that started and one that stood in line then; in how many that had the higher priority. */
function disorder(records) {
  const once = records.filter((record) => record.attempts === 1 && record.startedAt !== null);
  let [waiting, pairs] = [0, 0];
  for (const first of once) {
    for (const other of once) {
      const ready = other.createdAt + other.options.delay;
      const waited = ready < first.startedAt && other.startedAt > first.startedAt;
      if (waited) waiting += 1;
      if (waited && other.options.priority > first.options.priority) pairs += 1;
    }
  }
  return { waiting, pairs };
}

test('1,000 jobs, five kills: none is lost, none completes twice, priorities hold', { timeout: 300_000 }, async () => {
  const storage = folder();
  const bindings = { LEASE_MS: String(LEASE_MS), WORKERS: '8', RETRY_DELAY_MS: '50', RETRY_ATTEMPTS: '20' };
  let host = await Host.start(storage, bindings);
  const jobs = Array.from({ length: JOBS }, (_, n) => jobOf(n));
  const submitted = submitAll(jobs, () => host);
  let kills = 0;
  let slowest = 0;
  while (kills < KILLS) {
    await sleep(1000 + 1000 * random());
    const old = host;
    host = undefined;
    old.kill();
    kills += 1;
    const since = Date.now();
    host = await Host.start(storage, bindings);
    slowest = Math.max(slowest, Date.now() - since);
  }
  const acknowledged = await submitted;
  assert.equal(acknowledged.size, JOBS, 'each job has an id of its own');

  // Claims that do not hold: of jobs that have ended, of others' tokens, of jobs that there are not.
  const forged = [...acknowledged.keys()].slice(0, 100).map((id, i) => ({ id, token: i % 2 ? 1 : 999_999 }));
  const before = await host.call('GET', '/api/performance/async/metrics');
  await host.send(forged);

  const records = new Map();
  const deadline = Date.now() + 120_000;
  while (records.size < JOBS && Date.now() < deadline) {
    for (const id of acknowledged.keys()) {
      if (records.has(id)) continue;
      const { http, data } = await until(() => host, 'GET', `/api/performance/async/job/${id}`);
      assert.equal(http, 200, `${id} is lost`);
      if (['completed', 'failed', 'cancelled'].includes(data.status)) records.set(id, data);
    }
  }
  const all = [...records.values()];
  const of = (status) => all.filter((record) => record.status === status).length;
  const lost = JOBS - records.size;
  let wrong = 0;
  for (const [id, job] of acknowledged) {
    const record = records.get(id);
    if (!record) continue;
    if (job.cancelled && record.status !== 'cancelled') wrong += 1;
    if (record.status === 'failed' && !job.fails) wrong += 1;
    if (record.status === 'completed') {
      const result = JSON.stringify(record.result.result ?? record.result);
      if (job.fails || !result.includes(JSON.stringify([job.n, 2 * job.n]))) wrong += 1;
    }
  }
  // The queue's own count of completions, of all its lives: more than the completed jobs would
  // mean that one completed twice.
  const metrics = (await host.call('GET', '/api/performance/async/metrics')).data;
  const stale = metrics.completedJobs - of('completed');
  const retried = all.filter((record) => record.attempts > 1).length;
  const { waiting, pairs } = disorder(all);
  console.log(
    `${JOBS} jobs, ${kills} kills (ready again after ${slowest} ms at most): ${of('completed')} completed, ` +
      `${of('failed')} failed, ${of('cancelled')} cancelled, ${lost} lost, ${wrong} wrong, ${stale} stale completions, ` +
      `${retried} of more than one attempt, ${pairs} of ${waiting} pairs out of order; 100 forged claims changed nothing ` +
      `(${before.data.totalJobs} jobs before, ${metrics.totalJobs} after)`,
  );
  assert.deepEqual({ lost, wrong, stale, pairs }, { lost: 0, wrong: 0, stale: 0, pairs: 0 });
  assert.equal(metrics.totalJobs, JOBS);
  assert.ok(retried > 0, 'no kill met a running job');
  assert.ok(waiting > JOBS, 'there was hardly a line to keep in order');
  host.kill();
});

test('a delayed job starts by the alarm alone, also after a kill', { timeout: 60_000 }, async () => {
  const storage = folder();
  let host = await Host.start(storage, {});
  const submit = { ...jobOf(1).request, jobType: 'matrix_multiplication', options: { delay: 3000 } };
  submit.data = { matrixA: [[1]], matrixB: [[2]] };
  const { data } = await host.call('POST', '/api/performance/async/job', submit);
  host.kill();
  host = await Host.start(storage, {});
  await sleep(5500);
  const record = (await host.call('GET', `/api/performance/async/job/${data.jobId}`)).data;
  assert.equal(record.status, 'completed');
  const late = record.startedAt - record.createdAt - 3000;
  assert.ok(late >= 0 && late < 2500, `it started ${late} ms after its time`);
  host.kill();
});

test('claims that the queue does not take go back in line, their attempts not counted', { timeout: 60_000 }, async () => {
  const absent = { queueProducers: undefined, queueConsumers: undefined };
  const { miniflare, origin } = await start(worker('build', {}, absent));
  try {
    const ask = async (path, body) => {
      const request = body && { method: 'POST', body: JSON.stringify(body) };
      return (await (await fetch(`${origin}/api/performance/async/${path}`, request)).json()).data;
    };
    const job = { jobType: 'matrix_multiplication', data: { matrixA: [[1]], matrixB: [[2]] } };
    const { jobId } = await ask('job', job);
    const first = await ask(`job/${jobId}`);
    await sleep(3500);
    const later = await ask(`job/${jobId}`);
    assert.ok(later.startedAt > first.startedAt, 'it was claimed anew');
    assert.equal(later.attempts, 1);
  } finally {
    await miniflare.dispose();
  }
});
