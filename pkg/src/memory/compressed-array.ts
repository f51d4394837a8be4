import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { RunLength } from '../generated/engine/engine.js';
import { integer } from '../options.js';
import { Held } from './held.js';
import { weightOf } from './weight.js';

const LENGTH_MAX = 2 ** 30;

/** What a {@link CompressedArray} is made from. */
export interface CompressedArrayOptions {
  /** Shortest run of equal values that is stored as one, at least 2. Default 3. */
  compressionThreshold?: number | undefined;
  /** Most elements, runs counted in full. Default 2^30. */
  maxLength?: number | undefined;
}

/**
 * An array to append to, in which a run of equal values costs as much as one of them. Equal means
 * `Object.is`: two objects are equal when they are the same object.
 */
export class CompressedArray<T> {
  readonly #runs: Held<RunLength>;
  /** The values without repetitions in a row. */
  #values: T[] = [];

  constructor(options: CompressedArrayOptions = {}) {
    const range = { min: 2, max: LENGTH_MAX, default: 3 };
    const threshold = integer('compressionThreshold', options.compressionThreshold, range);
    const lengths = { min: 1, max: LENGTH_MAX, default: LENGTH_MAX };
    const maxLength = integer('maxLength', options.maxLength, lengths);
    const { RunLength: Binding } = engine();
    const runs = guarded(() => new Binding(threshold, maxLength));
    this.#runs = new Held('CompressedArray', runs);
  }

  /** Appends a value. @throws SommosError `LIMIT_EXCEEDED` beyond `maxLength`. */
  push(value: T): void {
    const last = this.#values.length - 1;
    const repeated = last >= 0 && Object.is(this.#values[last], value);
    guarded(() => this.#runs.inner.push(repeated ? last : last + 1));
    if (!repeated) this.#values.push(value);
  }

  /** The value at `index`; null when there is none. O(log runs). */
  get(index: number): T | null {
    const runs = this.#runs.inner;
    if (index >>> 0 !== index) return null;
    const value = runs.get(index);
    return value === undefined ? null : (this.#values[value] as T);
  }

  /** Elements, runs counted in full. */
  getLength(): number {
    return this.#runs.inner.size();
  }

  /** Elements stored: one a run, and all outside of runs. */
  getStoredLength(): number {
    return this.#runs.inner.stored();
  }

  /** Bytes: places, and the values as estimated. O(values). */
  getMemoryUsage(): number {
    const places = this.#runs.inner.memoryUsage() + 8 * this.#values.length;
    return this.#values.reduce((sum: number, value) => sum + weightOf(value), places);
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.getLength(); i++) yield this.get(i) as T;
  }

  /** All elements. */
  toArray(): T[] {
    return [...this];
  }

  /** Gives the memory back; later calls throw `CLOSED`. */
  destroy(): void {
    this.#runs.free();
    this.#values = [];
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
