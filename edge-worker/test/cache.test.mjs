// The cache over isolates and data centres: two workers on the same storage within one Miniflare
// (they share the Cache API), and two Miniflare instances (they do not).

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start, worker } from './workerd.mjs';

const BOUND_S = 2;
/** What a request itself may take on a busy machine, milliseconds. */
const SLACK_MS = 1500;
const API = '/api/performance/cache';

/** Where values are loaded from: answers slowly, counts, and can be made to fail. */
const origin = {
  calls: [],
  failing: false,
  value: (key) => ({ key, n: origin.calls.filter((called) => called === key).length }),
};
let server;
const folder = mkdtempSync(join(tmpdir(), 'sommos-edge-cache-'));
const started = [];
/** `a` and `b` in one Miniflare, `far` in another; all three on the objects of `a`. */
const origins = {};

const classes = { JOBS: 'JobQueue', CACHE: 'CacheGroup', MONITOR: 'MonitorState' };
const objectsOf = (scriptName) =>
  Object.fromEntries(
    Object.entries(classes).map(([binding, className]) => [binding, { className, scriptName, useSQLite: true }]),
  );

before(async () => {
  server = createServer(async (request, response) => {
    const key = decodeURIComponent(request.url.slice(1));
    origin.calls.push(key);
    await sleep(150);
    if (origin.failing) response.writeHead(500);
    else if (key.startsWith('absent')) response.writeHead(404);
    response.end(JSON.stringify(origin.value(key)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bindings = {
    CACHE_STALENESS_SECONDS: String(BOUND_S),
    CACHE_GROUPS: '3',
    CACHE_LOADERS: JSON.stringify({ wines: `http://127.0.0.1:${server.address().port}/{key}` }),
  };
  const registry = { unsafeDevRegistryPath: join(folder, 'registry'), unsafeDevRegistryDurableObjectProxy: true };
  const queues = { queueProducers: undefined, queueConsumers: undefined };
  const a = { name: 'a', ...worker('build', bindings) };
  const b = { name: 'b', ...worker('build', bindings, { ...queues, durableObjects: objectsOf('a'), unsafeDirectSockets: [{ port: 0 }] }) };
  const first = await start({ ...registry, durableObjectsPersist: join(folder, 'objects'), workers: [a, b] });
  const far = { name: 'far', ...worker('build', bindings, { ...queues, durableObjects: objectsOf('a') }) };
  const second = await start({ ...registry, workers: [far] });
  started.push(first, second);
  origins.a = first.origin;
  origins.b = (await first.miniflare.unsafeGetDirectURL('b')).origin;
  origins.far = second.origin;
});
after(async () => {
  for (const { miniflare } of started) await miniflare.dispose();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const call = async (where, method, path, body) => {
  const response = await fetch(`${origins[where]}${API}${path}`, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const age = response.headers.get('age');
  return { http: response.status, age: age === null ? null : Number(age), ...(await response.json()) };
};
const set = async (where, body) => assert.equal((await call(where, 'POST', '/set', body)).http, 200);
const get = (where, key, query = '') => call(where, 'GET', `/get/${encodeURIComponent(key)}${query}`);
const strong = (where, key) => get(where, key, '?consistency=strong');
const load = (where, key, more = {}) => call(where, 'POST', '/get-or-load', { key, loader: 'wines', ...more });

/** Reads until the answer holds; gives how long that took, milliseconds. */
async function within(where, key, holds) {
  const since = Date.now();
  for (;;) {
    const read = await get(where, key);
    if (holds(read)) return Date.now() - since;
    assert.ok(read.age <= BOUND_S, `an answer ${read.age} s old`);
    assert.ok(Date.now() - since < BOUND_S * 1000 + SLACK_MS, `still ${JSON.stringify(read)}`);
    await sleep(20);
  }
}

for (const where of ['b', 'far']) {
  test(`a set on one worker is read on ${where} within the bound, at once when asked strongly`, async (t) => {
    await set('a', { key: `wine-${where}`, value: 1 });
    assert.equal((await get(where, `wine-${where}`)).data, 1);
    await set('a', { key: `wine-${where}`, value: 2 });
    assert.equal((await strong(where, `wine-${where}`)).data, 2);
    await set('a', { key: `wine-${where}`, value: 3 });
    const took = await within(where, `wine-${where}`, (read) => read.data === 3);
    assert.equal((await get('a', `wine-${where}`)).data, 3, 'who sets reads what it set');
    t.diagnostic(`seen after ${took} ms; the bound is ${BOUND_S * 1000} ms`);
  });

  test(`a tag purge on one worker reaches ${where} within the bound, at once when asked strongly`, async (t) => {
    const keys = ['red', 'white', 'rose'].map((color) => `${color}-${where}`);
    for (const key of keys) await set('a', { key, value: key, tags: [`cellar-${where}`] });
    await set('a', { key: `other-${where}`, value: 1, tags: ['other'] });
    for (const key of keys) assert.equal((await get(where, key)).data, key);
    const purged = await call('a', 'DELETE', `/tag/cellar-${where}`);
    assert.equal(purged.message, 'Invalidated 3 cache entries');
    assert.equal((await strong(where, keys[0])).http, 404);
    let slowest = 0;
    for (const key of keys) slowest = Math.max(slowest, await within(where, key, (read) => read.http === 404));
    assert.equal((await get(where, `other-${where}`)).data, 1);
    for (const key of keys) assert.equal((await get('a', key)).http, 404, 'who purges sees it at once');
    t.diagnostic(`gone after ${slowest} ms; the bound is ${BOUND_S * 1000} ms`);
  });

  test(`a delete and a clear reach ${where}, too`, async () => {
    await set('a', { key: `gone-${where}`, value: 1 });
    assert.equal((await get(where, `gone-${where}`)).data, 1);
    assert.equal((await call('a', 'DELETE', `/delete/gone-${where}`)).http, 200);
    assert.equal((await get('a', `gone-${where}`)).http, 404);
    await within(where, `gone-${where}`, (read) => read.http === 404);
    await set('a', { key: `cleared-${where}`, value: 1 });
    assert.equal((await get(where, `cleared-${where}`)).data, 1);
    await call('a', 'DELETE', '/clear');
    assert.equal((await get('a', `cleared-${where}`)).http, 404);
    await within(where, `cleared-${where}`, (read) => read.http === 404);
  });

  test(`a large value is the same on ${where}`, async () => {
    const value = Array.from({ length: 20_000 }, (_, i) => `${where} bottle ${i}`);
    await set('a', { key: `large-${where}`, value });
    assert.deepEqual((await get(where, `large-${where}`)).data, value);
    assert.deepEqual((await strong(where, `large-${where}`)).data, value);
  });
}

test('100 who ask at once for a cold key, on three workers, call the origin once', async (t) => {
  const where = ['a', 'b', 'far'];
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => load(where[i % 3], 'cold')));
  for (const answer of answers) assert.deepEqual([answer.http, answer.data], [200, { key: 'cold', n: 1 }]);
  assert.equal(origin.calls.filter((key) => key === 'cold').length, 1);
  assert.deepEqual((await strong('far', 'cold')).data, { key: 'cold', n: 1 });
  t.diagnostic('100 asked, the origin was called once');
});

test('a stale value is answered at once and loaded anew behind the answer', async () => {
  await load('a', 'stale', { ttl: 300, staleTtl: 60_000 });
  await sleep(500);
  assert.equal((await get('a', 'stale')).http, 404, 'a plain get answers nothing stale');
  const answers = await Promise.all(Array.from({ length: 10 }, () => load('b', 'stale', { ttl: 60_000 })));
  for (const answer of answers) assert.deepEqual(answer.data, { key: 'stale', n: 1 });
  await sleep(600);
  assert.deepEqual((await load('far', 'stale')).data, { key: 'stale', n: 2 });
  assert.equal(origin.calls.filter((key) => key === 'stale').length, 2);
});

test('when the origin fails a stale value stands in; without one all who wait hear why', async () => {
  await load('a', 'safe', { ttl: 200, staleTtl: 60_000 });
  await sleep(300);
  origin.failing = true;
  try {
    assert.deepEqual((await load('a', 'safe')).data, { key: 'safe', n: 1 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => load('a', 'never')));
    for (const answer of answers) assert.deepEqual([answer.http, answer.code], [503, 'UNAVAILABLE']);
    assert.equal(origin.calls.filter((key) => key === 'never').length, 1);
  } finally {
    origin.failing = false;
  }
  assert.equal((await load('a', 'never')).http, 200);
  assert.deepEqual([(await load('a', 'absent')).http, (await load('a', 'absent')).code], [404, 'KEY_NOT_FOUND']);
});

test('what is set or purged while it is loaded is not overwritten by the load', async () => {
  const loading = load('a', 'raced');
  await sleep(60);
  await set('b', { key: 'raced', value: 'newer' });
  await loading;
  assert.equal((await strong('a', 'raced')).data, 'newer');
  const tagged = load('a', 'tagged', { tags: ['purged'] });
  await sleep(60);
  await call('b', 'DELETE', '/tag/purged');
  assert.equal((await tagged).http, 200);
  assert.equal((await strong('a', 'tagged')).http, 404);
});

test('hits that no group was asked for are counted', async () => {
  await call('a', 'DELETE', '/clear');
  await set('a', { key: 'counted', value: 1 });
  const before = (await call('a', 'GET', '/stats')).data.hits;
  for (let i = 0; i < 20; i += 1) await get('a', 'counted');
  assert.equal((await call('a', 'GET', '/stats')).data.hits, before + 20);
});
