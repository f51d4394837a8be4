// Who may call: tokens, origins, the rate limit; and what a wrong configuration answers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { start, worker } from './workerd.mjs';

const API = '/api/performance';
const SET = `${API}/cache/set`;
const TOKENS = `
# TOKEN SCOPE[,SCOPE]
reader-0123456789abcdef read
writer-0123456789abcdef read,write   # may also read
admin-0123456789abcdef admin
`;

/** A worker of its own, and how to ask it. */
async function withWorker(bindings, more, use) {
  const { miniflare, origin } = await start(worker('build', bindings, more));
  const ask = async (method, path, { body, ...headers } = {}) => {
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const text = body === undefined ? undefined : JSON.stringify(body);
    const response = await fetch(origin + path, { method, headers: { ...type, ...headers }, body: text });
    const received = await response.text();
    const json = received && response.headers.get('content-type') === 'application/json' ? JSON.parse(received) : {};
    return { status: response.status, headers: response.headers, text: received, json };
  };
  try {
    await use(ask, origin);
  } finally {
    await miniflare.dispose();
  }
}

const bearer = (token) => ({ authorization: `Bearer ${token}` });
const refusal = ({ status, json }) => [status, json.success, json.code];

test('tokens: each scope may what it says, health is open', () =>
  withWorker({ TOKENS }, {}, async (ask) => {
    const reader = bearer('reader-0123456789abcdef');
    const writer = bearer('writer-0123456789abcdef');
    const admin = bearer('admin-0123456789abcdef');
    const value = { body: { key: 'k', value: 1 } };
    for (const path of ['/health/live', '/health/ready']) assert.equal((await ask('GET', path)).status, 200);

    for (const headers of [
      {},
      bearer('nobody-0123456789abcdef'),
      bearer('reader-0123456789abcdeF'),
      bearer('reader-0123456789abcde'),
      bearer(''),
      { authorization: 'reader-0123456789abcdef' },
      { authorization: 'Basic cmVhZGVyLTAxMjM0NTY3ODlhYmNkZWY6' },
      { authorization: `Bearer ${'x'.repeat(8_000)}` },
    ]) {
      for (const [method, path, body] of [
        ['GET', `${API}/cache/get/k`],
        ['POST', SET, value],
        ['DELETE', `${API}/cache/clear`],
        ['GET', '/metrics'],
        ['GET', `${API}/async/jobs`],
        ['POST', `${API}/test/load`],
      ]) {
        const answer = await ask(method, path, { ...headers, ...body });
        assert.deepEqual(refusal(answer), [401, false, 'UNAUTHORIZED'], `${method} ${path}`);
        assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
        assert.match(answer.json.error, /Authorization: Bearer TOKEN/);
      }
    }

    assert.equal((await ask('GET', `${API}/cache/stats`, reader)).status, 200);
    const write = await ask('POST', SET, { ...reader, ...value });
    assert.deepEqual(refusal(write), [403, false, 'FORBIDDEN']);
    assert.equal(write.json.error, 'this token lacks the scope write');
    assert.equal(write.headers.get('www-authenticate'), null);
    assert.equal((await ask('GET', `${API}/cache/get/k`, reader)).status, 404);

    assert.equal((await ask('POST', SET, { ...writer, ...value })).status, 200);
    assert.equal((await ask('GET', `${API}/cache/get/k`, writer)).status, 200);
    const clear = await ask('DELETE', `${API}/cache/clear`, writer);
    assert.deepEqual(refusal(clear), [403, false, 'FORBIDDEN']);
    assert.equal(clear.json.error, 'this token lacks the scope admin');
    assert.equal((await ask('GET', `${API}/cache/get/k`, reader)).status, 200);

    assert.equal((await ask('DELETE', `${API}/cache/clear`, admin)).status, 200);
    assert.equal((await ask('GET', `${API}/cache/get/k`, admin)).status, 404);
    assert.equal((await ask('POST', `${API}/test/load`, { ...admin, body: {} })).status, 501);
  }));

test("the header of tests is nobody's where it is not allowed", () =>
  withWorker({}, {}, async (ask) => {
    const control = { 'sommos-test': '{"space":"other","limits":{"cacheKeyBytes":1}}' };
    assert.equal((await ask('POST', SET, { ...control, body: { key: 'long', value: 1 } })).status, 200);
    assert.equal((await ask('GET', `${API}/cache/get/long`)).status, 200);
  }));

describe('origins', () => {
  const listed = 'https://cellar.example';
  const other = 'https://elsewhere.example';
  const bindings = { CORS_ORIGINS: `${listed},http://127.0.0.1:8080` };
  const value = { body: { key: 'k', value: 1 } };

  test('a listed origin: preflight, answers and errors may be read', () =>
    withWorker(bindings, {}, async (ask) => {
      const asks = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' };
      const preflight = await ask('OPTIONS', SET, { origin: listed, ...asks });
      assert.equal(preflight.status, 204);
      const told = (name) => preflight.headers.get(`access-control-${name}`);
      assert.equal(told('allow-origin'), listed);
      assert.equal(told('allow-methods'), 'GET, POST, DELETE');
      assert.equal(told('allow-headers'), 'authorization, content-type, last-event-id, x-request-id');
      assert.equal(told('max-age'), '600');
      assert.equal(told('allow-credentials'), null);
      assert.match(preflight.headers.get('vary'), /origin/i);

      for (const [method, path, more, status] of [
        ['POST', SET, value, 200],
        ['GET', `${API}/cache/get/k`, {}, 200],
        ['GET', `${API}/cache/get/none`, {}, 404],
        ['GET', `${API}/nowhere`, {}, 404],
        ['GET', '/health/live', {}, 200],
        ['GET', `${API}/async/metrics`, {}, 200],
      ]) {
        const answer = await ask(method, path, { origin: listed, ...more });
        assert.equal(answer.status, status, path);
        assert.equal(answer.headers.get('access-control-allow-origin'), listed, path);
        assert.equal(answer.headers.get('access-control-expose-headers'), 'age, etag, retry-after, x-request-id');
        assert.match(answer.headers.get('vary'), /origin/i);
      }
    }));

  test('an origin that is not listed: no header allows it, what would change state is refused', () =>
    withWorker(bindings, {}, async (ask, origin) => {
      const marks = (answer) => [...answer.headers.keys()].filter((name) => name.startsWith('access-control-'));
      const near = [other, 'null', `${listed}.evil.example`, 'http://cellar.example', `${listed}:8443`];
      for (const from of near) {
        const preflight = await ask('OPTIONS', SET, { origin: from, 'access-control-request-method': 'POST' });
        assert.deepEqual([preflight.status, marks(preflight)], [204, []], from);
        for (const [method, path, more] of [
          ['POST', SET, value],
          ['DELETE', `${API}/cache/clear`, {}],
          ['POST', `${API}/cache/get-many`, { body: { keys: ['k'] } }],
        ]) {
          const answer = await ask(method, path, { origin: from, ...more });
          assert.deepEqual(refusal(answer), [403, false, 'FORBIDDEN'], `${from} ${path}`);
          assert.match(answer.json.error, /CORS_ORIGINS/);
          assert.deepEqual(marks(answer), []);
        }
      }
      const read = await ask('GET', `${API}/cache/get/k`, { origin: other });
      assert.deepEqual([read.status, marks(read)], [404, []]);
      // The worker's own pages, and clients that are no pages.
      assert.equal((await ask('POST', SET, { origin, ...value })).status, 200);
      assert.equal((await ask('POST', SET, value)).status, 200);
    }));

  test('a listed origin reads why it was refused', () =>
    withWorker({ ...bindings, TOKENS }, {}, async (ask) => {
      const preflight = await ask('OPTIONS', SET, { origin: listed, 'access-control-request-method': 'POST' });
      assert.equal(preflight.status, 204);
      const answer = await ask('POST', SET, { origin: listed, ...value });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers.get('access-control-allow-origin'), listed);
    }));
});

test('the rate limit: 429 with a time to wait, health is open', () =>
  withWorker({}, { ratelimits: { RATE_LIMIT: { simple: { limit: 5, period: 60 } } } }, async (ask) => {
    // A minute may turn in between; then the count begins anew, once.
    const statuses = [];
    let refused;
    for (let n = 0; n < 12; n += 1) {
      const answer = await ask('GET', `${API}/cache/get/k`);
      statuses.push(answer.status);
      if (answer.status === 429) refused = answer;
    }
    assert.ok(statuses.slice(0, 5).every((status) => status === 404), statuses.join());
    const passed = statuses.filter((status) => status === 404).length;
    assert.ok(passed === 5 || passed === 10, statuses.join());
    assert.deepEqual(refusal(refused), [429, false, 'RATE_LIMITED']);
    assert.equal(refused.headers.get('retry-after'), '1');
    for (let n = 0; n < 20; n += 1) assert.equal((await ask('GET', '/health/live')).status, 200);
  }));

describe('a wrong variable answers a JSON 500 that names it', () => {
  for (const [name, value, told] of [
    ['WORKERS', 'many', /"many" is no whole number/],
    ['RETRY_ATTEMPTS', '-1', /"-1" is no whole number/],
    ['CACHE_MAX_SIZE', '1e3', /"1e3" is no whole number/],
    ['TOKENS', 'short admin', /line 1: a token has at least 16 characters/],
    ['TOKENS', 'reader-0123456789abcdef all', /expected TOKEN SCOPE/],
    ['CORS_ORIGINS', 'cellar.example', /"cellar.example": expected https:\/\/host/],
    ['LIMITS', '{"bodyBites":1}', /unknown field `bodyBites`/],
    ['LIMITS', '{', /EOF/],
    ['CACHE_LOADERS', '[]', /invalid type: sequence/],
  ]) {
    test(`${name} = ${value}`, () =>
      withWorker({ [name]: value }, {}, async (ask) => {
        for (const path of [`${API}/cache/stats`, '/health/live']) {
          const answer = await ask('GET', path);
          assert.deepEqual(refusal(answer), [500, false, 'INTERNAL']);
          assert.match(answer.json.error, new RegExp(`^the worker's configuration, ${name}: `));
          assert.match(answer.json.error, told);
          assert.doesNotMatch(answer.text, /0123456789abcdef/);
        }
      }));
  }
});

test('LIMITS lowers a limit; the others keep their defaults', () =>
  withWorker({ LIMITS: '{"cacheKeyBytes":8,"bodyBytes":1000}' }, {}, async (ask) => {
    const set = (key, value = 1) => ask('POST', SET, { body: { key, value } });
    assert.equal((await set('k'.repeat(8))).status, 200);
    const long = await set('k'.repeat(9));
    assert.deepEqual(refusal(long), [422, false, 'LIMIT_EXCEEDED']);
    assert.match(long.json.error, /\b8\b/);
    const large = await set('k', 'x'.repeat(1_000));
    assert.deepEqual(refusal(large), [413, false, 'TOO_LARGE']);
    assert.match(large.json.error, /\b1000\b/);
    const deep = await set('k', JSON.parse(`${'['.repeat(60)}${']'.repeat(60)}`));
    assert.equal(deep.status, 200);
  }));
