/**
 * The performance engine of SommOS: caching, background jobs, batches, parallel similarity and
 * matrices, memory structures, monitoring.
 */
import { setBuiltinRunner } from './jobs/builtin.js';
import { runTask } from './parallel/tasks.js';

// Jobs and batches of a built-in type run in the compute worker.
setBuiltinRunner((type, data, options) => runTask(type, data as never, options));

export { init } from './runtime/init.js';
export { mode, type InitOptions, type Mode } from './runtime/mode.js';
export { moduleBytes } from './engine.js';
export { SommosError } from './errors.js';
export { compute, type CallOptions, type Progress } from './runtime/compute.js';
export type { FlatMatrix, Id } from './runtime/calls.js';
export * from './batch/index.js';
export * from './cache/index.js';
export * from './jobs/index.js';
export * from './parallel/index.js';
export * from './memory/index.js';
export * from './monitoring/index.js';
export { PerformanceMonitoringEngine as default } from './monitoring/index.js';
