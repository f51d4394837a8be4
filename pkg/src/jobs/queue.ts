import type { BatchMetrics } from '../batch/types.js';
import { engine } from '../engine.js';
import { SommosError, guarded } from '../errors.js';
import type { WorkQueue } from '../generated/engine/engine.js';
import type { JobMetrics, JobSettings } from './types.js';

/** What the queue tells, by its number in `wasm/src/jobs.rs`. */
const WHAT = [
  'interrupt',
  'queued',
  'started',
  'progress',
  'timedOut',
  'retry',
  'requeued',
  'completed',
  'failed',
  'cancelled',
  'batchQueued',
  'batchStarted',
  'batchProgress',
  'batchEnded',
] as const;

const STATUSES = ['queued', 'running', 'completed', 'failed', 'cancelled'] as const;

/** Where a job or batch is in its life. */
export type Status = (typeof STATUSES)[number];

/** One thing that happened to a job, a chunk or a batch. */
export interface Told {
  id: string;
  what: (typeof WHAT)[number];
  number: number;
  text: string;
}

/** The right to run one attempt. */
export interface Claim {
  id: string;
  token: number;
  attempt: number;
}

/** The numbers of a job; a time that has not come is null. */
export interface JobNumbers {
  status: Status;
  attempts: number;
  maxAttempts: number;
  progress: number;
  priority: number;
  createdAt: number;
  startedAt: number | null;
  completedAt: number | null;
  failedAt: number | null;
  runAt: number;
  timeout: number;
}

/** The numbers of a batch. */
export interface BatchNumbers {
  status: Status;
  totalItems: number;
  processedItems: number;
  totalChunks: number;
  completedChunks: number;
  failedChunks: number;
  cancelledChunks: number;
  progress: number;
  createdAt: number;
  startedAt: number | null;
  completedAt: number | null;
  processingTime: number;
}

/** Bytes drawn at once: a call of the generator costs more than the bytes. */
const POOL_BYTES = 1024;
const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** 16 random bytes. */
export function entropy(): Uint8Array {
  if (used === POOL_BYTES) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  used += 16;
  return pool.slice(used - 16, used);
}

const when = (time: number | undefined): number | null =>
  time === undefined || Number.isNaN(time) ? null : time;

export const statusOf = (number: number): Status => STATUSES[number] ?? 'failed';

/** The queue of one engine in WebAssembly, until it is freed. */
export class Queue {
  #wasm: WorkQueue | undefined;
  readonly #owner: string;

  constructor(owner: string, maxQueueSize: number) {
    this.#owner = owner;
    const [seed] = new Float64Array(entropy().buffer);
    this.#wasm = guarded(() => new (engine().WorkQueue)(maxQueueSize, seed ?? 0));
  }

  /** Whether it was freed. */
  get closed(): boolean {
    return this.#wasm === undefined;
  }

  /** The bindings, for calls that may be refused. */
  call<T>(use: (wasm: WorkQueue) => T): T {
    const wasm = this.#wasm;
    if (!wasm) throw new SommosError('CLOSED', `this ${this.#owner} was shut down`);
    return guarded(() => use(wasm));
  }

  /** Everything that happened since the last call. */
  drain(): Told[] {
    const flat = this.call((wasm) => wasm.drain()) as (string | number)[];
    const told: Told[] = [];
    for (let at = 0; at < flat.length; at += 4) {
      told.push({
        id: flat[at] as string,
        what: WHAT[flat[at + 1] as number] ?? 'requeued',
        number: flat[at + 2] as number,
        text: flat[at + 3] as string,
      });
    }
    return told;
  }

  /** Lets time pass, then claims up to `max`. */
  claim(max: number): Claim[] {
    const flat = this.call((wasm) => {
      const now = Date.now();
      wasm.tick(now);
      return max > 0 ? wasm.claim(now, max) : [];
    }) as (string | number)[];
    const claims: Claim[] = [];
    for (let at = 0; at < flat.length; at += 3) {
      claims.push({
        id: flat[at] as string,
        token: flat[at + 1] as number,
        attempt: flat[at + 2] as number,
      });
    }
    return claims;
  }

  /** A job's numbers; undefined when it is unknown. */
  job(id: string): JobNumbers | undefined {
    const n = this.call((wasm) => wasm.job(id));
    if (!n) return undefined;
    const at = (index: number): number => n[index] ?? 0;
    return {
      status: statusOf(at(0)),
      attempts: at(1),
      maxAttempts: at(2),
      progress: at(3),
      priority: at(4),
      createdAt: at(5),
      startedAt: when(n[6]),
      completedAt: when(n[7]),
      failedAt: when(n[8]),
      runAt: at(9),
      timeout: at(10),
    };
  }

  /** Submits a job; gives its id. `backoff`: first and longest delay, jitter. */
  submit(
    now: number,
    random: Uint8Array,
    type: string,
    options: JobSettings,
    attempts: number,
    backoff: number[],
  ): string {
    const { priority, delay, timeout, idempotencyKey: key } = options;
    const waits = new Float64Array(backoff);
    return this.call((wasm) =>
      wasm.submit(now, random, type, priority, delay, timeout, attempts, waits, key),
    );
  }

  /** The counters of jobs. */
  jobMetrics(): JobMetrics {
    const [total = 0, completed = 0, failed = 0, cancelled = 0, retried = 0, active = 0, ...rest] =
      this.call((wasm) => wasm.metrics());
    const [queued = 0, average = 0, ...times] = rest;
    return {
      totalJobs: total,
      completedJobs: completed,
      failedJobs: failed,
      cancelledJobs: cancelled,
      retries: retried,
      activeJobs: active,
      queueSize: queued,
      averageProcessingTime: average,
      processingTimes: times,
    };
  }

  /** A batch's numbers; undefined when it is unknown. */
  batch(id: string): BatchNumbers | undefined {
    const n = this.call((wasm) => wasm.batch(Date.now(), id));
    if (!n) return undefined;
    const at = (index: number): number => n[index] ?? 0;
    return {
      status: statusOf(at(0)),
      totalItems: at(1),
      processedItems: at(2),
      totalChunks: at(3),
      completedChunks: at(4),
      failedChunks: at(5),
      cancelledChunks: at(6),
      progress: at(7),
      createdAt: at(8),
      startedAt: when(n[9]),
      completedAt: when(n[10]),
      processingTime: at(11),
    };
  }

  /** The counters of batches. */
  batchMetrics(): Omit<BatchMetrics, 'activeChunks'> {
    const [total = 0, completed = 0, failed = 0, cancelled = 0, active = 0, items = 0, mean = 0] =
      this.call((wasm) => wasm.batchMetrics());
    return {
      totalBatches: total,
      completedBatches: completed,
      failedBatches: failed,
      cancelledBatches: cancelled,
      activeBatches: active,
      totalItemsProcessed: items,
      averageProcessingTime: mean,
    };
  }

  /** Forgets jobs that ended longer ago, and those beyond `count`; gives their ids. */
  sweep(ageMs: number, count: number): string[] {
    return this.call((wasm) => {
      let swept = 0;
      let some: number;
      // Some thousands a call.
      while ((some = wasm.sweep(Date.now(), ageMs, count)) > 0) swept += some;
      return swept > 0 ? wasm.removed() : [];
    });
  }

  /** The same of batches. */
  sweepBatches(ageMs: number, count: number): string[] {
    return this.call((wasm) =>
      wasm.sweepBatches(Date.now(), ageMs, count) > 0 ? wasm.removed() : [],
    );
  }

  /** Gives its memory back; every later call throws `CLOSED`. */
  free(): void {
    this.#wasm?.free();
    this.#wasm = undefined;
  }
}
