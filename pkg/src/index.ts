/**
 * The performance engine of SommOS: caching, background jobs, batches, parallel similarity and
 * matrices, memory structures, monitoring.
 */
export { init } from './runtime/init.js';
export { mode, type InitOptions, type Mode } from './runtime/mode.js';
export { SommosError } from './errors.js';
export { compute, type CallOptions, type Progress } from './runtime/compute.js';
export const placeholder = 1;
export default placeholder;
