import { SommosError, guarded } from '../errors.js';
import * as bindings from '../generated/service/service.js';

/** Configuration of the API in memory; every field has a default. */
export interface ApiConfig {
  /** Limits by name, as the server's `--limit NAME=VALUE`. */
  limits?: Record<string, number>;
  cache?: { maxEntries?: number; defaultTtlMs?: number };
  memoryLimitBytes?: number;
}

/** An answer of the API. */
export interface ApiAnswer {
  status: number;
  contentType: string;
  body: Uint8Array<ArrayBuffer>;
}

/** A request to the API. */
export interface ApiRequest {
  method: string;
  /** Path without the query, for instance `/api/performance/cache/stats`. */
  path: string;
  query?: string;
  contentType?: string;
  accept?: string;
  body?: Uint8Array;
}

let loading: Promise<unknown> | undefined;

/**
 * The REST API in memory, with the same answers as the server's. It reads the clock only through
 * `now`.
 */
export class PerformanceApi {
  readonly #service: bindings.Service;
  readonly #now: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  private constructor(service: bindings.Service, now: () => number) {
    this.#service = service;
    this.#now = now;
  }

  /**
   * Loads the module and makes an API. `module` is the compiled `service.wasm` of the package, or
   * where it is; `now` is the clock (default: `Date.now`).
   */
  static async create(
    module: WebAssembly.Module | BufferSource | Response | URL | string,
    config: ApiConfig = {},
    now: () => number = Date.now,
  ): Promise<PerformanceApi> {
    loading ??= bindings.default({ module_or_path: module });
    loading.catch(() => (loading = undefined));
    await loading;
    return new PerformanceApi(guarded(() => new bindings.Service(JSON.stringify(config), now())), now);
  }

  /** Answers a request. Queued work runs in `runDue`. */
  handle({ method, path, query = '', contentType = '', accept = '', body }: ApiRequest): ApiAnswer {
    if (this.#closed) throw new SommosError('CLOSED', 'this API was closed');
    const answer = this.#service.handle(this.#now(), method, path, query, contentType, accept, body ?? new Uint8Array());
    try {
      return { status: answer.status, contentType: answer.contentType, body: answer.body as Uint8Array<ArrayBuffer> };
    } finally {
      answer.free();
    }
  }

  /** Runs the queued work that is due; gives how many pieces ran. */
  runDue(): number {
    let pieces = 0;
    while (!this.#closed && this.#service.runNext(this.#now())) pieces += 1;
    return pieces;
  }

  /** When `runDue` will next have something to do, Unix milliseconds. */
  nextDeadline(): number | undefined {
    return this.#closed ? undefined : this.#service.nextDeadline();
  }

  /** Answers a `Request` with a `Response`, and runs the work that it queued afterwards. */
  async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const answer = this.handle({
      method: request.method,
      path: url.pathname,
      query: url.search.slice(1),
      contentType: request.headers.get('content-type') ?? '',
      accept: request.headers.get('accept') ?? '',
      body: new Uint8Array(await request.arrayBuffer()),
    });
    this.#schedule();
    const init = { status: answer.status, headers: { 'content-type': answer.contentType } };
    return new Response(request.method === 'HEAD' ? null : answer.body, init);
  }

  /** Frees its memory. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#service.free();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const deadline = this.nextDeadline();
    if (deadline === undefined) return;
    const wait = Math.min(Math.max(deadline - this.#now(), 0), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.runDue();
      this.#schedule();
    }, wait);
    (this.#timer as { unref?: () => void }).unref?.();
  }
}
