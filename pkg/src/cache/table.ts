import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { SlotCache } from '../generated/engine/engine.js';

/** Bytes charged per entry beside its key and value: tables of WebAssembly 64, of JavaScript 136. */
export const ENTRY_BYTES = 200;
const ENTRY_BYTES_HERE = 136;
/** In place of the key of an entry that is in no table; no stored key is that. */
const FREE = '\0';
const FRESH = 1;
const STALE = 2;
const NONE = -1;
const TOO_HEAVY = -3;

/** One value with what belongs to it; reused for another once it is gone. */
export interface Entry<V> {
  /** The stored text of the key. */
  key: string;
  value: V;
  /** Its number in WebAssembly. */
  readonly id: number;
  origin: Origin | undefined;
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
  readonly #byKey = new Map<string, Entry<V>>();
  readonly #byId: Entry<V>[] = [];
  /** Entries that are in no table, with their numbers. */
  readonly #free: Entry<V>[] = [];
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
    return this.#byKey.size;
  }

  /** The fresh entry of a key; it becomes the most recently used and counts a hit. */
  get(key: string, now: number): Entry<V> | undefined {
    const entry = this.#byKey.get(key);
    if (entry === undefined) {
      this.#absent++;
      this.#absentKey = key;
      return undefined;
    }
    const state = this.#slots.get(entry.id, now);
    if (state === FRESH) return entry;
    if (state !== STALE) this.#forget(entry);
    return undefined;
  }

  /** Counts a get that found nothing usable. */
  miss(): void {
    this.#absent++;
  }

  /** The entry as it stands, whatever its deadline; changes nothing. */
  entry(key: string): Entry<V> | undefined {
    return this.#byKey.get(key);
  }

  /** The fresh entry; changes nothing. */
  peek(key: string, now: number): Entry<V> | undefined {
    const entry = this.#byKey.get(key);
    return entry && this.#slots.peek(entry.id, now) === FRESH ? entry : undefined;
  }

  /** The entry between its deadlines; changes nothing. */
  stale(key: string, now: number): Entry<V> | undefined {
    const entry = this.#byKey.get(key);
    return entry && this.#slots.peek(entry.id, now) === STALE ? entry : undefined;
  }

  /** From when on an entry is stale, milliseconds since 1970. */
  staleAt(entry: Entry<V>): number {
    return this.#slots.staleAt(entry.id);
  }

  /** From when on an entry is gone, milliseconds since 1970. */
  goneAt(entry: Entry<V>): number {
    return this.#slots.goneAt(entry.id);
  }

  /** Stores; undefined when the value is heavier than the whole cache (an older one is gone then). */
  set(
    key: string,
    now: number,
    value: V,
    weight: number,
    ttl: number,
    grace: number,
    origin: Origin | undefined,
  ): Entry<V> | undefined {
    let entry = key === this.#absentKey ? undefined : this.#byKey.get(key);
    this.#absentKey = undefined;
    if (entry === undefined) {
      if (this.#byKey.size === this.#maxSize) {
        const id = this.#slots.recycle(weight, now, ttl, grace);
        if (id !== NONE) {
          entry = this.#byId[id] as Entry<V>;
          const { key: oldKey, origin: oldOrigin } = entry;
          this.#byKey.delete(oldKey);
          entry.key = key;
          this.#byKey.set(key, entry);
          entry.value = value;
          entry.origin = origin;
          this.#gone(oldKey, oldOrigin, false);
          return entry;
        }
      }
      entry = this.#free.pop() ?? this.#make();
    }
    const isNew = entry.key !== key;
    const code = this.#slots.set(entry.id, weight, now, ttl, grace);
    if (code === TOO_HEAVY) {
      if (isNew) this.#free.push(entry);
      else this.#forget(entry);
      return undefined;
    }
    if (isNew) {
      entry.key = key;
      this.#byKey.set(key, entry);
    }
    entry.value = value;
    entry.origin = origin;
    if (code !== NONE) this.#tellAll(code >= 0 ? [code] : this.#slots.takeGone());
    return entry;
  }

  /** Removes an entry of the table; true when it was fresh. */
  delete(entry: Entry<V>, now: number): boolean {
    const fresh = this.#slots.delete(entry.id, now);
    this.#forget(entry);
    return fresh;
  }

  /** Removes the least recently used entry and gives a copy of it. */
  evict(now: number): Entry<V> | undefined {
    const id = this.#slots.evictLru(now);
    const entry = id === NONE ? undefined : this.#byId[id];
    if (!entry) return undefined;
    const copy = { ...entry };
    this.#forget(entry);
    return copy;
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
    this.#byKey.clear();
    this.#byId.length = 0;
    this.#free.length = 0;
    return count;
  }

  /** The fresh entries (and the stale ones, with `stale`), the most recently used first. */
  list(now: number, stale = false): Entry<V>[] {
    const entries: Entry<V>[] = [];
    for (const id of this.#slots.ids(now, stale)) {
      const entry = this.#byId[id];
      if (entry) entries.push(entry);
    }
    return entries;
  }

  /** All entries in no order, without asking WebAssembly. */
  all(): IterableIterator<Entry<V>> {
    return this.#byKey.values();
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
    this.#byKey.clear();
    this.#byId.length = 0;
    this.#free.length = 0;
    this.#slots.free();
  }

  #make(): Entry<V> {
    const entry: Entry<V> = {
      key: FREE,
      value: undefined as V,
      id: this.#byId.length,
      origin: undefined,
    };
    this.#byId.push(entry);
    return entry;
  }

  #tellAll(codes: ArrayLike<number>): void {
    const gone = Array.from(codes, (code) => ({ ...(this.#byId[code >>> 1] as Entry<V>), code }));
    for (const { id } of gone) this.#forget(this.#byId[id] as Entry<V>);
    // Listeners may call the cache: they hear of it once the tables agree.
    for (const { key, origin, code } of gone) this.#gone(key, origin, (code & 1) === 1);
  }

  #forget(entry: Entry<V>): void {
    this.#byKey.delete(entry.key);
    entry.key = FREE;
    entry.value = undefined as V;
    entry.origin = undefined;
    this.#free.push(entry);
  }
}
