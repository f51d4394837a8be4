import { Emitter } from '../emitter.js';
import { SommosError } from '../errors.js';
import { AsyncProcessingEngine, type Job, type JobContext } from '../jobs/index.js';
import { callable, integer, invalidOption } from '../options.js';
import { compute, type CallOptions, type Progress, type WorkerEvents } from '../runtime/compute.js';
import { platform } from '../runtime/platform.js';
import { TASK_TYPES, runTask, type TaskType, type TaskTypes } from './tasks.js';

/** How a {@link ParallelProcessingEngine} works. */
export interface ParallelProcessingOptions {
  /** Tasks at work at once, count: 1 to 1024. Default: the processors that may be used. */
  maxWorkers?: number;
  /** Longest run of a task, milliseconds: 1 to 86,400,000. Default 300,000. */
  taskTimeout?: number;
  /** Accepted for SommOS's sake, milliseconds; the compute worker lives as long as the page. */
  workerTimeout?: number;
  /** Tasks that may wait or run, count: 1 to 1,000,000. Default 10,000. */
  maxQueueSize?: number;
}

/** How one task runs. */
export interface TaskOptions extends CallOptions {
  /** A higher number runs first. Default 0. */
  priority?: number;
  /** Longest run, milliseconds. Default: taskTimeout. */
  timeout?: number;
}

/** A task as it is at this moment. */
export type Task = Job;

/** A task of `executeTasks`. */
export type TaskRequest = {
  [K in TaskType]: { type: K; data: TaskTypes[K]['data']; options?: TaskOptions };
}[TaskType];

/** The results of several tasks, in their order. */
export type TaskResults<R extends readonly { type: TaskType }[]> = {
  -readonly [I in keyof R]: TaskTypes[R[I]['type']]['result'];
};

/** SommOS's counters of tasks. */
export interface ParallelMetrics {
  totalTasks: number;
  completedTasks: number;
  failedTasks: number;
  activeTasks: number;
  queueSize: number;
  /** Mean run of the tasks that completed, milliseconds. */
  averageTaskTime: number;
  /** Tasks at work over `maxWorkers`, 0..1. */
  workerUtilization: number;
}

/** What a {@link ParallelProcessingEngine} emits. */
export type ParallelEvents = {
  workerCreated: [worker: { mode: 'threads' | 'single'; threads: number }];
  workerError: [error: SommosError];
  workerExited: [reason: string];
  taskQueued: [task: Task];
  taskStarted: [task: Task];
  taskProgress: [task: Task];
  taskCompleted: [task: Task];
  taskFailed: [task: Task, error: unknown];
  taskTimeout: [task: Task];
  taskCancelled: [task: Task];
  tasksCleared: [count: number];
  shutdownStarted: [];
  shutdownCompleted: [];
  error: [error: unknown];
};

/** What a task of the caller's own type computes. */
export type TaskHandler = (data: unknown, context: JobContext) => unknown;

const DAY_MS = 86_400_000;

/**
 * Tasks for the processors: the six kinds of work run in the compute worker, over its pool of
 * threads, and never in the calling thread.
 */
export class ParallelProcessingEngine extends Emitter<ParallelEvents> {
  readonly #jobs: AsyncProcessingEngine;
  readonly #maxWorkers: number;
  readonly #inputs = new Map<string, TaskOptions>();
  readonly #watcher: WorkerEvents;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: ParallelProcessingOptions = {}) {
    super();
    const processors = Math.min(Math.max(platform().processors(), 1), 1024);
    this.#maxWorkers = integer('maxWorkers', options.maxWorkers, { min: 1, max: 1024, default: processors });
    const taskTimeout = integer('taskTimeout', options.taskTimeout, { min: 1, max: DAY_MS, default: 300_000 });
    integer('workerTimeout', options.workerTimeout, { min: 1, max: DAY_MS, default: 600_000 });
    const { maxQueueSize } = options;
    this.#jobs = new AsyncProcessingEngine({
      maxConcurrentJobs: this.#maxWorkers,
      jobTimeout: taskTimeout,
      retryAttempts: 0,
      ...(maxQueueSize === undefined ? {} : { maxQueueSize }),
    });
    for (const type of TASK_TYPES) this.#register(type, (data, options) => runTask(type, data as never, options));
    this.#forward();
    this.#watcher = {
      workerCreated: (worker) => this.#say('workerCreated', worker),
      workerError: (error) => this.#say('workerError', error),
      workerExited: (reason) => this.#say('workerExited', reason),
    };
    compute.watchers.add(this.#watcher);
  }

  /** Adds a task of the caller's own type; it runs in this thread. */
  registerTaskHandler(type: string, handler: TaskHandler): this {
    callable(`the handler of ${type}`, handler);
    this.#jobs.registerJobHandler(type, (data, _job, context) =>
      handler((data as { input: unknown }).input, context),
    );
    return this;
  }

  /**
   * Queues a task; gives its id.
   *
   * @throws SommosError `UNKNOWN_NAME`, `INVALID_OPTION`, `QUEUE_FULL`, `CLOSED`.
   */
  async executeTask<K extends TaskType>(type: K, data: TaskTypes[K]['data'], options?: TaskOptions): Promise<string>;
  async executeTask(type: string, data: unknown, options?: TaskOptions): Promise<string>;
  async executeTask(type: string, data: unknown, options: TaskOptions = {}): Promise<string> {
    const { signal, priority, timeout } = options;
    if (data === undefined || data === null) {
      throw new SommosError('MISSING_FIELD', 'Task type and data are required');
    }
    signal?.throwIfAborted();
    const id = await this.#jobs.addJob(type, { input: data, options }, {
      ...(priority === undefined ? {} : { priority }),
      ...(timeout === undefined ? {} : { timeout }),
    });
    if (signal) {
      const abort = () => this.cancelTask(id);
      signal.addEventListener('abort', abort, { once: true });
      this.#inputs.set(id, options);
      void this.#jobs
        .waitForTask(id)
        .catch(() => undefined)
        .finally(() => {
          signal.removeEventListener('abort', abort);
          this.#inputs.delete(id);
        });
    }
    return id;
  }

  /** Runs several tasks; gives their results in order, or rejects with the first failure. */
  async executeTasks<const R extends readonly TaskRequest[]>(tasks: R): Promise<TaskResults<R>> {
    if (!Array.isArray(tasks)) throw invalidOption('tasks', tasks, 'an array of {type, data, options}');
    const ids: string[] = [];
    try {
      for (const { type, data, options } of tasks) ids.push(await this.executeTask(type, data, options));
      return (await Promise.all(ids.map((id) => this.waitForTask(id)))) as TaskResults<R>;
    } catch (error) {
      for (const id of ids) this.cancelTask(id);
      throw error;
    }
  }

  /**
   * The result of a task, once it is there.
   *
   * @throws SommosError `NOT_FOUND`, `TIMED_OUT` when `timeout` milliseconds pass first (the task
   *   goes on), `CANCELLED`, or what the task failed with.
   */
  async waitForTask(id: string, timeout?: number): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const controller = new AbortController();
    if (timeout !== undefined) {
      const ms = integer('timeout', timeout, { min: 0, max: DAY_MS, default: DAY_MS });
      const late = new SommosError('TIMED_OUT', `task ${id} has not ended within ${ms} ms; it goes on`);
      timer = setTimeout(() => controller.abort(late), ms);
    }
    try {
      const task = await this.#jobs.waitForTask(id, { signal: controller.signal });
      if (task.status === 'completed') return task.result;
      if (task.status === 'cancelled') {
        throw this.#inputs.get(id)?.signal?.reason ?? new SommosError('CANCELLED', `task ${id} was cancelled`);
      }
      throw new SommosError(task.errorCode, task.error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A task as it is now; null when it is unknown or forgotten. */
  getTaskStatus(id: string): Task | null {
    const job = this.#jobs.getJobStatus(id);
    return job && visible(job);
  }

  /** Ends a task that has not ended, wherever it is; false when there is nothing to cancel. */
  cancelTask(id: string): boolean {
    return this.#jobs.cancelJob(id);
  }

  /** The counters. */
  getMetrics(): ParallelMetrics {
    const { totalJobs, completedJobs, failedJobs, activeJobs, queueSize, averageProcessingTime } = this.#jobs.getMetrics();
    return {
      totalTasks: totalJobs,
      completedTasks: completedJobs,
      failedTasks: failedJobs,
      activeTasks: activeJobs,
      queueSize,
      averageTaskTime: averageProcessingTime,
      workerUtilization: activeJobs / this.#maxWorkers,
    };
  }

  /** Forgets the tasks that have ended; gives how many. */
  clearCompletedTasks(): number {
    return this.#jobs.clearCompletedJobs(0);
  }

  /** Ends the engine: running tasks are cancelled, whoever waits hears of it. */
  async shutdown(): Promise<void> {
    await this.#jobs.shutdown({ timeout: 0 });
    compute.watchers.delete(this.#watcher);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Tasks at work at once, count. */
  get maxWorkers(): number {
    return this.#maxWorkers;
  }

  #register(type: string, run: (data: unknown, options: CallOptions) => Promise<unknown>): void {
    this.#jobs.registerJobHandler(type, (data, _job, { signal, progress }) => {
      const { input, options } = data as { input: unknown; options: TaskOptions };
      const onProgress = (at: Progress) => {
        progress(at.total > 0 ? Math.min((100 * at.done) / at.total, 100) : 0);
        options.onProgress?.(at);
      };
      return run(input, { signal, onProgress, transfer: options.transfer });
    });
  }

  #forward(): void {
    this.#jobs
      .on('jobQueued', (job) => this.#say('taskQueued', visible(job)))
      .on('jobStarted', (job) => this.#say('taskStarted', visible(job)))
      .on('jobProgress', (job) => this.#say('taskProgress', visible(job)))
      .on('jobCompleted', (job) => this.#say('taskCompleted', visible(job)))
      .on('jobCancelled', (job) => this.#say('taskCancelled', visible(job)))
      .on('jobFailed', (job, error) => {
        if (job.status === 'failed' && job.errorCode === 'TIMED_OUT') this.#say('taskTimeout', visible(job));
        this.#say('taskFailed', visible(job), error);
      })
      .on('jobsCleared', (count) => this.#say('tasksCleared', count))
      .on('shutdownStarted', () => this.#say('shutdownStarted'))
      .on('shutdownCompleted', () => this.#say('shutdownCompleted'))
      .on('error', (error) => this.#say('error', error));
  }

  #say<K extends keyof ParallelEvents>(event: K, ...args: ParallelEvents[K]): void {
    this.emit(event, ...args);
  }
}

/** The task as its caller knows it: with the data that was given. */
function visible(job: Job): Task {
  const data = job.data as { input?: unknown };
  return data && typeof data === 'object' && 'input' in data ? { ...job, data: data.input } : job;
}
