import type { ModuleName } from './platform.js';

/** The modules that a compute worker may load. */
export type WorkerModule = Extract<ModuleName, 'compute' | 'scalar' | 'threads' | 'tasks' | 'codecs'>;

/** First message to a compute worker. */
export interface StartMessage {
  type: 'start';
  /** Which engine to load. */
  engine: 'threads' | 'compute' | 'scalar';
  /** Threads of the pool, count. */
  threads: number;
  urls: Record<WorkerModule, string>;
  /** Shared progress and stop flag, where memory can be shared. */
  control: SharedArrayBuffer | undefined;
}

/** One call. */
export interface CallMessage {
  type: 'call';
  id: number;
  method: string;
  args: unknown;
}

/** To a compute worker. */
export type ToWorker = StartMessage | CallMessage;

/** From a compute worker. */
export type FromWorker =
  | { type: 'ready' }
  | { type: 'failed'; message: string }
  | { type: 'progress'; id: number; done: number; total: number }
  | { type: 'result'; id: number; value: unknown }
  | { type: 'error'; id: number; code: string; message: string; fatal: boolean };

/** Bytes of the shared control: a stop flag, then done and total as f64. */
export const CONTROL_BYTES = 24;

/** Views of the shared control. */
export function controlViews(buffer: SharedArrayBuffer): { stop: Int32Array; units: Float64Array } {
  return { stop: new Int32Array(buffer, 0, 1), units: new Float64Array(buffer, 8, 2) };
}
