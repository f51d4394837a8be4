import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { SlotCache } from '../generated/engine/engine.js';
import { callable, integer } from '../options.js';
import { Held } from './held.js';
import { weightOf } from './weight.js';

/** What one entry costs beside its weight in JavaScript's tables, bytes. */
const OVERHEAD_BYTES = 72;
/** Answers of the module's `set`. */
const KEPT = -1;
const TOO_HEAVY = -3;
/** Its figures: position of the bytes charged. */
const CHARGED = 7;

/** What an {@link LRUCache} is made from. */
export interface LRUCacheOptions<K = unknown, V = unknown> {
  /** Most entries, 1 to 2^24. Default 1000. */
  capacity?: number | undefined;
  /** Most bytes: weights of keys and values, and about 150 an entry. Default 10 MiB. */
  maxMemory?: number | undefined;
  /** Weight of an entry, bytes. Default: an estimate of key and value. */
  sizeOf?: ((value: V, key: K) => number) | undefined;
}

/** A map that gives up its least recently used entries when they are too many or too heavy. */
export class LRUCache<K, V> {
  readonly capacity: number;
  readonly maxMemory: number;
  readonly #sizeOf: (value: V, key: K) => number;
  readonly #order: Held<SlotCache>;
  #slots = new Map<K, number>();
  #entries: ([K, V] | undefined)[] = [];
  #free: number[] = [];

  constructor(options: LRUCacheOptions<K, V> = {}) {
    this.capacity = integer('capacity', options.capacity, { min: 1, max: 2 ** 24, default: 1000 });
    const bytes = { min: 1024, max: Number.MAX_SAFE_INTEGER, default: 10 * 1024 * 1024 };
    this.maxMemory = integer('maxMemory', options.maxMemory, bytes);
    this.#sizeOf = callable(
      'sizeOf',
      options.sizeOf ?? ((value: V, key: K) => weightOf(value) + weightOf(key)),
    );
    const { SlotCache: Binding } = engine();
    const order = guarded(() => new Binding(this.capacity, this.maxMemory, OVERHEAD_BYTES));
    this.#order = new Held('LRUCache', order);
  }

  /**
   * Stores a value, which becomes the most recently used. False when it alone is over `maxMemory`:
   * then it is not kept, nor is an older value of the key.
   */
  set(key: K, value: V): boolean {
    const order = this.#order.inner;
    const weight = Math.max(0, Math.ceil(this.#sizeOf(value, key))) || 0;
    const slot = this.#slots.get(key) ?? this.#free.pop() ?? this.#entries.length;
    const before = this.#entries[slot];
    const gone = order.set(slot, weight, 0, Infinity, 0);
    if (gone === TOO_HEAVY) {
      if (before) this.#forget(slot);
      else this.#release(slot);
      return false;
    }
    if (gone >= 0) this.#forget(gone >>> 1);
    else if (gone !== KEPT) for (const told of order.takeGone()) this.#forget(told >>> 1);
    this.#entries[slot] = [key, value];
    this.#slots.set(key, slot);
    return true;
  }

  /** The value of a key, which becomes the most recently used; null when there is none. */
  get(key: K): V | null {
    const order = this.#order.inner;
    const slot = this.#slots.get(key);
    if (slot === undefined) return null;
    order.get(slot, 0);
    return (this.#entries[slot] as [K, V])[1];
  }

  /** The value of a key, whose place in the order stays; null when there is none. */
  peek(key: K): V | null {
    void this.#order.inner;
    const slot = this.#slots.get(key);
    return slot === undefined ? null : (this.#entries[slot] as [K, V])[1];
  }

  /** Whether a key is there; its place in the order stays. */
  has(key: K): boolean {
    void this.#order.inner;
    return this.#slots.has(key);
  }

  /** Removes a key; whether it was there. */
  delete(key: K): boolean {
    const order = this.#order.inner;
    const slot = this.#slots.get(key);
    if (slot === undefined) return false;
    order.delete(slot, 0);
    this.#forget(slot);
    return true;
  }

  /** Removes everything; how many entries that were. */
  clear(): number {
    const count = this.#order.inner.clear();
    this.#order.inner.takeGone();
    this.#drop();
    return count;
  }

  /** The keys, the most recently used first. */
  keys(): K[] {
    return Array.from(this.#order.inner.ids(0, false), (slot) => (this.#entries[slot] as [K, V])[0]);
  }

  /** Entries. */
  getSize(): number {
    return this.#order.inner.size;
  }

  /** Bytes charged: the weights, and about 150 an entry; at most `maxMemory`. */
  getMemoryUsage(): number {
    return this.#order.inner.stats()[CHARGED] as number;
  }

  /** Gives the memory back; later calls throw `CLOSED`. */
  destroy(): void {
    this.#order.free();
    this.#drop();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #forget(slot: number): void {
    const entry = this.#entries[slot];
    if (entry) this.#slots.delete(entry[0]);
    this.#release(slot);
  }

  #release(slot: number): void {
    this.#entries[slot] = undefined;
    this.#free.push(slot);
  }

  #drop(): void {
    this.#slots = new Map();
    this.#entries = [];
    this.#free = [];
  }
}
