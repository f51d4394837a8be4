/** Values that wait for a reader, count. */
const EVENTS_MAX = 1000;

/**
 * Values on their way from events to a `for await`. When nobody reads, the oldest go: what is
 * asked late is the end, not the way to it.
 */
export class EventBuffer<T> implements AsyncIterableIterator<T> {
  readonly #left: () => void;
  #values: T[] = [];
  #reader: ((result: IteratorResult<T>) => void) | undefined;
  #ended = false;

  /** `left` is called once when the reader goes or the end has come. */
  constructor(left: () => void) {
    this.#left = left;
  }

  push(value: T): void {
    if (this.#ended) return;
    if (this.#reader) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader({ value, done: false });
      return;
    }
    if (this.#values.length >= EVENTS_MAX) this.#values.shift();
    this.#values.push(value);
  }

  /** No more values come. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader?.({ value: undefined, done: true });
    this.#reader = undefined;
    this.#left();
  }

  next(): Promise<IteratorResult<T>> {
    const value = this.#values.shift();
    if (value !== undefined) return Promise.resolve({ value, done: false });
    if (this.#ended) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve) => {
      this.#reader = resolve;
    });
  }

  return(): Promise<IteratorResult<T>> {
    this.#values = [];
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
