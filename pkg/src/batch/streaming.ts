import { Emitter } from '../emitter.js';
import { SommosError } from '../errors.js';
import { integer } from '../options.js';

/** How a {@link StreamingDataProcessor} works. */
export interface StreamingDataOptions {
  /** Items at which it flushes by itself, count. Default 10,000. */
  bufferSize?: number;
  /** Longest wait of an item, milliseconds. Default 1000. */
  flushInterval?: number;
  /** Items that it keeps while nobody takes them, count. Default 100,000. */
  maxBufferSize?: number;
}

/** What a {@link StreamingDataProcessor} emits. */
export type StreamingDataEvents<T> = {
  data: [items: T[]];
  bufferOverflow: [length: number];
  error: [error: unknown];
};

/**
 * Gathers items and emits them as arrays: when `bufferSize` are there, after `flushInterval`, and
 * on `flush`. While nobody listens to `data` it keeps them, at most `maxBufferSize`.
 */
export class StreamingDataProcessor<T = unknown> extends Emitter<StreamingDataEvents<T>> {
  readonly #bufferSize: number;
  readonly #flushInterval: number;
  readonly #maxBufferSize: number;
  #buffer: T[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  /** @throws SommosError `INVALID_OPTION`. */
  constructor(options: StreamingDataOptions = {}) {
    super();
    const range = { min: 1, max: 100_000_000 };
    this.#bufferSize = integer('bufferSize', options.bufferSize, { ...range, default: 10_000 });
    this.#flushInterval = integer('flushInterval', options.flushInterval, {
      min: 1,
      max: 86_400_000,
      default: 1000,
    });
    this.#maxBufferSize = integer('maxBufferSize', options.maxBufferSize, {
      min: this.#bufferSize,
      max: range.max,
      default: Math.max(100_000, this.#bufferSize),
    });
  }

  /** Items that wait. */
  get length(): number {
    return this.#buffer.length;
  }

  /**
   * Takes an item. False: it was refused, for `maxBufferSize` items wait and nobody takes them
   * (`bufferOverflow`).
   *
   * @throws SommosError `CLOSED` after `stop`.
   */
  addData(item: T): boolean {
    if (this.#stopped) throw new SommosError('CLOSED', 'this StreamingDataProcessor was stopped');
    if (this.#buffer.length >= this.#maxBufferSize) {
      this.flush();
      if (this.#buffer.length >= this.#maxBufferSize) {
        this.emit('bufferOverflow', this.#buffer.length);
        return false;
      }
    }
    this.#buffer.push(item);
    if (this.#buffer.length >= this.#bufferSize) this.flush();
    else this.#arm();
    return true;
  }

  /** Emits what waits; gives how many items. Without a listener of `data` they stay: 0. */
  flush(): number {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { length } = this.#buffer;
    if (length === 0) return 0;
    if (this.listenerCount('data') === 0) {
      this.#arm();
      return 0;
    }
    const items = this.#buffer;
    this.#buffer = [];
    this.emit('data', items);
    return length;
  }

  /** Flushes and takes no more. What nobody listened for is given back. */
  stop(): T[] {
    this.flush();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stopped = true;
    const rest = this.#buffer;
    this.#buffer = [];
    return rest;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush();
    }, this.#flushInterval);
    (this.#timer as { unref?(): void }).unref?.();
  }
}
