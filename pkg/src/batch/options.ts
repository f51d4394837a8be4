import { callable, flag, integer, invalidOption } from '../options.js';
import type { BatchOptions, BatchProcessingOptions } from './types.js';

const DAY_MS = 86_400_000;

/** The options of an engine, checked. */
export function engineSettings(options: BatchProcessingOptions) {
  const count = (name: keyof BatchProcessingOptions, max: number, fallback: number): number =>
    integer(name, options[name], { min: 1, max, default: fallback });
  return {
    batchSize: count('batchSize', 1_000_000, 1000),
    maxConcurrency: count('maxConcurrency', 10_000, 5),
    chunkSize: count('chunkSize', 10_000_000, 10_000),
    processingTimeout: count('processingTimeout', DAY_MS, 1_800_000),
    maxActiveChunks: count('maxActiveChunks', 10_000, 64),
    maxQueuedChunks: count('maxQueuedChunks', 1_000_000, 200_000),
    maxFinishedBatches: integer('maxFinishedBatches', options.maxFinishedBatches, {
      min: 0,
      max: 1_000_000,
      default: 1000,
    }),
    finishedRetention: count('finishedRetention', 365 * DAY_MS, DAY_MS),
  };
}

/** The checked options of an engine. */
export type EngineSettings = ReturnType<typeof engineSettings>;

/** The options of a batch, checked, with the engine's defaults. */
export function batchSettings(options: BatchOptions, engine: EngineSettings) {
  const { signal, onProgress } = options;
  if (onProgress !== undefined) callable('onProgress', onProgress);
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw invalidOption('signal', signal, 'an AbortSignal');
  }
  return {
    batchSize: integer('batchSize', options.batchSize, {
      min: 1,
      max: 1_000_000,
      default: engine.batchSize,
    }),
    maxConcurrency: integer('maxConcurrency', options.maxConcurrency, {
      min: 1,
      max: 10_000,
      default: engine.maxConcurrency,
    }),
    timeout: integer('timeout', options.timeout, {
      min: 1,
      max: DAY_MS,
      default: engine.processingTimeout,
    }),
    priority: integer('priority', options.priority, { min: -1e6, max: 1e6, default: 0 }),
    retries: integer('retries', options.retries, { min: 0, max: 100, default: 0 }),
    retryDelay: integer('retryDelay', options.retryDelay, {
      min: 0,
      max: 30 * DAY_MS,
      default: 1000,
    }),
    stopOnError: flag('stopOnError', options.stopOnError, false),
    signal,
    onProgress,
  };
}

/** The checked options of a batch. */
export type BatchSettings = ReturnType<typeof batchSettings>;
