// Bundles the TypeScript facade and the workers, writes the types, and holds the sizes to their
// limits. `cargo xtask build-pkg` has put the modules into src/generated before.
//
//   node scripts/build.mjs [--dev]

import { build } from 'esbuild';
import { cpSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dist = resolve(root, 'dist');
const dev = process.argv.includes('--dev');
const MODULES = ['engine', 'monitor', 'compute', 'scalar', 'threads', 'tasks', 'codecs', 'service'];

/** Most bytes after brotli 11. */
const LIMITS = { 'first load': 120_000, single: 120_000, threaded: 200_000 };

/** Imports that the generated bindings make and that are ours to answer. */
const ours = {
  name: 'ours',
  setup({ onResolve }) {
    onResolve({ filter: /^sommos:checkpoint$/ }, () => ({ path: resolve(root, 'src/worker/checkpoint.ts') }));
    // wasm-bindgen-rayon's helper imports a folder, which neither pages nor Node can resolve.
    onResolve({ filter: /workerHelpers\.js$/ }, () => ({ path: resolve(root, 'src/worker/rayon.ts') }));
  },
};

const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: !dev,
  keepNames: false,
  sourcemap: dev ? 'inline' : false,
  legalComments: 'none',
  plugins: [ours],
  logLevel: 'warning',
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
for (const module of MODULES) {
  cpSync(resolve(root, `src/generated/${module}/${module}_bg.wasm`), resolve(dist, `${module}.wasm`));
}

const entry = (name) => ({ in: `src/entry/${name}.ts`, out: name });
// One build an entry: chunks that load on demand are split off, the first load stays one file.
for (const name of ['browser', 'node', 'workerd', 'api']) {
  await build({
    ...common,
    entryPoints: [entry(name)],
    outdir: dist,
    splitting: true,
    chunkNames: `${name}-[name]-[hash]`,
    external: ['node:*', '*.wasm'],
    platform: 'neutral',
  });
}
for (const [source, out] of [['browser', 'compute-worker'], ['node', 'compute-worker.node']]) {
  await build({
    ...common,
    entryPoints: [{ in: `src/worker/${source}.ts`, out }],
    outdir: dist,
    external: ['node:*'],
    platform: 'neutral',
  });
}

const tsc = spawnSync(process.execPath, [resolve(root, 'node_modules/typescript/bin/tsc'), '-p', root], {
  stdio: 'inherit',
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
// The types of the bindings, which those of the facade name.
for (const module of MODULES) {
  const types = `${module}/${module}.d.ts`;
  cpSync(resolve(root, 'src/generated', types), resolve(dist, 'types/generated', types));
}

const brotli = (file) =>
  brotliCompressSync(readFileSync(resolve(dist, file)), {
    params: { [constants.BROTLI_PARAM_SIZE_HINT]: statSync(resolve(dist, file)).size },
  }).length;
const row = (name, files) => {
  const bytes = files.reduce((sum, file) => sum + statSync(resolve(dist, file)).size, 0);
  const small = files.reduce((sum, file) => sum + brotli(file), 0);
  const zipped = files.reduce((sum, file) => sum + gzipSync(readFileSync(resolve(dist, file)), { level: 9 }).length, 0);
  const limit = LIMITS[name];
  console.log(
    `${name.padEnd(12)} ${String(bytes).padStart(9)} bytes ${String(zipped).padStart(8)} gzip ` +
      `${String(small).padStart(8)} brotli${limit ? ` (limit ${limit})` : ''}  ${files.join(' + ')}`,
  );
  return limit === undefined || small <= limit;
};
const kept = [
  row('first load', ['browser.js', 'engine.wasm']),
  row('monitor', ['monitor.wasm']),
  row('single', ['compute-worker.js', 'compute.wasm']),
  row('threaded', ['compute-worker.js', 'threads.wasm']),
  row('without SIMD', ['scalar.wasm']),
  row('tasks', ['tasks.wasm']),
  row('codecs', ['codecs.wasm']),
  row('REST API', ['api.js', 'service.wasm']),
];
if (kept.includes(false) && !dev) {
  console.error('a size is over its limit');
  process.exit(1);
}
