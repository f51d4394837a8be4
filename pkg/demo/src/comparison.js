// All pairs of guests and of wines, with a progress bar and a way to stop.

import { count, duration, element, make } from './dom.js';

/** The view of the comparison. */
export class Comparison {
  #start = /** @type {HTMLButtonElement} */ (element('start'));
  #cancel = /** @type {HTMLButtonElement} */ (element('cancel'));
  #progress = /** @type {HTMLProgressElement} */ (element('progress'));
  #stage = element('stage');
  #controller = new AbortController();

  /**
   * @param {import('./similarity.js').Similarity} similarity
   * @param {import('./catalogue.js').Catalogue} catalogue
   */
  constructor(similarity, catalogue) {
    this.similarity = similarity;
    this.catalogue = catalogue;
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

  #tell({ name, label, part, all }) {
    this.#progress.value = all;
    this.#say('running', `${label}, all pairs of ${name}: ${Math.round(part * 100)} %`);
  }

  #say(state, text) {
    this.#stage.dataset.state = state;
    this.#stage.textContent = text;
  }

  #ran({ by, name, label, measure, pairs, ms, best }) {
    const cells = [name, label, count(pairs), duration(ms)].map((text) => make('td', { textContent: text }));
    element('runs').hidden = false;
    element('runs').tBodies[0].append(make('tr', {}, ...cells));
    if (by === 'item' && measure === 'pearson') this.#alike(best);
  }

  #alike(best) {
    const { byId } = this.catalogue;
    const rows = best.map(({ entity1, entity2, similarity, commonItems }) => {
      const [one, two] = [byId.get(entity1), byId.get(entity2)];
      const names = make('span', { className: 'names' }, `${one.name} – ${two.name}`, make('small', {}, `${commonItems} guests in common`));
      return make('li', {}, names, make('b', {}, similarity.toFixed(2)));
    });
    element('alike-title').hidden = false;
    element('alike').replaceChildren(...rows);
  }
}
