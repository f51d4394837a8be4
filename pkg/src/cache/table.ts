import { engine } from '../engine.js';
import { guarded } from '../errors.js';
import type { SlotCache } from '../generated/engine/engine.js';

/** Bytes charged per entry beside its key and value: tables of WebAssembly 79, of JavaScript 121. */
export const ENTRY_BYTES = 200;
const ENTRY_BYTES_HERE = 121;
const FRESH = 1;
const STALE = 2;
const NONE = -1;
const TOO_HEAVY = -3;

/** One value with what belongs to it. */
export interface Entry<V> {
  /** The stored text of the key. */
  readonly key: string;
  value: V;
  /** Its number in WebAssembly. */
  id: number;
  /** From here on it is stale, milliseconds since 1970. */
  expiresAt: number;
  /** For so long it may be read as stale then, milliseconds. */
  grace: number;
  /** When it was written, in the order of all writes. */
  stamp: number;
  /** Which node wrote it; empty in a cache that has no others. */
  node: string;
  tags: readonly string[] | undefined;
}

/** What a write stores. */
export interface Write<V> {
  value: V;
  weight: number;
  expiresAt: number;
  grace: number;
  stamp: number;
  node: string;
  tags: readonly string[] | undefined;
}

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
  readonly #gone: (entry: Entry<V>, expired: boolean) => void;
  readonly #byKey = new Map<string, Entry<V>>();
  readonly #byId: (Entry<V> | undefined)[] = [];
  readonly #freeIds: number[] = [];
  /** Gets that met no entry; WebAssembly never saw them. */
  #absent = 0;

  constructor(
    maxSize: number,
    maxMemory: number,
    gone: (entry: Entry<V>, expired: boolean) => void,
  ) {
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

  /** Stores; undefined when the value is heavier than the whole cache (an older one is gone then). */
  set(key: string, now: number, write: Write<V>): Entry<V> | undefined {
    const old = this.#byKey.get(key);
    const id = old !== undefined ? old.id : (this.#freeIds.pop() ?? this.#byId.length);
    const code = this.#slots.set(id, write.weight, now, write.expiresAt - now, write.grace);
    if (code === TOO_HEAVY) {
      if (old !== undefined) this.#forget(old);
      else this.#release(id);
      return undefined;
    }
    let entry = old;
    if (entry === undefined) {
      entry = {
        key,
        value: write.value,
        id,
        expiresAt: write.expiresAt,
        grace: write.grace,
        stamp: write.stamp,
        node: write.node,
        tags: write.tags,
      };
      this.#byId[id] = entry;
      this.#byKey.set(key, entry);
    } else {
      entry.value = write.value;
      entry.expiresAt = write.expiresAt;
      entry.grace = write.grace;
      entry.stamp = write.stamp;
      entry.node = write.node;
      entry.tags = write.tags;
    }
    if (code >= 0) this.#tell(code);
    else if (code !== NONE) this.#tellAll();
    return entry;
  }

  /** Removes; true when the entry was fresh. */
  delete(entry: Entry<V>, now: number): boolean {
    const fresh = this.#slots.delete(entry.id, now);
    this.#forget(entry);
    return fresh;
  }

  /** Removes the least recently used entry and gives it. */
  evict(now: number): Entry<V> | undefined {
    const entry = this.#byId[this.#slots.evictLru(now)];
    if (entry) this.#forget(entry);
    return entry;
  }

  /** Removes at most `max` entries whose time is over. */
  cleanup(now: number, max: number): number {
    const count = this.#slots.cleanup(now, max);
    if (count > 0) this.#tellAll();
    return count;
  }

  /** Removes everything; how many entries that were. */
  clear(): number {
    const count = this.#slots.clear();
    this.#byKey.clear();
    this.#byId.length = 0;
    this.#freeIds.length = 0;
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
    this.#slots.free();
  }

  #tell(code: number): void {
    const entry = this.#byId[code >>> 1];
    if (entry === undefined) return;
    this.#forget(entry);
    this.#gone(entry, (code & 1) === 1);
  }

  #tellAll(): void {
    const gone: [Entry<V>, boolean][] = [];
    for (const code of this.#slots.takeGone()) {
      const entry = this.#byId[code >>> 1];
      if (entry === undefined) continue;
      this.#forget(entry);
      gone.push([entry, (code & 1) === 1]);
    }
    // Listeners may call the cache: they hear of it once the tables agree.
    for (const [entry, expired] of gone) this.#gone(entry, expired);
  }

  #forget(entry: Entry<V>): void {
    this.#byKey.delete(entry.key);
    this.#byId[entry.id] = undefined;
    this.#freeIds.push(entry.id);
  }

  #release(id: number): void {
    if (id < this.#byId.length) this.#freeIds.push(id);
  }
}
