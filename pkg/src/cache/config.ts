import { callable, finite, flag, integer, invalidOption } from '../options.js';
import { estimateBytes } from './size.js';
import { ENTRY_BYTES } from './table.js';
import type { CacheOptions, SetOptions, TTL } from './types.js';

/** Most entries: a Map holds 2^24 keys. */
const SIZE_MAX = 16_000_000;
const MS_MAX = Number.MAX_SAFE_INTEGER;
/** setInterval takes 31 bits. */
export const INTERVAL_MAX = 0x7fff_ffff;

/** Checked options. */
export interface Config {
  maxSize: number;
  maxMemory: number;
  defaultTTL: number;
  cleanupInterval: number;
  enableMetrics: boolean;
  ttlJitter: number;
  staleWhileRevalidate: number;
  failSafe: number;
  sizeOf: (value: unknown) => number;
  maxKeyLength: number;
  maxTags: number;
  maxLoads: number;
  now: (() => number) | undefined;
  random: () => number;
}

/** Times of one entry, milliseconds. */
export interface Times {
  ttl: number;
  staleWhileRevalidate: number;
  failSafe: number;
  tags: readonly string[] | undefined;
}

export function configOf(options: CacheOptions): Config {
  const { now, sizeOf, random } = options;
  const megabyte = 1 << 20;
  return {
    maxSize: integer('maxSize', options.maxSize, { min: 1, max: SIZE_MAX, default: 1000 }),
    maxMemory: integer('maxMemory', options.maxMemory, {
      min: ENTRY_BYTES,
      max: MS_MAX,
      default: 256 * megabyte,
    }),
    defaultTTL: duration('defaultTTL', options.defaultTTL, 3_600_000),
    cleanupInterval: integer('cleanupInterval', options.cleanupInterval, {
      min: 0,
      max: INTERVAL_MAX,
      default: 300_000,
    }),
    enableMetrics: flag('enableMetrics', options.enableMetrics, true),
    ttlJitter: finite('ttlJitter', options.ttlJitter, { min: 0, max: 1, default: 0 }),
    staleWhileRevalidate: duration('staleWhileRevalidate', options.staleWhileRevalidate, 0),
    failSafe: duration('failSafe', options.failSafe, 0),
    sizeOf: sizeOf === undefined ? estimateBytes : checkedSize(callable('sizeOf', sizeOf)),
    maxKeyLength: integer('maxKeyLength', options.maxKeyLength, {
      min: 1,
      max: megabyte,
      default: 8192,
    }),
    maxTags: integer('maxTags', options.maxTags, { min: 0, max: 10_000, default: 64 }),
    maxLoads: integer('maxLoads', options.maxLoads, { min: 1, max: megabyte, default: 10_000 }),
    now: now === undefined ? undefined : callable('now', now),
    random: random === undefined ? Math.random : callable('random', random),
  };
}

/** The times of an entry: what its caller gave, else the cache's. */
export function timesOf(given: TTL<SetOptions>, config: Config): Times {
  if (given === undefined || given === null) {
    const { defaultTTL, staleWhileRevalidate, failSafe } = config;
    return { ttl: defaultTTL, staleWhileRevalidate, failSafe, tags: undefined };
  }
  const options = typeof given === 'number' ? { ttl: given } : given;
  if (typeof options !== 'object') {
    throw invalidOption('ttl', given, 'milliseconds, or an object of options');
  }
  const { staleWhileRevalidate, failSafe } = options;
  return {
    ttl: duration('ttl', options.ttl, config.defaultTTL),
    staleWhileRevalidate: duration(
      'staleWhileRevalidate',
      staleWhileRevalidate,
      config.staleWhileRevalidate,
    ),
    failSafe: duration('failSafe', failSafe, config.failSafe),
    tags: options.tags === undefined ? undefined : tagsOf(options.tags, config.maxTags),
  };
}

function tagsOf(tags: readonly string[], max: number): readonly string[] | undefined {
  const right = Array.isArray(tags) && tags.every((tag) => typeof tag === 'string' && tag !== '');
  if (!right || tags.length > max) {
    throw invalidOption('tags', tags, `at most ${max} strings that are not empty (option maxTags)`);
  }
  return tags.length === 0 ? undefined : [...new Set(tags)];
}

/** Whole milliseconds; `Infinity` means for ever. */
export function duration(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (value === Infinity) return value;
  return Math.ceil(finite(name, value, { min: 0, max: MS_MAX, default: fallback }));
}

function checkedSize(sizeOf: (value: unknown) => number): (value: unknown) => number {
  return (value) => {
    const bytes = sizeOf(value);
    if (typeof bytes === 'number' && bytes >= 0) return bytes;
    throw invalidOption('the answer of sizeOf', bytes, 'bytes, 0 or more');
  };
}
