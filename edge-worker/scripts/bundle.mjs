// Joins the bindings with the shim into one module beside its wasm, prints the sizes, and holds
// them to a limit. `cargo xtask build-edge` has put the bindings into their folder before.
//
//   node scripts/bundle.mjs BINDINGS OUT [--limit BYTES]      limit: after gzip -9, both together

import { build } from 'esbuild';
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { values, positionals } = parseArgs({ allowPositionals: true, options: { limit: { type: 'string' } } });
if (positionals.length !== 2) throw new Error('usage: node scripts/bundle.mjs BINDINGS OUT [--limit BYTES]');
const bindings = resolve(positionals[0]);
const out = resolve(root, positionals[1]);

const ours = {
  name: 'ours',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^sommos:bindings$/ }, () => ({ path: resolve(bindings, 'index.js') }));
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
  external: ['./index_bg.wasm', 'cloudflare:*'],
  plugins: [ours],
  logLevel: 'warning',
});
cpSync(resolve(bindings, 'index_bg.wasm'), resolve(out, 'index_bg.wasm'));

const files = ['index.js', 'index_bg.wasm'].map((name) => readFileSync(resolve(out, name)));
const raw = files.reduce((sum, file) => sum + file.length, 0);
const zipped = gzipSync(Buffer.concat(files), { level: 9 }).length;
const limit = values.limit && Number(values.limit);
console.log(
  `edge worker: ${raw} bytes (index.js ${files[0].length}, index_bg.wasm ${files[1].length}), ` +
    `${zipped} gzip${limit ? ` (limit ${limit})` : ''}`,
);
if (limit && zipped > limit) {
  console.error(`the edge worker is ${zipped - limit} bytes over its limit`);
  process.exit(1);
}
