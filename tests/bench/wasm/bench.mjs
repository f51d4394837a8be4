// The package beside its peers, in Node and in Chromium: `node bench.mjs [--rounds N] [--json FILE]
// [--only CASE]... [--place node|chromium]`. The peers are those of package.json.

import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { runAll } from './cases.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const pkg = resolve(here, '../../../pkg');
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    place: { type: 'string', multiple: true, default: ['node', 'chromium'] },
  },
});
const rounds = Number(values.rounds);
const require = createRequire(import.meta.url);
const use = (path) => import(pathToFileURL(resolve(pkg, path)));

async function inNode() {
  const tfCore = require('@tensorflow/tfjs-core');
  const tfWasm = require('@tensorflow/tfjs-backend-wasm');
  tfWasm.setWasmPaths(`${dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  // Its file reader for Node takes no addresses.
  await tfCore.setBackend('wasm');
  await tfCore.ready();
  const { tensor2d, matMul, env } = tfCore;
  const tf = {
    tensor2d,
    matMul,
    threads: tfWasm.getThreadsCount?.() ?? 1,
    simd: await env().getAsync('WASM_HAS_SIMD_SUPPORT'),
  };
  const [{ default: bloomFilters }, fflate, { LRUCache }, mlMatrix, pako, { default: QuickLRU }] = await Promise.all(
    ['bloom-filters', 'fflate', 'lru-cache', 'ml-matrix', 'pako', 'quick-lru'].map((name) => import(name)),
  );
  const sommos = await use('dist/node.js');
  const env_ = { where: 'node', sommos, tf, mlMatrix, LRUCache, QuickLRU, pako, fflate, bloomFilters, rounds };
  return runAll(env_, { only: values.only, print: console.log });
}

async function inChromium() {
  const { build } = await use('node_modules/esbuild/lib/main.js').then((m) => m.default ?? m);
  const { outputFiles } = await build({
    entryPoints: [resolve(here, 'page.mjs')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'error',
    define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
    // Node's own modules that peers name and never use in a page.
    plugins: [{ name: 'absent', setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^(node:)?(crypto|fs|path|perf_hooks|worker_threads|util|os)$/ }, ({ path }) => ({ path, namespace: 'absent' }));
      onLoad({ filter: /.*/, namespace: 'absent' }, () => ({ contents: 'export default {}' }));
    } }],
  });
  const { launch } = await use('test/support/chromium.mjs');
  const { serve } = await use('test/support/server.mjs');
  const page = `<!doctype html><title>bench</title><script type="module">globalThis.packageUrl='/pkg/dist/browser.js';
${outputFiles[0].text.replaceAll('</script', '<\\/script')}</script>`;
  const tfjs = dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  const server = await serve({ '/pkg/': pkg, '/tfjs/': tfjs }, { isolated: true, pages: { '/': page } });
  const browser = await launch();
  try {
    const tab = await browser.newPage();
    tab.on('pageerror', (error) => console.log(`page error: ${error.message}`));
    await tab.exposeFunction('printLine', (line) => console.log(line));
    await tab.goto(server.url);
    await tab.waitForFunction('globalThis.runBench');
    return await tab.evaluate((options) => globalThis.runBench(options), { rounds, only: values.only });
  } finally {
    await browser.close();
    await server.stop();
  }
}

console.log(`machine: ${cpus()[0]?.model}, ${availableParallelism()} threads, node ${process.version}`);
console.log(`${'place'.padEnd(9)} ${'case'.padEnd(46)} ${'ours'.padStart(14)} ${'peer'.padStart(14)} ${'ratio'.padStart(8)}  unit, peer`);
const cases = [];
if (values.place.includes('node')) cases.push(...(await inNode()));
if (values.place.includes('chromium')) cases.push(...(await inChromium()));
if (values.json) appendFileSync(values.json, cases.map((line) => `${JSON.stringify(line)}\n`).join(''));
process.exit(0);
