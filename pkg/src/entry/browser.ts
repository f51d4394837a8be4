/** Entry point of browsers and their workers: `await init()` before the first class. */
import { setPlatform, type ModuleName, type PortEvents } from '../runtime/platform.js';

// Each address stands here in full: bundlers find files by this form.
const URLS: Record<Exclude<ModuleName, 'service'>, URL> = {
  engine: new URL('./engine.wasm', import.meta.url),
  monitor: new URL('./monitor.wasm', import.meta.url),
  compute: new URL('./compute.wasm', import.meta.url),
  scalar: new URL('./scalar.wasm', import.meta.url),
  threads: new URL('./threads.wasm', import.meta.url),
  tasks: new URL('./tasks.wasm', import.meta.url),
  codecs: new URL('./codecs.wasm', import.meta.url),
};
// Not inside `new Worker(...)`: bundlers then copy the file as it is instead of building it anew.
const WORKER = new URL('./compute-worker.js', import.meta.url);

function address(module: ModuleName): URL {
  if (module === 'service') throw new Error('import @sommos/performance/api for the REST API');
  return URLS[module];
}

function spawn(events: PortEvents) {
  const worker = new Worker(WORKER, { type: 'module', name: 'sommos-compute' });
  worker.onmessage = (event) => events.message(event.data);
  worker.onmessageerror = () => events.lost('a message could not be read');
  worker.onerror = (event) => {
    event.preventDefault();
    events.lost(event.message || `${WORKER.pathname} could not be run`);
  };
  return {
    post: (message: unknown, transfer: Transferable[] = []) => worker.postMessage(message, transfer),
    terminate: () => worker.terminate(),
    hold() {},
    release() {},
  };
}

setPlatform({
  name: 'browser',
  url: (module) => address(module).href,
  async compile(module) {
    const response = await fetch(address(module));
    if (!response.ok) throw new Error(`${address(module).href} answered ${response.status}`);
    if (response.headers.get('content-type')?.startsWith('application/wasm')) {
      return WebAssembly.compileStreaming(response);
    }
    return WebAssembly.compile(await response.arrayBuffer());
  },
  ...(typeof Worker === 'function' ? { spawn } : {}),
  processors: () => navigator.hardwareConcurrency || 1,
  unshared() {
    if (globalThis.crossOriginIsolated && typeof SharedArrayBuffer === 'function') return undefined;
    return (
      'this page is not cross-origin isolated: serve it with Cross-Origin-Opener-Policy: same-origin ' +
      'and Cross-Origin-Embedder-Policy: require-corp to run threads'
    );
  },
});

export * from '../index.js';
export { default } from '../index.js';
