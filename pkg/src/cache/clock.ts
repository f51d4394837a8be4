/** Uses of one reading within a turn: a long synchronous loop sees time pass. */
const USES = 32;

/**
 * Milliseconds since 1970, read once a turn of the event loop and again every 32 uses within it.
 * A clock of the caller's own is asked at every use.
 */
export class Clock {
  readonly #source: () => number;
  readonly #uses: number;
  #time = 0;
  #left = 0;
  #resetDue = false;

  constructor(source?: () => number) {
    this.#source = source ?? Date.now;
    this.#uses = source ? 0 : USES;
  }

  now(): number {
    if (this.#left > 0) {
      this.#left--;
      return this.#time;
    }
    return this.#read();
  }

  #read(): number {
    this.#time = Math.trunc(this.#source());
    this.#left = this.#uses;
    if (this.#uses > 0 && !this.#resetDue) {
      this.#resetDue = true;
      queueMicrotask(this.#reset);
    }
    return this.#time;
  }

  readonly #reset = (): void => {
    this.#left = 0;
    this.#resetDue = false;
  };
}
