import type { Monitor } from '../generated/monitor/monitor.js';

/** A request without a response yet. */
export interface PendingRequest {
  endpoint: string;
  method: string;
  start: number;
}

/** Requests under way, and the numbers of the endpoints that are counted apart. */
export class Requests {
  readonly #pending = new Map<string, PendingRequest>();
  readonly #routes = new Map<string, number>();
  readonly #pendingMax: number;
  readonly #routesMax: number;
  #count = 0;

  constructor(pendingMax: number, routesMax: number) {
    this.#pendingMax = pendingMax;
    this.#routesMax = routesMax;
  }

  /** Remembers a request and gives its id. */
  begin(monitor: Monitor, now: number, request: PendingRequest): string {
    if (this.#pending.size >= this.#pendingMax) {
      const [oldest] = this.#pending.keys();
      if (oldest !== undefined && this.#pending.delete(oldest)) monitor.requestEnded();
    }
    this.#count += 1;
    const id = `req_${now}_${this.#count.toString(36)}`;
    this.#pending.set(id, request);
    monitor.requestStarted();
    return id;
  }

  /** Takes a request out; undefined when there is none of this id. */
  end(monitor: Monitor, id: string): PendingRequest | undefined {
    const request = this.#pending.get(id);
    if (request) {
      this.#pending.delete(id);
      monitor.requestEnded();
    }
    return request;
  }

  /** The number of an endpoint; that of `other` for those beyond the limit. */
  route(monitor: Monitor, { method, endpoint }: PendingRequest): number {
    const name = `${method} ${endpoint}`;
    const known = this.#routes.get(name);
    if (known !== undefined) return known;
    if (this.#routes.size >= this.#routesMax) return 2 ** 32 - 1;
    const route = monitor.addRoute(method, endpoint);
    this.#routes.set(name, route);
    return route;
  }

  clear(): void {
    this.#pending.clear();
    this.#routes.clear();
  }
}
