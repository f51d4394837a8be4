import type { JobStore } from './store.js';

/** What a type of job takes and gives. */
export interface JobType {
  data: unknown;
  result: unknown;
}

/** A map of types of jobs: `{ resize: { data: Image; result: Blob } }`. */
export type JobTypes<T> = { [K in keyof T]: JobType };

/** Any types: data and results are unknown. */
export type AnyJobTypes = { [type: string]: JobType };

/** The names of the types. */
export type NameOf<T> = keyof T & string;

/** How an {@link AsyncProcessingEngine} works. */
export interface AsyncProcessingOptions {
  /** Handlers at work at once, count: 1 to 10,000. Default 5. */
  maxConcurrentJobs?: number;
  /** Longest run of one attempt, milliseconds: 1 to 86,400,000. Default 1,800,000. */
  jobTimeout?: number;
  /** Attempts after the first, count: 0 to 100. Default 3. */
  retryAttempts?: number;
  /** Wait before the first retry, milliseconds; doubled for each further one. Default 1000. */
  retryDelay?: number;
  /** Longest wait before a retry, milliseconds. Default 3,600,000. */
  maxRetryDelay?: number;
  /** Part of that wait that is random, 0 to 1. Default 0. */
  retryJitter?: number;
  /** Jobs that may wait or run, count: 1 to 1,000,000. Default 10,000. */
  maxQueueSize?: number;
  /** Ended jobs that are kept, count. Default 10,000. */
  maxFinishedJobs?: number;
  /** How long ended jobs are kept, milliseconds. Default 86,400,000. */
  finishedRetention?: number;
  /** Keeps waiting jobs and their data over a reload. Default: none, they live in memory. */
  persist?: JobStore;
}

/** How one job runs. */
export interface JobOptions {
  /** A higher number runs first: -1,000,000 to 1,000,000. Default 0. */
  priority?: number;
  /** Longest run of one attempt, milliseconds. Default: jobTimeout. */
  timeout?: number;
  /** Attempts after the first, count. Default: retryAttempts. */
  retries?: number;
  /** Not before this long after its submission, milliseconds. Default 0. */
  delay?: number;
  /** Wait before the first retry, milliseconds. Default: retryDelay. */
  retryDelay?: number;
  /** A second job with the same key is not added: the first one's id answers. 1 to 256 bytes. */
  idempotencyKey?: string;
}

/** The options of a job with their defaults filled in. */
export interface JobSettings {
  readonly priority: number;
  readonly timeout: number;
  readonly retries: number;
  readonly delay: number;
  readonly retryDelay: number;
  readonly idempotencyKey?: string;
}

interface JobBase<K extends string, D> {
  /** `job_<milliseconds>_<random>`. */
  readonly id: string;
  readonly type: K;
  readonly data: D;
  readonly options: JobSettings;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** Attempts begun. */
  readonly attempts: number;
  /** Attempts allowed. */
  readonly maxAttempts: number;
  /** Percent done of the last attempt, 0 to 100. */
  readonly progress: number;
  /** What the handler last said of its progress. */
  readonly note: string | null;
}

/** Waits: for a slot, its delay or its next attempt. */
export interface QueuedJob<K extends string = string, D = unknown> extends JobBase<K, D> {
  readonly status: 'queued';
  /** When its last attempt began; null before the first. */
  readonly startedAt: number | null;
  readonly completedAt: null;
  readonly failedAt: null;
  readonly result: null;
  /** Why its last attempt failed. */
  readonly error: string | null;
}

/** A handler has it. */
export interface RunningJob<K extends string = string, D = unknown> extends JobBase<K, D> {
  readonly status: 'running';
  readonly startedAt: number;
  readonly completedAt: null;
  readonly failedAt: null;
  readonly result: null;
  readonly error: string | null;
}

/** Done. */
export interface CompletedJob<K extends string = string, D = unknown, R = unknown>
  extends JobBase<K, D> {
  readonly status: 'completed';
  readonly success: true;
  readonly startedAt: number;
  readonly completedAt: number;
  readonly failedAt: null;
  readonly result: R;
  readonly error: null;
}

/** Failed for good. */
export interface FailedJob<K extends string = string, D = unknown> extends JobBase<K, D> {
  readonly status: 'failed';
  readonly success: false;
  readonly startedAt: number | null;
  readonly completedAt: null;
  readonly failedAt: number;
  readonly result: null;
  readonly error: string;
  /** A word for programs: the thrown error's `code`, `TIMED_OUT`, `UNKNOWN_JOB_TYPE`. */
  readonly errorCode: string;
}

/** Cancelled; `completedAt` says when. */
export interface CancelledJob<K extends string = string, D = unknown> extends JobBase<K, D> {
  readonly status: 'cancelled';
  readonly success: false;
  readonly startedAt: number | null;
  readonly completedAt: number;
  readonly failedAt: null;
  readonly result: null;
  readonly error: string | null;
}

/** A job that will not change any more. */
export type EndedJobOf<K extends string, D, R> =
  | CompletedJob<K, D, R>
  | FailedJob<K, D>
  | CancelledJob<K, D>;

/** A job as it is at this moment, by its type and its status. */
export type Job<T extends JobTypes<T> = AnyJobTypes> = {
  [K in NameOf<T>]:
    | QueuedJob<K, T[K]['data']>
    | RunningJob<K, T[K]['data']>
    | EndedJobOf<K, T[K]['data'], T[K]['result']>;
}[NameOf<T>];

/** A job that ended. */
export type EndedJob<T extends JobTypes<T> = AnyJobTypes> = {
  [K in NameOf<T>]: EndedJobOf<K, T[K]['data'], T[K]['result']>;
}[NameOf<T>];

/** The job that a handler gets. */
export type ActiveJob<K extends string, D> = RunningJob<K, D> & {
  /** The same as `progress` of the context. */
  updateProgress(percent: number, note?: string): void;
};

/** What a handler gets beside its data and job. */
export interface JobContext {
  /** Aborted when the job is cancelled, times out or the engine shuts down. */
  readonly signal: AbortSignal;
  /** Which attempt, from 1. */
  readonly attempt: number;
  /** Says how far it is: 0 to 100, never going back, with a few words. */
  progress(percent: number, note?: string): void;
}

/** Runs the jobs of one type. */
export type JobHandler<K extends string, D, R> = (
  data: D,
  job: ActiveJob<K, D>,
  context: JobContext,
) => R | Promise<R>;

/** SommOS's counters of jobs. */
export interface JobMetrics {
  totalJobs: number;
  completedJobs: number;
  failedJobs: number;
  cancelledJobs: number;
  /** Attempts that failed and were followed by another. */
  retries: number;
  activeJobs: number;
  queueSize: number;
  /** Mean run of the attempts that completed, milliseconds; 0 before the first. */
  averageProcessingTime: number;
  /** The last 100 of them, milliseconds, oldest first. */
  processingTimes: number[];
}

/** What an {@link AsyncProcessingEngine} emits. */
export type JobEvents<T extends JobTypes<T> = AnyJobTypes> = {
  handlerRegistered: [type: NameOf<T>];
  jobQueued: [job: Job<T>];
  jobStarted: [job: Job<T>];
  jobProgress: [job: Job<T>];
  jobCompleted: [job: Job<T>];
  jobRetry: [job: Job<T>, delay: number];
  jobFailed: [job: Job<T>, error: unknown];
  jobCancelled: [job: Job<T>];
  jobsCleared: [count: number];
  shutdownStarted: [];
  shutdownCompleted: [];
  error: [error: unknown];
};

/** The events of one job. */
export type JobEventName =
  | 'jobQueued'
  | 'jobStarted'
  | 'jobProgress'
  | 'jobCompleted'
  | 'jobRetry'
  | 'jobFailed'
  | 'jobCancelled';

/** One event of a job, as `jobEvents` gives them. */
export interface JobEvent<T extends JobTypes<T> = AnyJobTypes> {
  type: JobEventName;
  job: Job<T>;
  /** Of a `jobRetry`: milliseconds until the next attempt. */
  delay?: number;
}

/** How an engine is shut down. */
export interface ShutdownOptions {
  /** Whether waiting jobs are run first; otherwise they are cancelled at once. Default false. */
  drain?: boolean;
  /** How long running jobs may go on, milliseconds; then they are cancelled. Default 30,000. */
  timeout?: number;
}
