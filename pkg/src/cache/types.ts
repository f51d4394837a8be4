import type { CacheKey } from './key.js';

/** Options of {@link AdvancedCacheManager}. */
export interface CacheOptions {
  /** Most entries, 1 to 16,000,000. Default 1000. */
  maxSize?: number;
  /** Most bytes by the estimate of `sizeOf` plus 200 an entry and 2 a character of its key. Default 256 MiB. */
  maxMemory?: number;
  /** Milliseconds to live of an entry set without; `Infinity`: for ever. Default one hour. */
  defaultTTL?: number;
  /** Milliseconds between two removals of expired entries; 0: only when asked. Default 300000. */
  cleanupInterval?: number;
  /** Whether `getStats` counts hits, misses, sets, deletes and evictions. Default true. */
  enableMetrics?: boolean;
  /** Share of its time to live by which an entry may expire earlier, by chance, 0 to 1. Default 0. */
  ttlJitter?: number;
  /** Milliseconds for which an expired entry may still be handed out while it is loaded anew. Default 0. */
  staleWhileRevalidate?: number;
  /** Milliseconds for which an expired entry is handed out when its loader fails. Default 0. */
  failSafe?: number;
  /** Bytes of a value. Default: a structural estimate that looks at 64 parts at most. */
  sizeOf?: (value: unknown) => number;
  /** Most characters of a key's text. Default 8192. */
  maxKeyLength?: number;
  /** Most tags of one entry. Default 64. */
  maxTags?: number;
  /** Most loaders of `getOrSet` under way. Default 10000. */
  maxLoads?: number;
  /** Milliseconds since 1970, asked at every call. Default: Date.now(), read once a turn of the event loop. */
  now?: () => number;
  /** Numbers from 0 to below 1, for the jitter. Default: Math.random. */
  random?: () => number;
}

/** What `set` takes in place of a bare time to live. */
export interface SetOptions {
  /** Milliseconds to live; `Infinity`: for ever. Default: the cache's defaultTTL. */
  ttl?: number;
  /** See {@link CacheOptions.staleWhileRevalidate}. */
  staleWhileRevalidate?: number;
  /** See {@link CacheOptions.failSafe}. */
  failSafe?: number;
  /** Groups that `deleteByTag` removes together. */
  tags?: readonly string[];
}

/** What `getOrSet` takes in place of a bare time to live. */
export interface LoadOptions extends SetOptions {
  /** Ends the waiting of this call; the loader is told once nobody waits any more. */
  signal?: AbortSignal;
}

/** Makes the value of a key that is not there. */
export type Loader<V> = (context: { readonly signal: AbortSignal }) => V | PromiseLike<V>;

/** A time to live in milliseconds, or several options. */
export type TTL<O extends SetOptions = SetOptions> = number | O | null | undefined;

/** The events of a cache. */
export type CacheEvents<V> = {
  hit: [key: CacheKey, value: V];
  miss: [key: CacheKey];
  set: [key: CacheKey, value: V, expiresAt: number];
  delete: [key: CacheKey];
  clear: [count: number];
  warmed: [count: number];
  warmupError: [error: unknown];
  eviction: [key: CacheKey];
  cleanup: [count: number];
  error: [error: unknown];
};

/** The figures of a cache at one moment. */
export interface CacheStats {
  /** Gets that found a fresh value. */
  hits: number;
  /** Gets that found none. */
  misses: number;
  /** Live entries given up for room. */
  evictions: number;
  /** Entries removed because their time was over. */
  expirations: number;
  /** Values stored. */
  sets: number;
  /** Entries removed by their key or their tag. */
  deletes: number;
  /** Expired values that `getOrSet` handed out. */
  staleHits: number;
  /** Entries held. */
  size: number;
  /** Bytes charged: see {@link CacheOptions.maxMemory}. */
  memoryUsage: number;
  /** Hits over gets, 0 to 1, 2 decimals. */
  hitRate: number;
  maxSize: number;
  maxMemory: number;
  /** `size` over `maxSize`. */
  utilization: number;
  /** Bytes of the tables in WebAssembly. */
  allocatedBytes: number;
}

/** What `getMany` found. */
export interface ManyResult<V> {
  /** Values by key; a key that is no string stands as its canonical JSON. */
  results: Record<string, V>;
  missing: CacheKey[];
}
