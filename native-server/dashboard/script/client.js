// The API's client: the token, the envelope, and errors that say what happened.

const PREFIX = '/api/performance';
const TOKEN_KEY = 'sommos-token';
/** A call that takes longer is given up, milliseconds. */
const TIMEOUT_MS = 35_000;

/** Why a call failed. `status` 0: no answer came. */
export class ApiFailure extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the server has no such call: an older server, or one without this part. */
  get missing() {
    return this.status === 501 || this.code === 'ROUTE_NOT_FOUND' || this.code === 'METHOD_NOT_ALLOWED';
  }
}

export class Client extends EventTarget {
  #token = sessionStorage.getItem(TOKEN_KEY) ?? '';

  get token() {
    return this.#token;
  }

  /** Kept until the tab is closed; an empty one is forgotten. */
  set token(value) {
    this.#token = value.trim();
    if (this.#token) sessionStorage.setItem(TOKEN_KEY, this.#token);
    else sessionStorage.removeItem(TOKEN_KEY);
    this.dispatchEvent(new Event('token'));
  }

  /** The bare response of a call that the server answered well. */
  async fetch(method, path, { body, headers = {}, signal, timeout = TIMEOUT_MS } = {}) {
    const limit = timeout === Infinity ? [] : [AbortSignal.timeout(timeout)];
    const signals = signal ? [signal, ...limit] : limit;
    const sent = { ...headers };
    if (this.#token) sent.authorization = `Bearer ${this.#token}`;
    if (body !== undefined) sent['content-type'] ??= 'application/json';
    let response;
    try {
      response = await fetch(path.startsWith('/') ? path : `${PREFIX}/${path}`, {
        method,
        headers: sent,
        body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
        signal: signals.length > 0 ? AbortSignal.any(signals) : undefined,
        cache: 'no-store',
      });
    } catch (error) {
      throw unanswered(error, signal);
    }
    if (!response.ok) throw await this.#refused(response);
    return response;
  }

  /** The `data` of a call; its message where it has none. */
  async call(method, path, options) {
    const response = await this.fetch(method, path, options);
    try {
      const answer = await response.json();
      return answer.data ?? answer;
    } catch (error) {
      throw unanswered(error, options?.signal);
    }
  }

  get(path, options) {
    return this.call('GET', path, options);
  }

  async #refused(response) {
    let told = {};
    try {
      told = await response.json();
    } catch {
      // An answer of something in between, such as a proxy: its status is all there is.
    }
    const message = told.error ?? told.message ?? `the server answered ${response.status}`;
    if (response.status === 401) this.dispatchEvent(new Event('unauthorized'));
    return new ApiFailure(response.status, told.code ?? '', String(message));
  }
}

function unanswered(error, signal) {
  if (signal?.aborted) return new ApiFailure(0, 'ABORTED', 'stopped');
  if (error.name === 'TimeoutError') return new ApiFailure(0, 'TIMEOUT', 'the server did not answer in time');
  return new ApiFailure(0, 'UNREACHABLE', 'the server cannot be reached');
}
