import { invalidOption } from '../options.js';
import { DistributedCacheManager, type DistributedCacheOptions } from './distributed.js';
import { AdvancedCacheManager } from './manager.js';
import type { CacheOptions } from './types.js';

/** Makes caches by the name of their kind. */
export class CacheFactory {
  static createCache<V = unknown>(type?: 'basic', options?: CacheOptions): AdvancedCacheManager<V>;
  static createCache<V = unknown>(
    type: 'distributed',
    options?: DistributedCacheOptions,
  ): DistributedCacheManager<V>;
  static createCache<V>(
    type: 'basic' | 'distributed' = 'basic',
    options: DistributedCacheOptions = {},
  ): AdvancedCacheManager<V> | DistributedCacheManager<V> {
    if (type === 'basic') return new AdvancedCacheManager<V>(options);
    if (type === 'distributed') return new DistributedCacheManager<V>(options);
    throw invalidOption('type', type, "'basic' or 'distributed'");
  }
}
