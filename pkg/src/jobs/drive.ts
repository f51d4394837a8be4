import { abortReason } from '../errors.js';
import type { Claim, Queue, Told } from './queue.js';
import { Alarm, soon } from './time.js';

/** What an engine does for its drive. */
export interface Host {
  /** How many more may run now. */
  room(): number;
  /** Takes a claim; gives what starts it once everybody knows of it. */
  begin(claim: Claim): () => void;
  /** Hears what happened. */
  tell(told: Told): void;
  /** After something happened. */
  settled(): void;
  /** Forgets what has been kept for long enough; gives when to do so again (Unix milliseconds). */
  forget(): number | undefined;
}

/** The loop around a queue: tells what happened, starts what is due, wakes up in time. */
export class Drive {
  readonly #queue: Queue;
  readonly #host: Host;
  readonly #alarm = new Alarm(() => this.#pump());
  #awake = false;
  #waiting = 0;
  #told: Told[] | undefined;

  constructor(queue: Queue, host: Host) {
    this.#queue = queue;
    this.#host = host;
  }

  /** Starts what is due, after the event loop had its turn. */
  wake(): void {
    if (this.#awake) return;
    this.#awake = true;
    soon(() => {
      this.#awake = false;
      this.#pump();
    });
  }

  /** Tells what happened, in order even when a listener makes more of it. */
  announce(): Told[] {
    const fresh = this.#queue.drain();
    if (this.#told) {
      this.#told.push(...fresh);
      return fresh;
    }
    const told = [...fresh];
    this.#told = told;
    for (let at = 0; at < told.length && !this.#queue.closed; at += 1) {
      this.#host.tell(told[at] as Told);
    }
    this.#told = undefined;
    if (told.length > 0) this.#host.settled();
    return fresh;
  }

  /** Tells what happened, then starts what may start now. */
  step(): void {
    this.announce();
    this.wake();
  }

  /** Somebody waits (1) or no longer (-1): in Node the process lives on for them. */
  hold(change: 1 | -1): void {
    this.#waiting += change;
    this.#alarm.hold(this.#waiting > 0);
  }

  /** Stops for good and gives the queue's memory back. */
  stop(): void {
    this.#alarm.clear();
    this.#queue.free();
  }

  #pump(): void {
    if (this.#queue.closed) return;
    const starts = this.#queue.claim(this.#host.room()).map((claim) => this.#host.begin(claim));
    this.announce();
    for (const start of starts) start();
    if (this.#queue.closed) return;
    const forget = this.#host.forget();
    this.#alarm.set(this.#queue.call((wasm) => wasm.nextDeadline()) ?? forget);
  }
}

/** Somebody who waits for the end of a job or batch. */
export interface Waiter<T> {
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Waits among `waiters` until one of its methods is called or the signal aborts. */
export function wait<T>(
  waiters: Set<Waiter<T>>,
  drive: Drive,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortReason(signal));
      return;
    }
    const leave = (): void => {
      waiters.delete(waiter);
      signal?.removeEventListener('abort', aborted);
      drive.hold(-1);
    };
    const waiter: Waiter<T> = {
      resolve: (value) => (leave(), resolve(value)),
      reject: (reason) => (leave(), reject(reason)),
    };
    const aborted = (): void => waiter.reject(abortReason(signal as AbortSignal));
    signal?.addEventListener('abort', aborted);
    waiters.add(waiter);
    drive.hold(1);
  });
}
