import { engine, type Engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { BloomFilter as Inner } from '../generated/engine/engine.js';
import { finite, integer, invalidOption } from '../options.js';
import { Held } from './held.js';

const ASCII_MAX = 0x7f;
/** Most bytes of UTF-8 that one unit of UTF-16 becomes. */
const UTF8_BYTES_MAX = 3;
const encoder = new TextEncoder();

/** What every {@link BloomFilter} may be made with. */
export interface BloomFilterSeed {
  /** Of the hash, 0 to 2^53 - 1: filters of one seed can be merged. Default 0. */
  seed?: number | undefined;
}

/** By size. */
export interface BloomFilterBySize extends BloomFilterSeed {
  /** Bits, 1 to 2^31. Default 10,000. */
  size?: number | undefined;
  /** Bits that an item sets, 1 to 32. Default 3. */
  hashCount?: number | undefined;
}

/** By what it is for. */
export interface BloomFilterByItems extends BloomFilterSeed {
  /** How many different items will be added, at least 1. */
  expectedItems: number;
  /** How many strangers may then be claimed, above 0 and below 1. Default 0.01. */
  falsePositiveRate?: number | undefined;
}

/** What a {@link BloomFilter} is made from. */
export type BloomFilterOptions = BloomFilterBySize | BloomFilterByItems;

/** What may be added: text (a number counts as its text) or bytes. */
export type BloomFilterItem = string | number | Uint8Array;

/**
 * A set that never forgets a member and rarely claims a stranger, one bit a bit. The same items
 * give the same filter, to the byte, here and on the server.
 */
export class BloomFilter {
  #held: Held<Inner>;
  #memory: WebAssembly.Memory;
  #at: number;
  #scratchBytes: number;
  /** The filter's scratch memory, for short items. */
  #scratch: Uint8Array;

  constructor(options: BloomFilterOptions = {}) {
    const module = engine();
    this.#held = new Held('BloomFilter', open(module, options));
    this.#memory = module.moduleMemory() as WebAssembly.Memory;
    this.#at = this.#held.inner.scratchAt;
    this.#scratchBytes = this.#held.inner.scratchBytes;
    this.#scratch = this.#view();
  }

  /**
   * The filter that {@link toBytes} wrote.
   *
   * @throws SommosError `CORRUPT_DATA` when the bytes are cut, changed, or of another format.
   */
  static fromBytes(bytes: Uint8Array): BloomFilter {
    const module = engine();
    const inner = guarded(() => module.BloomFilter.fromBytes(bytes));
    const filter = new BloomFilter({ size: 1, hashCount: 1 });
    filter.#held.free();
    filter.#held = new Held('BloomFilter', inner);
    filter.#at = inner.scratchAt;
    filter.#scratch = filter.#view();
    return filter;
  }

  /** Bits. */
  get size(): number {
    return this.#held.inner.bits;
  }

  /** Bits that an item sets. */
  get hashCount(): number {
    return this.#held.inner.hashes;
  }

  /** Seed of the hash. */
  get seed(): number {
    return this.#held.inner.seed;
  }

  /** Adds an item; true when it is certainly new. */
  add(item: BloomFilterItem): boolean {
    const inner = this.#held.inner;
    const length = this.#write(item);
    return length < 0 ? inner.add(bytesOf(item)) : inner.addScratch(length);
  }

  /** Whether an item may have been added: certain when false. */
  contains(item: BloomFilterItem): boolean {
    const inner = this.#held.inner;
    const length = this.#write(item);
    return length < 0 ? inner.contains(bytesOf(item)) : inner.containsScratch(length);
  }

  /** Adds every item of another. @throws SommosError `MISMATCH` unless size, hashes and seed agree. */
  merge(other: BloomFilter): void {
    guarded(() => this.#held.inner.merge(other.#held.inner));
  }

  /** Forgets every item. */
  clear(): void {
    this.#held.inner.clear();
  }

  /** The filter as bytes: 40 more than its bits occupy, with a checksum. */
  toBytes(): Uint8Array {
    return this.#held.inner.toBytes();
  }

  /** How many different items were added, about. */
  estimatedCount(): number {
    return this.#held.inner.estimatedCount();
  }

  /** Probability that a stranger is claimed now. */
  falsePositiveRate(): number {
    return this.#held.inner.falsePositiveRate();
  }

  /** Bytes in the module's memory: size / 8, and half a kilobyte. */
  getMemoryUsage(): number {
    return this.#held.inner.memoryUsage();
  }

  /** Gives the memory back; later calls throw `CLOSED`. */
  destroy(): void {
    this.#held.free();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #view(): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#at, this.#scratchBytes);
  }

  /** Writes an item to the scratch memory; its bytes, or -1 when it is too long. */
  #write(item: BloomFilterItem): number {
    // The module's memory has grown: views of the old one are empty.
    if (this.#scratch.length === 0) this.#scratch = this.#view();
    const scratch = this.#scratch;
    if (typeof item !== 'string') {
      if (typeof item === 'number') return this.#write(String(item));
      if (item.length > scratch.length) return -1;
      scratch.set(item);
      return item.length;
    }
    const { length } = item;
    if (length > scratch.length) return -1;
    for (let i = 0; i < length; i++) {
      const unit = item.charCodeAt(i);
      if (unit > ASCII_MAX) {
        if (i + (length - i) * UTF8_BYTES_MAX > scratch.length) return -1;
        return i + encoder.encodeInto(item.slice(i), scratch.subarray(i)).written;
      }
      scratch[i] = unit;
    }
    return length;
  }
}

function open(module: Engine, options: BloomFilterOptions): Inner {
  const seeds = { min: 0, max: Number.MAX_SAFE_INTEGER, default: 0 };
  const seed = integer('seed', options.seed, seeds);
  if ('expectedItems' in options && options.expectedItems !== undefined) {
    const counts = { min: 1, max: 2 ** 40, default: 1 };
    const items = integer('expectedItems', options.expectedItems, counts);
    const rates = { min: 0, max: 1, default: 0.01 };
    const rate = finite('falsePositiveRate', options.falsePositiveRate, rates);
    if (rate === 0 || rate === 1) {
      throw invalidOption('falsePositiveRate', rate, 'a number above 0 and below 1');
    }
    return guarded(() => module.BloomFilter.forItems(items, rate, seed));
  }
  const { size, hashCount } = options as BloomFilterBySize;
  const bits = integer('size', size, { min: 1, max: 2 ** 31, default: 10_000 });
  const hashes = integer('hashCount', hashCount, { min: 1, max: 32, default: 3 });
  return guarded(() => new module.BloomFilter(bits, hashes, seed));
}

function bytesOf(item: BloomFilterItem): Uint8Array {
  return item instanceof Uint8Array ? item : encoder.encode(String(item));
}
