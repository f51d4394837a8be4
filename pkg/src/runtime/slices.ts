/** Work of the main thread in slices, so that no task of it is long. */

/** Length of a slice, milliseconds: half a frame. */
const SLICE_MS = 8;
/** Steps between two looks at the clock. */
const STEPS = 256;

/** Lets the event loop run once. */
export function breathe(): Promise<void> {
  const scheduler = (globalThis as { scheduler?: { yield?: () => Promise<void> } }).scheduler;
  if (scheduler?.yield) return scheduler.yield();
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/** Tells a long loop when to let the event loop run. */
export class Pace {
  #steps = 0;
  #start = performance.now();

  /** Whether it is time to; counts `steps` steps. */
  due(steps = 1): boolean {
    this.#steps += steps;
    if (this.#steps < STEPS) return false;
    this.#steps = 0;
    return performance.now() - this.#start > SLICE_MS;
  }

  /** Lets the event loop run once. */
  async breathe(): Promise<void> {
    await breathe();
    this.#start = performance.now();
  }
}

/** `[make(0), .., make(length - 1)]`, a slice at a time. `weight`: steps that one item counts. */
export async function buildInSlices<T>(length: number, make: (index: number) => T, weight = 1): Promise<T[]> {
  const out: T[] = [];
  const pace = new Pace();
  for (let index = 0; index < length; index++) {
    if (pace.due(weight)) await pace.breathe();
    out.push(make(index));
  }
  return out;
}
