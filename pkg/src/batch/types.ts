import type { Status } from '../jobs/queue.js';

/** How a {@link BatchProcessingEngine} works. */
export interface BatchProcessingOptions {
  /** Items of a chunk, count: 1 to 1,000,000. Default 1000. */
  batchSize?: number;
  /** Chunks of one batch at work at once, count: 1 to 10,000. Default 5. */
  maxConcurrency?: number;
  /** Items that are read ahead of the processor from an iterable, count. Default 10,000. */
  chunkSize?: number;
  /** Longest time from a batch's start to its end, milliseconds. Default 1,800,000. */
  processingTimeout?: number;
  /** Chunks of all batches at work at once, count: 1 to 10,000. Default 64. */
  maxActiveChunks?: number;
  /** Chunks that may wait or run, all batches together, count. Default 200,000. */
  maxQueuedChunks?: number;
  /** Ended batches that are kept with their results, count. Default 1000. */
  maxFinishedBatches?: number;
  /** How long they are kept, milliseconds. Default 86,400,000. */
  finishedRetention?: number;
}

/** How one batch runs. */
export interface BatchOptions {
  /** Items of a chunk. Default: the engine's batchSize. */
  batchSize?: number;
  /** Chunks at work at once. Default: the engine's maxConcurrency. */
  maxConcurrency?: number;
  /** Longest time from its start to its end, milliseconds. Default: processingTimeout. */
  timeout?: number;
  /** A higher number runs first. Default 0. */
  priority?: number;
  /** Attempts of a chunk after the first, count. Default 0. */
  retries?: number;
  /** Wait before a chunk's first retry, milliseconds; then doubled. Default 1000. */
  retryDelay?: number;
  /** Whether the first chunk that fails ends the batch. Default false: the others go on. */
  stopOnError?: boolean;
  /** Cancels the batch when it aborts. */
  signal?: AbortSignal;
  /** Told after each chunk: items that were processed, items known so far. */
  onProgress?: (progress: { done: number; total: number }) => void;
}

/** What a processor gets beside its items. */
export interface ChunkContext {
  readonly batchId: string;
  /** The chunk's place in the batch, from 0. */
  readonly index: number;
  /** Place of its first item in the data. */
  readonly offset: number;
  /** Which attempt, from 1. */
  readonly attempt: number;
  /** Aborted when the batch is cancelled, fails or runs out of time. */
  readonly signal: AbortSignal;
}

/** Works on one chunk; gives the processed items, as many as it likes. */
export type ChunkProcessor<I, O> = (
  chunk: I[],
  context: ChunkContext,
) => Iterable<O> | Promise<Iterable<O>>;

/** One of the built-in operations on records; see the documentation of `data_processing`. */
export type DataOperation =
  | { type: 'filter'; criteria: Record<string, unknown> }
  | { type: 'transform'; transform: Record<string, FieldTransform> }
  | { type: 'aggregate'; groupBy: string[]; aggregations: Record<string, Aggregation> }
  | { type: 'sort'; sortBy: string; order?: 'asc' | 'desc' }
  | { type: 'normalize'; fields: string[] };

/** What a transform does to a field. */
export type FieldTransform =
  | { type: 'multiply' | 'add'; value: number }
  | { type: 'normalize'; min: number; max: number }
  | { type: 'log' | 'sqrt' };

/** How an aggregate sums a field up. */
export type Aggregation = 'sum' | 'avg' | 'count' | 'min' | 'max' | 'median';

/** Where items come from. Iterables are drawn from as chunks end, a little ahead. */
export type BatchData<I> = readonly I[] | Iterable<I> | AsyncIterable<I>;

/** A chunk that failed. */
export interface ChunkFailure {
  /** The chunk's place in the batch, from 0. */
  chunk: number;
  error: string;
}

interface BatchBase<O> {
  /** `batch_<milliseconds>_<random>`. */
  readonly id: string;
  /** Items known so far: all of an array at once, of an iterable as it is read. */
  readonly totalItems: number;
  /** Items of completed chunks. */
  readonly processedItems: number;
  readonly totalChunks: number;
  readonly completedChunks: number;
  readonly failedChunks: number;
  /** What completed chunks gave, in the order of the input; put together when first read. */
  readonly results: O[];
  /** The first 100 chunks that failed. */
  readonly errors: ChunkFailure[];
  /** Percent of its chunks that have ended; below 100 while an iterable is still read. */
  readonly progress: number;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly startedAt: number | null;
  /** From its start to its end or to now, milliseconds. */
  readonly processingTime: number;
}

/** A batch that waits or runs. */
export interface OpenBatch<O = unknown> extends BatchBase<O> {
  readonly status: 'queued' | 'running';
  readonly completedAt: null;
  readonly error: null;
}

/** A batch that was worked off, perhaps with errors of some chunks, or cancelled. */
export interface DoneBatch<O = unknown> extends BatchBase<O> {
  readonly status: 'completed' | 'cancelled';
  readonly completedAt: number;
  readonly error: null;
}

/** A batch that failed: all its chunks did, its data or its time ran out. */
export interface FailedBatch<O = unknown> extends BatchBase<O> {
  readonly status: 'failed';
  readonly completedAt: number;
  readonly error: string;
}

/** A batch that will not change any more. */
export type EndedBatch<O = unknown> = DoneBatch<O> | FailedBatch<O>;

/** A batch as it is at this moment, by its status. */
export type Batch<O = unknown> = OpenBatch<O> | EndedBatch<O>;

/** Where a batch is in its life. */
export type BatchStatus = Status;

/** SommOS's counters of batches. */
export interface BatchMetrics {
  totalBatches: number;
  completedBatches: number;
  failedBatches: number;
  cancelledBatches: number;
  activeBatches: number;
  /** Items of completed chunks, all batches together. */
  totalItemsProcessed: number;
  /** Mean time of the batches that ended, milliseconds; 0 before the first. */
  averageProcessingTime: number;
  /** Chunks at work. */
  activeChunks: number;
}

/** What a {@link BatchProcessingEngine} emits. */
export type BatchEvents = {
  batchQueued: [batch: Batch];
  batchStarted: [batch: Batch];
  batchProgress: [batch: Batch];
  batchCompleted: [batch: Batch];
  batchFailed: [batch: Batch, error: string];
  batchCancelled: [batch: Batch];
  batchesCleared: [count: number];
  error: [error: unknown];
};
