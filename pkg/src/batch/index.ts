export { BatchProcessingEngine, type BatchProcessor } from './engine.js';
export {
  MemoryEfficientBatchProcessor,
  type CollectedGarbage,
  type MemoryEfficientBatchOptions,
} from './memory.js';
export { ParallelBatchProcessor, type ParallelBatchOptions, type TaskPool } from './parallel.js';
export {
  ProcessingStream,
  type ProcessingStreamEvents,
  type ProcessingStreamOptions,
} from './stream.js';
export {
  StreamingDataProcessor,
  type StreamingDataEvents,
  type StreamingDataOptions,
} from './streaming.js';
export type {
  Aggregation,
  Batch,
  BatchData,
  BatchEvents,
  BatchMetrics,
  BatchOptions,
  BatchProcessingOptions,
  BatchStatus,
  ChunkContext,
  ChunkFailure,
  ChunkProcessor,
  DataOperation,
  DoneBatch,
  EndedBatch,
  FailedBatch,
  FieldTransform,
  OpenBatch,
} from './types.js';
