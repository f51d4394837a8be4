/** Longest delay of a timer, milliseconds: beyond it they fire at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;

type Timer = ReturnType<typeof setTimeout> & { ref?(): void; unref?(): void };

let waiting: (() => void)[] = [];
let port: MessagePort | undefined;

/**
 * Calls back after the event loop had a turn: what the user and the network want goes first. A
 * chain of promises alone would never let them in.
 */
export function soon(callback: () => void): void {
  if (typeof setImmediate === 'function') {
    setImmediate(callback);
    return;
  }
  if (typeof MessageChannel !== 'function') {
    setTimeout(callback, 0);
    return;
  }
  if (!port) {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const next = waiting.shift();
      if (waiting.length > 0) port?.postMessage(0);
      next?.();
    };
    port = channel.port2;
  }
  waiting.push(callback);
  if (waiting.length === 1) port.postMessage(0);
}

/** Resolves after the event loop had a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => soon(resolve));
}

/** Lets the event loop have a turn whenever work went on for longer than a slice. */
export class Slice {
  #began = performance.now();

  /** Whether `ms` milliseconds have passed since the last turn. */
  over(ms = 8): boolean {
    return performance.now() - this.#began >= ms;
  }

  /** Gives the event loop a turn. */
  async turn(): Promise<void> {
    await turn();
    this.#began = performance.now();
  }
}

/** Rings at a time. In Node it keeps the process alive only while it is held. */
export class Alarm {
  readonly #ring: () => void;
  #timer: Timer | undefined;
  #at = Infinity;
  #held = false;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Rings at `at` (Unix milliseconds) or a little earlier; undefined: not at all. */
  set(at: number | undefined): void {
    if (at === undefined) {
      this.clear();
      return;
    }
    // An earlier ring does no harm: its owner looks what is due and sets the alarm again.
    if (this.#timer !== undefined && this.#at <= at) return;
    this.clear();
    this.#at = at;
    const delay = Math.min(Math.max(at - Date.now(), 0), TIMER_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#ring();
    }, delay) as Timer;
    if (!this.#held) this.#timer.unref?.();
  }

  /** Whether the process has to live until the next ring. */
  hold(held: boolean): void {
    if (held === this.#held) return;
    this.#held = held;
    if (held) this.#timer?.ref?.();
    else this.#timer?.unref?.();
  }

  /** Does not ring any more. */
  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#at = Infinity;
  }
}
