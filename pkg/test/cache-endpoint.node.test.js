import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { assert } from 'chai';
import { DistributedCacheManager, init } from '@sommos/performance';
import { PerformanceApi } from '@sommos/performance/api';

const rejection = (promise) => promise.then(() => assert.fail('resolved'), (error) => error);
async function until(condition) {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** The REST API of the core behind a real HTTP server; `misbehave` answers in its place. */
async function serve() {
  const module = await readFile(new URL(import.meta.resolve('@sommos/performance/service.wasm')));
  const api = await PerformanceApi.create(module);
  const seen = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    seen.push(`${request.method} ${request.url}`);
    if (served.misbehave?.(request, response)) return;
    const url = `http://localhost${request.url}`;
    const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    const answer = await api.fetch(new Request(url, { method: request.method, headers: request.headers, body }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}/api/performance`;
  const close = () => (server.closeAllConnections(), server.close(), api.close());
  const served = { api, seen, url, close, misbehave: undefined };
  return served;
}

describe('DistributedCacheManager with an endpoint', () => {
  let server;
  let open = [];
  const make = (options) => {
    const cache = new DistributedCacheManager({ enableSync: true, channel: `${Math.random()}`, ...options });
    cache.errors = [];
    cache.on('error', (error) => cache.errors.push(error));
    cache.addNode('server', server.url);
    open.push(cache);
    return cache;
  };
  const idle = (cache) => until(() => cache.getDistributedStats().syncQueueSize === 0);
  before(() => init());
  beforeEach(async () => {
    server = await serve();
  });
  afterEach(() => {
    for (const cache of open) cache.destroy();
    open = [];
    server.close();
  });

  it('writes through and reads what is not here', async () => {
    const [a, b] = [make(), make()];
    const sent = [];
    a.on('syncSent', (count, target) => target === 'server' && sent.push(count));
    a.set('wine/1 ü', { name: 'Cava' });
    a.set({ b: 1, a: [null, 'x'] }, 2, 60_000);
    a.set('for ever', null, Infinity);
    await idle(a);
    assert.deepEqual(await b.getAsync('wine/1 ü'), { name: 'Cava' });
    assert.equal(b.get('wine/1 ü').name, 'Cava');
    assert.equal(await b.getOrSet({ a: [null, 'x'], b: 1 }, () => assert.fail('the server has it')), 2);
    assert.isNull(await b.getAsync('for ever'));
    assert.isTrue(b.has('for ever'));
    assert.isNull(await b.getAsync('nowhere'));
    assert.isFalse(b.has('nowhere'));
    assert.deepEqual([...a.errors, ...b.errors], []);
    await until(() => sent.length > 0);
    assert.equal(sent.reduce((x, y) => x + y), 3);
  });

  it('sends what was loaded, and deletes and clears there too', async () => {
    const a = make();
    assert.equal(await a.getOrSet('k', async () => 7), 7);
    await idle(a);
    const b = make();
    assert.equal(await b.getAsync('k'), 7);
    a.set('t', 1, { tags: ['red'] });
    a.delete('k');
    await idle(a);
    a.deleteByTag('red');
    await idle(a);
    const c = make();
    assert.isNull(await c.getAsync('k'));
    assert.isNull(await c.getAsync('t'));
    a.set('again', 1);
    await idle(a);
    a.clear();
    await idle(a);
    assert.isNull(await c.getAsync('again'));
    assert.deepEqual([...a.errors, ...b.errors, ...c.errors], []);
  });

  it('many who ask for the same key ask the server once', async () => {
    const a = make();
    await Promise.all([a.getAsync('k'), a.getAsync('k'), a.getOrSet('k', () => 1)]);
    assert.equal(server.seen.filter((line) => line.startsWith('GET')).length, 1);
  });

  it('a server that never answers does not hold anyone up', async () => {
    server.misbehave = () => true;
    const a = make({ endpointTimeout: 20 });
    assert.equal(await a.getOrSet('k', () => 'local'), 'local');
    assert.equal(a.errors[0].code, 'ENDPOINT_FAILED');
    assert.include(a.errors[0].message, 'no answer within 20 ms');
    const b = make({ endpointTimeout: 20, fetch: () => new Promise(() => {}) });
    assert.isNull(await b.getAsync('k'));
    assert.equal(b.errors[0].code, 'ENDPOINT_FAILED');
  });

  it('an error of the server is told, the local cache goes on, and the write is sent later', async () => {
    server.misbehave = (_request, response) => {
      response.writeHead(503, { 'content-type': 'application/json' });
      response.end('{"success":false,"error":"starting"}');
      return true;
    };
    const a = make({ syncInterval: 10 });
    a.set('k', 1);
    await until(() => a.errors.length > 0);
    assert.include(a.errors[0].message, 'status 503: "starting"'.replaceAll('"', ''));
    assert.equal(a.get('k'), 1);
    assert.equal(a.getDistributedStats().syncQueueSize, 1);
    server.misbehave = undefined;
    await idle(a);
    const b = make();
    assert.equal(await b.getAsync('k'), 1);
  });

  it('a value that is no JSON, or that the server refuses, is told by its key', async () => {
    const a = make();
    a.set('big', 10n);
    await until(() => a.errors.length === 1);
    assert.equal(a.errors[0].code, 'NOT_SERIALIZABLE');
    assert.include(a.errors[0].message, '"big"');
    a.set('', 1);
    await until(() => a.errors.length === 2);
    assert.include(a.errors[1].message, 'status 4');
    await idle(a);
  });

  it('a removed node and a destroyed cache ask nothing more', async () => {
    const a = make();
    a.removeNode('server');
    a.set('k', 1);
    assert.isNull(await a.getAsync('x'));
    assert.deepEqual(server.seen, []);
    server.misbehave = () => true;
    const b = make();
    const waiting = b.getAsync('k');
    await until(() => server.seen.length > 0);
    b.destroy();
    assert.equal((await rejection(waiting)).code, 'CLOSED');
  });

  it('sends the headers that were given', async () => {
    let seen;
    server.misbehave = (request) => void (seen = request.headers.authorization);
    const a = make({ headers: () => ({ authorization: 'Bearer t' }) });
    await a.getAsync('k');
    assert.equal(seen, 'Bearer t');
  });
});
