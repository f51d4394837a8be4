import { SommosError } from '../errors.js';
import type { JobSettings } from './types.js';

/** A waiting or running job as a store keeps it. */
export interface StoredJob {
  id: string;
  type: string;
  /** What the handler gets; a structured clone of it is kept. */
  data: unknown;
  options: JobSettings;
  /** Attempts begun so far. */
  attempts: number;
}

/** Keeps jobs over a reload. Every call may reject; the engine then says so. */
export interface JobStore {
  /** All jobs, in any order. */
  load(): Promise<StoredJob[]>;
  /** Inserts or replaces one, durably once it resolves. */
  put(job: StoredJob): Promise<void>;
  /** Deletes one; an unknown id is no error. */
  delete(id: string): Promise<void>;
  /** Lets go of what the store holds open. */
  close?(): void;
}

const STORE = 'jobs';

/**
 * Keeps jobs in IndexedDB. One engine at a time should use a name: two would both run its jobs.
 */
export class IndexedDbJobStore implements JobStore {
  readonly #name: string;
  #database: Promise<IDBDatabase> | undefined;

  /** @throws SommosError `UNSUPPORTED` where there is no IndexedDB, as in Node. */
  constructor(name = 'sommos-jobs') {
    if (typeof indexedDB === 'undefined') {
      throw new SommosError(
        'UNSUPPORTED',
        'there is no IndexedDB here to keep jobs in: pass a JobStore of your own as `persist`',
      );
    }
    this.#name = name;
  }

  async load(): Promise<StoredJob[]> {
    return this.#run('readonly', (store) => store.getAll() as IDBRequest<StoredJob[]>);
  }

  async put(job: StoredJob): Promise<void> {
    await this.#run('readwrite', (store) => store.put(job));
  }

  async delete(id: string): Promise<void> {
    await this.#run('readwrite', (store) => store.delete(id));
  }

  close(): void {
    this.#database?.then(
      (database) => database.close(),
      () => undefined,
    );
    this.#database = undefined;
  }

  async #run<R>(
    mode: IDBTransactionMode,
    act: (store: IDBObjectStore) => IDBRequest<R>,
  ): Promise<R> {
    const database = await (this.#database ??= this.#open());
    return new Promise<R>((resolve, reject) => {
      const fail = (error: unknown): void => reject(storeFailed(this.#name, error));
      try {
        const transaction = database.transaction(STORE, mode);
        const request = act(transaction.objectStore(STORE));
        // Not the request's success: only a complete transaction is written.
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => fail(transaction.error ?? request.error);
      } catch (error) {
        // Data that cannot be cloned, a closed database.
        fail(error);
      }
    });
  }

  #open(): Promise<IDBDatabase> {
    const opening = new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore(STORE, { keyPath: 'id' });
      };
      request.onsuccess = () => {
        const database = request.result;
        // Another tab may delete or upgrade it; the next call opens it anew.
        database.onversionchange = () => this.close();
        resolve(database);
      };
      request.onerror = () => reject(storeFailed(this.#name, request.error));
      request.onblocked = () =>
        reject(storeFailed(this.#name, new Error('another tab holds it open')));
    });
    opening.catch(() => {
      this.#database = undefined;
    });
    return opening;
  }
}

function storeFailed(name: string, cause: unknown): SommosError {
  const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  const quota = cause instanceof Error && cause.name === 'QuotaExceededError';
  return new SommosError(
    quota ? 'QUOTA_EXCEEDED' : 'STORE_FAILED',
    `the IndexedDB database "${name}" refused: ${reason}`,
    { cause },
  );
}
