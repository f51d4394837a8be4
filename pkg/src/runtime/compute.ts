/**
 * The main thread's side of the compute worker: one call at a time goes to it, in the order of
 * asking; progress and abort pass through shared memory where there is any. Without shared memory
 * an abort ends the worker, and the next call starts another.
 */
import { SommosError, abortReason } from '../errors.js';
import type { Calls } from './calls.js';
import { runInline } from './inline.js';
import { demote, mode, workerEngine, type Mode } from './mode.js';
import { platform, type Port } from './platform.js';
import { CONTROL_BYTES, controlViews, type FromWorker, type StartMessage, type WorkerModule } from './protocol.js';

/** How far a long call is, in units of its own. */
export interface Progress {
  done: number;
  total: number;
}

/** What every long call takes. */
export interface CallOptions {
  /** Aborting it ends the computation and rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Hears of progress, about twenty times a second. */
  onProgress?: ((progress: Progress) => void) | undefined;
  /** What moves to the worker instead of being copied. */
  transfer?: Transferable[] | undefined;
}

/** Time between two looks at the shared progress, milliseconds. */
const PROGRESS_EVERY_MS = 40;
/** How long a stopped call may take to end before its worker is ended, milliseconds. */
const STOP_GRACE_MS = 100;
/** How long a worker may take to start, milliseconds. */
const START_LIMIT_MS = 20_000;
/** Calls that may wait, count. */
const QUEUE_MAX = 10_000;

interface Call {
  id: number;
  method: keyof Calls;
  args: unknown;
  options: CallOptions;
  resolve(value: unknown): void;
  reject(error: unknown): void;
  detach(): void;
}

interface Running {
  port: Port;
  control: SharedArrayBuffer | undefined;
}

/** What the life of the worker tells. */
export interface WorkerEvents {
  workerCreated(worker: { mode: Mode['mode']; threads: number }): void;
  workerError(error: SommosError): void;
  workerExited(reason: string): void;
}

class Compute {
  /** Listeners of the worker's life. */
  readonly watchers = new Set<WorkerEvents>();
  readonly #waiting: Call[] = [];
  #active: Call | undefined;
  #worker: Promise<Running> | undefined;
  #live: Running | undefined;
  #timers: (() => void)[] = [];
  /** Counts the workers that were ended. */
  #epoch = 0;
  #lastId = 0;

  /** Runs a call in the compute worker. */
  call<M extends keyof Calls>(
    method: M,
    args: Calls[M]['args'],
    options: CallOptions = {},
  ): Promise<Calls[M]['result']> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    if (this.#waiting.length >= QUEUE_MAX) {
      const message = `${QUEUE_MAX} calls wait for the compute worker already; try again when some have ended`;
      return Promise.reject(new SommosError('QUEUE_FULL', message));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const call: Call = { id, method, args, options, resolve, reject, detach: () => {} } as Call;
      if (signal) {
        const abort = () => this.#abort(call, abortReason(signal));
        signal.addEventListener('abort', abort, { once: true });
        call.detach = () => signal.removeEventListener('abort', abort);
      }
      this.#waiting.push(call);
      this.#next();
    });
  }

  /** Calls that wait or run. */
  get pending(): number {
    return this.#waiting.length + (this.#active ? 1 : 0);
  }

  /** Starts the worker before the first call needs it. */
  async warmUp(): Promise<void> {
    if (platform().spawn) await this.#start();
  }

  /** Ends the worker. What waits or runs rejects; a later call starts another. */
  close(reason = new SommosError('CLOSED', 'the compute worker was closed')): void {
    this.#drop(reason.message);
    const calls = this.#active ? [this.#active, ...this.#waiting] : [...this.#waiting];
    this.#active = undefined;
    this.#waiting.length = 0;
    for (const call of calls) settle(call, () => call.reject(reason));
  }

  #next(): void {
    if (this.#active) return;
    const call = this.#waiting.shift();
    if (!call) {
      this.#live?.port.release();
      return;
    }
    this.#active = call;
    void this.#run(call);
  }

  async #run(call: Call): Promise<void> {
    if (!platform().spawn) {
      await runInline(call.method, call.args, call.options).then(
        (value) => this.#finish(call, () => call.resolve(value)),
        (error: unknown) => this.#finish(call, () => call.reject(error)),
      );
      return;
    }
    try {
      const worker = await this.#start();
      if (this.#active !== call) return;
      this.#watch(call, worker);
      const { id, method, args, options } = call;
      worker.port.hold();
      worker.port.post({ type: 'call', id, method, args }, options.transfer);
    } catch (error) {
      // A detached buffer, or a value that cannot be cloned.
      const code = error instanceof SommosError ? error.code : 'INVALID_FIELD';
      const message = error instanceof Error ? error.message : String(error);
      const told = error instanceof SommosError ? error : new SommosError(code, `${call.method}: ${message}`, { cause: error });
      this.#finish(call, () => call.reject(told));
    }
  }

  /** Shares progress while the call runs. */
  #watch(call: Call, { control }: Running): void {
    if (!control) return;
    const { stop, units } = controlViews(control);
    Atomics.store(stop, 0, 0);
    units.fill(0);
    const { onProgress } = call.options;
    if (!onProgress) return;
    let last = -1;
    const timer = setInterval(() => {
      const [done, total] = [units[0]!, units[1]!];
      if (total > 0 && done !== last) {
        last = done;
        report(onProgress, { done, total });
      }
    }, PROGRESS_EVERY_MS);
    this.#timers.push(() => clearInterval(timer));
  }

  #abort(call: Call, reason: unknown): void {
    const at = this.#waiting.indexOf(call);
    if (at >= 0) {
      this.#waiting.splice(at, 1);
      settle(call, () => call.reject(reason));
      return;
    }
    if (this.#active !== call) return;
    settle(call, () => call.reject(reason));
    const live = this.#live;
    if (!live) {
      // The worker is still starting; the next call will have it.
      this.#active = undefined;
      this.#next();
      return;
    }
    if (!live.control) {
      // Nothing reaches a computation without shared memory but the end of its worker.
      this.#drop();
      this.#active = undefined;
      this.#next();
      return;
    }
    // Rejected already: its progress is nobody's any more.
    this.#stopTimers();
    Atomics.store(controlViews(live.control).stop, 0, 1);
    const timer = setTimeout(() => {
      if (this.#active !== call) return;
      this.#drop();
      this.#active = undefined;
      this.#next();
    }, STOP_GRACE_MS);
    this.#timers.push(() => clearTimeout(timer));
  }

  #finish(call: Call, how: () => void): void {
    settle(call, how);
    if (this.#active !== call) return;
    this.#active = undefined;
    this.#stopTimers();
    this.#next();
  }

  #stopTimers(): void {
    for (const clear of this.#timers.splice(0)) clear();
  }

  #start(): Promise<Running> {
    if (!this.#worker) {
      const worker = this.#launch();
      this.#worker = worker;
      worker.catch(() => {
        if (this.#worker === worker) this.#worker = undefined;
      });
    }
    return this.#worker;
  }

  /** A worker with the best module that starts here. */
  async #launch(): Promise<Running> {
    const epoch = this.#epoch;
    for (;;) {
      const engine = workerEngine();
      try {
        const live = await this.#spawn(engine);
        if (epoch !== this.#epoch) {
          live.port.terminate();
          throw new SommosError('CLOSED', 'the compute worker was closed while it started');
        }
        this.#live = live;
        const { mode: kind, threads } = mode();
        for (const watcher of this.watchers) watcher.workerCreated({ mode: kind, threads });
        return live;
      } catch (error) {
        if (error instanceof SommosError) throw error;
        const message = error instanceof Error ? error.message : String(error);
        if (engine !== 'threads') {
          throw new SommosError('WORKER_FAILED', `the compute worker did not start: ${message}`);
        }
        demote(`the threads did not start: ${message}`);
      }
    }
  }

  #spawn(engine: StartMessage['engine']): Promise<Running> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(`no answer within ${START_LIMIT_MS} ms`), START_LIMIT_MS);
      const control =
        platform().unshared() === undefined ? new SharedArrayBuffer(CONTROL_BYTES) : undefined;
      const port = platform().spawn!({
        message: (raw) => {
          const message = raw as FromWorker;
          if (message.type === 'ready') {
            clearTimeout(timer);
            resolve({ port, control });
          } else if (message.type === 'failed') fail(message.message);
          else this.#heard(message);
        },
        lost: (reason) => {
          fail(reason);
          this.#lost(port, reason);
        },
      });
      const fail = (reason: string) => {
        clearTimeout(timer);
        if (this.#live?.port !== port) port.terminate();
        reject(new Error(reason));
      };
      const names: WorkerModule[] = ['compute', 'scalar', 'threads', 'tasks', 'codecs'];
      const urls = Object.fromEntries(names.map((name) => [name, platform().url(name)]));
      port.post({
        type: 'start',
        engine,
        threads: mode().threads,
        urls: urls as StartMessage['urls'],
        control,
      } satisfies StartMessage);
    });
  }

  #heard(message: Extract<FromWorker, { id: number }>): void {
    const call = this.#active;
    if (!call || call.id !== message.id) return;
    switch (message.type) {
      case 'progress':
        if (call.options.onProgress) {
          report(call.options.onProgress, { done: message.done, total: message.total });
        }
        return;
      case 'result':
        this.#finish(call, () => call.resolve(message.value));
        return;
      case 'error': {
        const error = new SommosError(message.code, message.message);
        // After a trap nothing in that memory can be trusted.
        if (message.fatal) this.#drop();
        this.#finish(call, () => call.reject(error));
      }
    }
  }

  #lost(port: Port, reason: string): void {
    if (this.#live?.port !== port) return;
    this.#drop(reason);
    const call = this.#active;
    const what = call ? ` while it ran ${call.method}` : '';
    const error = new SommosError('WORKER_LOST', `the compute worker ended${what}: ${reason}`);
    for (const watcher of this.watchers) watcher.workerError(error);
    if (call) this.#finish(call, () => call.reject(error));
  }

  /** Ends the worker, if there is one. */
  #drop(reason = 'it was ended'): void {
    this.#stopTimers();
    this.#worker = undefined;
    this.#epoch += 1;
    const live = this.#live;
    if (!live) return;
    this.#live = undefined;
    live.port.terminate();
    for (const watcher of this.watchers) watcher.workerExited(reason);
  }
}

function settle(call: Call, how: () => void): void {
  call.detach();
  how();
}

function report(onProgress: (progress: Progress) => void, progress: Progress): void {
  try {
    onProgress(progress);
  } catch (error) {
    console.error('onProgress failed:', error);
  }
}

/** The one compute worker of this thread. */
export const compute = new Compute();
