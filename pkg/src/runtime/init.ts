/** Loading the engine of this thread. */
import { setEngine, type Engine } from '../engine.js';
import { SommosError } from '../errors.js';
import * as bindings from '../generated/engine/engine.js';
import { flag, integer, oneOf } from '../options.js';
import { compute } from './compute.js';
import { choose, mode, type InitOptions, type Mode } from './mode.js';
import { loadMonitor, loadMonitorSync } from './modules.js';
import { platform } from './platform.js';

let loading: Promise<void> | undefined;

/**
 * Loads the engine; a page awaits it once before it uses a class. Where threads cannot run, one
 * thread does, without an error: the answer (and `mode()`) says which and why. Node has loaded the
 * engine at import; there, and later, a call with options chooses anew how heavy calls run, and one
 * without changes nothing.
 *
 * @throws SommosError `INVALID_OPTION`; `LOAD_FAILED` when the module cannot be fetched: then it
 *   may be called again.
 */
export async function init(options?: InitOptions): Promise<Mode> {
  if (options) {
    oneOf('mode', options.mode, ['auto', 'threads', 'single', 'scalar'], 'auto');
    if (options.threads !== undefined) {
      integer('threads', options.threads, { min: 1, max: 16, default: 1 });
    }
  }
  const { monitoring, ...how } = options ?? {};
  if (Object.keys(how).length > 0 || !loading) {
    const before = mode();
    const { mode: kind, threads, simd } = choose(how);
    if (kind !== before.mode || threads !== before.threads || simd !== before.simd) {
      compute.close(new SommosError('CLOSED', 'init chose another mode'));
    }
  }
  loading ??= load();
  loading.catch(() => (loading = undefined));
  await loading;
  if (flag('monitoring', monitoring, false)) await loadMonitor().catch(loadFailed);
  return mode();
}

/** The same at once, for platforms that may compile in place. */
export function initSync(): void {
  const { compileSync } = platform();
  if (!compileSync) return;
  choose({});
  bindings.initSync({ module: compileSync('engine') });
  setEngine(bindings as Engine);
  loadMonitorSync(compileSync('monitor'));
  loading = Promise.resolve();
}

async function load(): Promise<void> {
  try {
    const module = await platform().compile('engine');
    await bindings.default({ module_or_path: module });
  } catch (error) {
    loadFailed(error);
  }
  setEngine(bindings as Engine);
}

function loadFailed(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  throw new SommosError('LOAD_FAILED', `the engine could not be loaded: ${message}`, { cause: error });
}
