// Bad input gets the answer that the server gives, over HTTP; afterwards the worker still answers.
//
// SOMMOS_ORIGIN=http://127.0.0.1:PORT asks what listens there: with it the list is held to the
// server itself.

import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { start, worker } from './workerd.mjs';

const API = '/api/performance';
const SET = `${API}/cache/set`;
const JOB = `${API}/async/job`;
const TASK = `${API}/parallel/task`;
const BATCH = `${API}/batch/process`;
const DECOMPRESS = `${API}/memory/decompress`;
const MB = 1 << 20;
const JSON_TYPE = { 'content-type': 'application/json' };

const server = process.env.SOMMOS_ORIGIN;
let origin = server;
let edge;
before(async () => {
  if (server) return;
  edge = await start(worker('build'));
  origin = edge.origin;
});
after(() => edge?.miniflare.dispose());

/** Sends bytes as they are; `chunked` without their length. The answer may come before their end. */
function send(method, path, { body, headers = JSON_TYPE, chunked = false } = {}) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const framing = bytes && !chunked ? { 'content-length': bytes.length } : {};
    const request = httpRequest({ hostname, port, method, path, agent: false, headers: { ...headers, ...framing } });
    let answered = false;
    request.on('response', async (response) => {
      answered = true;
      const pieces = [];
      try {
        for await (const piece of response) pieces.push(piece);
      } catch (error) {
        return reject(error);
      }
      const text = Buffer.concat(pieces).toString();
      const isJson = response.headers['content-type'] === 'application/json';
      return resolve({ status: response.statusCode, headers: response.headers, text, json: isJson && text ? JSON.parse(text) : {} });
    });
    // What is written after the answer may find the connection closed.
    request.on('error', (error) => answered || reject(error));
    request.setTimeout(60_000, () => request.destroy(new Error('no answer in a minute')));
    if (!bytes) return request.end();
    if (!chunked) return request.end(bytes);
    for (let at = 0; at < bytes.length; at += MB) request.write(bytes.subarray(at, at + MB));
    return request.end();
  });
}

/** Sends raw bytes and closes after a while. */
const raw = (text) =>
  new Promise((resolve) => {
    const { hostname, port } = new URL(origin);
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let received = '';
    socket.on('data', (piece) => (received += piece));
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
    setTimeout(() => socket.destroy(), 300);
  });

/** One test for each line: name, status and code (none: success), method, path, and the rest. */
function cases(lines) {
  for (const [name, status, code, method, path, rest] of lines) {
    test(name, async () => {
      const answer = await send(method, path, typeof rest === 'function' ? rest() : rest);
      assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text.slice(0, 300));
      if (!code) return;
      assert.equal(answer.json.success, false);
      assert.ok(answer.json.error.length > 0 && answer.text.length < 2_000, answer.text.slice(0, 300));
    });
  }
}

afterEach(async () => {
  const answer = await send('POST', SET, { body: '{"key":"alive","value":1}' });
  assert.equal(answer.status, 200, answer.text);
});

const bad = 'INVALID_FIELD';
const over = 'LIMIT_EXCEEDED';
const job = (jobType, data, options) => ({ body: `{"jobType":"${jobType}","data":${data}${options ? `,"options":{${options}}` : ''}}` });
const product = (data) => job('matrix_multiplication', data);
const records = (options) => job('data_processing', '{"dataset":[],"operations":[]}', options);
const chunks = (options) => ({ body: `{"data":[1],"options":{${options}}}` });
const set = (more) => ({ body: `{"key":"k",${more}}` });

describe('fields', () => {
  cases([
    ['batchSize 0', 400, bad, 'POST', BATCH, chunks('"batchSize":0')],
    ['batchSize -1', 400, bad, 'POST', BATCH, chunks('"batchSize":-1')],
    ['batchSize 10^9', 400, bad, 'POST', BATCH, chunks('"batchSize":1000000000')],
    ['maxConcurrency 10^9', 400, bad, 'POST', BATCH, chunks('"maxConcurrency":1000000000')],
    ['ttl "abc"', 400, bad, 'POST', SET, set('"value":1,"ttl":"abc"')],
    ['ttl 0', 400, bad, 'POST', SET, set('"value":1,"ttl":0')],
    ['ttl -1', 400, bad, 'POST', SET, set('"value":1,"ttl":-1')],
    ['ttl 10^18', 400, bad, 'POST', SET, set('"value":1,"ttl":1000000000000000000')],
    ['no value', 400, 'MISSING_FIELD', 'POST', SET, { body: '{"key":"k"}' }],
    ['an empty key', 400, bad, 'POST', SET, { body: '{"key":"","value":1}' }],
    ['priority -1', 400, bad, 'POST', JOB, records('"priority":-1')],
    ['priority 10^9', 400, bad, 'POST', JOB, records('"priority":1000000000')],
    ['timeout 0', 400, bad, 'POST', JOB, records('"timeout":0')],
    ['retries 10^9', 400, bad, 'POST', JOB, records('"retries":1000000000')],
    ['job type unknown', 400, 'UNKNOWN_NAME', 'POST', JOB, job('x', '{}')],
    ['task type unknown', 400, 'UNKNOWN_NAME', 'POST', TASK, { body: '{"taskType":"__proto__","data":{}}' }],
    ['data no array', 400, bad, 'POST', BATCH, { body: '{"data":{"a":1}}' }],
    ['processor no function', 400, 'UNKNOWN_NAME', 'POST', BATCH, { body: '{"data":[1],"processor":"evil"}' }],
  ]);
});

describe('JSON', () => {
  const deep = (head, tail, levels) => ({ body: `${head}${'['.repeat(levels)}${']'.repeat(levels)}${tail}` });
  cases([
    ['no body', 400, 'INVALID_JSON', 'POST', JOB, {}],
    ['a body of spaces', 400, 'INVALID_JSON', 'POST', SET, { body: ' '.repeat(MB) }],
    ['cut short', 400, 'INVALID_JSON', 'POST', JOB, { body: '{"jobType": ' }],
    ['not UTF-8', 400, 'INVALID_JSON', 'POST', SET, { body: Buffer.from('{"key":"\xff\xfe","value":1}', 'latin1') }],
    ['UTF-16', 400, 'INVALID_JSON', 'POST', SET, { body: Buffer.from('{"key":"k","value":1}', 'utf16le') }],
    ['half a surrogate pair', 400, bad, 'POST', SET, { body: '{"key":"\\ud800","value":1}' }],
    ['two values', 400, 'INVALID_JSON', 'POST', SET, { body: '{"key":"k","value":1}{}' }],
    ['zeros', 400, 'INVALID_JSON', 'POST', SET, { body: Buffer.alloc(1000) }],
    ['NaN', 400, 'INVALID_JSON', 'POST', JOB, product('{"matrixA":[[NaN]],"matrixB":[[1]]}')],
    ['Infinity', 400, 'INVALID_JSON', 'POST', SET, set('"value":Infinity')],
    ['1e999 in a matrix', 400, bad, 'POST', JOB, product('{"matrixA":[[1e999]],"matrixB":[[1]]}')],
    ['1e999 as ttl', 400, 'INVALID_JSON', 'POST', SET, set('"value":1,"ttl":1e999')],
    ['a number of 100,000 digits as ttl', 400, 'INVALID_JSON', 'POST', SET, () => set(`"value":1,"ttl":${'9'.repeat(100_000)}`)],
    ['10,000 levels', 422, over, 'POST', SET, () => deep('{"key":"k","value":', '}', 10_000)],
    ['10,000 levels of a job', 422, over, 'POST', JOB, () => deep('{"jobType":"data_processing","data":', '}', 10_000)],
    ['10,000 levels of a batch', 422, over, 'POST', BATCH, () => deep('{"data":', '}', 10_000)],
    ['5 million levels, never closed', 422, over, 'POST', SET, () => ({ body: '['.repeat(5_000_000) })],
    ['5 million levels of objects', 422, over, 'POST', TASK, () => ({ body: '{"a":'.repeat(1_000_000) })],
  ]);
});

describe('matrices and ratings', () => {
  const npy = () => {
    const header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }";
    return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'), Buffer.from(`${header.padEnd(117)}\n`)]);
  };
  const types = (type) => ({ headers: { 'content-type': type } });
  cases([
    ['ragged', 400, bad, 'POST', JOB, product('{"matrixA":[[1,2],[3]],"matrixB":[[1],[2]]}')],
    ['mismatched', 400, bad, 'POST', JOB, product('{"matrixA":[[1,2]],"matrixB":[[1,2]]}')],
    ['empty', 400, bad, 'POST', JOB, product('{"matrixA":[],"matrixB":[]}')],
    ['null in a matrix', 400, bad, 'POST', JOB, product('{"matrixA":[[null]],"matrixB":[[1]]}')],
    ['10^9 x 10^9 without data', 400, bad, 'POST', JOB, product('{"matrixA":{"rows":1000000000,"cols":1000000000,"data":[]},"matrixB":[[1]]}')],
    ['2^32 x 2^32 without data', 400, bad, 'POST', JOB, product('{"matrixA":{"rows":4294967296,"cols":4294967296,"data":[]},"matrixB":[[1]]}')],
    ['the same as a task', 400, bad, 'POST', TASK, { body: '{"taskType":"matrix_multiplication","data":{"matrixA":{"rows":4294967296,"cols":4294967296,"data":[]},"matrixB":[[1]]}}' }],
    ['NPY of 10^9 x 10^9', 422, over, 'POST', `${JOB}?jobType=matrix_multiplication`, () => ({ body: npy(), ...types('application/x-npy') })],
    ['NPY that is none', 400, bad, 'POST', `${JOB}?jobType=matrix_multiplication`, { body: '{}', ...types('application/x-npy') }],
    ['NPY without a job type', 400, 'MISSING_FIELD', 'POST', JOB, () => ({ body: npy(), ...types('application/x-npy') })],
    ['MessagePack of 2^32 elements', 400, bad, 'POST', `${JOB}?jobType=matrix_multiplication`, { body: Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]), ...types('application/msgpack') }],
    ['ratings of unequal length', 400, bad, 'POST', JOB, job('similarity_calculation', '{"users":[1,2],"items":[1],"ratings":[1,2]}')],
    ['topK 10^9', 400, bad, 'POST', JOB, job('similarity_calculation', '{"users":[1],"items":[1],"ratings":[1],"options":{"topK":1000000000}}')],
    ['factors 10^9', 400, bad, 'POST', JOB, job('model_training', '{"trainingData":[{"user":1,"item":1,"rating":1}],"parameters":{"factors":1000000000}}')],
  ]);
});

describe('sizes', () => {
  const large = (bytes) => ({ body: Buffer.alloc(bytes, 'x').fill('{"key":"k","value":"', 0, 20) });
  const chunked = (bytes) => ({ ...large(bytes), chunked: true });
  const entries = (count) => ({ body: JSON.stringify({ entries: Object.fromEntries(Array.from({ length: count }, (_, i) => [`many-${i}`, i])) }) });
  const keys = (count) => ({ body: JSON.stringify({ keys: Array.from({ length: count }, (_, i) => `many-${i}`) }) });
  const reports = (count) => ({ body: JSON.stringify({ metrics: Array.from({ length: count }, () => ({ kind: 'dbQuery', duration: 1 })) }) });
  cases([
    ['a body of 100 MB', 413, 'TOO_LARGE', 'POST', SET, () => large(100 * MB)],
    ['the same in chunks', 413, 'TOO_LARGE', 'POST', SET, () => chunked(100 * MB)],
    ['one byte over the limit', 413, 'TOO_LARGE', 'POST', JOB, () => large(32 * MB + 1)],
    ['the same in chunks, one byte over', 413, 'TOO_LARGE', 'POST', JOB, () => chunked(32 * MB + 1)],
    ['a body of 32 MB that is no JSON', 400, 'INVALID_JSON', 'POST', JOB, () => large(32 * MB)],
    ['a value of 5 MB', 413, 'TOO_LARGE', 'POST', SET, () => set(`"value":"${'x'.repeat(5 * MB)}"`)],
    ['a key of 10,000 bytes', 422, over, 'POST', SET, () => ({ body: `{"key":"${'k'.repeat(10_000)}","value":1}` })],
    ['a key of 10,000 bytes in the path', 422, over, 'GET', `${API}/cache/get/${'k'.repeat(10_000)}`, {}],
    ['a key of 5 MB', 422, over, 'POST', SET, () => ({ body: `{"key":"${'k'.repeat(5 * MB)}","value":1}` })],
    ['an id of 10,000 bytes', 404, 'JOB_NOT_FOUND', 'GET', `${JOB}/${'k'.repeat(10_000)}`, {}],
    ['33 tags', 422, over, 'POST', SET, () => set(`"value":1,"tags":${JSON.stringify(Array.from({ length: 33 }, (_, i) => `t${i}`))}`)],
    ['10,000 entries', 200, undefined, 'POST', `${API}/cache/set-many`, () => entries(10_000)],
    ['10,000 keys', 200, undefined, 'POST', `${API}/cache/get-many`, () => keys(10_000)],
    ['10,001 entries', 422, over, 'POST', `${API}/cache/set-many`, () => entries(10_001)],
    ['10,001 keys', 422, over, 'POST', `${API}/cache/get-many`, () => keys(10_001)],
    ['500,000 keys', 422, over, 'POST', `${API}/cache/get-many`, () => keys(500_000)],
    ['1,001 metrics', 422, over, 'POST', `${API}/metrics`, () => reports(1_001)],
    ['200,000 chunks', 422, over, 'POST', BATCH, () => ({ body: `{"data":[${'1,'.repeat(199_999)}1],"options":{"batchSize":1}}` })],
    ['allocate 10^9', 422, over, 'POST', `${API}/memory/allocate`, { body: '{"size":1000000000}' }],
    ['allocate 10^18', 422, over, 'POST', `${API}/memory/allocate`, { body: '{"size":1000000000000000000}' }],
    ['allocate -1', 400, bad, 'POST', `${API}/memory/allocate`, { body: '{"size":-1}' }],
    ...(server
      ? [
          ['a load test of 10^9 requests', 400, bad, 'POST', `${API}/test/load`, { body: '{"requests":1000000000,"concurrency":1,"endpoint":"/health/live"}' }],
          ['a memory test of 10^9 bytes', 400, bad, 'POST', `${API}/test/memory`, { body: '{"iterations":1,"dataSize":1000000000}' }],
        ]
      : [
          // The server closes such a connection; who is still sending may miss its answer.
          ['a body of 100 MB to nowhere', 404, 'ROUTE_NOT_FOUND', 'POST', `${API}/nowhere`, () => large(100 * MB)],
          ['the same to a GET, in chunks', 405, 'METHOD_NOT_ALLOWED', 'POST', `${API}/cache/stats`, () => chunked(100 * MB)],
          ['a load test of 10^9 requests', 501, 'NOT_IMPLEMENTED', 'POST', `${API}/test/load`, { body: '{"requests":1000000000,"concurrency":1,"endpoint":"/health/live"}' }],
          ['a memory test of 10^9 bytes', 501, 'NOT_IMPLEMENTED', 'POST', `${API}/test/memory`, { body: '{"iterations":1,"dataSize":1000000000}' }],
        ]),
  ]);

  test('the 10,000 entries are there', async () => {
    const answer = await send('GET', `${API}/cache/get/many-9998`, {});
    assert.deepEqual([answer.status, answer.json.data], [200, 9998]);
  });
});

describe('compressed data', () => {
  const packed = (bytes) => ({ body: JSON.stringify({ compressedData: bytes.toString('base64'), algorithm: 'gzip' }) });
  const whole = gzipSync(Array.from({ length: 10_000 }, (_, n) => `wine ${n} `).join(''));
  cases([
    ['cut short', 422, 'CORRUPT_DATA', 'POST', DECOMPRESS, () => packed(whole.subarray(0, whole.length / 2))],
    ['no gzip', 422, 'CORRUPT_DATA', 'POST', DECOMPRESS, () => packed(Buffer.from('hello, I am no gzip'))],
    ['gzip of nothing', 400, 'MISSING_FIELD', 'POST', DECOMPRESS, () => packed(Buffer.alloc(0))],
    ['no base64', 400, bad, 'POST', DECOMPRESS, { body: '{"compressedData":"%%%","algorithm":"gzip"}' }],
    ['an unknown algorithm', 400, 'UNKNOWN_NAME', 'POST', DECOMPRESS, { body: '{"compressedData":"AAAA","algorithm":"rar"}' }],
    ['a bomb of 1:1000', 413, 'TOO_LARGE', 'POST', DECOMPRESS, () => packed(gzipSync(Buffer.alloc(60 * MB), { level: 9 }))],
    ['a bomb of 1 GB', 413, 'TOO_LARGE', 'POST', DECOMPRESS, () => packed(gzipSync(Buffer.alloc(1 << 30), { level: 9 }))],
  ]);
});

describe('HTTP', () => {
  const type = (contentType, body = '{"key":"k","value":1}') => ({ body, headers: { 'content-type': contentType } });
  const get = (key) => ['GET', `${API}/cache/get/${key}`, {}];
  cases([
    ['text/plain that is JSON', 200, undefined, 'POST', SET, type('text/plain')],
    ['no media type', 200, undefined, 'POST', SET, { body: '{"key":"k","value":1}', headers: {} }],
    ['a form', 400, 'INVALID_JSON', 'POST', SET, type('application/x-www-form-urlencoded', 'key=k&value=1')],
    ['XML', 400, 'INVALID_JSON', 'POST', SET, type('application/xml', '<key>k</key>')],
    ['NPY for the cache', 400, 'INVALID_JSON', 'POST', SET, type('application/x-npy', '\x93NUMPY')],
    ['a media type of 4,000 bytes', 200, undefined, 'POST', SET, type(`application/json; x=${'y'.repeat(4_000)}`)],
    ['% alone', 404, 'KEY_NOT_FOUND', ...get('%')],
    ['%zz', 404, 'KEY_NOT_FOUND', ...get('%zz')],
    ['%ff', 404, 'KEY_NOT_FOUND', ...get('%ff')],
    ['%00', 404, 'KEY_NOT_FOUND', ...get('%00')],
    ['%2e%2e%2f', 404, 'KEY_NOT_FOUND', ...get('%2e%2e%2fetc%2fpasswd')],
    ['a query of garbage', 400, 'UNKNOWN_NAME', 'GET', `${API}/monitoring/metrics?category=%ff%zz&&=&startTime=%`, {}],
    ['an unknown path', 404, 'ROUTE_NOT_FOUND', 'GET', `/${'a/'.repeat(3_000)}`, {}],
    ['no key', 404, 'ROUTE_NOT_FOUND', 'GET', `${API}/cache/get/`, {}],
    ['PUT', 405, 'METHOD_NOT_ALLOWED', 'PUT', SET, { body: '{}' }],
    ['PATCH', 405, 'METHOD_NOT_ALLOWED', 'PATCH', `${API}/cache/get/k`, { body: '{}' }],
    ['PROPFIND', 405, 'METHOD_NOT_ALLOWED', 'PROPFIND', `${API}/cache/stats`, {}],
    ['SEARCH', 405, 'METHOD_NOT_ALLOWED', 'SEARCH', `${API}/cache/get/alive`, {}],
    ['DELETE of what is set', 405, 'METHOD_NOT_ALLOWED', 'DELETE', SET, {}],
    ['an unknown method to nowhere', 404, 'ROUTE_NOT_FOUND', 'PURGE', `${API}/nowhere`, {}],
  ]);

  test('a method that is refused is named', async () => {
    const { json } = await send('PROPFIND', SET, {});
    assert.equal(json.error, 'method PROPFIND is not allowed here; allowed: POST');
  });

  for (const [name, text] of [
    ['a body that is announced and never comes', `POST ${SET} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n{"key":`],
    ['chunks that break off', `POST ${SET} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n{"key":`],
    ['a chunk whose size is none', `POST ${SET} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n`],
    ['a length that is none', `POST ${SET} HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n`],
    ['a length and chunks', `POST ${SET} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['no HTTP', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a head that does not end', `GET ${API}/cache/stats HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(10_000)}`],
  ]) {
    test(name, async () => {
      const received = await raw(text);
      // What is no HTTP the platform answers, or nobody.
      assert.doesNotMatch(received, /"success":true|"INTERNAL"/);
    });
  }
});

const valueOf = (bytes) => ({ body: Buffer.alloc(bytes, 'x').fill('{"key":"k","value":"', 0, 20).fill('"}', bytes - 2) });

test('200 of these at once: each is answered, and good requests beside them', async () => {
  const deep = `{"key":"k","value":${'['.repeat(10_000)}`;
  const kinds = [
    [422, () => send('POST', SET, { body: deep })],
    [400, () => send('POST', SET, { body: '{"key":' })],
    [413, () => send('POST', SET, valueOf(5 * MB))],
    [404, () => send('GET', `${API}/cache/get/%ff`, {})],
    [200, () => send('POST', SET, { body: '{"key":"k","value":1}' })],
  ];
  const sent = Array.from({ length: 200 }, (_, i) => kinds[i % kinds.length]);
  const answers = await Promise.all(sent.map(([, ask]) => ask()));
  // Where others' bodies fill the memory, one of 5 MB may be told to come again.
  const shown = answers.map(({ status }, i) => (status === 503 && sent[i][0] !== 200 ? sent[i][0] : status));
  assert.deepEqual(shown, sent.map(([status]) => status));
});

test('16 bodies of 30 MB at once, and 8 that break off: those that do not fit are told to come again', async () => {
  const value = valueOf(30 * MB);
  const answers = await Promise.all(Array.from({ length: 16 }, () => send('POST', SET, value)));
  const count = (status) => answers.filter((answer) => answer.status === status).length;
  console.log(`16 x 30 MB at once: ${count(413)} x 413, ${count(503)} x 503`);
  assert.equal(count(413) + count(503), 16);
  assert.ok(count(413) > 0);
  for (const answer of answers.filter(({ status }) => status === 503)) {
    assert.deepEqual([answer.json.code, answer.headers['retry-after']], ['UNAVAILABLE', '1']);
  }
  for (let n = 0; n < 8; n += 1) {
    const head = `POST ${SET} HTTP/1.1\r\nhost: a\r\ncontent-length: ${30 * MB}\r\n\r\n`;
    await raw(Buffer.concat([Buffer.from(head), value.body.subarray(0, 20 * MB)]));
  }
  // Nothing of it is still counted.
  const alone = await send('POST', SET, value);
  assert.deepEqual([alone.status, alone.json.code], [413, 'TOO_LARGE'], alone.text);
});
