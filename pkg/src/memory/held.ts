import { SommosError } from '../errors.js';

/** An object of the WebAssembly module, until it is freed. */
export class Held<T extends { free(): void }> {
  readonly #name: string;
  #inner: T | undefined;

  /** `name` is what messages call the owner. */
  constructor(name: string, inner: T) {
    this.#name = name;
    this.#inner = inner;
  }

  /** The object. @throws SommosError `CLOSED` once it is freed. */
  get inner(): T {
    if (this.#inner === undefined) {
      throw new SommosError('CLOSED', `this ${this.#name} was destroyed: make a new one`);
    }
    return this.#inner;
  }

  get freed(): boolean {
    return this.#inner === undefined;
  }

  /** Gives its memory back; a second call does nothing. */
  free(): void {
    this.#inner?.free();
    this.#inner = undefined;
  }
}
