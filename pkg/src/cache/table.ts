import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { SlotCache } from '../generated/engine/engine.js';

/** Bytes charged per entry beside its key and value: tables of WebAssembly 64, of JavaScript 136. */
export const ENTRY_BYTES = 200;
const ENTRY_BYTES_HERE = 136;
const FRESH = 1;
const STALE = 2;
const NONE = -1;
const TOO_HEAVY = -3;

/** One value with what belongs to it, as it was when it was asked for. */
export interface Entry<V> {
  /** The stored text of the key. */
  readonly key: string;
  readonly value: V;
  /** Its number in WebAssembly. */
  readonly id: number;
  readonly origin: Origin | undefined;
}

/** When and where an entry was written, and its tags: for entries that may be told apart by it. */
export interface Origin {
  /** When, in the order of all writes. */
  readonly stamp: number;
  /** By which node; empty in a cache that has no others. */
  readonly node: string;
  readonly tags: readonly string[] | undefined;
}

/** Hears of an entry that the cache gave up by itself. */
export type Gone = (key: string, origin: Origin | undefined, expired: boolean) => void;

/** Figures of the tables. */
export interface TableStats {
  hits: number;
  misses: number;
  evictions: number;
  expirations: number;
  sets: number;
  deletes: number;
  size: number;
  memoryUsage: number;
  allocatedBytes: number;
}

/**
 * Keys and values here, order, weights and deadlines in WebAssembly. It knows nothing of events;
 * `gone` hears of what the cache gave up by itself, once its tables are in order again.
 */
export class Table<V> {
  readonly #slots: SlotCache;
  readonly #gone: Gone;
  readonly #maxSize: number;
  readonly #ids = new Map<string, number>();
  // By number. Columns, not an object an entry: a hit reads one of them only.
  readonly #keys: string[] = [];
  readonly #origins: (Origin | undefined)[] = [];
  /** The values by number. */
  readonly values: V[] = [];
  readonly #free: number[] = [];
  /** Gets that met no entry; WebAssembly never saw them. */
  #absent = 0;
  /** A key that is in no entry until the next insertion: the set after a miss need not search. */
  #absentKey: string | undefined;

  constructor(
    maxSize: number,
    maxMemory: number,
    gone: Gone,
  ) {
    this.#maxSize = maxSize;
    const { SlotCache } = engine();
    this.#slots = guarded(() => new SlotCache(maxSize, maxMemory, ENTRY_BYTES_HERE));
    this.#gone = gone;
  }

  get size(): number {
    return this.#ids.size;
  }

  /** The number of a key's fresh entry, which becomes the most recently used and counts a hit; -1. */
  get(key: string, now: number): number {
    const id = this.#ids.get(key);
    if (id === undefined) {
      this.#absent++;
      this.#absentKey = key;
      return NONE;
    }
    const state = this.#slots.get(id, now);
    if (state === FRESH) return id;
    if (state !== STALE) this.#forget(id);
    return NONE;
  }

  /** The entry as it stands, whatever its deadline; changes nothing. */
  entry(key: string): Entry<V> | undefined {
    const id = this.#ids.get(key);
    return id === undefined ? undefined : this.#entryOf(id);
  }

  /** The fresh entry; changes nothing. */
  peek(key: string, now: number): Entry<V> | undefined {
    return this.#inState(key, now, FRESH);
  }

  /** The entry between its deadlines; changes nothing. */
  stale(key: string, now: number): Entry<V> | undefined {
    return this.#inState(key, now, STALE);
  }

  /** From when on an entry is stale, milliseconds since 1970. */
  staleAt(entry: Entry<V>): number {
    return this.#slots.staleAt(entry.id);
  }

  /** From when on an entry is gone, milliseconds since 1970. */
  goneAt(entry: Entry<V>): number {
    return this.#slots.goneAt(entry.id);
  }

  /** Stores; false when the value is heavier than the whole cache (an older one is gone then). */
  set(
    key: string,
    now: number,
    value: V,
    weight: number,
    ttl: number,
    grace: number,
    origin: Origin | undefined,
  ): boolean {
    const old = key === this.#absentKey ? undefined : this.#ids.get(key);
    this.#absentKey = undefined;
    if (old === undefined && this.#ids.size === this.#maxSize) {
      const id = this.#slots.recycle(weight, now, ttl, grace);
      if (id !== NONE) {
        const oldKey = this.#keys[id] as string;
        const oldOrigin = this.#origins[id];
        this.#ids.delete(oldKey);
        this.#fill(id, key, value, origin);
        this.#gone(oldKey, oldOrigin, false);
        return true;
      }
    }
    const id = old ?? this.#free.pop() ?? this.#keys.length;
    const code = this.#slots.set(id, weight, now, ttl, grace);
    if (code === TOO_HEAVY) {
      if (old !== undefined) this.#forget(id);
      else if (id < this.#keys.length) this.#free.push(id);
      return false;
    }
    if (old === undefined) {
      this.#fill(id, key, value, origin);
    } else {
      this.values[id] = value;
      this.#origins[id] = origin;
    }
    if (code !== NONE) this.#tellAll(code >= 0 ? [code] : this.#slots.takeGone());
    return true;
  }

  /** Removes an entry of the table; true when it was fresh. */
  delete(entry: Entry<V>, now: number): boolean {
    const fresh = this.#slots.delete(entry.id, now);
    this.#forget(entry.id);
    return fresh;
  }

  /** Removes the least recently used entry and gives it. */
  evict(now: number): Entry<V> | undefined {
    const id = this.#slots.evictLru(now);
    if (id === NONE) return undefined;
    const entry = this.#entryOf(id);
    this.#forget(id);
    return entry;
  }

  /** Removes at most `max` entries whose time is over. */
  cleanup(now: number, max: number): number {
    const count = this.#slots.cleanup(now, max);
    if (count > 0) this.#tellAll(this.#slots.takeGone());
    return count;
  }

  /** Removes everything; how many entries that were. */
  clear(): number {
    const count = this.#slots.clear();
    this.#empty();
    return count;
  }

  /** The fresh entries (and the stale ones, with `stale`), the most recently used first. */
  list(now: number, stale = false): Entry<V>[] {
    return Array.from(this.#slots.ids(now, stale), (id) => this.#entryOf(id));
  }

  /** All entries in no order, without asking WebAssembly. */
  all(): Entry<V>[] {
    return Array.from(this.#ids.values(), (id) => this.#entryOf(id));
  }

  nextDeadline(): number {
    return this.#slots.nextDeadline();
  }

  stats(): TableStats {
    const [hits = 0, misses = 0, evictions = 0, expirations = 0, sets = 0, ...more] =
      this.#slots.stats();
    const [deletes = 0, size = 0, memoryUsage = 0, allocatedBytes = 0] = more;
    return {
      hits,
      misses: misses + this.#absent,
      evictions,
      expirations,
      sets,
      deletes,
      size,
      memoryUsage,
      allocatedBytes,
    };
  }

  /** Gives the memory back; no call may follow. */
  free(): void {
    this.#empty();
    this.#slots.free();
  }

  #entryOf(id: number): Entry<V> {
    const key = this.#keys[id] as string;
    return { key, value: this.values[id] as V, id, origin: this.#origins[id] };
  }

  #inState(key: string, now: number, state: number): Entry<V> | undefined {
    const id = this.#ids.get(key);
    if (id === undefined || this.#slots.peek(id, now) !== state) return undefined;
    return this.#entryOf(id);
  }

  #fill(id: number, key: string, value: V, origin: Origin | undefined): void {
    this.#keys[id] = key;
    this.values[id] = value;
    this.#origins[id] = origin;
    this.#ids.set(key, id);
  }

  #tellAll(codes: ArrayLike<number>): void {
    const gone = Array.from(codes, (code) => ({ ...this.#entryOf(code >>> 1), code }));
    for (const { id } of gone) this.#forget(id);
    // Listeners may call the cache: they hear of it once the tables agree.
    for (const { key, origin, code } of gone) this.#gone(key, origin, (code & 1) === 1);
  }

  #forget(id: number): void {
    this.#ids.delete(this.#keys[id] as string);
    this.#keys[id] = '';
    this.values[id] = undefined as V;
    this.#origins[id] = undefined;
    this.#free.push(id);
  }

  #empty(): void {
    this.#ids.clear();
    this.#keys.length = this.values.length = this.#origins.length = this.#free.length = 0;
    this.#absentKey = undefined;
  }
}
