/** Results of all pairs for inputs that come again. */
import type { RatingRows } from '../parallel/ratings.js';
import type { PairColumns, PairOptions } from './calls.js';

/** Whose result, and how long it may be used. */
export interface CacheRequest {
  /** The engine and its count of `clearSimilarityCache`. */
  owner: string;
  /** Milliseconds. */
  expiresMs: number;
}

interface Kept {
  key: string;
  input: RatingRows;
  result: PairColumns;
  until: number;
  bytes: number;
}

/** Most bytes kept, inputs and results. */
const BYTES_MAX = 64 << 20;

/** Bounded by bytes; the input is compared in full, so that no other input's result is given. */
export class PairCache {
  /** The most recent last. */
  #kept: Kept[] = [];

  /** The result of the same input, unless it is too old. */
  get(request: CacheRequest, options: PairOptions, input: RatingRows): PairColumns | undefined {
    const now = Date.now();
    this.#kept = this.#kept.filter((kept) => kept.until > now);
    const key = keyOf(request, options);
    return this.#kept.find((kept) => kept.key === key && same(kept.input, input))?.result;
  }

  /** Keeps a result if it fits; whether it did. */
  set(request: CacheRequest, options: PairOptions, input: RatingRows, result: PairColumns): boolean {
    const arrays = [input.offsets, input.items, input.ratings, result.first, result.second, result.similarity, result.common];
    const bytes = arrays.reduce((sum, array) => sum + array.byteLength, 0);
    if (bytes > BYTES_MAX || request.expiresMs <= 0) return false;
    const until = Date.now() + request.expiresMs;
    this.#kept.push({ key: keyOf(request, options), input, result, until, bytes });
    let sum = this.#kept.reduce((all, kept) => all + kept.bytes, 0);
    while (sum > BYTES_MAX) sum -= this.#kept.shift()!.bytes;
    return true;
  }
}

function keyOf({ owner }: CacheRequest, options: PairOptions): string {
  return `${owner} ${JSON.stringify(options)}`;
}

function same(a: RatingRows, b: RatingRows): boolean {
  return equal(a.offsets, b.offsets) && equal(a.items, b.items) && equal(a.ratings, b.ratings);
}

function equal(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
