import { SommosError } from '../errors.js';
import { LRUCache } from './lru-cache.js';

interface Loaded {
  value: unknown;
  /** The collection before which it was last used. */
  epoch: number;
}

/** Values that are loaded at their first use. */
export class LazyCache {
  readonly #kept: LRUCache<string, Loaded>;
  readonly #underWay = new Map<string, { outcome?: Promise<unknown> }>();
  readonly #loadsMax: number;
  #epoch = 0;

  /** At most so many values of so many bytes together, and so many loads at once. */
  constructor(capacity: number, maxMemory: number, loadsMax: number) {
    this.#kept = new LRUCache({ capacity, maxMemory });
    this.#loadsMax = loadsMax;
  }

  /** The kept value. */
  get(key: string): { value: unknown } | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    kept.epoch = this.#epoch;
    return kept;
  }

  /** Calls `loader` unless a load of `key` is under way: then its outcome is shared. */
  load(key: string, loader: () => unknown, keep: boolean, done: () => void): Promise<unknown> {
    const underWay = this.#underWay.get(key)?.outcome;
    if (underWay) return underWay;
    if (this.#underWay.size >= this.#loadsMax) {
      const message = `${this.#loadsMax} loads are under way already; try again when some have ended`;
      return Promise.reject(new SommosError('QUEUE_FULL', message));
    }
    const load: { outcome?: Promise<unknown> } = {};
    this.#underWay.set(key, load);
    load.outcome = this.#run(load, key, loader, keep, done);
    return load.outcome;
  }

  /** Values kept. */
  get size(): number {
    return this.#kept.getSize();
  }

  /** Bytes charged. */
  get bytes(): number {
    return this.#kept.getMemoryUsage();
  }

  /** Drops the values that were not used since the last call, or all; how many. */
  trim(all: boolean): number {
    this.#epoch += 1;
    if (all) return this.#kept.clear();
    let count = 0;
    for (const key of this.#kept.keys().reverse()) {
      const kept = this.#kept.peek(key);
      if (kept && kept.epoch < this.#epoch - 1 && this.#kept.delete(key)) count += 1;
    }
    return count;
  }

  async #run(load: object, key: string, loader: () => unknown, keep: boolean, done: () => void): Promise<unknown> {
    try {
      const value = await loader();
      // The engine may have been destroyed while the loader was at work.
      if (this.#underWay.get(key) === load) {
        if (keep) this.#kept.set(key, { value, epoch: this.#epoch });
        done();
      }
      return value;
    } finally {
      if (this.#underWay.get(key) === load) this.#underWay.delete(key);
    }
  }

  destroy(): void {
    this.#underWay.clear();
    this.#kept.destroy();
  }
}
