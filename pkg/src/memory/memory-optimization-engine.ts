import { Emitter } from '../emitter.js';
import { engine } from '../engine.js';
import { guarded, SommosError } from '../errors.js';
import type { MemoryLedger } from '../generated/engine/engine.js';
import { callable, flag, integer, oneOf } from '../options.js';
import { every } from '../timer.js';
import { BloomFilter, type BloomFilterOptions } from './bloom-filter.js';
import { CircularBuffer, type CircularBufferOptions } from './circular-buffer.js';
import { CompressedArray, type CompressedArrayOptions } from './compressed-array.js';
import {
  bytesOf,
  compressBytes,
  decompressBytes,
  valueOf,
  type CompressionAlgorithm,
  type CompressOptions,
  type DecompressAs,
  type DecompressOptions,
} from './compression.js';
import { Held } from './held.js';
import { LazyCache } from './lazy.js';
import { LRUCache, type LRUCacheOptions } from './lru-cache.js';
import { ObjectPools } from './pools.js';
import { currentMemory } from './process.js';
import { SparseMatrix, type SparseMatrixOptions } from './sparse-matrix.js';
import type {
  Allocation,
  GarbageCollection,
  LazyLoadOptions,
  MemoryEvents,
  MemoryOptimizationOptions,
  MemoryStats,
} from './types.js';

const MIB = 1024 * 1024;
const TIMER_MAX_MS = 2 ** 31 - 1;

const STRUCTURES = [
  'sparse_matrix',
  'circular_buffer',
  'lru_cache',
  'bloom_filter',
  'compressed_array',
] as const;

/** Names of the structures that {@link MemoryOptimizationEngine.createEfficientStructure} makes. */
export type StructureType = (typeof STRUCTURES)[number];

/** Small structures, compression, object pools, lazy loading, and the account of tracked memory. */
export class MemoryOptimizationEngine extends Emitter<MemoryEvents> {
  readonly memoryLimit: number;
  readonly compressionEnabled: boolean;
  readonly lazyLoadingEnabled: boolean;
  readonly #ledger: Held<MemoryLedger>;
  readonly #pools: ObjectPools;
  readonly #lazy: LazyCache;
  readonly #stop: () => void;

  constructor(options: MemoryOptimizationOptions = {}) {
    super();
    const bytes = { min: 1, max: Number.MAX_SAFE_INTEGER, default: 100 * MIB };
    this.memoryLimit = integer('memoryLimit', options.memoryLimit, bytes);
    this.compressionEnabled = flag('compressionEnabled', options.compressionEnabled, true);
    this.lazyLoadingEnabled = flag('lazyLoadingEnabled', options.lazyLoadingEnabled, true);
    const times = { min: 10, max: TIMER_MAX_MS, default: 60_000 };
    const interval = integer('garbageCollectionInterval', options.garbageCollectionInterval, times);
    const counts = { min: 1, max: 1_000_000, default: 100 };
    const pools = integer('maxPools', options.maxPools, counts);
    const objects = integer('maxPooledObjects', options.maxPooledObjects, counts);
    const values = integer('maxLazyEntries', options.maxLazyEntries, { ...counts, default: 1000 });
    const { MemoryLedger: Binding } = engine();
    this.#ledger = new Held('MemoryOptimizationEngine', new Binding(this.memoryLimit));
    this.#pools = new ObjectPools(pools, objects);
    this.#lazy = new LazyCache(values, Math.max(this.memoryLimit, 1024), counts.max);
    this.#stop = every(interval, () => {
      this.triggerGarbageCollection();
      this.emit('memoryMetricsUpdated', this.getMemoryStats());
    });
  }

  /** Makes a structure by its name. @throws SommosError `INVALID_OPTION`. */
  createEfficientStructure(type: 'sparse_matrix', options: SparseMatrixOptions): SparseMatrix;
  createEfficientStructure<T = unknown>(type: 'circular_buffer', options?: CircularBufferOptions): CircularBuffer<T>;
  createEfficientStructure<K = unknown, V = unknown>(
    type: 'lru_cache',
    options?: LRUCacheOptions<K, V>,
  ): LRUCache<K, V>;
  createEfficientStructure(type: 'bloom_filter', options?: BloomFilterOptions): BloomFilter;
  createEfficientStructure<T = unknown>(type: 'compressed_array', options?: CompressedArrayOptions): CompressedArray<T>;
  createEfficientStructure(
    type: StructureType,
    options: object = {},
  ): SparseMatrix | CircularBuffer<unknown> | LRUCache<unknown, unknown> | BloomFilter | CompressedArray<unknown> {
    void this.#ledger.inner;
    switch (oneOf('type', type, STRUCTURES)) {
      case 'sparse_matrix':
        return new SparseMatrix(options as SparseMatrixOptions);
      case 'circular_buffer':
        return new CircularBuffer(options);
      case 'lru_cache':
        return new LRUCache(options);
      case 'bloom_filter':
        return new BloomFilter(options);
      case 'compressed_array':
        return new CompressedArray(options);
    }
  }

  /**
   * Counts `size` bytes that the application allocates. Beyond the limit it frees what it can,
   * emits `memoryLimitExceeded` and refuses.
   *
   * @throws SommosError `INVALID_FIELD`, `LIMIT_EXCEEDED`; nothing is then counted.
   */
  allocate(size: number, type = 'general'): Allocation {
    const ledger = this.#ledger.inner;
    checkSize(size);
    try {
      guarded(() => ledger.allocate(size));
    } catch (error) {
      const used = (ledger.figures()[0] as number) + size;
      this.triggerGarbageCollection({ all: true });
      this.emit('memoryLimitExceeded', used, this.memoryLimit);
      throw error;
    }
    const allocation = { size, type, allocatedAt: Date.now() };
    this.emit('memoryAllocated', allocation);
    return allocation;
  }

  /** Counts them as given back. @throws SommosError `INVALID_FIELD` when fewer are counted. */
  deallocate(size: number, type = 'general'): void {
    const ledger = this.#ledger.inner;
    checkSize(size);
    guarded(() => ledger.deallocate(size));
    this.emit('memoryDeallocated', { size, type });
  }

  /** An object of a pool, or, when it is empty, a new one of `factory`. */
  getFromPool<T>(name: string, factory: () => T): T {
    void this.#ledger.inner;
    callable('factory', factory);
    const taken = this.#pools.take(name);
    if (taken) {
      this.emit('objectReused', name);
      return taken.object as T;
    }
    const made = factory();
    this.emit('objectCreated', name);
    return made;
  }

  /**
   * Gives an object back, after `reset` made it as new. False when the pool is full: the object is
   * then dropped. What `reset` throws is thrown on, and the object is dropped.
   *
   * @throws SommosError `INVALID_FIELD` when it is there already, `LIMIT_EXCEEDED` beyond `maxPools`.
   */
  returnToPool<T>(name: string, object: T, reset?: (object: T) => void): boolean {
    void this.#ledger.inner;
    if (reset !== undefined) callable('reset', reset)(object);
    const kept = this.#pools.put(name, object);
    if (kept) this.emit('objectReturned', name);
    return kept;
  }

  /**
   * The value of `key`, which `loader` gives at its first use. Calls at the same time share one
   * load; what it rejects with, each of them rejects with, and nothing is kept.
   */
  async lazyLoad<T>(key: string, loader: () => T | Promise<T>, options: LazyLoadOptions = {}): Promise<T> {
    void this.#ledger.inner;
    callable('loader', loader);
    const keep = flag('cache', options.cache, true) && this.lazyLoadingEnabled;
    const kept = keep ? this.#lazy.get(key) : undefined;
    if (kept) return kept.value as T;
    return this.#lazy.load(key, loader, keep, () => this.emit('dataLazyLoaded', key)) as Promise<T>;
  }

  /**
   * Compresses text (as UTF-8), bytes (as they are), or any other JSON value (as its JSON text).
   * More than 256 KiB are compressed in the compute worker.
   *
   * @throws SommosError `DETACHED`, `INVALID_FIELD`, `INVALID_OPTION`, `DISABLED`.
   */
  async compress(
    data: unknown,
    algorithm: CompressionAlgorithm = 'gzip',
    options: CompressOptions = {},
  ): Promise<Uint8Array> {
    this.#checkCompression();
    const bytes = bytesOf(data);
    const { length } = bytes;
    // Bytes that were made here may move to the worker; the caller's are copied.
    const own = typeof data !== 'object' || !(data instanceof ArrayBuffer || ArrayBuffer.isView(data));
    const transfer = options.transfer ?? (own ? [bytes.buffer as ArrayBuffer] : undefined);
    const out = await compressBytes(bytes, algorithm, { ...options, transfer });
    this.emit('dataCompressed', algorithm, length, out.length);
    return out;
  }

  /**
   * What {@link compress} was given: a JSON value as the value, other text as text, other bytes as
   * bytes. Text that happens to be JSON comes back as its value: `{ as: 'text' }` gives it as it
   * was, `{ as: 'bytes' }` and `{ as: 'json' }` likewise.
   *
   * @throws SommosError `CORRUPT_DATA`, `TOO_LARGE` beyond `maxBytes`, `DETACHED`, `DISABLED`.
   */
  decompress(
    data: Uint8Array | ArrayBuffer,
    algorithm: CompressionAlgorithm | undefined,
    options: DecompressOptions & { as: 'bytes' },
  ): Promise<Uint8Array>;
  decompress(
    data: Uint8Array | ArrayBuffer,
    algorithm: CompressionAlgorithm | undefined,
    options: DecompressOptions & { as: 'text' },
  ): Promise<string>;
  decompress<T = unknown>(
    data: Uint8Array | ArrayBuffer,
    algorithm?: CompressionAlgorithm,
    options?: DecompressOptions,
  ): Promise<T>;
  async decompress(
    data: Uint8Array | ArrayBuffer,
    algorithm: CompressionAlgorithm = 'gzip',
    options: DecompressOptions = {},
  ): Promise<unknown> {
    this.#checkCompression();
    const forms: readonly DecompressAs[] = ['auto', 'json', 'text', 'bytes'];
    const as = oneOf('as', options.as, forms, 'auto');
    if (!(data instanceof ArrayBuffer) && !ArrayBuffer.isView(data)) {
      throw new SommosError('INVALID_FIELD', `data is ${typeof data}; expected compressed bytes`);
    }
    return valueOf(await decompressBytes(bytesOf(data), algorithm, options), as);
  }

  /**
   * Drops pooled objects and lazily loaded values that were not used since the last collection
   * (`all`: every one), and runs the engine's own collector where it is exposed
   * (`node --expose-gc`).
   */
  triggerGarbageCollection(options: { all?: boolean | undefined } = {}): GarbageCollection {
    void this.#ledger.inner;
    const all = flag('all', options.all, false);
    const before = currentMemory().heapUsed;
    const bytes = this.#lazy.bytes;
    const pooledObjects = this.#pools.trim(all);
    const lazyEntries = this.#lazy.trim(all);
    const lazyBytes = bytes - this.#lazy.bytes;
    const collector = (globalThis as { gc?: () => void }).gc;
    const collected = typeof collector === 'function';
    if (collected) collector();
    const after = currentMemory().heapUsed;
    // Without a collection the heap only tells what the next one may free.
    const heapFreed = collected && before !== null && after !== null ? Math.max(0, before - after) : null;
    const outcome = { pooledObjects, lazyEntries, lazyBytes, collected, heapFreed };
    this.emit('garbageCollectionTriggered', outcome);
    return outcome;
  }

  /** The memory of the process or page, what is tracked, and what is kept for reuse. */
  getMemoryStats(): MemoryStats {
    const [memoryUsage, memoryPeak, allocationCount, deallocationCount] = this.#ledger.inner.figures();
    const memory = engine().moduleMemory() as WebAssembly.Memory;
    return {
      current: { ...currentMemory(), engine: memory.buffer.byteLength },
      tracking: {
        memoryUsage: memoryUsage as number,
        memoryPeak: memoryPeak as number,
        allocationCount: allocationCount as number,
        deallocationCount: deallocationCount as number,
        memoryLimit: this.memoryLimit,
      },
      // Compressing is repeated rather than remembered: no compressed answer is kept.
      pools: { ...this.#pools.figures(), lazyCache: this.#lazy.size, compressionCache: 0 },
    };
  }

  /** Stops the timer and gives everything back; later calls throw `CLOSED`. */
  destroy(): void {
    if (this.#ledger.freed) return;
    this.#stop();
    this.#pools.trim(true);
    this.#lazy.destroy();
    this.#ledger.free();
    this.removeAllListeners();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #checkCompression(): void {
    void this.#ledger.inner;
    if (!this.compressionEnabled) {
      throw new SommosError('DISABLED', 'compression is off: make the engine with compressionEnabled');
    }
  }
}

function checkSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new SommosError('INVALID_FIELD', `size is ${size}; expected bytes, an integer of at least 1`);
  }
}
