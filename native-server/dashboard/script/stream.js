// Server-sent events over fetch, which EventSource cannot do with a token. It comes back by itself
// and asks for what it missed.

const PATH = 'events';
/** Waits between tries, milliseconds; the last one repeats. */
const WAITS_MS = [500, 1000, 2000, 4000, 8000];
/** A stream so long without a byte is dead, milliseconds: the server sends a comment every 15 s. */
const SILENCE_MS = 35_000;
/** Longest unfinished event that is kept, characters. */
const PENDING_MAX = 8_000_000;

/**
 * Emits `state` (see `state`), and `message` with `{name, data}` for each event. `gap` is an event
 * like others: the past is not whole.
 */
export class Stream extends EventTarget {
  #client;
  #lastId = null;
  #failures = 0;
  #abort = null;
  #timer = 0;
  #silence = 0;
  /** connecting, live, reconnecting, disconnected or unauthorized. */
  state = 'connecting';
  /** When something last came, Unix milliseconds of this clock. */
  lastAt = null;
  /** When the next try is due, while disconnected. */
  retryAt = null;

  constructor(client) {
    super();
    this.#client = client;
    client.addEventListener('token', () => this.restart());
    addEventListener('online', () => this.restart());
    // A loopback server may still be there without a network: ask at once.
    addEventListener('offline', () => this.restart());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.state === 'disconnected') this.restart();
    });
  }

  /** Ends what runs and connects now. */
  restart() {
    this.#abort?.abort();
    clearTimeout(this.#timer);
    this.#run();
  }

  async #run() {
    const abort = new AbortController();
    this.#abort = abort;
    this.#enter(this.state === 'connecting' ? 'connecting' : 'reconnecting');
    try {
      const headers = { accept: 'text/event-stream' };
      if (this.#lastId !== null) headers['last-event-id'] = this.#lastId;
      this.#watch(abort);
      const response = await this.#client.fetch('GET', PATH, { headers, signal: abort.signal, timeout: Infinity });
      this.#failures = 0;
      this.#heard(abort);
      this.#enter('live');
      await this.#read(response.body, abort);
      this.#failed(abort);
    } catch (error) {
      this.#failed(abort, error);
    }
  }

  #failed(abort, error) {
    // Another run has taken over.
    if (this.#abort !== abort) return;
    clearTimeout(this.#silence);
    abort.abort();
    if (error?.status === 401 || error?.status === 403) {
      this.#enter('unauthorized');
      return;
    }
    const wait = WAITS_MS[Math.min(this.#failures, WAITS_MS.length - 1)];
    this.#failures += 1;
    this.retryAt = Date.now() + wait;
    this.#enter('disconnected');
    this.#timer = setTimeout(() => this.#run(), wait);
  }

  /**
   * Events before now, as far as the server keeps them, at most `most`: `{name, data}`, oldest first.
   * Nothing when none has come yet.
   */
  async past(most) {
    const last = Number(this.#lastId ?? 0);
    if (last < 1) return [];
    const abort = new AbortController();
    const headers = { accept: 'text/event-stream', 'last-event-id': String(Math.max(0, last - most)) };
    const found = [];
    try {
      const response = await this.#client.fetch('GET', PATH, { headers, signal: abort.signal });
      await frames(response.body, (frame) => {
        const event = parse(frame);
        if (event.data !== undefined) found.push(event);
        return Number(event.id) < last;
      });
    } finally {
      abort.abort();
    }
    return found;
  }

  #watch(abort) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#failed(abort), SILENCE_MS);
  }

  #heard(abort) {
    this.lastAt = Date.now();
    this.#watch(abort);
  }

  #read(body, abort) {
    return frames(
      body,
      (frame) => {
        const { id, name, data } = parse(frame);
        if (id !== null) this.#lastId = id;
        if (data !== undefined) this.dispatchEvent(new CustomEvent('message', { detail: { name, data } }));
        return !abort.signal.aborted;
      },
      () => this.#heard(abort),
    );
  }

  #enter(state) {
    this.state = state;
    if (state !== 'disconnected') this.retryAt = null;
    this.dispatchEvent(new CustomEvent('state', { detail: state }));
  }
}

/** Reads events until the body ends or `take(frame)` answers false; `heard` is called for every piece. */
async function frames(body, take, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    pending += value;
    let end;
    while ((end = pending.indexOf('\n\n')) >= 0) {
      if (!take(pending.slice(0, end))) return;
      pending = pending.slice(end + 2);
    }
    if (pending.length > PENDING_MAX) return;
  }
}

/** One event; without `data` where it has none, or none of ours: an event of this server is JSON. */
function parse(frame) {
  const event = { id: null, name: 'message', data: undefined };
  const data = [];
  for (const line of frame.split('\n')) {
    const at = line.indexOf(':');
    const field = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
    if (field === 'event') event.name = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id') event.id = value;
  }
  try {
    if (data.length > 0) event.data = JSON.parse(data.join('\n'));
  } catch {
    // Left without data.
  }
  return event;
}
