/** Entry point of Node: the engine is ready when the import is done. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Worker, type Transferable as NodeTransferable } from 'node:worker_threads';
import { initSync } from '../runtime/init.js';
import { setPlatform, type ModuleName, type PortEvents } from '../runtime/platform.js';

const url = (module: ModuleName) => new URL(`./${module}.wasm`, import.meta.url);

setPlatform({
  name: 'node',
  url: (module) => url(module).href,
  compile: async (module) => WebAssembly.compile(await readFile(url(module))),
  compileSync: (module) => new WebAssembly.Module(readFileSync(url(module))),
  spawn(events: PortEvents) {
    const worker = new Worker(new URL('./compute-worker.node.js', import.meta.url), {
      // Flags such as --input-type are for the caller's script, not for a file.
      execArgv: [],
    });
    worker.on('message', events.message);
    worker.on('messageerror', () => events.lost('a message could not be read'));
    worker.on('error', (error) => events.lost(String(error)));
    worker.on('exit', (code) => events.lost(`it exited with code ${code}`));
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer as NodeTransferable[]),
      terminate: () => void worker.terminate(),
      hold: () => worker.ref(),
      release: () => worker.unref(),
    };
  },
  processors: availableParallelism,
  unshared: () => undefined,
});
initSync();

export * from '../index.js';
export { default } from '../index.js';
