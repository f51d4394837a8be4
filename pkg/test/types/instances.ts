// One instance of each class, with its type parameters' defaults: types.node.test.js reads the
// names of events off them.

import type * as sommos from '@sommos/performance';

export declare const instances: {
  AdvancedCacheManager: sommos.AdvancedCacheManager;
  DistributedCacheManager: sommos.DistributedCacheManager;
  AsyncProcessingEngine: sommos.AsyncProcessingEngine;
  WorkerPoolManager: sommos.WorkerPoolManager;
  EventDrivenProcessor: sommos.EventDrivenProcessor;
  BatchProcessingEngine: sommos.BatchProcessingEngine;
  StreamingDataProcessor: sommos.StreamingDataProcessor;
  ParallelBatchProcessor: sommos.ParallelBatchProcessor;
  MemoryEfficientBatchProcessor: sommos.MemoryEfficientBatchProcessor;
  ParallelProcessingEngine: sommos.ParallelProcessingEngine;
  SimilarityCalculationEngine: sommos.SimilarityCalculationEngine;
  MatrixProcessingEngine: sommos.MatrixProcessingEngine;
  MemoryOptimizationEngine: sommos.MemoryOptimizationEngine;
  SparseMatrix: sommos.SparseMatrix;
  CircularBuffer: sommos.CircularBuffer<unknown>;
  LRUCache: sommos.LRUCache<string, unknown>;
  BloomFilter: sommos.BloomFilter;
  CompressedArray: sommos.CompressedArray<unknown>;
  PerformanceMonitoringEngine: sommos.PerformanceMonitoringEngine;
};
