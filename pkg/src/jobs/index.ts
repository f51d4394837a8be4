export { AsyncProcessingEngine } from './engine.js';
export {
  BUILTIN_TYPES,
  setBuiltinRunner,
  type BuiltinContext,
  type BuiltinRunner,
  type BuiltinType,
} from './builtin.js';
export {
  EventDrivenProcessor,
  type EventHandlerOptions,
  type EventProcessorEvents,
  type EventProcessorOptions,
  type ProcessedEvent,
} from './events.js';
export { IndexedDbJobStore, type JobStore, type StoredJob } from './store.js';
export type {
  ActiveJob,
  AnyJobTypes,
  AsyncProcessingOptions,
  CancelledJob,
  CompletedJob,
  EndedJob,
  FailedJob,
  Job,
  JobContext,
  JobEvent,
  JobEventName,
  JobEvents,
  JobHandler,
  JobMetrics,
  JobOptions,
  JobSettings,
  JobType,
  JobTypes,
  QueuedJob,
  RunningJob,
  ShutdownOptions,
} from './types.js';
