export { PerformanceMonitoringEngine } from './performance-monitoring-engine.js';
export type * from './types.js';
