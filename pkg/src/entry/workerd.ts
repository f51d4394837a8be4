/** Entry point of Cloudflare Workers: one thread, modules compiled beforehand by the platform. */
// @ts-expect-error: the bundler of the platform makes a WebAssembly.Module of it.
import codecs from './codecs.wasm';
// @ts-expect-error: as above.
import compute from './compute.wasm';
// @ts-expect-error: as above.
import engineModule from './engine.wasm';
// @ts-expect-error: as above.
import monitor from './monitor.wasm';
// @ts-expect-error: as above.
import tasks from './tasks.wasm';
import { initSync } from '../runtime/init.js';
import { setPlatform, type ModuleName } from '../runtime/platform.js';

const modules: Partial<Record<ModuleName, WebAssembly.Module>> = { engine: engineModule, monitor, compute, codecs, tasks };

function compiled(name: ModuleName): WebAssembly.Module {
  const module = modules[name];
  if (!module) throw new Error(`${name} is not part of the package for workerd`);
  return module;
}

setPlatform({
  name: 'workerd',
  url: (name) => `./${name}.wasm`,
  compile: async (name) => compiled(name),
  compileSync: compiled,
  processors: () => 1,
  unshared: () => 'Cloudflare Workers have one thread',
});
initSync();

export * from '../index.js';
export { default } from '../index.js';
