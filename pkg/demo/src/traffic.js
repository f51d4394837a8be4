// Guests who browse: wines are opened through the cache, popular ones more often.

import { count, duration, element } from './dom.js';

const LOOKUPS = 200;
/** One after the other with pauses, so that the charts show it happen. */
const PAUSE_MS = 10;

/** A wine's place by popularity: the k-th is opened about 1/k as often as the first. */
function place(wines) {
  return Math.min(Math.floor(wines ** Math.random()), wines) - 1;
}

/** The buttons that give the cache something to do. */
export class Traffic {
  #browse = /** @type {HTMLButtonElement} */ (element('browse'));
  #clear = /** @type {HTMLButtonElement} */ (element('clear'));

  /** @param {import('./cellar.js').Cellar} cellar */
  constructor(cellar) {
    this.cellar = cellar;
    this.#browse.addEventListener('click', () => this.run());
    this.#clear.addEventListener('click', () => {
      element('browsed').textContent = `${count(cellar.cache.clear())} entries removed.`;
      void cellar.save();
    });
    this.#browse.disabled = this.#clear.disabled = false;
  }

  async run() {
    const { wines } = this.cellar.catalogue;
    const before = performance.now();
    this.#browse.disabled = true;
    let hits = 0;
    try {
      for (let n = 1; n <= LOOKUPS; n++) {
        const { hit } = await this.cellar.details(wines[place(wines.length)]);
        hits += hit ? 1 : 0;
        element('browsed').textContent = `${n} of ${LOOKUPS} wines opened, ${hits} of them hits.`;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      const ms = performance.now() - before;
      element('browsed').textContent = `${LOOKUPS} wines opened in ${duration(ms)}, ${hits} of them hits.`;
    } catch (error) {
      element('browsed').textContent = `Stopped: ${error.message}`;
    } finally {
      this.#browse.disabled = false;
      void this.cellar.save();
    }
  }
}
