/** The compute worker: owns the module and its pool, and runs one call after the other. */
import { runCall, setEngines, type Engines } from '../runtime/calls.js';
import { controlViews, type CallMessage, type FromWorker, type StartMessage, type ToWorker } from '../runtime/protocol.js';
import * as codecs from '../generated/codecs/codecs.js';
import * as single from '../generated/compute/compute.js';
import * as tasks from '../generated/tasks/tasks.js';
import * as threads from '../generated/threads/threads.js';
import { setCheckpoint, shareCheckpoint } from './checkpoint.js';
import { host, setSharedControl } from './host.js';
import type { ThreadMessage } from './rayon.js';

/** Time between two progress messages, milliseconds. */
const PROGRESS_EVERY_MS = 40;

/** The call that runs, for progress without shared memory. */
let running = 0;

/** Handles the messages of either role: the compute worker itself or a thread of its pool. */
export async function receive(message: ToWorker | ThreadMessage): Promise<void> {
  switch (message.type) {
    case 'thread':
      return runThread(message);
    case 'start':
      try {
        await start(message);
        reply({ type: 'ready' });
      } catch (error) {
        reply({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
      }
      return;
    case 'call':
      return call(message);
  }
}

/** Becomes a thread of the pool; returns when the pool ends, which is with the worker. */
async function runThread(message: ThreadMessage): Promise<void> {
  const { stop, units } = controlViews(message.control);
  shareCheckpoint(stop, units);
  await threads.default({ module_or_path: message.module, memory: message.memory });
  host().post({ type: 'ready' });
  threads.wbg_rayon_start_worker(message.receiver);
}

async function start(message: StartMessage): Promise<void> {
  const { urls } = message;
  if (message.control) {
    const { stop, units } = controlViews(message.control);
    shareCheckpoint(stop, units);
    setSharedControl(message.control);
  } else {
    setCheckpoint(timedProgress());
  }
  const module = await host().compile(urls[message.engine]);
  if (message.engine === 'threads') {
    await threads.default({ module_or_path: module });
    await threads.initThreadPool(message.threads);
  } else {
    await single.default({ module_or_path: module });
  }
  const later = <M extends { default: (init: { module_or_path: WebAssembly.Module }) => unknown }>(
    bindings: M,
    url: string,
  ) => {
    let loaded: Promise<M> | undefined;
    return () => {
      loaded ??= host()
        .compile(url)
        .then((compiled) => bindings.default({ module_or_path: compiled }))
        .then(() => bindings);
      // A failed load may be tried again: the network may be back.
      loaded.catch(() => (loaded = undefined));
      return loaded;
    };
  };
  setEngines({
    engine: (message.engine === 'threads' ? threads : single) as Engines['engine'],
    tasks: later(tasks, urls.tasks),
    codecs: later(codecs, urls.codecs),
  });
}

async function call({ id, method, args }: CallMessage): Promise<void> {
  running = id;
  try {
    const { value, transfer } = await runCall(method, args);
    host().post({ type: 'result', id, value } satisfies FromWorker, transfer);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    reply({
      type: 'error',
      id,
      code: typeof code === 'string' ? code : 'INTERNAL',
      message: error instanceof Error ? error.message : String(error),
      // After a trap the module's memory is not to be trusted.
      fatal: error instanceof WebAssembly.RuntimeError || error instanceof RangeError,
    });
  } finally {
    running = 0;
  }
}

/** Progress by messages; a stop comes as the end of this worker. */
function timedProgress(): (done: number, total: number) => boolean {
  let last = 0;
  return (done, total) => {
    const now = performance.now();
    if (now - last >= PROGRESS_EVERY_MS) {
      last = now;
      reply({ type: 'progress', id: running, done, total });
    }
    return false;
  };
}

function reply(message: FromWorker): void {
  host().post(message);
}
