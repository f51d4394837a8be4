import { Emitter } from '../emitter.js';
import { SommosError } from '../errors.js';
import { callable, flag, integer, invalidOption } from '../options.js';
import { turn } from './time.js';

/** What types of events carry: `{ wineAdded: Wine }`. */
export type AnyEvents = { [type: string]: unknown };

/** One event on its way. */
export interface ProcessedEvent<D = unknown> {
  id: number;
  type: string;
  data: D;
  /** Unix milliseconds. */
  queuedAt: number;
  /** Handlers that were called; known once it is processed. */
  handlers: number;
  /** What handlers threw. */
  errors: unknown[];
}

/** How a handler is called. */
export interface EventHandlerOptions {
  /** A higher number is called first. Default 0. */
  priority?: number;
  /**
   * Whether the next handler waits for this one's promise (default). Otherwise it is called and
   * not waited for; what it rejects with is told all the same.
   */
  async?: boolean;
}

/** How an {@link EventDrivenProcessor} works. */
export interface EventProcessorOptions {
  /** Events that may be under way, count. Default 10,000. */
  maxQueueSize?: number;
  /** Handlers of all types together, count. Default 10,000. */
  maxHandlers?: number;
}

/** What an {@link EventDrivenProcessor} emits. */
export type EventProcessorEvents = {
  eventQueued: [event: ProcessedEvent];
  eventProcessed: [event: ProcessedEvent];
  handlerError: [error: unknown, event: ProcessedEvent];
  error: [error: unknown];
};

type Handler = (data: unknown, event: ProcessedEvent) => unknown;

interface Registration {
  handler: Handler;
  priority: number;
  waits: boolean;
}

/**
 * Calls handlers of events by priority. Events begin in the order in which they were emitted and
 * do not wait for each other, so that a handler may emit and await further events.
 */
export class EventDrivenProcessor<
  E extends object = AnyEvents,
> extends Emitter<EventProcessorEvents> {
  readonly #handlers = new Map<string, readonly Registration[]>();
  readonly #maxQueueSize: number;
  readonly #maxHandlers: number;
  #count = 0;
  #underWay = 0;
  #next = 1;

  /** @throws SommosError `INVALID_OPTION`. */
  constructor(options: EventProcessorOptions = {}) {
    super();
    const range = { min: 1, max: 1_000_000, default: 10_000 };
    this.#maxQueueSize = integer('maxQueueSize', options.maxQueueSize, range);
    this.#maxHandlers = integer('maxHandlers', options.maxHandlers, range);
  }

  /**
   * Registers a handler; gives a function that removes it. Equal priorities are called in the order
   * of registration.
   *
   * @throws SommosError `INVALID_OPTION`, `LIMIT_EXCEEDED`.
   */
  onEvent<K extends keyof E & string>(
    type: K,
    handler: (data: E[K], event: ProcessedEvent<E[K]>) => unknown,
    options: EventHandlerOptions = {},
  ): () => boolean {
    if (typeof type !== 'string' || type === '') throw invalidOption('type', type, 'a name');
    callable(`the handler of ${type}`, handler);
    const priority = integer('priority', options.priority, { min: -1e6, max: 1e6, default: 0 });
    const waits = flag('async', options.async, true);
    if (this.#count >= this.#maxHandlers) {
      const message = `${this.#maxHandlers} handlers are registered (maxHandlers); remove some`;
      throw new SommosError('LIMIT_EXCEEDED', message);
    }
    const registration = { handler: handler as Handler, priority, waits };
    // A copy: an event that is under way goes on over the old list.
    const list = [...(this.#handlers.get(type) ?? [])];
    const at = list.findIndex((other) => other.priority < priority);
    list.splice(at < 0 ? list.length : at, 0, registration);
    this.#handlers.set(type, list);
    this.#count += 1;
    return () => this.#remove(type, (other) => other === registration);
  }

  /** Removes a handler of a type, or all of them; false when there was none. */
  offEvent<K extends keyof E & string>(
    type: K,
    handler?: (data: E[K], event: ProcessedEvent<E[K]>) => unknown,
  ): boolean {
    return this.#remove(type, (other) => handler === undefined || other.handler === handler);
  }

  /**
   * Emits an event; resolves once its handlers are through, with what they threw in `errors`: one
   * that fails stops neither the others nor the caller.
   *
   * @throws SommosError `QUEUE_FULL`, `INVALID_OPTION`.
   */
  async emitEvent<K extends keyof E & string>(type: K, data: E[K]): Promise<ProcessedEvent<E[K]>> {
    if (typeof type !== 'string' || type === '') throw invalidOption('type', type, 'a name');
    if (this.#underWay >= this.#maxQueueSize) {
      const message = `${this.#maxQueueSize} events are under way (maxQueueSize); await some first`;
      throw new SommosError('QUEUE_FULL', message);
    }
    const queuedAt = Date.now();
    const event = { id: this.#next, type, data, queuedAt, handlers: 0, errors: [] as unknown[] };
    this.#next += 1;
    this.#underWay += 1;
    try {
      this.emit('eventQueued', event);
      await turn();
      for (const { handler, waits } of this.#handlers.get(type) ?? []) {
        event.handlers += 1;
        await this.#call(handler, waits, event);
      }
    } finally {
      this.#underWay -= 1;
    }
    this.emit('eventProcessed', event);
    return event;
  }

  /** Events under way, and handlers. */
  getStats(): { queueSize: number; handlers: number; types: string[] } {
    return {
      queueSize: this.#underWay,
      handlers: this.#count,
      types: [...this.#handlers.keys()],
    };
  }

  async #call(handler: Handler, waits: boolean, event: ProcessedEvent): Promise<void> {
    const failed = (error: unknown): void => {
      event.errors.push(error);
      this.emit('handlerError', error, event);
    };
    try {
      const result = handler(event.data, event);
      if (waits) await result;
      else if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #remove(type: string, which: (registration: Registration) => boolean): boolean {
    const list = this.#handlers.get(type) ?? [];
    const rest = list.filter((registration) => !which(registration));
    this.#count -= list.length - rest.length;
    if (rest.length > 0) this.#handlers.set(type, rest);
    else this.#handlers.delete(type);
    return rest.length < list.length;
  }
}
