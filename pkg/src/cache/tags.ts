import type { Entry } from './table.js';

/** Barriers kept for late writes; the oldest then become one barrier for all tags. */
const BARRIERS_MAX = 1024;

/**
 * For each deleted tag the stamp of its deletion: an entry with that tag and an older stamp is
 * gone, also when it arrives only later. Deleting a tag is O(1); the entries are removed when they
 * are met or at the next sweep.
 */
export class TagBarriers {
  readonly #stamps = new Map<string, number>();
  /** Every tag counts as deleted at this stamp. */
  #floor = -1;
  /** Whether the cache may still hold entries behind a barrier. */
  unswept = false;

  delete(tag: string, stamp: number): void {
    const before = this.#stamps.get(tag);
    if (before !== undefined && before >= stamp) return;
    this.#stamps.delete(tag);
    this.#stamps.set(tag, stamp);
    this.unswept = true;
    if (this.#stamps.size <= BARRIERS_MAX) return;
    const oldest = this.#stamps.entries().next();
    if (oldest.done) return;
    this.#floor = Math.max(this.#floor, oldest.value[1]);
    this.#stamps.delete(oldest.value[0]);
  }

  /** Whether an entry with this origin is gone. */
  bars(origin: { readonly tags: readonly string[] | undefined; readonly stamp: number } | undefined) {
    if (origin?.tags === undefined || this.#stamps.size === 0) return false;
    const { tags, stamp } = origin;
    if (stamp <= this.#floor) return true;
    for (const tag of tags) {
      const barrier = this.#stamps.get(tag);
      if (barrier !== undefined && stamp <= barrier) return true;
    }
    return false;
  }

  /** The entries behind a barrier, for removal. */
  swept<V>(entries: Iterable<Entry<V>>): Entry<V>[] {
    if (!this.unswept) return [];
    this.unswept = false;
    return [...entries].filter((entry) => this.bars(entry.origin));
  }
}
