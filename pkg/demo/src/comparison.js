// All pairs of guests and of wines, with a progress bar and a way to stop.

import { count, duration, element, make } from './dom.js';
import { BEST_OF_DRAW, DRAWS } from './similarity.js';

/** A pair, whichever of the two comes first. */
const keyOf = ({ entity1, entity2 }) => (entity1 < entity2 ? `${entity1} ${entity2}` : `${entity2} ${entity1}`);

/** The view of the comparison. */
export class Comparison {
  #start = /** @type {HTMLButtonElement} */ (element('start'));
  #cancel = /** @type {HTMLButtonElement} */ (element('cancel'));
  #progress = /** @type {HTMLProgressElement} */ (element('progress'));
  #stage = element('stage');
  #controller = new AbortController();
  /** The best pairs of wines, each with how many draws had it among their best. */
  #alike = [];

  /**
   * @param {import('./similarity.js').Similarity} similarity
   * @param {import('./catalogue.js').Catalogue} catalogue
   */
  constructor(similarity, catalogue) {
    this.similarity = similarity;
    this.catalogue = catalogue;
    element('draws').textContent = String(DRAWS);
    element('ratings-count').textContent = count(similarity.ratings.items.length);
    this.#start.addEventListener('click', () => this.run());
    this.#cancel.addEventListener('click', () => this.#controller.abort());
    this.#start.disabled = false;
  }

  async run() {
    const { signal } = (this.#controller = new AbortController());
    const before = performance.now();
    this.#busy(true);
    this.#clear();
    try {
      let pairs = 0;
      for await (const run of this.similarity.runs({ signal, onProgress: (at) => this.#tell(at) })) {
        pairs += run.pairs;
        this.#ran(run);
      }
      const ms = performance.now() - before;
      this.#say('done', `${count(pairs)} pairs in ${duration(ms)}: ${count(Math.round(pairs / ms / 1000))} million a second.`);
    } catch (error) {
      if (signal.aborted) this.#say('cancelled', `Cancelled after ${duration(performance.now() - before)}.`);
      else this.#say('failed', `Failed: ${error.message}`);
    } finally {
      this.#busy(false);
    }
  }

  #busy(busy) {
    // The focus goes along with the button that now can be used.
    const [from, to] = busy ? [this.#start, this.#cancel] : [this.#cancel, this.#start];
    const focused = document.activeElement === from;
    to.disabled = false;
    if (focused) to.focus();
    from.disabled = true;
  }

  #clear() {
    element('runs').tBodies[0].replaceChildren();
    element('alike').replaceChildren();
    element('alike-title').hidden = true;
    this.#progress.value = 0;
  }

  #tell({ name, label, all }) {
    this.#progress.value = all;
    this.#say('running', `${Math.round(all * 100)} % · ${label}, all pairs of ${name}`);
  }

  #say(state, text) {
    this.#stage.dataset.state = state;
    this.#stage.textContent = text;
  }

  #ran({ by, name, label, measure, draw, pairs, ms, best }) {
    if (draw) return this.#drawn(best, draw);
    const cells = [name, label, count(pairs), duration(ms)].map((text) => make('td', { textContent: text }));
    element('runs').hidden = false;
    element('runs').tBodies[0].append(make('tr', {}, ...cells));
    if (by === 'item' && measure === 'pearson') this.#showAlike(best);
  }

  #showAlike(best) {
    const { byId } = this.catalogue;
    this.#alike = best.map((pair) => ({ key: keyOf(pair), common: pair.commonItems, times: 0, note: make('small') }));
    const rows = best.map(({ entity1, entity2, similarity }, at) => {
      const names = `${byId.get(entity1).name} – ${byId.get(entity2).name}`;
      const shown = make('span', { className: 'names' }, names, this.#alike[at].note);
      return make('li', {}, shown, make('b', {}, similarity.toFixed(2)));
    });
    this.#drawn([], 0);
    element('alike-title').hidden = false;
    element('alike').replaceChildren(...rows);
  }

  /** Counts which of the best pairs are among the best of a draw, too. */
  #drawn(best, draw) {
    const keys = new Set(best.map(keyOf));
    for (const pair of this.#alike) {
      if (keys.has(pair.key)) pair.times += 1;
      const again = draw ? `; among the best ${BEST_OF_DRAW} in ${pair.times} of ${draw} draws` : '';
      pair.note.textContent = `${pair.common} guests in common${again}`;
    }
  }
}
