import { Emitter } from '../emitter.js';
import { SommosError } from '../errors.js';
import type { WorkQueue } from '../generated/engine/engine.js';
import { finite, flag, integer } from '../options.js';
import { EventBuffer } from './buffer.js';
import { Drive, wait } from './drive.js';
import { Entry, NAMES, type Run } from './entry.js';
import { Handlers, type AnyHandler, faultOf, named } from './handlers.js';
import { type EngineSettings, engineSettings, jobSettings } from './options.js';
import { type Claim, Queue, type Told, entropy } from './queue.js';
import { Persistence } from './persistence.js';
import { entropyOf, restoreJobs } from './restore.js';
import type { JobStore } from './store.js';
import type {
  ActiveJob,
  AnyJobTypes,
  AsyncProcessingOptions,
  EndedJob,
  Job,
  JobContext,
  JobEvent,
  JobEventName,
  JobEvents,
  JobHandler,
  JobMetrics,
  JobOptions,
  JobSettings,
  JobTypes,
  NameOf,
  ShutdownOptions,
} from './types.js';

const DAY_MS = 86_400_000;

/**
 * Background jobs: handlers run in this thread, at most `maxConcurrentJobs` at once, higher
 * priorities first, failed attempts again after a while.
 */
export class AsyncProcessingEngine<T extends JobTypes<T> = AnyJobTypes> extends Emitter<
  JobEvents<T>
> {
  /** Resolves once the jobs of `persist` are back; at once without it. */
  readonly ready: Promise<void>;

  readonly #settings: EngineSettings;
  readonly #queue: Queue;
  readonly #handlers = new Handlers();
  readonly #jobs = new Map<string, Entry>();
  readonly #drive: Drive;
  readonly #kept: Persistence | undefined;
  #running = 0;
  #closing: Promise<void> | undefined;
  /** Whether waiting jobs may start; a shutdown without drain forbids it. */
  #starting = true;
  /** Set while a shutdown waits for the last jobs. */
  #idle: (() => void) | undefined;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: AsyncProcessingOptions = {}) {
    super();
    this.#settings = engineSettings(options);
    this.#queue = new Queue('AsyncProcessingEngine', this.#settings.maxQueueSize);
    this.#drive = new Drive(this.#queue, {
      room: () => (this.#starting ? this.#settings.maxConcurrentJobs - this.#running : 0),
      begin: (claim) => this.#begin(claim),
      tell: (told) => this.#tell(told),
      settled: () => this.#idle?.(),
      forget: () => this.#forget(),
    });
    const { persist } = this.#settings;
    this.#kept = persist && new Persistence(persist, (error) => this.emit('error', error));
    this.ready = persist ? this.#restore(persist) : Promise.resolve();
    this.ready.catch((error: unknown) => this.emit('error', error));
  }

  /** Says who runs the jobs of a type; the last one said counts. */
  registerJobHandler<K extends NameOf<T>>(
    type: K,
    handler: JobHandler<K, T[K]['data'], T[K]['result']>,
  ): this {
    this.#open();
    this.#handlers.set(type, handler as unknown as AnyHandler);
    this.emit('handlerRegistered', type);
    return this;
  }

  /**
   * Adds a job; gives its id.
   *
   * @throws SommosError `INVALID_OPTION`, `QUEUE_FULL`, `CLOSED`; with `persist` what the store
   * says.
   */
  async addJob<K extends NameOf<T>>(
    type: K,
    data: T[K]['data'],
    options: JobOptions = {},
  ): Promise<string> {
    this.#open();
    named(type);
    const settings = jobSettings(options ?? {}, this.#settings);
    const kept = this.#kept;
    if (kept) {
      await this.ready;
      this.#open();
    }
    const before = this.#jobs.size;
    const id = this.#submit({ type, data, options: settings, attempts: 0 }, Date.now());
    const entry = this.#jobs.get(id);
    const added = this.#jobs.size > before;
    this.#drive.step();
    if (!kept || !entry || !added) return id;
    try {
      await kept.add(entry);
    } catch (error) {
      if (!this.#queue.closed) this.cancelJob(id);
      throw error;
    }
    return id;
  }

  /** A job as it is now; null when it is unknown or forgotten. */
  getJobStatus(id: string): Job<T> | null {
    this.#open(true);
    return (this.#jobs.get(id)?.job(this.#queue) as Job<T> | undefined) ?? null;
  }

  /**
   * Resolves with the job once it has ended, well or not.
   *
   * @throws SommosError `NOT_FOUND`, `CLOSED`; the signal's reason when that aborts.
   */
  async waitForTask(id: string, options: { signal?: AbortSignal } = {}): Promise<EndedJob<T>> {
    const entry = this.#entry(id);
    const job = entry.job(this.#queue);
    if (job && 'success' in job) return job as unknown as EndedJob<T>;
    return (await wait(entry.waiters, this.#drive, options.signal)) as unknown as EndedJob<T>;
  }

  /**
   * The events of one job from now on, until it ends. Who reads late gets the last 1000.
   *
   * @throws SommosError `NOT_FOUND`.
   */
  jobEvents(id: string): AsyncIterableIterator<JobEvent<T>> {
    const entry = this.#entry(id);
    const buffer = new EventBuffer<JobEvent>(() => {
      entry.watchers.delete(buffer);
      this.#drive.hold(-1);
    });
    entry.watchers.add(buffer);
    this.#drive.hold(1);
    const job = entry.job(this.#queue);
    if (!job || 'success' in job) buffer.end();
    return buffer as unknown as AsyncIterableIterator<JobEvent<T>>;
  }

  /**
   * Cancels a job that has not ended: its signal aborts, its slot is free at once, and what its
   * handler still does changes nothing. False when there is nothing to cancel.
   */
  cancelJob(id: string): boolean {
    this.#open(true);
    return this.#change(id, ['ENDED', 'NOT_FOUND'], (wasm) => wasm.cancel(Date.now(), id));
  }

  /** Puts a failed job back in line with all its attempts; false when it has not failed. */
  retryJob(id: string): boolean {
    this.#open();
    return this.#change(id, ['NOT_FAILED', 'NOT_FOUND'], (wasm) => wasm.retryDead(Date.now(), id));
  }

  /** SommOS's counters. */
  getMetrics(): JobMetrics {
    this.#open(true);
    return this.#queue.jobMetrics();
  }

  /** Forgets jobs that ended longer ago; gives how many. */
  clearCompletedJobs(olderThanMs = DAY_MS): number {
    this.#open(true);
    const age = integer('olderThanMs', olderThanMs, { min: 0, max: 2 ** 53, default: DAY_MS });
    // Age 0 means all, those of this very millisecond too.
    const count = this.#sweep(age, age === 0 ? 0 : this.#settings.maxFinishedJobs);
    this.emit('jobsCleared', count);
    return count;
  }

  /** Ends the engine: no job hangs, every waiting promise settles, its memory is given back. */
  async shutdown(options: ShutdownOptions = {}): Promise<void> {
    const drain = flag('drain', options.drain, false);
    const timeout = integer('timeout', options.timeout, { min: 0, max: DAY_MS, default: 30_000 });
    return (this.#closing ??= this.#close(drain, timeout));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #close(drain: boolean, timeout: number): Promise<void> {
    // A turn later, so that whoever asks again finds this shutdown.
    await Promise.resolve();
    await this.ready.catch(() => undefined);
    this.emit('shutdownStarted');
    this.#starting = drain;
    if (!drain) this.#cancelAll(['queued']);
    if (timeout > 0) await this.#quiet(drain, timeout);
    this.#starting = false;
    this.#cancelAll(['queued', 'running']);
    this.emit('shutdownCompleted');
    this.#drive.stop();
    this.#jobs.clear();
    this.#kept?.store.close?.();
  }

  /** Waits until nothing runs, with `drain` until nothing waits either, or the time is over. */
  async #quiet(drain: boolean, timeout: number): Promise<void> {
    const over = (): boolean => {
      const { activeJobs, queueSize } = this.#queue.jobMetrics();
      return activeJobs + (drain ? queueSize : 0) === 0;
    };
    this.#drive.hold(1);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.#idle = () => {
        if (!over()) return;
        clearTimeout(timer);
        resolve();
      };
      this.#idle();
    });
    this.#idle = undefined;
    this.#drive.hold(-1);
  }

  #cancelAll(statuses: string[]): void {
    for (const entry of [...this.#jobs.values()]) {
      if (statuses.includes(entry.job(this.#queue)?.status ?? '')) this.cancelJob(entry.id);
    }
  }

  /** Refuses calls after a shutdown, new work also during it. */
  #open(stillUseful = false): void {
    if (this.#queue.closed || (this.#closing && !stillUseful)) {
      const what = this.#queue.closed ? 'was shut down' : 'is shutting down';
      throw new SommosError('CLOSED', `this AsyncProcessingEngine ${what}`);
    }
  }

  #change(id: string, harmless: string[], act: (wasm: WorkQueue) => void): boolean {
    if (!this.#jobs.has(id)) return false;
    try {
      this.#queue.call(act);
    } catch (error) {
      if (harmless.includes((error as SommosError).code)) return false;
      throw error;
    }
    this.#drive.step();
    return true;
  }

  #entry(id: string): Entry {
    this.#open(true);
    const entry = this.#jobs.get(id);
    if (entry) return entry;
    throw new SommosError('NOT_FOUND', `no job ${id}: it was never added or is forgotten`);
  }

  async #restore(store: JobStore): Promise<void> {
    const lost = await restoreJobs(store, (job, createdAt) => this.#submit(job, createdAt));
    for (const error of lost) this.emit('error', error);
    this.#drive.step();
  }

  #submit(
    job: { type: string; data: unknown; options: JobSettings; attempts: number; id?: string },
    now: number,
  ): string {
    const { type, data, options, attempts } = job;
    const { maxRetryDelay, retryJitter } = this.#settings;
    const backoff = [options.retryDelay * 2 ** attempts, maxRetryDelay, retryJitter];
    const random = job.id === undefined ? entropy() : entropyOf(job.id);
    const left = options.retries + 1 - attempts;
    const id = this.#queue.submit(now, random, type, options, left, backoff);
    if (!this.#jobs.has(id)) this.#jobs.set(id, new Entry(id, type, data, options, attempts));
    return id;
  }

  #begin({ id, token, attempt }: Claim): () => void {
    const entry = this.#jobs.get(id);
    if (!entry) return () => undefined;
    const run = { token, controller: new AbortController() };
    entry.run = run;
    entry.note = null;
    this.#running += 1;
    return () => {
      // A listener of jobStarted may have cancelled it.
      if (entry.run === run) void this.#run(entry, run, attempt);
    };
  }

  async #run(entry: Entry, run: Run, attempt: number): Promise<void> {
    const progress = (percent: number, note?: string): void =>
      this.#progress(entry, run, percent, note);
    const context: JobContext = {
      signal: run.controller.signal,
      attempt: entry.before + attempt,
      progress,
    };
    let settle: () => void;
    try {
      const handler = this.#handlers.of(entry.type);
      const job = { ...entry.job(this.#queue), updateProgress: progress };
      const result = await handler(entry.data, job as ActiveJob<string, unknown>, context);
      settle = () => {
        entry.result = result;
        this.#queue.call((wasm) => wasm.complete(Date.now(), entry.id, run.token));
      };
    } catch (error) {
      const { message, code, retryable } = faultOf(error);
      settle = () => {
        entry.thrown = error;
        this.#queue.call((wasm) =>
          wasm.fail(Date.now(), entry.id, run.token, message, code, retryable),
        );
      };
    }
    // What was cancelled or timed out meanwhile has no say any more.
    if (entry.run !== run) return;
    entry.run = undefined;
    this.#running -= 1;
    settle();
    this.#drive.step();
  }

  #progress(entry: Entry, run: Run, percent: number, note?: string): void {
    const whole = Math.floor(finite('progress', percent, { min: 0, max: 100, default: NaN }));
    if (entry.run !== run) return;
    const news = note !== undefined && note !== entry.note;
    if (news) entry.note = String(note);
    this.#queue.call((w) => w.progress(Date.now(), entry.id, run.token, whole));
    const moved = this.#drive.announce().some((told) => told.what === 'progress');
    if (news && !moved) this.#say('jobProgress', entry);
  }

  #tell({ id, what, number, text }: Told): void {
    const entry = this.#jobs.get(id);
    if (!entry) return;
    switch (what) {
      case 'interrupt':
        if (entry.interrupt(number, text)) this.#running -= 1;
        break;
      case 'started':
        this.#kept?.started(entry, number);
        this.#say('jobStarted', entry);
        break;
      case 'queued':
      case 'progress':
      case 'retry':
        this.#say(NAMES[what], entry, number);
        break;
      case 'completed':
      case 'failed':
      case 'cancelled':
        this.#ended(NAMES[what], entry, entry.thrown ?? new SommosError('FAILED', text));
        break;
    }
  }

  #ended(name: JobEventName, entry: Entry, error?: unknown): void {
    const kept = this.#kept && this.#closing && name === 'jobCancelled';
    if (!kept) this.#kept?.ended(entry.id);
    if (!kept) this.#say(name, entry, error);
    // A stored job is not cancelled by a shutdown: it runs after the next start.
    entry.end(kept ? undefined : this.#queue);
  }

  #say(name: JobEventName, entry: Entry, extra?: unknown): void {
    if (this.listenerCount(name) === 0 && entry.watchers.size === 0) return;
    const job = entry.job(this.#queue);
    if (!job) return;
    const event: JobEvent = { type: name, job };
    if (name === 'jobRetry') event.delay = extra as number;
    for (const watcher of [...entry.watchers]) watcher.push(event);
    const emit = this.emit.bind(this) as (name: string, ...args: unknown[]) => boolean;
    if (name === 'jobRetry' || name === 'jobFailed') emit(name, job, extra);
    else emit(name, job);
  }

  #sweep(ageMs: number, count: number): number {
    const swept = this.#queue.sweep(ageMs, count);
    for (const id of swept) this.#jobs.delete(id);
    return swept.length;
  }

  #forget(): number | undefined {
    const { finishedRetention, maxFinishedJobs } = this.#settings;
    this.#sweep(finishedRetention, maxFinishedJobs);
    return this.#jobs.size > 0 ? Date.now() + finishedRetention + 1 : undefined;
  }
}
