// How busy the main thread is: how late a timer comes, and the browser's long tasks (over 50 ms).

const EVERY_MS = 50;

/** What the main thread did since it was last asked. */
export class Pulse {
  #lag = 0;
  #longest = 0;
  #expected = performance.now() + EVERY_MS;
  /** Longest task since the page was loaded, milliseconds; 0: none over 50. */
  longestEver = 0;
  /** Whether this browser tells of long tasks. */
  told = PerformanceObserver.supportedEntryTypes.includes('longtask');

  constructor() {
    setInterval(() => {
      const now = performance.now();
      // Hidden pages get few timers: that is no delay of ours.
      if (!document.hidden) this.#lag = Math.max(this.#lag, now - this.#expected);
      this.#expected = now + EVERY_MS;
    }, EVERY_MS);
    if (!this.told) return;
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) {
        this.#longest = Math.max(this.#longest, duration);
        this.longestEver = Math.max(this.longestEver, duration);
      }
    }).observe({ type: 'longtask', buffered: true });
  }

  /** The worst delay and the longest task since the last call, milliseconds. */
  take() {
    const taken = { lag: this.#lag, longest: this.#longest };
    this.#lag = 0;
    this.#longest = 0;
    return taken;
  }
}
