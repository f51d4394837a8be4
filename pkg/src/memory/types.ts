import type { CompressionAlgorithm } from './compression.js';
import type { CurrentMemory } from './process.js';

/** What a MemoryOptimizationEngine is made with. */
export interface MemoryOptimizationOptions {
  /** Most tracked bytes. Default 104857600 (100 MiB). */
  memoryLimit?: number | undefined;
  /** Whether `compress` and `decompress` may be used. Default true. */
  compressionEnabled?: boolean | undefined;
  /** Whether `lazyLoad` keeps what it loaded. Default true. */
  lazyLoadingEnabled?: boolean | undefined;
  /** Time between two collections, milliseconds, at least 10. Default 60000. */
  garbageCollectionInterval?: number | undefined;
  /** Most pools, count. Default 100. */
  maxPools?: number | undefined;
  /** Most objects that lie in one pool, count. Default 100. */
  maxPooledObjects?: number | undefined;
  /** Most values that `lazyLoad` keeps, count; together at most `memoryLimit` bytes. Default 1000. */
  maxLazyEntries?: number | undefined;
}

/** What `allocate` answers. */
export interface Allocation {
  /** Bytes. */
  size: number;
  /** What for. */
  type: string;
  /** Unix milliseconds. */
  allocatedAt: number;
}

/** What a collection freed. */
export interface GarbageCollection {
  /** Objects dropped from pools. */
  pooledObjects: number;
  /** Lazily loaded values dropped. */
  lazyEntries: number;
  /** About how many bytes these occupied. */
  lazyBytes: number;
  /** Whether the engine's own collector ran: only where it is exposed. */
  collected: boolean;
  /** Bytes by which the heap shrank; null without a collection. */
  heapFreed: number | null;
}

/** What `lazyLoad` takes. */
export interface LazyLoadOptions {
  /** Whether the value is kept. Default true. */
  cache?: boolean | undefined;
}

/** What `getMemoryStats` answers. */
export interface MemoryStats {
  /** The process or page, bytes; null where the platform does not tell. */
  current: CurrentMemory & {
    /** Memory of the WebAssembly module. */
    engine: number;
  };
  /** What `allocate` and `deallocate` counted. */
  tracking: {
    memoryUsage: number;
    memoryPeak: number;
    allocationCount: number;
    deallocationCount: number;
    memoryLimit: number;
  };
  /** What is kept for reuse, counts. */
  pools: {
    objectPools: number;
    bufferPools: number;
    lazyCache: number;
    /** Always 0: no compressed answer is kept. */
    compressionCache: number;
  };
}

/** Events of a MemoryOptimizationEngine. */
export type MemoryEvents = {
  memoryLimitExceeded: [used: number, limit: number];
  memoryAllocated: [allocation: Allocation];
  memoryDeallocated: [deallocation: { size: number; type: string }];
  objectCreated: [pool: string];
  objectReused: [pool: string];
  objectReturned: [pool: string];
  dataLazyLoaded: [key: string];
  dataCompressed: [algorithm: CompressionAlgorithm, before: number, after: number];
  garbageCollectionTriggered: [outcome: GarbageCollection];
  memoryMetricsUpdated: [stats: MemoryStats];
  error: [error: unknown];
};
