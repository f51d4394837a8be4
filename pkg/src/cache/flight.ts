import { abortReason } from '../errors.js';

/** One loader under way and everyone who waits for it. */
export class Flight<V> {
  /** Tells the loader that nobody waits any more. */
  readonly controller = new AbortController();
  /** When it began, in the order of all writes. */
  readonly stamp: number;
  readonly #promise: Promise<V>;
  #settle!: { resolve: (value: V) => void; reject: (error: unknown) => void };
  #waiters = 0;
  /** It goes on without anyone waiting. */
  readonly #background: boolean;

  constructor(stamp: number, background: boolean) {
    this.stamp = stamp;
    this.#background = background;
    this.#promise = new Promise<V>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Those who wait see the rejection; without any it is told by the cache's event.
    this.#promise.catch(() => undefined);
  }

  resolve(value: V): void {
    this.#settle.resolve(value);
  }

  reject(error: unknown): void {
    this.#settle.reject(error);
  }

  /** Waits until it lands or the signal is aborted; the last one to leave aborts the loader. */
  join(signal: AbortSignal | undefined, abandoned: () => void): Promise<V> {
    this.#waiters++;
    if (!signal) return this.#promise;
    return new Promise<V>((resolve, reject) => {
      const leave = (): void => {
        reject(abortReason(signal));
        if (--this.#waiters > 0 || this.#background) return;
        abandoned();
        this.controller.abort(abortReason(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      const done = (): void => signal.removeEventListener('abort', leave);
      this.#promise.then(resolve, reject).finally(done);
    });
  }
}
