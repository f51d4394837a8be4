import { SommosError } from '../errors.js';
import { Slice } from '../jobs/time.js';
import { invalidOption } from '../options.js';
import type { BatchData } from './types.js';

/** A chunk of data: from `offset` in it, `items` many. */
export interface ChunkPlace {
  offset: number;
  items: number;
}

/** Where the chunks of a batch come from. */
export interface ChunkSource {
  /** Chunks that are known at once; undefined: they are drawn one by one. */
  readonly known: ChunkPlace[] | undefined;
  /** Reads the next chunk of an iterable; undefined at its end. */
  draw(): Promise<ChunkPlace | undefined>;
  /** The items of a chunk. They may be asked for again until it is dropped. */
  items(chunk: number): unknown[];
  /** A chunk has ended. */
  drop(chunk: number): void;
  /** No chunk is needed any more. */
  close(): void;
}

/** Cuts data into chunks of `size` items. */
export function sourceOf(data: BatchData<unknown>, size: number): ChunkSource {
  if (Array.isArray(data)) return new ArraySource(data, size);
  const iterable = data as Partial<AsyncIterable<unknown> & Iterable<unknown>> | null | undefined;
  if (typeof iterable?.[Symbol.asyncIterator] === 'function') {
    return new IterableSource((iterable as AsyncIterable<unknown>)[Symbol.asyncIterator](), size);
  }
  if (typeof data !== 'string' && typeof iterable?.[Symbol.iterator] === 'function') {
    return new IterableSource((iterable as Iterable<unknown>)[Symbol.iterator](), size);
  }
  throw invalidOption('data', data, 'an array, an iterable or an async iterable');
}

/** An array is cut as its chunks begin: nothing is copied ahead. */
class ArraySource implements ChunkSource {
  readonly known: ChunkPlace[] = [];
  #data: readonly unknown[] | undefined;

  constructor(data: readonly unknown[], size: number) {
    this.#data = data;
    for (let offset = 0; offset < data.length; offset += size) {
      this.known.push({ offset, items: Math.min(size, data.length - offset) });
    }
  }

  draw(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  items(chunk: number): unknown[] {
    const place = this.known[chunk];
    if (!place || !this.#data) return [];
    return this.#data.slice(place.offset, place.offset + place.items);
  }

  drop(): void {
    // The caller's array is let go as a whole.
  }

  close(): void {
    this.#data = undefined;
  }
}

type AnyIterator = Iterator<unknown> | AsyncIterator<unknown>;

/** Holds the chunks that were drawn and have not ended. */
class IterableSource implements ChunkSource {
  readonly known = undefined;
  readonly #iterator: AnyIterator;
  readonly #size: number;
  readonly #chunks = new Map<number, unknown[]>();
  readonly #slice = new Slice();
  #drawn = 0;
  #offset = 0;
  #ended = false;

  constructor(iterator: AnyIterator, size: number) {
    this.#iterator = iterator;
    this.#size = size;
  }

  async draw(): Promise<ChunkPlace | undefined> {
    const items: unknown[] = [];
    while (!this.#ended && items.length < this.#size) {
      const step = this.#iterator.next();
      // Awaiting what is there would cost more than the item.
      const { done, value } = step instanceof Promise || 'then' in step ? await step : step;
      if (done) this.#ended = true;
      else items.push(value);
      if (items.length % 64 === 0 && this.#slice.over()) await this.#slice.turn();
    }
    if (items.length === 0) return undefined;
    const place = { offset: this.#offset, items: items.length };
    this.#chunks.set(this.#drawn, items);
    this.#drawn += 1;
    this.#offset += items.length;
    return place;
  }

  items(chunk: number): unknown[] {
    return [...(this.#chunks.get(chunk) ?? [])];
  }

  drop(chunk: number): void {
    this.#chunks.delete(chunk);
  }

  close(): void {
    this.#chunks.clear();
    if (this.#ended) return;
    this.#ended = true;
    // Its clean-up is its own affair: nobody waits for it, and there is nobody to tell.
    try {
      const closing = this.#iterator.return?.();
      if (closing instanceof Promise) closing.catch(() => undefined);
    } catch {
      return;
    }
  }
}

/** What a processor gave, as an array. */
export function itemsOf(given: unknown): unknown[] {
  if (Array.isArray(given)) return given;
  const iterable = given as Partial<Iterable<unknown>> | null | undefined;
  if (typeof given !== 'string' && typeof iterable?.[Symbol.iterator] === 'function') {
    return [...(iterable as Iterable<unknown>)];
  }
  const shown = given === null ? 'null' : typeof given;
  throw new SommosError(
    'INVALID_RESULT',
    `the processor must give an array of the processed items; it gave ${shown}`,
  );
}
