// Joins the bindings with the shim into one module beside its wasm, prints the sizes, and holds
// them to a limit. `cargo xtask build-edge` has put the bindings into their folder before.
//
//   node scripts/bundle.mjs BINDINGS OUT [--processors] [--limit BYTES]
//
// --processors  with the JavaScript engine, a wasm module of its own
// --limit       after gzip -9, all files together

import { build } from 'esbuild';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { processors: { type: 'boolean' }, limit: { type: 'string' } },
});
if (positionals.length !== 2) {
  throw new Error('usage: node scripts/bundle.mjs BINDINGS OUT [--processors] [--limit BYTES]');
}
const bindings = resolve(positionals[0]);
const out = resolve(root, positionals[1]);

const ours = {
  name: 'ours',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^sommos:bindings$/ }, () => ({ path: resolve(bindings, 'index.js') }));
    // Imported by the bindings of a worker with processors only.
    onResolve({ filter: /^sommos:processors$/ }, () => ({ path: resolve(root, 'shim/processors.js') }));
    // Cloudflare compiles a module imported as wasm, which is what `import source` asks for.
    onLoad({ filter: /[\\/]index\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(/^import source /m, 'import '),
    }));
  },
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: ['shim/index.js'],
  outfile: resolve(out, 'index.js'),
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'none',
  external: ['./index_bg.wasm', './processors.wasm', 'cloudflare:*'],
  plugins: [ours],
  logLevel: 'warning',
});
const modules = ['index_bg.wasm', ...(values.processors ? ['processors.wasm'] : [])];
for (const name of modules) cpSync(resolve(bindings, name), resolve(out, name));

const names = ['index.js', ...modules];
const files = names.map((name) => readFileSync(resolve(out, name)));
const raw = files.reduce((sum, file) => sum + file.length, 0);
const zipped = gzipSync(Buffer.concat(files), { level: 9 }).length;
const limit = values.limit && Number(values.limit);
console.log(
  `edge worker: ${raw} bytes (${names.map((name, i) => `${name} ${files[i].length}`).join(', ')}), ` +
    `${zipped} gzip${limit ? ` (limit ${limit})` : ''}`,
);
if (limit && zipped > limit) {
  console.error(`the edge worker is ${zipped - limit} bytes over its limit`);
  process.exit(1);
}
