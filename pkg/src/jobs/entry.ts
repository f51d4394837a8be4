import { SommosError } from '../errors.js';
import type { EventBuffer } from './buffer.js';
import type { Waiter } from './drive.js';
import type { Queue } from './queue.js';
import type { EndedJob, Job, JobEvent, JobSettings } from './types.js';


/** The events of what the queue tells. */
export const NAMES = {
  queued: 'jobQueued',
  progress: 'jobProgress',
  retry: 'jobRetry',
  completed: 'jobCompleted',
  failed: 'jobFailed',
  cancelled: 'jobCancelled',
} as const;

/** One attempt under way. */
export interface Run {
  readonly token: number;
  readonly controller: AbortController;
}

/** What the JavaScript side keeps of a job: everything that WebAssembly cannot hold. */
export class Entry {
  readonly id: string;
  readonly type: string;
  readonly data: unknown;
  readonly options: JobSettings;
  /** Attempts before a reload. */
  readonly before: number;
  result: unknown = null;
  note: string | null = null;
  /** What the handler threw last. */
  thrown: unknown;
  run: Run | undefined;
  readonly waiters = new Set<Waiter<EndedJob>>();
  readonly watchers = new Set<EventBuffer<JobEvent>>();

  constructor(id: string, type: string, data: unknown, options: JobSettings, before: number) {
    this.id = id;
    this.type = type;
    this.data = data;
    this.options = options;
    this.before = before;
  }

  /** Aborts the attempt of this token; false when it is not the one under way. */
  interrupt(token: number, why: string): boolean {
    const { run } = this;
    if (run?.token !== token) return false;
    this.run = undefined;
    const timedOut = why === 'TIMED_OUT';
    const reason = timedOut
      ? new DOMException(`timed out after ${this.options.timeout} ms`, 'TimeoutError')
      : new DOMException(`${this.id} was cancelled`, 'AbortError');
    if (timedOut) this.thrown = reason;
    run.controller.abort(reason);
    return true;
  }

  /** Tells who waits that the job has ended; without a queue that its engine was shut down. */
  end(queue: Queue | undefined): void {
    const job = queue && this.waiters.size > 0 ? this.job(queue) : undefined;
    for (const waiter of [...this.waiters]) {
      if (job) waiter.resolve(job as EndedJob);
      else waiter.reject(new SommosError('CLOSED', 'this AsyncProcessingEngine was shut down'));
    }
    for (const watcher of [...this.watchers]) watcher.end();
  }

  /** The job as it is now; undefined once the queue has forgotten it. */
  job(queue: Queue): Job | undefined {
    const numbers = queue.job(this.id);
    if (!numbers) return undefined;
    const { status, createdAt, startedAt, completedAt, failedAt, progress } = numbers;
    const base = {
      id: this.id,
      type: this.type,
      data: this.data,
      options: this.options,
      status,
      createdAt,
      startedAt,
      completedAt,
      failedAt,
      attempts: this.before + numbers.attempts,
      maxAttempts: this.before + numbers.maxAttempts,
      progress,
      note: this.note,
      result: status === 'completed' ? this.result : null,
      error: status === 'completed' ? null : (queue.call((w) => w.jobError(this.id)) ?? null),
    };
    if (status === 'queued' || status === 'running') return base as Job;
    const ended = { ...base, success: status === 'completed' };
    if (status !== 'failed') return ended as Job;
    const errorCode = queue.call((w) => w.jobErrorCode(this.id)) ?? 'HANDLER_FAILED';
    return { ...ended, errorCode } as Job;
  }
}
