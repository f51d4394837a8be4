import { SommosError } from '../errors.js';
import type { Entry } from './entry.js';
import type { JobStore } from './store.js';

/** Keeps a store in step with an engine. What fails after a job was taken is reported. */
export class Persistence {
  readonly store: JobStore;
  readonly #report: (error: SommosError) => void;

  constructor(store: JobStore, report: (error: SommosError) => void) {
    this.store = store;
    this.#report = report;
  }

  /** Stores a new job; rejects when that fails. */
  async add(entry: Entry): Promise<void> {
    try {
      await this.#put(entry, 0);
    } catch (error) {
      throw SommosError.from(error, 'STORE_FAILED');
    }
  }

  /** An attempt began: it counts even if its page does not outlive it. */
  started(entry: Entry, attempt: number): void {
    this.#reported(this.#put(entry, entry.before + attempt));
  }

  /** The job needs no keeping any more. */
  ended(id: string): void {
    this.#reported(this.store.delete(id));
  }

  #put({ id, type, data, options }: Entry, attempts: number): Promise<void> {
    return this.store.put({ id, type, data, options, attempts });
  }

  #reported(written: Promise<void>): void {
    written.catch((error: unknown) => this.#report(SommosError.from(error, 'STORE_FAILED')));
  }
}
