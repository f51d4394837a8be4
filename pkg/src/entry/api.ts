/**
 * `@sommos/performance/api`: the whole REST API in memory, for a service worker that answers
 * offline or a test that needs no server.
 */
export { PerformanceApi, type ApiConfig } from '../api/service.js';
