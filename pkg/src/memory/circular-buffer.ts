import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { SlotRing } from '../generated/engine/engine.js';
import { integer } from '../options.js';
import { Held } from './held.js';
import { weightOf } from './weight.js';

/** What a {@link CircularBuffer} is made from. */
export interface CircularBufferOptions {
  /** Most values kept, 1 to 2^26. Default 1000. */
  capacity?: number | undefined;
}

/** The last `capacity` values that were pushed. Every operation is O(1). */
export class CircularBuffer<T> {
  readonly capacity: number;
  readonly #ring: Held<SlotRing>;
  #values: (T | undefined)[] = [];

  constructor(options: CircularBufferOptions = {}) {
    const range = { min: 1, max: 2 ** 26, default: 1000 };
    this.capacity = integer('capacity', options.capacity, range);
    const { SlotRing: Binding } = engine();
    this.#ring = new Held('CircularBuffer', guarded(() => new Binding(this.capacity)));
  }

  /** Adds a value; a full buffer forgets its oldest, which is returned. Otherwise null. */
  push(value: T): T | null {
    const ring = this.#ring.inner;
    const full = ring.size() === this.capacity;
    const slot = ring.push();
    const oldest = full ? (this.#values[slot] as T) : null;
    this.#values[slot] = value;
    return oldest;
  }

  /** Takes the oldest value; null when there is none. */
  pop(): T | null {
    const slot = this.#ring.inner.pop();
    if (slot === undefined) return null;
    const value = this.#values[slot] as T;
    this.#values[slot] = undefined;
    return value;
  }

  /** The oldest value kept; null when there is none. */
  peek(): T | null {
    const slot = this.#ring.inner.oldest();
    return slot === undefined ? null : (this.#values[slot] as T);
  }

  /** Values kept. */
  getSize(): number {
    return this.#ring.inner.size();
  }

  /** Bytes: places, and the values as estimated. O(values). */
  getMemoryUsage(): number {
    const places = this.#ring.inner.memoryUsage() + 8 * this.#values.length;
    let values = 0;
    for (const value of this) values += weightOf(value);
    return places + values;
  }

  /** Forgets all values. */
  clear(): void {
    this.#ring.inner.clear();
    this.#values = [];
  }

  /** From the oldest to the newest. */
  *[Symbol.iterator](): IterableIterator<T> {
    const ring = this.#ring.inner;
    const size = ring.size();
    const first = ring.oldest() ?? 0;
    for (let i = 0; i < size; i++) yield this.#values[(first + i) % this.capacity] as T;
  }

  /** All values, the oldest first. */
  toArray(): T[] {
    return [...this];
  }

  /** Gives the memory back; later calls throw `CLOSED`. */
  destroy(): void {
    this.#ring.free();
    this.#values = [];
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
