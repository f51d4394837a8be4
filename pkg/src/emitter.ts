/** Event names and the arguments of their listeners. */
export type EventMap = { [event: string]: unknown[] };

type Listener<A extends unknown[]> = (...args: A) => void;

interface Entry {
  listener: Listener<never[]>;
  once: boolean;
}

/** What every class of the package can do with events. */
export abstract class Emitter<E extends EventMap> {
  readonly #entries = new Map<keyof E, Entry[]>();

  /** Calls `listener` at every `event`, in the order of registration. */
  on<K extends keyof E>(event: K, listener: Listener<E[K]>): this {
    return this.#add(event, listener, false);
  }

  /** Calls `listener` at the next `event` only. */
  once<K extends keyof E>(event: K, listener: Listener<E[K]>): this {
    return this.#add(event, listener, true);
  }

  /** Takes back one registration of `listener`, the last one first. */
  off<K extends keyof E>(event: K, listener: Listener<E[K]>): this {
    const entries = this.#entries.get(event);
    const at = entries?.findLastIndex((entry) => entry.listener === (listener as unknown)) ?? -1;
    if (entries && at >= 0) {
      // A copy: an emit that is under way goes on over the old list.
      const rest = entries.toSpliced(at, 1);
      if (rest.length > 0) this.#entries.set(event, rest);
      else this.#entries.delete(event);
    }
    return this;
  }

  /**
   * Calls the listeners of `event`; false when there is none. A listener that throws stops neither
   * the others nor the engine: its error goes to the listeners of `error`, without one to the
   * console.
   */
  emit<K extends keyof E>(event: K, ...args: E[K]): boolean {
    const entries = this.#entries.get(event);
    if (!entries) return false;
    for (const entry of entries) {
      if (entry.once) this.off(event, entry.listener as unknown as Listener<E[K]>);
      try {
        const result = (entry.listener as unknown as (...args: E[K]) => unknown)(...args);
        if (result instanceof Promise) {
          result.catch((error: unknown) => this.#listenerFailed(event, error));
        }
      } catch (error) {
        this.#listenerFailed(event, error);
      }
    }
    return true;
  }

  /** Takes back all listeners of an event, or of all events. */
  removeAllListeners(event?: keyof E): this {
    if (event === undefined) this.#entries.clear();
    else this.#entries.delete(event);
    return this;
  }

  /** How many listeners an event has. */
  listenerCount(event: keyof E): number {
    return this.#entries.get(event)?.length ?? 0;
  }

  #add<K extends keyof E>(event: K, listener: Listener<E[K]>, once: boolean): this {
    if (typeof listener !== 'function') {
      throw new TypeError(`the listener of ${String(event)} must be a function`);
    }
    const entry = { listener: listener as unknown as Listener<never[]>, once };
    this.#entries.set(event, [...(this.#entries.get(event) ?? []), entry]);
    return this;
  }

  #listenerFailed(event: keyof E, error: unknown): void {
    if (event !== 'error' && this.#entries.has('error')) {
      (this as unknown as Emitter<{ error: [unknown] }>).emit('error', error);
    } else {
      console.error(`a listener of ${String(event)} failed:`, error);
    }
  }
}
