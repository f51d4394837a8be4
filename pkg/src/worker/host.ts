/** What a worker file needs of its platform: messages, threads, modules. */
import type { ThreadMessage } from './rayon.js';

/** One side of a worker. */
export interface Host {
  post(message: unknown, transfer?: Transferable[]): void;
  /** Another worker of the same file. */
  spawn(first: ThreadMessage, ready: () => void, failed: (reason: string) => void): void;
  compile(url: string): Promise<WebAssembly.Module>;
}

let current: Host | undefined;
let control: SharedArrayBuffer | undefined;

/** Set once by the worker's entry point. */
export function setHost(host: Host): void {
  current = host;
}

/** The worker's platform. */
export function host(): Host {
  if (!current) throw new Error('no host');
  return current;
}

/** Keeps the control for the threads to come. */
export function setSharedControl(buffer: SharedArrayBuffer): void {
  control = buffer;
}

/** The control shared with the main thread. */
export function sharedControl(): SharedArrayBuffer {
  if (!control) throw new Error('threads need shared memory');
  return control;
}

/** Starts a thread of the pool; resolves when it says that it runs. */
export function spawnThread(message: ThreadMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    host().spawn(message, resolve, (reason) => reject(new Error(reason)));
  });
}
