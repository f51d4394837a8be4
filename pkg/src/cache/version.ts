import { SommosError } from '../errors.js';

/** Counter values within a millisecond. 2^53 / 1024 ms last until the year 2248. */
const COUNTS = 1024;
/** A peer's clock may be ahead by so much, milliseconds. */
const AHEAD_MAX = 300_000;

/**
 * A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): stamps follow the
 * time of day and are greater than every stamp made or seen before. Of equal stamps the one of the
 * greater node id wins.
 */
export class VersionClock {
  readonly #now: () => number;
  #last = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  next(): number {
    this.#last = Math.max(this.#last + 1, this.#now() * COUNTS);
    return this.#last;
  }

  /** Takes notice of a peer's stamp; refuses one from far in the future, which nothing could follow. */
  see(stamp: number): void {
    if (!Number.isSafeInteger(stamp) || stamp < 0 || stamp > (this.#now() + AHEAD_MAX) * COUNTS) {
      throw new SommosError(
        'INVALID_MESSAGE',
        `a peer's version ${stamp} is no moment up to ${AHEAD_MAX / 60_000} minutes from now: its clock is wrong`,
      );
    }
    this.#last = Math.max(this.#last, stamp);
  }
}

/** A moment of writing and who wrote. */
export interface Version {
  readonly stamp: number;
  readonly node: string;
}

export function isNewer(a: Version, b: Version): boolean {
  return a.stamp !== b.stamp ? a.stamp > b.stamp : a.node > b.node;
}

/** The versions of keys that are no longer there, bounded: the oldest become one floor. */
export class Tombstones {
  readonly #versions = new Map<string, Version>();
  readonly #max: number;
  #floor = -1;

  constructor(max: number) {
    this.#max = max;
  }

  /** Remembers that a key was removed, or its value given up, at this version. */
  bury(key: string, version: Version): void {
    const before = this.#versions.get(key);
    if (before && !isNewer(version, before)) return;
    this.#versions.delete(key);
    this.#versions.set(key, version);
    if (this.#versions.size <= this.#max) return;
    const oldest = this.#versions.entries().next();
    if (oldest.done) return;
    this.#floor = Math.max(this.#floor, oldest.value[1].stamp);
    this.#versions.delete(oldest.value[0]);
  }

  /** Everything up to this stamp is gone. */
  raise(stamp: number): void {
    this.#floor = Math.max(this.#floor, stamp);
    for (const [key, version] of this.#versions) {
      if (version.stamp <= stamp) this.#versions.delete(key);
    }
  }

  /** Whether a write of this version comes too late for a key that has no entry. */
  covers(key: string, version: Version): boolean {
    if (version.stamp <= this.#floor) return true;
    const buried = this.#versions.get(key);
    return buried !== undefined && !isNewer(version, buried);
  }

  lift(key: string): void {
    this.#versions.delete(key);
  }
}
