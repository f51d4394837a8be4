export { AdvancedCacheManager } from './manager.js';
export { CacheFactory } from './factory.js';
export {
  DistributedCacheManager,
  type DistributedCacheEvents,
  type DistributedCacheOptions,
  type DistributedStats,
} from './distributed.js';
export {
  CacheStore,
  openCacheStore,
  type CacheStoreEvents,
  type CacheStoreOptions,
} from './store.js';
export type { CacheKey } from './key.js';
export type { SnapshotOptions } from './snapshot.js';
export type {
  CacheEvents,
  CacheOptions,
  CacheStats,
  Loader,
  LoadOptions,
  ManyResult,
  SetOptions,
  TTL,
} from './types.js';
