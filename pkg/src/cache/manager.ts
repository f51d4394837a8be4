import { Emitter, type EventMap } from '../emitter.js';
import { abortReason, SommosError } from '../errors.js';
import { callable, invalidOption } from '../options.js';
import { Clock } from './clock.js';
import { configOf, timesOf, type Config, type Times } from './config.js';
import { Flight } from './flight.js';
import { originalKey, plainKey, shown, storedKey, type CacheKey } from './key.js';
import { readSnapshot, writeSnapshot, type SnapshotOptions } from './snapshot.js';
import { Table, type Entry, type Origin } from './table.js';
import { TagBarriers } from './tags.js';
import type {
  CacheEvents,
  CacheOptions,
  CacheStats,
  Loader,
  LoadOptions,
  ManyResult,
  SetOptions,
  TTL,
} from './types.js';

/** Expired entries removed in one turn by the timer. */
const CLEANUP_SLICE = 10_000;

/** What a subclass finds for a key that is not here. */
export type Beyond<V> = { value: V } | undefined;

/**
 * A cache bounded in entries and bytes that evicts the least recently used, with a time to live
 * for each entry. Values stay JavaScript objects and are handed out as they were set, not copied;
 * WebAssembly keeps order, weights and deadlines.
 *
 * Time is read once a turn of the event loop (and again every 32 calls within it), so that an entry
 * expires at the first turn after its deadline.
 */
export class AdvancedCacheManager<
  V = unknown,
  E extends CacheEvents<V> & EventMap = CacheEvents<V>,
> extends Emitter<E> {
  /** @internal */
  protected readonly config: Config;
  /** @internal */
  protected readonly clock: Clock;
  /** @internal */
  protected barriers = new TagBarriers();
  #table: Table<V> | undefined;
  readonly #flights = new Map<string, Flight<V>>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #stamp = 0;
  #staleHits = 0;
  #hears = { hit: false, miss: false, set: false, eviction: false };
  readonly #keyMax: number;
  /** Times of an entry set without any. */
  readonly #defaults: Times;

  constructor(options: CacheOptions = {}) {
    super();
    this.config = configOf(options);
    this.clock = new Clock(this.config.now);
    this.#keyMax = this.config.maxKeyLength;
    this.#defaults = timesOf(undefined, this.config);
    this.#table = new Table<V>(this.config.maxSize, this.config.maxMemory, (key, origin, expired) =>
      this.#gone(key, origin, expired),
    );
    this.#startCleanup();
  }

  /** The fresh value of a key, or null; it becomes the most recently used. O(1). */
  get(key: CacheKey): V | null {
    const stored = this.keyOf(key);
    const table = this.#opened();
    const id = this.#look(table, stored);
    if (id < 0) {
      if (this.#hears.miss) this.#tell('miss', key);
      return null;
    }
    const value = table.values[id] as V;
    if (this.#hears.hit) this.#tell('hit', key, value);
    return value;
  }

  /** The fresh value of a key, or null; changes neither order nor counters. */
  peek(key: CacheKey): V | null {
    return this.#peek(this.keyOf(key))?.value ?? null;
  }

  /**
   * Stores a value for `ttl` milliseconds (default: defaultTTL; 0: it is expired at once; Infinity:
   * for ever). False, and an 'error' event, when the value alone exceeds maxMemory; an older value
   * of the key is then removed, for it is out of date.
   */
  set(key: CacheKey, value: V, ttl?: TTL): boolean {
    const stored = this.keyOf(key);
    const times = ttl === undefined ? this.#defaults : timesOf(ttl, this.config);
    return this.#store(stored, key, value, times, this.nextStamp());
  }

  /** Removes a key; true when it had a fresh value. */
  delete(key: CacheKey): boolean {
    const stored = this.keyOf(key);
    const deleted = this.remove(stored);
    this.onDelete(stored, this.nextStamp());
    if (deleted) this.#tell('delete', key);
    return deleted;
  }

  /** Whether a key has a fresh value; changes neither order nor counters. */
  has(key: CacheKey): boolean {
    return this.#peek(this.keyOf(key)) !== undefined;
  }

  /**
   * The value of a key, made by `loader` when there is no fresh one. Calls for the same key share
   * one loader. A loader that fails rejects all of them, emits 'error' and caches nothing. A value
   * loaded while the key was set, deleted or cleared is handed out but not cached.
   */
  async getOrSet(
    key: CacheKey,
    loader: Loader<V>,
    ttl?: TTL<LoadOptions>,
  ): Promise<V> {
    const stored = this.keyOf(key);
    callable('loader', loader);
    const times = timesOf(ttl, this.config);
    const signal = typeof ttl === 'object' && ttl !== null ? ttl.signal : undefined;
    if (signal?.aborted) throw abortReason(signal);
    const table = this.#opened();
    const id = this.#look(table, stored);
    if (id >= 0) {
      const value = table.values[id] as V;
      if (this.#hears.hit) this.#tell('hit', key, value);
      return value;
    }
    if (this.#hears.miss) this.#tell('miss', key);
    const stale = this.#stale(stored, times.staleWhileRevalidate);
    if (stale) {
      this.#staleHits++;
      const { value } = stale;
      this.#load(stored, key, loader, times, true);
      return value;
    }
    const flight = this.#load(stored, key, loader, times, false);
    try {
      return (await this.#join(stored, flight, signal)) as V;
    } catch (error) {
      const saved = signal?.aborted ? undefined : this.#stale(stored, times.failSafe);
      if (!saved) throw error;
      this.#staleHits++;
      return saved.value;
    }
  }

  /** The fresh values of several keys, and the keys that have none. */
  getMany(keys: Iterable<CacheKey>): ManyResult<V> {
    this.#opened();
    const results: Record<string, V> = {};
    const missing: CacheKey[] = [];
    for (const key of keys) {
      const stored = this.keyOf(key);
      // Asked for each key: a listener may have destroyed the cache.
      const table = this.#opened();
      const id = this.#look(table, stored);
      if (id < 0) {
        missing.push(key);
        if (this.#hears.miss) this.#tell('miss', key);
      } else {
        const value = table.values[id] as V;
        put(results, plainKey(stored), value);
        if (this.#hears.hit) this.#tell('hit', key, value);
      }
    }
    return { results, missing };
  }

  /** Stores several values: an object, a Map or pairs. Says for each key whether it was stored. */
  setMany(
    values: Readonly<Record<string, V>> | Iterable<readonly [CacheKey, V]>,
    ttl?: TTL,
  ): Record<string, boolean> {
    const stored: Record<string, boolean> = {};
    for (const [key, value] of pairs(values)) {
      put(stored, plainKey(this.keyOf(key)), this.set(key, value, ttl));
    }
    return stored;
  }

  /** Removes everything and returns how many entries that were. */
  clear(): number {
    const table = this.table();
    this.#sweep(table);
    const count = table.clear();
    this.#flights.clear();
    this.onClear(this.nextStamp());
    this.#tell('clear', count);
    return count;
  }

  /**
   * Removes all entries that were set with one of these tags, and those that loaders under way
   * will bring. O(1): the entries leave when they are met next, or all in one pass before one of
   * them would cost another its place.
   */
  deleteByTag(tags: string | readonly string[]): void {
    this.table();
    for (const tag of typeof tags === 'string' ? [tags] : tags) {
      if (typeof tag !== 'string' || tag === '') {
        throw invalidOption('tag', tag, 'a string that is not empty');
      }
      const stamp = this.nextStamp();
      this.onTag(tag, stamp);
      this.barriers.delete(tag, stamp);
    }
  }

  /** The figures now. */
  getStats(): CacheStats {
    const table = this.table();
    this.#sweep(table);
    const { maxSize, maxMemory, enableMetrics } = this.config;
    const stats = { ...table.stats(), staleHits: this.#staleHits };
    if (!enableMetrics) {
      stats.hits = stats.misses = stats.evictions = stats.expirations = 0;
      stats.sets = stats.deletes = stats.staleHits = 0;
    }
    const gets = stats.hits + stats.misses;
    const hitRate = gets === 0 ? 0 : Math.round((stats.hits / gets) * 100) / 100;
    return { ...stats, hitRate, maxSize, maxMemory, utilization: stats.size / maxSize };
  }

  /** The keys of all fresh entries, the most recently used first. O(entries). */
  keys(): CacheKey[] {
    return this.#list().map((entry) => originalKey(entry.key));
  }

  /** Keys and values of all fresh entries, the most recently used first. O(entries). */
  entries(): [CacheKey, V][] {
    return this.#list().map((entry) => [originalKey(entry.key), entry.value]);
  }

  /** Entries held, expired ones that were neither met nor cleaned up included. */
  size(): number {
    const table = this.table();
    this.#sweep(table);
    return table.size;
  }

  /**
   * Stores all values of the object, Map or pairs that `source` returns; resolves to how many. When
   * `source` fails: emits 'warmupError' and resolves to 0; rejects when nobody listens to it.
   */
  async warmCache(
    source: () =>
      | Readonly<Record<string, V>>
      | Iterable<readonly [CacheKey, V]>
      | PromiseLike<Readonly<Record<string, V>> | Iterable<readonly [CacheKey, V]>>,
    ttl?: TTL,
  ): Promise<number> {
    this.table();
    try {
      let count = 0;
      for (const [key, value] of pairs(await callable('source', source)())) {
        if (this.set(key, value, ttl)) count++;
      }
      this.#tell('warmed', count);
      return count;
    } catch (error) {
      if (!this.#tell('warmupError', error)) throw error;
      return 0;
    }
  }

  /** Removes the least recently used entry and returns its key; null when there is none. */
  evictLRU(): CacheKey | null {
    const table = this.table();
    this.#sweep(table);
    const entry = table.evict(this.clock.now());
    if (!entry) return null;
    const key = originalKey(entry.key);
    this.onEvicted(entry.key, entry.origin);
    this.#tell('eviction', key);
    return key;
  }

  /** Removes all expired entries and returns how many. O(removed). */
  cleanup(): number {
    return this.#cleanup(Infinity);
  }

  /** The earliest moment at which an entry may expire, milliseconds since 1970; null: never. */
  nextDeadline(): number | null {
    const at = this.table().nextDeadline();
    return at === Infinity ? null : at;
  }

  /**
   * All entries as bytes: values that JSON can hold, their order and deadlines.
   *
   * @throws SommosError NOT_SERIALIZABLE naming key and place of the first value that JSON cannot
   * hold, unless `skip` takes it.
   */
  snapshot(options: SnapshotOptions = {}): Uint8Array {
    const table = this.table();
    this.#sweep(table);
    const entries = table.list(this.clock.now(), true).map((entry) => ({
      key: entry.key,
      value: entry.value,
      staleAt: table.staleAt(entry),
      goneAt: table.goneAt(entry),
      tags: entry.origin?.tags,
    }));
    return writeSnapshot(entries.reverse(), options);
  }

  /**
   * Takes the entries of a snapshot in place of its own and returns how many; those that have
   * expired meanwhile are left out. Emits 'warmed'.
   *
   * @throws SommosError CORRUPT_DATA saying where; the cache is then unchanged.
   */
  restore(bytes: Uint8Array): number {
    const table = this.table();
    const entries = readSnapshot(bytes, this.config);
    const now = this.clock.now();
    table.clear();
    this.#flights.clear();
    this.barriers = new TagBarriers();
    let count = 0;
    for (const { key, value, staleAt, goneAt, tags } of entries) {
      if (goneAt <= now) continue;
      const ttl = Math.max(0, staleAt - now);
      const grace = goneAt === Infinity ? 0 : goneAt - now - ttl;
      // Stamp 0: older than every write that a peer may tell of.
      const origin = tags && { stamp: 0, node: '', tags };
      const weight = this.#weight(key, value);
      if (table.set(key, now, value as V, weight, ttl, grace, origin)) count++;
    }
    this.#tell('warmed', count);
    return count;
  }

  /** Ends timers and loaders and gives the memory back; every later call throws CLOSED. */
  destroy(): void {
    if (!this.#table) return;
    clearInterval(this.#timer);
    const closed = new SommosError('CLOSED', 'the cache was destroyed while a loader was under way');
    for (const flight of this.#flights.values()) {
      flight.reject(closed);
      flight.controller.abort(closed);
    }
    this.#flights.clear();
    this.#table.free();
    this.#table = undefined;
    this.removeAllListeners();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  override on<K extends keyof E>(event: K, listener: (...args: E[K]) => void): this {
    super.on(event, listener);
    return this.#listen();
  }

  override once<K extends keyof E>(event: K, listener: (...args: E[K]) => void): this {
    super.once(event, listener);
    return this.#listen();
  }

  override off<K extends keyof E>(event: K, listener: (...args: E[K]) => void): this {
    super.off(event, listener);
    return this.#listen();
  }

  override removeAllListeners(event?: keyof E): this {
    super.removeAllListeners(event);
    return this.#listen();
  }

  /** @internal */
  protected table(): Table<V> {
    return this.#opened();
  }

  /** @internal */
  protected get closed(): boolean {
    return this.#table === undefined;
  }

  /** @internal The text under which a key is stored. */
  protected keyOf(key: CacheKey): string {
    // The common case without a call: a short plain string.
    if (typeof key === 'string' && key.length <= this.#keyMax && key.charCodeAt(0) !== 0) {
      return key;
    }
    return storedKey(key, this.#keyMax);
  }

  /** @internal A stamp greater than all before. */
  protected nextStamp(): number {
    return ++this.#stamp;
  }

  /** @internal Which node writes. */
  protected readonly node: string = '';

  /** @internal Removes an entry and forgets loaders of its key. */
  protected remove(stored: string): boolean {
    const table = this.table();
    this.#flights.delete(stored);
    const entry = table.entry(stored);
    if (entry === undefined) return false;
    const barred = this.barriers.bars(entry.origin);
    return table.delete(entry, this.clock.now()) && !barred;
  }

  /** @internal Removes what another node deleted. */
  protected drop(stored: string): void {
    if (this.remove(stored)) this.#tell('delete', originalKey(stored));
  }

  /** @internal Removes the entries that another node's clear is about. */
  protected dropAll(isMeant: (entry: Entry<V>) => boolean): void {
    const table = this.table();
    const now = this.clock.now();
    const meant = [...table.all()].filter(isMeant);
    this.#flights.clear();
    for (const entry of meant) table.delete(entry, now);
    if (meant.length > 0) this.#tell('clear', meant.length);
  }

  /** @internal Stores what another node wrote. */
  protected adopt(stored: string, value: V, expiresAt: number, grace: number, origin: Origin): void {
    const weight = this.#weight(stored, value);
    const now = this.clock.now();
    const ttl = expiresAt - now;
    if (ttl <= 0) return void this.remove(stored);
    this.#flights.delete(stored);
    if (this.table().set(stored, now, value, weight, ttl, grace, origin)) {
      if (this.#hears.set) this.#tell('set', originalKey(stored), value, expiresAt);
    }
  }

  /** @internal The value of a key from `loader`, or from beyond; null when neither has it. */
  protected async fetch(key: CacheKey, stored: string): Promise<V | null> {
    const flight = this.#load(stored, key, undefined, timesOf(undefined, this.config), false);
    const value = await this.#join(stored, flight, undefined);
    return value === undefined ? null : value;
  }

  /** @internal Where a subclass looks before a loader is called. */
  protected beyond(_stored: string, _signal: AbortSignal): Promise<Beyond<V>> | undefined {
    return undefined;
  }

  /** @internal */
  protected onWrite(
    _stored: string,
    _value: V,
    _expiresAt: number,
    _grace: number,
    _origin: Origin | undefined,
  ): void {}
  /** @internal */
  protected onDelete(_stored: string, _stamp: number): void {}
  /** @internal */
  protected onClear(_stamp: number): void {}
  /** @internal */
  protected onTag(_tag: string, _stamp: number): void {}
  /** @internal */
  protected onEvicted(_stored: string, _origin: Origin | undefined): void {}

  #opened(): Table<V> {
    const table = this.#table;
    if (table === undefined) throw closedError();
    return table;
  }

  /** The number of a key's fresh entry, or -1; counts a hit or a miss. */
  #look(table: Table<V>, stored: string): number {
    if (this.barriers.unswept) {
      const entry = table.entry(stored);
      if (entry && this.barriers.bars(entry.origin)) table.delete(entry, this.clock.now());
    }
    return table.get(stored, this.clock.now());
  }

  #peek(stored: string): Entry<V> | undefined {
    const entry = this.table().peek(stored, this.clock.now());
    return entry && !this.barriers.bars(entry.origin) ? entry : undefined;
  }

  /** The entry that expired less than `window` milliseconds ago. */
  #stale(stored: string, window: number): Entry<V> | undefined {
    if (window === 0 || this.#table === undefined) return undefined;
    const now = this.clock.now();
    const entry = this.#table.stale(stored, now);
    if (!entry || now >= this.#table.staleAt(entry) + window) return undefined;
    return this.barriers.bars(entry.origin) ? undefined : entry;
  }

  #store(stored: string, key: CacheKey, value: V, times: Times, stamp: number, own = true): boolean {
    const table = this.table();
    const now = this.clock.now();
    let { ttl } = times;
    const { ttlJitter, random } = this.config;
    if (ttlJitter > 0 && ttl !== Infinity) ttl -= Math.floor(ttl * ttlJitter * random());
    if (this.#flights.size > 0) this.#flights.delete(stored);
    // What was deleted by its tag must not push out what is wanted.
    if (this.barriers.unswept && table.size === this.config.maxSize) this.#sweep(table);
    const weight = this.config.sizeOf(value) + 2 * stored.length;
    const grace = Math.max(times.staleWhileRevalidate, times.failSafe);
    const { node } = this;
    const { tags } = times;
    const origin = tags === undefined && node === '' ? undefined : { stamp, node, tags };
    if (!table.set(stored, now, value, weight, ttl, grace, origin)) {
      this.onDelete(stored, stamp);
      this.#tell('error', this.#tooHeavy(key, value));
      return false;
    }
    if (own) this.onWrite(stored, value, now + ttl, grace, origin);
    if (this.#hears.set) this.#tell('set', key, value, now + ttl);
    return true;
  }

  #weight(stored: string, value: unknown): number {
    return this.config.sizeOf(value) + 2 * stored.length;
  }

  #tooHeavy(key: CacheKey, value: unknown): SommosError {
    const bytes = this.config.sizeOf(value);
    const message = `the value of ${shown(key)} takes about ${bytes} bytes, more than the whole cache may (maxMemory ${this.config.maxMemory})`;
    return new SommosError('LIMIT_EXCEEDED', message);
  }

  #load(
    stored: string,
    key: CacheKey,
    loader: Loader<V> | undefined,
    times: Times,
    background: boolean,
  ): Flight<V | undefined> {
    const known = this.#flights.get(stored);
    if (known) return known as Flight<V | undefined>;
    if (this.#flights.size >= this.config.maxLoads) {
      const message = `${this.#flights.size} loaders are under way, as many as maxLoads allows; ${shown(key)} must wait`;
      throw new SommosError('LIMIT_EXCEEDED', message);
    }
    const flight = new Flight<V>(this.nextStamp(), background);
    this.#flights.set(stored, flight);
    void this.#fly(flight, stored, key, loader, times);
    return flight as Flight<V | undefined>;
  }

  async #fly(
    flight: Flight<V>,
    stored: string,
    key: CacheKey,
    loader: Loader<V> | undefined,
    times: Times,
  ): Promise<void> {
    const { signal } = flight.controller;
    try {
      const looking = this.beyond(stored, signal);
      const found = looking && (await looking);
      const value = found ? found.value : loader && (await loader({ signal }));
      const wanted = this.#flights.get(stored) === flight && (found || loader);
      if (wanted && !this.barriers.bars({ tags: times.tags, stamp: flight.stamp })) {
        this.#store(stored, key, value as V, times, flight.stamp, !found);
      }
      flight.resolve(value as V);
    } catch (error) {
      flight.reject(error);
      if (!signal.aborted) this.#tell('error', error);
    } finally {
      if (this.#flights.get(stored) === flight) this.#flights.delete(stored);
    }
  }

  #join(stored: string, flight: Flight<V | undefined>, signal: AbortSignal | undefined) {
    return flight.join(signal, () => {
      if (this.#flights.get(stored) === (flight as Flight<V>)) this.#flights.delete(stored);
    });
  }

  #list(): Entry<V>[] {
    const table = this.table();
    this.#sweep(table);
    return table.list(this.clock.now());
  }

  /** Removes what is behind a tag's barrier. */
  #sweep(table: Table<V>): void {
    if (!this.barriers.unswept) return;
    const now = this.clock.now();
    for (const entry of this.barriers.swept(table.all())) table.delete(entry, now);
  }

  #cleanup(max: number): number {
    const table = this.table();
    this.#sweep(table);
    const count = table.cleanup(this.clock.now(), Math.min(max, 0xffff_ffff));
    this.#tell('cleanup', count);
    return count;
  }

  #gone(stored: string, origin: Origin | undefined, expired: boolean): void {
    this.onEvicted(stored, origin);
    if (!expired && this.#hears.eviction && !this.barriers.bars(origin)) {
      this.#tell('eviction', originalKey(stored));
    }
  }

  #startCleanup(): void {
    const { cleanupInterval } = this.config;
    if (cleanupInterval === 0) return;
    // A cache that nobody holds any more is collected, timer or not.
    const held = new WeakRef(this);
    const tick = (): void => {
      const cache = held.deref();
      if (cache === undefined || cache.closed) clearInterval(timer);
      else if (cache.#cleanup(CLEANUP_SLICE) === CLEANUP_SLICE) setTimeout(tick, 0);
    };
    const timer = setInterval(tick, cleanupInterval);
    (timer as { unref?: () => void }).unref?.();
    this.#timer = timer;
  }

  #listen(): this {
    this.#hears = {
      hit: this.listenerCount('hit') > 0,
      miss: this.listenerCount('miss') > 0,
      set: this.listenerCount('set') > 0,
      eviction: this.listenerCount('eviction') > 0,
    };
    return this;
  }

  #tell<K extends keyof CacheEvents<V>>(event: K, ...args: CacheEvents<V>[K]): boolean {
    return this.emit(event, ...(args as E[K]));
  }
}

function closedError(): SommosError {
  return new SommosError('CLOSED', 'the cache was destroyed; make a new one');
}

/** Own enumerable string keys of an object, or what a Map or an iterable of pairs gives. */
function pairs<V>(
  values: Readonly<Record<string, V>> | Iterable<readonly [CacheKey, V]>,
): Iterable<readonly [CacheKey, V]> {
  if (typeof values !== 'object' || values === null) {
    throw invalidOption('values', values, 'an object, a Map or an iterable of [key, value] pairs');
  }
  return Symbol.iterator in values
    ? (values as Iterable<readonly [CacheKey, V]>)
    : Object.entries(values as Record<string, V>);
}

/** Sets a member whatever its name, `__proto__` included. */
function put<T>(target: Record<string, T>, name: string, value: T): void {
  if (name === '__proto__') {
    Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true });
  } else {
    target[name] = value;
  }
}
