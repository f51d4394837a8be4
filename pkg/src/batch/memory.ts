import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import { flag, integer } from '../options.js';
import { BatchProcessingEngine } from './engine.js';
import { ChunkResults } from './results.js';
import type { BatchProcessingOptions } from './types.js';

/** How a {@link MemoryEfficientBatchProcessor} works. */
export interface MemoryEfficientBatchOptions extends BatchProcessingOptions {
  /** Estimated size of results at which finished chunks are compressed, bytes. Default 100 MiB. */
  memoryLimit?: number;
  /** Whether they are compressed at all. Default true. */
  compressionEnabled?: boolean;
  /** Taken for SommOS's sake and changes nothing: compressed results stay in memory. */
  diskCacheEnabled?: boolean;
}

/** What a collection achieved. */
export interface CollectedGarbage {
  /** Chunks that were compressed by it. */
  compressedChunks: number;
  /** Estimated bytes that they no longer take. */
  freedBytes: number;
}

/** Items of a chunk that its size is estimated by. */
const SAMPLE = 16;
/** Smaller chunks are not worth it, bytes. */
const COMPRESSED_MIN = 256;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** A chunk's items, compressed JSON. */
interface Packed {
  bytes: Uint8Array;
  /** Bytes of the JSON. */
  length: number;
  compressed: boolean;
}

/** Results that can be kept compressed. */
class PackedResults extends ChunkResults {
  readonly #sizes = new Map<number, number>();
  readonly #packed = new Map<number, Packed>();
  readonly #grown: () => void;
  /** Estimated bytes of the chunks that are kept as they are. */
  loose = 0;

  constructor(grown: () => void) {
    super();
    this.#grown = grown;
  }

  override put(chunk: number, items: unknown[]): void {
    super.put(chunk, items);
    const size = estimate(items);
    this.#sizes.set(chunk, size);
    this.loose += size;
    this.#grown();
  }

  override indices(): number[] {
    return [...this.chunks.keys(), ...this.#packed.keys()].sort((a, b) => a - b);
  }

  override get(chunk: number): unknown[] {
    const packed = this.#packed.get(chunk);
    if (!packed) return super.get(chunk);
    const { bytes, length, compressed } = packed;
    const json = compressed
      ? guarded(() => engine().unpackBlock(bytes, length))
      : bytes;
    return JSON.parse(new TextDecoder().decode(json)) as unknown[];
  }

  /** Compresses chunks, the oldest first, until at most `most` bytes are loose. */
  pack(most: number): CollectedGarbage {
    const done = { compressedChunks: 0, freedBytes: 0 };
    for (const [chunk, size] of this.#sizes) {
      if (this.loose <= most) break;
      // Whether it can be packed does not change: it is asked once.
      this.#sizes.delete(chunk);
      const packed = size >= COMPRESSED_MIN ? packedItems(super.get(chunk)) : undefined;
      if (!packed) continue;
      this.#packed.set(chunk, packed);
      this.chunks.delete(chunk);
      this.loose -= size;
      done.compressedChunks += 1;
      done.freedBytes += Math.max(0, size - packed.bytes.length);
    }
    return done;
  }
}

/**
 * Keeps the results of finished chunks compressed once they take more than `memoryLimit` together;
 * they are restored when they are read. Results that JSON does not keep exactly (dates, maps,
 * class instances) stay as they are: none is lost or altered. Read a large batch through `results`,
 * which restores one chunk at a time.
 */
export class MemoryEfficientBatchProcessor extends BatchProcessingEngine {
  readonly #limit: number;
  readonly #compresses: boolean;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: MemoryEfficientBatchOptions = {}) {
    const memoryLimit = integer('memoryLimit', options.memoryLimit, {
      min: 0,
      max: 2 ** 40,
      default: 104_857_600,
    });
    const compressionEnabled = flag('compressionEnabled', options.compressionEnabled, true);
    flag('diskCacheEnabled', options.diskCacheEnabled, true);
    super(options);
    this.#limit = memoryLimit;
    this.#compresses = compressionEnabled;
  }

  /** Compresses what finished chunks gave, whatever their size together. */
  garbageCollect(): CollectedGarbage {
    return this.#pack(0);
  }

  /** Estimated bytes of results that are not compressed. */
  getResultMemory(): number {
    let bytes = 0;
    for (const results of this.keptResults()) bytes += (results as PackedResults).loose;
    return bytes;
  }

  protected override resultsOf(): ChunkResults {
    return new PackedResults(() => this.#pack(this.#limit));
  }

  #pack(most: number): CollectedGarbage {
    const all = { compressedChunks: 0, freedBytes: 0 };
    if (!this.#compresses) return all;
    let loose = this.getResultMemory();
    for (const results of this.keptResults() as Iterable<PackedResults>) {
      if (loose <= most) break;
      const before = results.loose;
      const { compressedChunks, freedBytes } = results.pack(Math.max(0, most - (loose - before)));
      all.compressedChunks += compressedChunks;
      all.freedBytes += freedBytes;
      loose += results.loose - before;
    }
    return all;
  }
}

function packedItems(items: unknown[]): Packed | undefined {
  if (!items.every((item) => isJson(item, 0))) return undefined;
  const json = new TextEncoder().encode(JSON.stringify(items));
  const compressed = guarded(() => engine().packBlock(json));
  const fits = compressed.length < json.length;
  return { bytes: fits ? compressed : json, length: json.length, compressed: fits };
}

/** Whether JSON gives back exactly this value. */
function isJson(value: unknown, depth: number): boolean {
  if (value === null || typeof value === 'boolean') return true;
  // UTF-8 has no lone surrogates: they would come back as U+FFFD.
  if (typeof value === 'string') return !LONE_SURROGATE.test(value);
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  if (typeof value !== 'object' || depth > 64 || 'toJSON' in value) return false;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at += 1) {
      if (!(at in value) || !isJson(value[at], depth + 1)) return false;
    }
    return Object.keys(value).length === value.length;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  if (Object.getOwnPropertySymbols(value).length > 0) return false;
  if (Object.keys(value).includes('__proto__')) return false;
  return Object.values(value).every((field) => isJson(field, depth + 1));
}

/** About how many bytes the items take, by the first of them. */
function estimate(items: unknown[]): number {
  const sample = items.slice(0, SAMPLE);
  const bytes = sample.reduce<number>((sum, item) => sum + sizeOf(item, 0), 0);
  return Math.ceil((bytes * items.length) / Math.max(1, sample.length)) + 16;
}

function sizeOf(value: unknown, depth: number): number {
  if (typeof value === 'string') return 16 + 2 * value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (ArrayBuffer.isView(value)) return 64 + value.byteLength;
  if (depth > 8) return 64;
  const fields: unknown[] = Object.values(value);
  return fields.reduce<number>((sum, field) => sum + 8 + sizeOf(field, depth + 1), 32);
}
