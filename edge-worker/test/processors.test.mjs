// JavaScript processors in workerd: the shim and the engine's module alone, without the worker in
// Rust. What `cargo xtask build-edge --processors` builds. A hostile chunk must end by itself, soon,
// and the next must run.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { resolve } from 'node:path';
import { Miniflare } from 'miniflare';

const root = resolve(import.meta.dirname, '..');
const build = resolve(root, 'build-processors');
/** Longest a hostile chunk may take, milliseconds. */
const SOON_MS = 20_000;
const NOW = 1_700_000_000_000;

const WORKER = `
import { run_processor } from './processors.js';
export default {
  async fetch(request) {
    const { source, chunk } = await request.json();
    try {
      const out = run_processor(source, new TextEncoder().encode(JSON.stringify(chunk)), ${NOW});
      return new Response(out);
    } catch (thrown) {
      const isFault = typeof thrown === 'string';
      return new Response(isFault ? thrown : thrown.stack, { status: isFault ? 422 : 500 });
    }
  },
};`;

let edge;
before(async () => {
  edge = new Miniflare({
    modulesRoot: build,
    modules: [
      { type: 'ESModule', path: resolve(build, 'worker.js'), contents: WORKER },
      {
        type: 'ESModule',
        path: resolve(build, 'processors.js'),
        contents: readFileSync(resolve(root, 'shim/processors.js'), 'utf8'),
      },
      { type: 'CompiledWasm', path: resolve(build, 'processors.wasm') },
    ],
    compatibilityDate: '2026-04-01',
    handleRuntimeStdio: (out, error) => (out.resume(), error.resume()),
  });
  await edge.ready;
});
after(() => edge.dispose());

const run = async (source, chunk = [1]) => {
  const start = performance.now();
  const response = await edge.dispatchFetch('http://edge', {
    method: 'POST',
    body: JSON.stringify({ source, chunk }),
    signal: AbortSignal.timeout(SOON_MS),
  });
  const text = await response.text();
  assert.notEqual(response.status, 500, text);
  const ms = Math.round(performance.now() - start);
  return response.status === 200 ? { result: JSON.parse(text), ms } : { fault: text, ms };
};
const served = async () => {
  assert.deepEqual((await run('chunk => chunk.map(x => x * 2)', [1, 2])).result, [2, 4]);
};

test('the sources of the vectors', async () => {
  const seed = 'function(chunk) { return chunk.map(item => ({...item, processed: true})); }';
  const { result } = await run(seed, [{ id: 1, value: 'data1' }]);
  assert.deepEqual(result, [{ id: 1, value: 'data1', processed: true }]);
  assert.deepEqual((await run('chunk => chunk.filter(x => x > 1)', [1, 2])).result, [2]);
  const threes = 'function(chunk) { if (chunk.includes(3)) throw new Error("no threes"); return chunk; }';
  assert.equal((await run(threes, [3])).fault, 'processor: Error: no threes (line 1)');
  assert.match((await run('function(chunk) { return')).fault, /^processor: SyntaxError: /);
  assert.deepEqual((await run('async c => [await c[0], Date.now()]')).result, [1, NOW]);
});

test('10,000 small objects; a result of 16 MB', async (t) => {
  const chunk = Array.from({ length: 10_000 }, (_, id) => ({ id, name: 'a wine', price: 12.5 }));
  const source = "c => c.map(i => ({...i, total: i.price * 2, label: i.name + ' ' + i.id}))";
  await run(source, chunk);
  const { result, ms } = await run(source, chunk);
  assert.deepEqual(result[9_999], { ...chunk[9_999], total: 25, label: 'a wine 9999' });
  const { result: long } = await run('c => new Array(1.6e5).fill("x".repeat(97))');
  assert.equal(long.length, 160_000);
  t.diagnostic(`${ms} ms, to and from workerd; an empty chunk ${(await run('c => c', [])).ms} ms`);
});

test('500 calls within calls, with and without builtins between, and 500 levels of a result', async () => {
  assert.equal((await run('c => { const f = n => (n === 0 ? 0 : 1 + f(n - 1)); return f(500) }')).result, 500);
  const throughMap = 'c => { const f = n => (n === 0 ? 0 : 1 + [n].map(() => f(n - 1))[0]); return f(160) }';
  assert.equal((await run(throughMap)).result, 160);
  const throughSort = `c => { const f = n => { [1, 2].sort(() => (n > 1 && f(n - 1), 0)); return n }; return f(160) }`;
  assert.equal((await run(throughSort)).result, 160);
  const { result } = await run('c => { let a = []; for (let i = 0; i < 499; i++) a = [a]; return a }');
  assert.equal(JSON.stringify(result), nested(500));
});

test('chance is the same for every chunk', async () => {
  const source = 'c => [Math.random(), Math.random(), Math.random()]';
  const { result } = await run(source);
  assert.deepEqual((await run(source)).result, result);
  assert.equal(new Set(result).size, 3);
});

const STEPS = /^processor: ran longer than 1000000000 steps$/;
const MEMORY = /^processor: used more than 67108864 bytes of memory/;
/** Which of both comes first is the engine's affair. */
const MEMORY_OR_STEPS = new RegExp(`${MEMORY.source}|${STEPS.source}`);
const STACK = /^processor: RangeError: Maximum call stack size exceeded$/;
const OUTPUT = /^processor: the result is larger than 16777216 bytes of JSON$/;
const nested = (depth) => '['.repeat(depth) + ']'.repeat(depth);

for (const [what, source, expected] of [
  ['an endless loop', 'c => { while (true) {} }', /^processor: a loop ran more than 10000000 iterations$/],
  ['endless waiting', 'async c => { for (;;) await 0 }', /^processor: promises took more than 500000 jobs$/],
  ['loops within calls', 'c => { const f = () => { for (let i = 0; i < 1e6; i++); }; for (;;) f() }', STEPS],
  ['a builtin over 2^40', 'c => Array.prototype.forEach.call({ length: 2 ** 40 }, x => x)', STEPS],
  ['sorting for ever', 'c => { const a = Array.from({ length: 1e5 }, (_, i) => -i); for (;;) a.sort() }', STEPS],
  ['a regular expression that backtracks', "c => /^(a+)+$/.test('a'.repeat(40) + 'b')", STEPS],
  ['large powers', 'c => { let n = 3n; for (;;) n *= n }', MEMORY_OR_STEPS],
  ['copies for ever', "c => { const a = new Uint8Array(16e6); for (;;) a.copyWithin(0, 8e6) }", STEPS],
  ['a string that doubles', "c => { let s = 'x'; for (;;) s += s }", MEMORY],
  ['a string that doubles, its errors caught', "c => { let s = 'x'; for (;;) try { s += s } catch {} }", MEMORY],
  ['an array of 10^9', 'c => new Array(1e9).fill(0)', MEMORY],
  ['a string of 2^30', "c => 'x'.repeat(2 ** 30)", MEMORY],
  ['a replacement of 10^12', "c => 'x'.repeat(1e6).replaceAll('x', 'y'.repeat(1e6))", MEMORY_OR_STEPS],
  ['an array that doubles', 'c => { let a = [1]; for (;;) a = [...a, ...a] }', MEMORY_OR_STEPS],
  ['nested arrays made flat', 'c => { let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; return a.flat(Infinity) }', MEMORY],
  ['a map that grows', 'c => { const m = new Map(); for (let i = 0; ; i++) m.set(i, { i, s: [i] }) }', MEMORY],
  ['a list that grows', 'c => { let l = null; for (;;) l = { l, a: [1, 2, 3, 4, 5, 6, 7, 8] } }', MEMORY],
  ['a buffer of 2^30', 'c => new Uint8Array(2 ** 30)', /^processor: (RangeError: |used more than)/],
  ['a recursion', 'c => { const f = n => f(n + 1) + 1; return f(0) }', STACK],
  ['a recursion through builtins', 'c => c.map(function f() { return [1].map(f) })', STACK],
  ['a recursion through toJSON', 'c => ({ toJSON() { return JSON.stringify(this) } })', STACK],
  ['a deep result', 'c => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a }', STACK],
  ['a deep source', `c => ${nested(30_000)}`, STACK],
  ['a long sum', `c => 1${'+1'.repeat(30_000)}`, STACK],
  ['a result of 20 MB', "c => new Array(2e5).fill('x'.repeat(97))", OUTPUT],
  ['a result of 1 GB', "c => new Array(1000).fill('x'.repeat(1 << 20))", OUTPUT],
]) {
  test(`${what} ends, the next chunk runs`, async (t) => {
    const { result, fault, ms } = await run(source);
    t.diagnostic(`${ms} ms: ${fault?.slice(0, 150)}`);
    assert.match(String(fault), expected, JSON.stringify(result)?.slice(0, 100));
    await served();
  });
}

test('100 hostile chunks one after another leave room for a good one', async () => {
  for (let round = 0; round < 100; round += 1) {
    assert.match((await run("c => { let s = 'x'; for (;;) s += s }")).fault, MEMORY);
  }
  await served();
});
