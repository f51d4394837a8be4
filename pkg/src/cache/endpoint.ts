import { SommosError } from '../errors.js';
import { plainKey, shown } from './key.js';

/** How a second level is reached. */
export interface EndpointOptions {
  fetch: typeof fetch;
  /** Milliseconds until a request is given up. */
  timeout: number;
  headers: () => Record<string, string>;
  /** Most keys waiting to be written. */
  max: number;
  now: () => number;
  sent(count: number, id: string): void;
  failed(error: SommosError): void;
}

type Write = { kind: 'set'; value: unknown; expiresAt: number } | { kind: 'delete' };

/** After a failure reads pass the endpoint over for so long, milliseconds. */
const PAUSE = 1000;

/**
 * The REST cache of a server as second level. Writes are queued, the last one of each key, and
 * sent one after the other; after a failure they wait for the next flush. Nothing waits longer
 * than the timeout.
 */
export class Endpoint {
  readonly url: string;
  readonly #id: string;
  readonly #options: EndpointOptions;
  readonly #writes = new Map<string, Write>();
  readonly #closing = new AbortController();
  #clear = false;
  #sending = false;
  #pausedUntil = 0;

  constructor(id: string, url: string, options: EndpointOptions) {
    this.#id = id;
    this.url = url.replace(/\/+$/, '');
    this.#options = options;
  }

  get queued(): number {
    return this.#writes.size + (this.#clear ? 1 : 0);
  }

  /** The value of a key; undefined when the server has none or does not answer. */
  async get(stored: string, signal: AbortSignal): Promise<{ value: unknown } | undefined> {
    // What this cache has yet to send is newer than what the server has.
    if (this.#clear || this.#writes.has(stored)) return undefined;
    if (this.#options.now() < this.#pausedUntil) return undefined;
    const path = `/cache/get/${encodeURIComponent(plainKey(stored))}`;
    try {
      const response = await this.#request('GET', path, undefined, signal);
      if (response.status === 404) return undefined;
      const body = response.body as { success?: boolean; data?: unknown } | undefined;
      if (body?.success !== true || !('data' in body)) {
        throw this.#error(`GET ${path}`, 'its answer has no data');
      }
      return { value: body.data };
    } catch (error) {
      if (!signal.aborted && !this.#closing.signal.aborted) this.#fail(error);
      return undefined;
    }
  }

  set(stored: string, value: unknown, expiresAt: number): void {
    this.#push(stored, { kind: 'set', value, expiresAt });
  }

  delete(stored: string): void {
    this.#push(stored, { kind: 'delete' });
  }

  clear(): void {
    this.#writes.clear();
    this.#clear = true;
    this.#start();
  }

  /** Sends what is queued, also after a failure. */
  async flush(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    let sent = 0;
    try {
      while (this.queued > 0 && !this.#closing.signal.aborted) {
        await this.#sendOne();
        sent++;
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#fail(error);
    } finally {
      this.#sending = false;
      if (sent > 0) this.#options.sent(sent, this.#id);
    }
  }

  close(): void {
    this.#closing.abort(new SommosError('CLOSED', 'the cache was destroyed'));
    this.#writes.clear();
    this.#clear = false;
  }

  #push(stored: string, write: Write): void {
    this.#writes.delete(stored);
    this.#writes.set(stored, write);
    if (this.#writes.size > this.#options.max) {
      // What cannot wait must not stay on the server in an older state.
      const [oldest] = this.#writes.keys();
      if (oldest !== undefined) this.#writes.delete(oldest);
      this.#options.failed(
        this.#error('writing', `more than ${this.#options.max} keys wait (option maxQueue); ${shown(oldest)} was given up`),
      );
    }
    this.#start();
  }

  #start(): void {
    if (this.#sending || this.#options.now() < this.#pausedUntil) return;
    queueMicrotask(() => void this.flush());
  }

  async #sendOne(): Promise<void> {
    if (this.#clear) {
      this.#expect(await this.#request('DELETE', '/cache/clear'), 'DELETE /cache/clear');
      this.#clear = false;
      return;
    }
    const [next] = this.#writes;
    if (!next) return;
    const [stored, write] = next;
    const request = this.#requestOf(stored, write);
    if (request) {
      const what = `${request[0]} ${request[1]} (key ${shown(plainKey(stored))})`;
      const response = await this.#request(...request);
      try {
        this.#expect(response, what);
      } catch (error) {
        // Refused for what it is: sending it again would not help.
        if (response.status >= 500 || response.status === 429) throw error;
        this.#options.failed(SommosError.from(error));
      }
    }
    // Unless it was written anew meanwhile.
    if (this.#writes.get(stored) === write) this.#writes.delete(stored);
  }

  #requestOf(stored: string, write: Write): [string, string, string?] | undefined {
    const key = plainKey(stored);
    const remove: [string, string] = ['DELETE', `/cache/delete/${encodeURIComponent(key)}`];
    if (write.kind === 'delete') return remove;
    const { value, expiresAt } = write;
    const ttl = expiresAt === Infinity ? undefined : Math.ceil(expiresAt - this.#options.now());
    if (ttl !== undefined && ttl < 1) return remove;
    try {
      const text = value === undefined ? undefined : JSON.stringify(value);
      if (text === undefined) throw new TypeError(`it is of type ${typeof value}`);
      const rest = ttl === undefined ? '' : `,"ttl":${ttl}`;
      return ['POST', '/cache/set', `{"key":${JSON.stringify(key)},"value":${text}${rest}}`];
    } catch (cause) {
      const message = `the value of ${shown(key)} is not JSON: ${String(cause)}; the server drops its own`;
      this.#options.failed(new SommosError('NOT_SERIALIZABLE', message, { cause }));
      return remove;
    }
  }

  async #request(
    method: string,
    path: string,
    body?: string,
    signal?: AbortSignal,
  ): Promise<{ status: number; body: unknown }> {
    const timer = new AbortController();
    const stop = (event: Event): void => timer.abort((event.target as AbortSignal).reason);
    const signals = signal ? [signal, this.#closing.signal] : [this.#closing.signal];
    for (const other of signals) other.addEventListener('abort', stop, { once: true });
    const { timeout } = this.#options;
    const late = setTimeout(() => {
      timer.abort(new SommosError('TIMEOUT', `no answer within ${timeout} ms (option endpointTimeout)`));
    }, timeout);
    const aborted = new Promise<never>((_, reject) => {
      timer.signal.addEventListener('abort', () => reject(timer.signal.reason), { once: true });
    });
    try {
      const headers = { ...this.#options.headers(), ...(body && { 'content-type': 'application/json' }) };
      const init: RequestInit = { method, headers, signal: timer.signal, ...(body && { body }) };
      const answer = async (): Promise<{ status: number; body: unknown }> => {
        const response = await this.#options.fetch(this.url + path, init);
        const text = await response.text();
        return { status: response.status, body: parsed(text) };
      };
      // A fetch that heeds no signal must not hold anyone up either.
      return await Promise.race([answer(), aborted]);
    } catch (cause) {
      throw this.#error(`${method} ${path}`, cause instanceof Error ? cause.message : String(cause), cause);
    } finally {
      clearTimeout(late);
      for (const other of signals) other.removeEventListener('abort', stop);
    }
  }

  #expect(response: { status: number; body: unknown }, what: string): void {
    const { status, body } = response;
    if ((status >= 200 && status < 300) || (status === 404 && what.startsWith('DELETE'))) return;
    const error = (body as { error?: unknown } | undefined)?.error;
    const text = typeof error === 'string' ? error : JSON.stringify(error);
    throw this.#error(what, `status ${status}${text ? `: ${text}` : ''}`);
  }

  #fail(error: unknown): void {
    this.#pausedUntil = this.#options.now() + PAUSE;
    this.#options.failed(SommosError.from(error));
  }

  #error(what: string, why: string, cause?: unknown): SommosError {
    const message = `node ${this.#id} (${this.url}), ${what}: ${why}`;
    return new SommosError('ENDPOINT_FAILED', message, { cause });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
