import { flag, invalidOption } from '../options.js';
import { BatchProcessingEngine, type BatchProcessor } from './engine.js';
import type { AnyProcessor } from './run.js';
import type { BatchData, BatchOptions, BatchProcessingOptions } from './types.js';

/** What runs tasks in workers; a `WorkerPoolManager` is one. */
export interface TaskPool {
  executeTask(type: string, data: unknown): Promise<unknown>;
}

/** How a {@link ParallelBatchProcessor} works. */
export interface ParallelBatchOptions extends BatchProcessingOptions {
  /** Where chunks run. Default: the package's own worker, which knows the built-in operations. */
  workerPool?: TaskPool;
  /** Whether to use `workerPool` at all. Default true. */
  useWorkers?: boolean;
}

/**
 * Runs chunks in workers: those of built-in operations, and those of a task type that the pool
 * knows, named by its text. A function cannot leave its thread and runs where it is.
 */
export class ParallelBatchProcessor extends BatchProcessingEngine {
  readonly #pool: TaskPool | undefined;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: ParallelBatchOptions = {}) {
    const { workerPool } = options;
    if (workerPool !== undefined && typeof workerPool?.executeTask !== 'function') {
      throw invalidOption('workerPool', workerPool, 'an object with executeTask(type, data)');
    }
    const useWorkers = flag('useWorkers', options.useWorkers, true);
    super(options);
    this.#pool = useWorkers ? workerPool : undefined;
  }

  /** As in {@link BatchProcessingEngine}; a text names a task type of the pool. */
  override processBatch<I, O>(
    data: BatchData<I>,
    processor: BatchProcessor<I, O> | string,
    options: BatchOptions = {},
  ): Promise<string> {
    return super.processBatch(data, processor as BatchProcessor<I, O>, options);
  }

  protected override processorOf(
    processor: BatchProcessor<unknown, unknown> | string,
  ): AnyProcessor {
    const pool = this.#pool;
    if (typeof processor === 'string') {
      if (pool) return (chunk) => pool.executeTask(processor, chunk);
      throw invalidOption('processor', processor, 'a function, for there is no workerPool');
    }
    if (pool && Array.isArray(processor)) {
      return (dataset) => pool.executeTask('data_processing', { dataset, operations: processor });
    }
    return super.processorOf(processor);
  }
}
