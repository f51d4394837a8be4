export { BloomFilter } from './bloom-filter.js';
export type { BloomFilterByItems, BloomFilterBySize, BloomFilterItem, BloomFilterOptions } from './bloom-filter.js';
export { CircularBuffer, type CircularBufferOptions } from './circular-buffer.js';
export { CompressedArray, type CompressedArrayOptions } from './compressed-array.js';
export { LRUCache, type LRUCacheOptions } from './lru-cache.js';
export { SparseMatrix, type SparseMatrixOptions } from './sparse-matrix.js';
export { MemoryOptimizationEngine, type StructureType } from './memory-optimization-engine.js';
export type {
  CompressionAlgorithm,
  CompressOptions,
  DecompressAs,
  DecompressOptions,
} from './compression.js';
export type {
  Allocation,
  GarbageCollection,
  LazyLoadOptions,
  MemoryEvents,
  MemoryOptimizationOptions,
  MemoryStats,
} from './types.js';
export type { CurrentMemory } from './process.js';
