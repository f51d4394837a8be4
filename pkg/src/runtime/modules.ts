/** Modules that load on demand in this thread. */
import type * as Codecs from '../generated/codecs/codecs.js';
import type * as Compute from '../generated/compute/compute.js';
import type * as Tasks from '../generated/tasks/tasks.js';
import * as monitor from '../generated/monitor/monitor.js';
import { SommosError } from '../errors.js';
import { platform, type ModuleName } from './platform.js';

interface Loadable {
  default(init: { module_or_path: WebAssembly.Module }): Promise<unknown>;
}

function once<M extends Loadable>(name: ModuleName, bindings: () => Promise<M>): () => Promise<M> {
  let loaded: Promise<M> | undefined;
  return () => {
    loaded ??= Promise.all([bindings(), platform().compile(name)]).then(async ([glue, module]) => {
      await glue.default({ module_or_path: module });
      return glue;
    });
    // A failed load may be tried again: the network may be back.
    loaded.catch(() => (loaded = undefined));
    return loaded;
  };
}

/** Similarity and matrices, where there is no worker. */
export const loadCompute: () => Promise<typeof Compute> = once('compute', () => import('../generated/compute/compute.js'));

/** brotli and zstd. */
export const loadCodecs: () => Promise<typeof Codecs> = once('codecs', () => import('../generated/codecs/codecs.js'));

/** The kinds of work that read JSON. */
export const loadTasks: () => Promise<typeof Tasks> = once('tasks', () => import('../generated/tasks/tasks.js'));

let monitorReady = false;

/** Loads what PerformanceMonitoringEngine needs. */
export async function loadMonitor(): Promise<void> {
  if (monitorReady) return;
  await monitor.default({ module_or_path: await platform().compile('monitor') });
  monitorReady = true;
}

/** The same at once, for platforms that may compile in place. */
export function loadMonitorSync(module: WebAssembly.Module): void {
  monitor.initSync({ module });
  monitorReady = true;
}

/** The bindings of the metrics. */
export function monitorBindings(): typeof monitor {
  if (!monitorReady) {
    throw new SommosError(
      'NOT_INITIALIZED',
      'monitoring is not loaded yet: await init({ monitoring: true }) of @sommos/performance first',
    );
  }
  return monitor;
}
