// The published tarball in the hands of its users: fresh Vite 8 and Vite 7 projects without any
// configuration, a plain page, and scripts of Node as ES module and as CommonJS. Ends with
// `N passed, N failed`.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { fileURLToPath } from 'node:url';
import { launch } from './support/chromium.mjs';
import { serve } from './support/server.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const folder = mkdtempSync(join(tmpdir(), 'sommos-consumers-'));
const run = (cwd, program, ...args) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** What every consumer computes: the same text everywhere, whichever module runs. */
const WORK = `
async function work(sommos) {
  const entities = Array.from({ length: 60 }, (_, e) => ({
    id: 'guest ' + e,
    ratings: Array.from({ length: 20 }, (_, i) => ({ item_id: (e * 7 + i * 3) % 50, rating: 1 + ((e * i) % 9) / 2 })),
  }));
  const similarity = new sommos.SimilarityCalculationEngine();
  const pairs = await similarity.calculateSimilarities(entities, 'pearson', { minSimilarity: 0.5 });
  await similarity.shutdown();
  const matrices = new sommos.MatrixProcessingEngine();
  const data = Float32Array.from({ length: 64 * 64 }, (_, i) => i % 7);
  const matrix = { rows: 64, cols: 64, data };
  const product = await matrices.multiplyMatrices(matrix, matrix);
  await matrices.shutdown();
  const cache = new sommos.AdvancedCacheManager({ maxSize: 2 });
  for (const key of ['a', 'b', 'c']) cache.set(key, { key });
  const kept = ['a', 'b', 'c'].map((key) => cache.get(key));
  cache.destroy();
  const memory = new sommos.MemoryOptimizationEngine();
  const sizes = [];
  for (const codec of ['gzip', 'lz4', 'brotli']) {
    const text = 'Barolo '.repeat(1000);
    const bytes = await memory.compress(text, codec);
    sizes.push((await memory.decompress(bytes, codec)) === text && bytes.length < 1000);
  }
  memory.destroy();
  const pool = new sommos.WorkerPoolManager();
  const sorted = await pool.executeTask('data_processing', {
    dataset: [{ vintage: 2019 }, { vintage: 2010 }],
    operations: [{ type: 'sort', sortBy: 'vintage' }],
  });
  await pool.shutdown();
  return { pairs: pairs.length, first: pairs[0], sum: product.data.reduce((a, b) => a + b, 0), kept, sizes, sorted };
}`;

const PAGE_SCRIPT = `${WORK}
try {
  const { mode } = await sommos.init();
  globalThis.outcome = { mode: sommos.mode().mode, before: mode, result: await work(sommos), after: sommos.mode() };
} catch (error) {
  globalThis.outcome = { error: String(error.stack ?? error) };
}`;

let passed = 0;
let failed = 0;
let expected;

function check(name, problem) {
  if (problem) {
    failed += 1;
    console.log(`FAILED ${name}: ${problem}`);
  } else {
    passed += 1;
    console.log(`${name}: as expected`);
  }
}

/** The result must be everybody's. */
function compare(name, result) {
  expected ??= result;
  const same = isDeepStrictEqual(JSON.parse(JSON.stringify(result)), JSON.parse(JSON.stringify(expected)));
  check(name, same ? undefined : `${JSON.stringify(result)} instead of ${JSON.stringify(expected)}`);
}

async function inPage(browser, name, folders, pages, isolated) {
  const server = await serve(folders, { isolated, pages });
  const page = await browser.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  try {
    await page.goto(server.url);
    const handle = await page.waitForFunction('globalThis.outcome', undefined, { timeout: 60_000 });
    const outcome = await handle.jsonValue();
    const wanted = isolated ? 'threads' : 'single';
    const why = outcome.error ?? (outcome.after.mode === wanted ? undefined : JSON.stringify(outcome.after));
    check(`${name}: mode is ${wanted} (${outcome.after?.reason})`, why ?? errors[0]);
    if (!outcome.error) compare(`${name}: the same results`, outcome.result);
  } catch (error) {
    check(name, `${error.message} ${errors.join('; ')}`);
  } finally {
    await page.close();
    await server.stop();
  }
}

function viteProject(tarball, version) {
  const project = join(folder, `vite-${version}`);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}');
  writeFileSync(join(project, 'index.html'), '<!doctype html><title>empty</title><script type="module" src="/main.js"></script>');
  writeFileSync(join(project, 'main.js'), `import * as sommos from '@sommos/performance';\n${PAGE_SCRIPT}`);
  run(project, 'npm', 'install', '--silent', '--no-audit', '--no-fund', `vite@${version}`, tarball);
  // Top-level await is in every browser that has WebAssembly SIMD.
  run(project, 'npx', 'vite', 'build', '--logLevel', 'warn', '--target', 'es2022');
  return project;
}

const browser = await launch();
try {
  const [{ filename }] = JSON.parse(run(root, 'npm', 'pack', '--silent', '--json', '--pack-destination', folder));
  const tarball = join(folder, filename);

  const project = join(folder, 'node');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{"private":true}');
  run(project, 'npm', 'install', '--silent', '--no-audit', '--no-fund', tarball);
  const print = 'process.stdout.write(JSON.stringify({ result: await work(sommos), mode: sommos.mode() }))';
  writeFileSync(join(project, 'esm.mjs'), `import * as sommos from '@sommos/performance';\n${WORK}\n${print}`);
  const required = `const sommos = require('@sommos/performance');\n${WORK}\n(async () => { ${print} })()`;
  writeFileSync(join(project, 'common.cjs'), required);
  for (const script of ['esm.mjs', 'common.cjs']) {
    try {
      // A script that ends shows that no worker holds the process.
      const { result, mode } = JSON.parse(run(project, process.execPath, script));
      check(`Node ${script}: mode is ${mode.mode} (${mode.reason})`, ['threads', 'single'].includes(mode.mode) ? undefined : mode);
      compare(`Node ${script}: the same results`, result);
    } catch (error) {
      check(`Node ${script}`, error.message);
    }
  }

  const plain = `<!doctype html><title>plain</title><script type="module">
    import * as sommos from '/dist/browser.js';\n${PAGE_SCRIPT}</script>`;
  const installed = join(project, 'node_modules/@sommos/performance/dist');
  for (const isolated of [true, false]) {
    await inPage(browser, 'plain page', { '/dist/': installed }, { '/': plain }, isolated);
  }
  for (const version of [8, 7]) {
    try {
      const built = join(viteProject(tarball, version), 'dist');
      for (const isolated of [true, false]) await inPage(browser, `Vite ${version}`, { '/': built }, {}, isolated);
    } catch (error) {
      check(`Vite ${version}`, error.message);
    }
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
