import { SommosError } from '../errors.js';

interface Pool {
  objects: unknown[];
  /** Fewest objects since the last trim: so many at the bottom were idle since then. */
  low: number;
}

/** Objects to be used again, by the name of their pool. */
export class ObjectPools {
  readonly #pools = new Map<string, Pool>();
  readonly #poolsMax: number;
  readonly #objectsMax: number;

  /** At most so many pools of so many objects each. */
  constructor(poolsMax: number, objectsMax: number) {
    this.#poolsMax = poolsMax;
    this.#objectsMax = objectsMax;
  }

  /** The object that came back last; undefined when there is none. */
  take(name: string): { object: unknown } | undefined {
    const pool = this.#pools.get(name);
    if (!pool || pool.objects.length === 0) return undefined;
    const object = pool.objects.pop();
    pool.low = Math.min(pool.low, pool.objects.length);
    return { object };
  }

  /** Keeps an object; false when its pool is full. @throws SommosError `LIMIT_EXCEEDED`. */
  put(name: string, object: unknown): boolean {
    let pool = this.#pools.get(name);
    if (!pool) {
      if (this.#pools.size >= this.#poolsMax) {
        const message = `pool ${JSON.stringify(name)} would be one more than the ${this.#poolsMax} of maxPools`;
        throw new SommosError('LIMIT_EXCEEDED', message);
      }
      pool = { objects: [], low: 0 };
      this.#pools.set(name, pool);
    }
    if (pool.objects.includes(object)) {
      throw new SommosError('INVALID_FIELD', `the object is in pool ${JSON.stringify(name)} already`);
    }
    if (pool.objects.length >= this.#objectsMax) return false;
    pool.objects.push(object);
    return true;
  }

  /** Drops the objects that lay unused since the last call, or all; how many. */
  trim(all: boolean): number {
    let count = 0;
    for (const [name, pool] of this.#pools) {
      const idle = all ? pool.objects.length : pool.low;
      pool.objects.splice(0, idle);
      count += idle;
      if (pool.objects.length === 0) this.#pools.delete(name);
      else pool.low = pool.objects.length;
    }
    return count;
  }

  /** Pools of objects and of buffers, counts. */
  figures(): { objectPools: number; bufferPools: number } {
    let bufferPools = 0;
    for (const { objects } of this.#pools.values()) {
      const [first] = objects;
      if (first instanceof ArrayBuffer || ArrayBuffer.isView(first)) bufferPools += 1;
    }
    return { objectPools: this.#pools.size - bufferPools, bufferPools };
  }
}
