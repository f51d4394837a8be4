import { finite, integer, invalidOption } from '../options.js';
import type { AsyncProcessingOptions, JobOptions, JobSettings } from './types.js';

const DAY_MS = 86_400_000;
const MONTH_MS = 30 * DAY_MS;

/** The options of an engine, checked. */
export function engineSettings(options: AsyncProcessingOptions) {
  const { persist } = options;
  if (persist !== undefined && typeof persist?.load !== 'function') {
    throw invalidOption('persist', persist, 'a JobStore: an object with load, put and delete');
  }
  return {
    maxConcurrentJobs: integer('maxConcurrentJobs', options.maxConcurrentJobs, {
      min: 1,
      max: 10_000,
      default: 5,
    }),
    jobTimeout: integer('jobTimeout', options.jobTimeout, {
      min: 1,
      max: DAY_MS,
      default: 1_800_000,
    }),
    retryAttempts: integer('retryAttempts', options.retryAttempts, {
      min: 0,
      max: 100,
      default: 3,
    }),
    retryDelay: integer('retryDelay', options.retryDelay, { min: 0, max: MONTH_MS, default: 1000 }),
    maxRetryDelay: integer('maxRetryDelay', options.maxRetryDelay, {
      min: 0,
      max: MONTH_MS,
      default: 3_600_000,
    }),
    retryJitter: finite('retryJitter', options.retryJitter, { min: 0, max: 1, default: 0 }),
    maxQueueSize: integer('maxQueueSize', options.maxQueueSize, {
      min: 1,
      max: 1_000_000,
      default: 10_000,
    }),
    maxFinishedJobs: integer('maxFinishedJobs', options.maxFinishedJobs, {
      min: 0,
      max: 1_000_000,
      default: 10_000,
    }),
    finishedRetention: integer('finishedRetention', options.finishedRetention, {
      min: 0,
      max: 365 * DAY_MS,
      default: DAY_MS,
    }),
    persist,
  };
}

/** The checked options of an engine. */
export type EngineSettings = ReturnType<typeof engineSettings>;

/** The options of a job, checked, with the engine's defaults. */
export function jobSettings(options: JobOptions, engine: EngineSettings): JobSettings {
  const { idempotencyKey: key } = options;
  if (key !== undefined && (typeof key !== 'string' || key.length === 0)) {
    throw invalidOption('idempotencyKey', key, 'a text of 1 to 256 bytes');
  }
  return {
    priority: integer('priority', options.priority, { min: -1e6, max: 1e6, default: 0 }),
    timeout: integer('timeout', options.timeout, {
      min: 1,
      max: DAY_MS,
      default: engine.jobTimeout,
    }),
    retries: integer('retries', options.retries, {
      min: 0,
      max: 100,
      default: engine.retryAttempts,
    }),
    delay: integer('delay', options.delay, { min: 0, max: MONTH_MS, default: 0 }),
    retryDelay: integer('retryDelay', options.retryDelay, {
      min: 0,
      max: MONTH_MS,
      default: engine.retryDelay,
    }),
    ...(key !== undefined && { idempotencyKey: key }),
  };
}
