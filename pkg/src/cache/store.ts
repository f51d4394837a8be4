import { Emitter } from '../emitter.js';
import { SommosError } from '../errors.js';
import { integer } from '../options.js';
import { INTERVAL_MAX } from './config.js';

/** Options of {@link openCacheStore}. */
export interface CacheStoreOptions {
  /** Name of the database. Default 'sommos-cache'. */
  database?: string;
  /** Name of the snapshot in it. Default 'default'. */
  name?: string;
  /** Default: the global indexedDB. */
  indexedDB?: IDBFactory;
}

/** The events of a store. */
export type CacheStoreEvents = {
  /** A snapshot of so many bytes is kept. */
  saved: [bytes: number];
  error: [error: unknown];
};

/** A cache as the store needs it. */
export interface Snapshotable {
  snapshot(options?: { skip?: (error: SommosError) => void }): Uint8Array;
  restore(bytes: Uint8Array): number;
}

const SNAPSHOTS = 'snapshots';

/** Opens (and at first creates) a place in IndexedDB that keeps snapshots of a cache. */
export async function openCacheStore(options: CacheStoreOptions = {}): Promise<CacheStore> {
  const { database = 'sommos-cache', name = 'default' } = options;
  const factory = options.indexedDB ?? (globalThis.indexedDB as IDBFactory | undefined);
  if (!factory) {
    throw new SommosError(
      'UNSUPPORTED',
      'there is no indexedDB here: keep the bytes of snapshot() in a file instead',
    );
  }
  const opened = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = factory.open(database, 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(SNAPSHOTS);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(helpful(request.error, `opening the database "${database}"`));
    request.onblocked = () =>
      reject(helpful(null, `opening the database "${database}": another tab holds an older version`));
  });
  return new CacheStore(opened, name);
}

/** Keeps snapshots of a cache in IndexedDB, so that the next visit starts warm. */
export class CacheStore extends Emitter<CacheStoreEvents> {
  #database: IDBDatabase | undefined;
  readonly #name: string;
  readonly #timers = new Set<ReturnType<typeof setInterval>>();

  /** @internal Use {@link openCacheStore}. */
  constructor(database: IDBDatabase, name: string) {
    super();
    this.#database = database;
    this.#name = name;
    // Another tab may delete or upgrade the database.
    database.onversionchange = () => this.close();
  }

  /**
   * Keeps a snapshot and resolves to its bytes. Values that JSON cannot hold are left out, each
   * told by an 'error' event. Rejects with QUOTA_EXCEEDED when the browser has no room left; the
   * snapshot kept before then stays.
   */
  async save(cache: Snapshotable): Promise<number> {
    const bytes = cache.snapshot({ skip: (error) => void this.emit('error', error) });
    await this.#run('readwrite', 'saving', (store) => store.put(bytes, this.#name));
    this.emit('saved', bytes.length);
    return bytes.length;
  }

  /**
   * Fills a cache from the snapshot that is kept and resolves to how many entries that were; 0 when
   * there is none. Rejects with CORRUPT_DATA, the cache unchanged, when it is damaged.
   */
  async load(cache: Snapshotable): Promise<number> {
    const bytes: unknown = await this.#run('readonly', 'loading', (store) => store.get(this.#name));
    if (bytes === undefined) return 0;
    if (!(bytes instanceof Uint8Array)) {
      throw new SommosError('CORRUPT_DATA', `what is kept as "${this.#name}" is no snapshot`);
    }
    return cache.restore(bytes);
  }

  /** Forgets the snapshot. */
  async remove(): Promise<void> {
    await this.#run('readwrite', 'removing', (store) => store.delete(this.#name));
  }

  /**
   * Saves every `interval` milliseconds (default 60000), one save at a time; a save that fails
   * emits 'error' and the next one follows all the same. The function returned ends it.
   */
  autosave(cache: Snapshotable, interval?: number): () => void {
    this.#opened();
    const range = { min: 1, max: INTERVAL_MAX, default: 60_000 };
    let saving = false;
    const timer = setInterval(() => {
      if (saving) return;
      saving = true;
      this.save(cache)
        .catch((error: unknown) => {
          if (error instanceof SommosError && error.code === 'CLOSED') stop();
          this.emit('error', error);
        })
        .finally(() => {
          saving = false;
        });
    }, integer('interval', interval, range));
    (timer as { unref?: () => void }).unref?.();
    this.#timers.add(timer);
    const stop = (): void => {
      clearInterval(timer);
      this.#timers.delete(timer);
    };
    return stop;
  }

  /** Ends the saving; every later call rejects with CLOSED. */
  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
    this.#database?.close();
    this.#database = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #opened(): IDBDatabase {
    if (!this.#database) throw new SommosError('CLOSED', 'the store was closed; open it again');
    return this.#database;
  }

  async #run<T>(
    mode: IDBTransactionMode,
    what: string,
    call: (store: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> {
    const database = this.#opened();
    const doing = `${what} the snapshot "${this.#name}" in the database "${database.name}"`;
    try {
      return await new Promise<T>((resolve, reject) => {
        const transaction = database.transaction(SNAPSHOTS, mode);
        const request = call(transaction.objectStore(SNAPSHOTS));
        // Only the end of the transaction says that it is kept.
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => reject(transaction.error ?? request.error);
        transaction.onerror = () => reject(transaction.error ?? request.error);
      });
    } catch (error) {
      throw helpful(error, doing);
    }
  }
}

function helpful(error: unknown, doing: string): SommosError {
  const { name = '', message = '' } = (error ?? {}) as { name?: string; message?: string };
  if (name === 'QuotaExceededError') {
    const text = `no room left for ${doing}: cache fewer or smaller values (maxSize, maxMemory), or free storage of this site`;
    return new SommosError('QUOTA_EXCEEDED', text, { cause: error });
  }
  return new SommosError('STORAGE_FAILED', `${doing} failed: ${name} ${message}`.trim(), { cause: error });
}
