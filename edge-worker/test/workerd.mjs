// Miniflare over a build of the worker, with every binding of wrangler.toml.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Miniflare } from 'miniflare';

const root = resolve(import.meta.dirname, '..');

/** The modules of a build: `build`, `build-panic` or `build-processors`. */
export function modulesOf(build) {
  const folder = resolve(root, build);
  const files = [
    { type: 'ESModule', path: resolve(folder, 'index.js') },
    { type: 'CompiledWasm', path: resolve(folder, 'index_bg.wasm') },
    { type: 'CompiledWasm', path: resolve(folder, 'processors.wasm') },
  ];
  return { modulesRoot: folder, modules: files.filter((file) => existsSync(file.path)) };
}

/** The worker's options; `bindings` are its variables and secrets. */
export function worker(build, bindings = {}, more = {}) {
  return {
    ...modulesOf(build),
    compatibilityDate: '2026-04-01',
    durableObjects: {
      JOBS: { className: 'JobQueue', useSQLite: true },
      CACHE: { className: 'CacheGroup', useSQLite: true },
      MONITOR: { className: 'MonitorState', useSQLite: true },
    },
    kvNamespaces: { CACHE_KV: 'sommos-cache' },
    queueProducers: { WORK: 'sommos-work' },
    queueConsumers: { 'sommos-work': { maxBatchSize: 4, maxBatchTimeout: 0, maxRetries: 5 } },
    analyticsEngineDatasets: { ANALYTICS: { dataset: 'sommos_edge' } },
    bindings,
    ...more,
  };
}

/** Starts it on a free port of 127.0.0.1; what it prints is shown when `SOMMOS_EDGE_LOG` is set. */
export async function start(options) {
  const quiet = !process.env.SOMMOS_EDGE_LOG;
  const show = (out, error) => {
    if (quiet) return out.resume(), error.resume();
    out.pipe(process.stderr);
    error.pipe(process.stderr);
  };
  const miniflare = new Miniflare({ host: '127.0.0.1', port: 0, handleRuntimeStdio: show, ...options });
  const url = await miniflare.ready;
  return { miniflare, origin: url.origin };
}
