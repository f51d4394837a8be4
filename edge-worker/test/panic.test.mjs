// A panic in Rust ends the wasm instance. What runs in it gets an answer at once, and the next
// request is served by a fresh one. The worker is that of `cargo xtask build-edge --test-panic`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start, worker } from './workerd.mjs';

/** Longest wait for an answer that must not wait for anything, milliseconds. */
const AT_ONCE_MS = 5_000;

let edge;
before(async () => {
  ({ miniflare: edge } = await start(worker('build-panic')));
});
after(() => edge.dispose());

const get = async (path) => {
  const response = await edge.dispatchFetch(`http://edge${path}`, { signal: AbortSignal.timeout(AT_ONCE_MS) });
  const body = await response.text();
  return { status: response.status, type: response.headers.get('content-type'), body };
};

const FAILED = {
  status: 500,
  type: 'application/json',
  body: '{"success":false,"code":"INTERNAL","error":"internal error: this request was given up"}',
};

const serves = async () => {
  const { status, body } = await get('/health/live');
  assert.deepEqual([status, JSON.parse(body)], [200, { status: 'live' }]);
};
const number = async (path) => {
  const { status, body } = await get(path);
  assert.equal(status, 200, body);
  return JSON.parse(body).count;
};
const count = (name) => number(`/count/${name}`);
const read = (name) => number(`/read/${name}`);
/** Asks until it holds, for ten seconds: the platform repeats an alarm after two. */
const until = async (what, holds) => {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) return;
    await sleep(50);
  }
  assert.fail(`in vain: ${what}`);
};

for (const [path, when] of [
  ['/panic', 'in its first turn'],
  ['/panic-later', 'after I/O'],
  ['/overflow', 'by running over its stack'],
]) {
  test(`a request that panics ${when} answers 500, the next is served`, async () => {
    for (let round = 0; round < 3; round += 1) {
      assert.deepEqual(await get(path), FAILED);
      await serves();
    }
  });
}

for (const [path, when] of [['panic', 'in its first turn'], ['panic-later', 'after I/O']]) {
  test(`a Durable Object that panics ${when} answers 500 and keeps what it stored`, async () => {
    const name = `kept-${path}`;
    assert.equal(await count(name), 1);
    assert.deepEqual(await get(`/count/${path}`), FAILED);
    assert.equal(await count(name), 2);
    await serves();
  });
}

test('requests beside one that panics are answered at once', async () => {
  const beside = Array.from({ length: 8 }, () => get('/slow'));
  await sleep(20);
  const answers = await Promise.all([get('/panic-later'), ...beside]);
  for (const answer of answers) assert.deepEqual(answer, FAILED);
  await serves();
});

test('100 panics and 100 good requests at once: each is answered, the worker lives', async () => {
  const paths = Array.from({ length: 200 }, (_, i) => (i % 2 ? '/health/live' : '/panic'));
  const answers = await Promise.all(paths.map(get));
  const statuses = (path) => answers.filter((_, i) => paths[i] === path).map((answer) => answer.status);
  assert.ok(statuses('/panic').every((status) => status === 500));
  assert.ok(statuses('/health/live').every((status) => status === 200 || status === 500));
  await serves();
});

test('an alarm that panics is tried again by the platform', async () => {
  assert.equal(await read('alarms'), 0);
  await count('alarm');
  await until('the first alarm panicked and the second ran', async () => (await read('alarms')) === 2);
  await serves();
});

test('a message that panics does not end the consumer', async () => {
  const queue = await edge.getQueueProducer('WORK');
  await queue.send('panic');
  await queue.send('good');
  // The question may share its instance with the message that panics, and is then given up with it.
  await until('the good message was counted', async () => {
    const { status, body } = await get('/read/queue');
    if (status === FAILED.status) assert.equal(body, FAILED.body);
    return status === 200 && JSON.parse(body).count > 0;
  });
  await serves();
});

test('a cron run that panics does not end the worker', async () => {
  const worker = await edge.getWorker();
  const { outcome } = await worker.scheduled({ cron: 'panic' });
  assert.equal(outcome, 'exception');
  assert.equal((await worker.scheduled({ cron: '* * * * *' })).outcome, 'ok');
  await serves();
});
