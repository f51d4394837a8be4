import { SommosError } from '../errors.js';
import { ParallelProcessingEngine, type TaskOptions } from './engine.js';
import { mode } from '../runtime/mode.js';
import type { TaskType, TaskTypes } from './tasks.js';

/** How a {@link WorkerPoolManager} works. */
export interface WorkerPoolOptions {
  /** Tasks at work at once, count: 1 to 1024. Default: the processors that may be used. */
  maxWorkers?: number;
  /** Longest run of a task, milliseconds. Default 300,000. */
  workerTimeout?: number;
}

/** What a pool is doing. */
export interface WorkerPoolStats {
  maxWorkers: number;
  activeWorkers: number;
  idleWorkers: number;
  queuedTasks: number;
  totalTasks: number;
  completedTasks: number;
  failedTasks: number;
  /** Threads of the compute worker, count. */
  threads: number;
}

/** Runs tasks and gives their results, without ids to keep. */
export class WorkerPoolManager {
  readonly #engine: ParallelProcessingEngine;
  readonly #maxWorkers: number;
  #closed = false;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor({ maxWorkers, workerTimeout }: WorkerPoolOptions = {}) {
    this.#engine = new ParallelProcessingEngine({
      ...(maxWorkers === undefined ? {} : { maxWorkers }),
      ...(workerTimeout === undefined ? {} : { taskTimeout: workerTimeout }),
    });
    this.#maxWorkers = this.#engine.maxWorkers;
  }

  /** Runs a task; gives its result. */
  async executeTask<K extends TaskType>(
    type: K,
    data: TaskTypes[K]['data'],
    options?: TaskOptions,
  ): Promise<TaskTypes[K]['result']> {
    if (this.#closed) throw new SommosError('CLOSED', 'this WorkerPoolManager was shut down');
    const id = await this.#engine.executeTask(type, data, options);
    return (await this.#engine.waitForTask(id)) as TaskTypes[K]['result'];
  }

  /** What the pool is doing. */
  getStats(): WorkerPoolStats {
    const { totalTasks, completedTasks, failedTasks, activeTasks, queueSize } = this.#engine.getMetrics();
    return {
      maxWorkers: this.#maxWorkers,
      activeWorkers: activeTasks,
      idleWorkers: this.#maxWorkers - activeTasks,
      queuedTasks: queueSize,
      totalTasks,
      completedTasks,
      failedTasks,
      threads: mode().threads,
    };
  }

  /** Ends the pool; what runs is cancelled. */
  async shutdown(): Promise<void> {
    this.#closed = true;
    await this.#engine.shutdown();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }
}
