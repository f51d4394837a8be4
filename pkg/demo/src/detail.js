// One wine: its details through the cache, and the wines most similar to it.

import { duration, element, make } from './dom.js';

const SKELETON = ['Grapes', 'Goes with', 'Body', 'Acidity', 'Alcohol', 'Region', 'Vintages'];

/** The dialog of a wine. */
export class WineDialog {
  #dialog = /** @type {HTMLDialogElement} */ (element('wine'));
  #controller = new AbortController();

  /**
   * @param {import('./cellar.js').Cellar} cellar
   * @param {import('./similarity.js').Similarity} similarity
   */
  constructor(cellar, similarity) {
    this.cellar = cellar;
    this.similarity = similarity;
    this.#dialog.addEventListener('close', () => this.#controller.abort());
    // A click beside the dialog closes it.
    this.#dialog.addEventListener('click', (event) => event.target === this.#dialog && this.#dialog.close());
    element('similar').addEventListener('click', ({ target }) => {
      const id = target.closest('button')?.dataset.wine;
      if (id) this.open(cellar.catalogue.byId.get(Number(id)));
    });
  }

  /** Shows a wine; what was still being loaded for another is given up. */
  async open(wine) {
    this.#controller.abort();
    const { signal } = (this.#controller = new AbortController());
    element('wine-name').textContent = wine.name;
    element('wine-origin').textContent = `${wine.type} · ${wine.winery} · ${wine.country}`;
    badge('wait', 'Asking the cache…');
    facts(SKELETON.map((term) => [term, '…']));
    stars(undefined);
    similar([], 'Waiting for the details…', 0);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#dialog.scrollTop = 0;
    try {
      const { value, hit, ms } = await this.cellar.details(wine, signal);
      badge(hit ? 'hit' : 'miss', hit ? `Cache hit · ${duration(ms)}` : `Cache miss · loaded in ${duration(ms)}`);
      facts(factsOf(value));
      stars(value.stars);
      await this.#similar(wine, value.stars, signal);
    } catch (error) {
      if (signal.aborted) return;
      badge('miss', `Not loaded: ${error.message}`);
      similar([], '', 1);
    }
  }

  async #similar(wine, ratings, signal) {
    const count = ratings.reduce((sum, n) => sum + n, 0);
    if (count === 0) return similar([], 'Nobody has rated this wine yet.', 1);
    similar([], `Comparing ${count} ratings with those of every other wine…`, 0);
    const onProgress = ({ done, total }) => (element('similar-progress').value = done / total);
    const loader = () => this.similarity.similar(wine, { signal, onProgress });
    const { value, hit, ms } = await this.cellar.measured({ similar: wine.id }, loader, signal);
    const { byId } = this.cellar.catalogue;
    const rows = value.map((found) => ({ ...found, wine: byId.get(found.entity) }));
    const source = hit ? `from the cache in ${duration(ms)}` : `computed in ${duration(ms)}`;
    const none = `No other wine has enough guests in common (${source}).`;
    similar(rows, rows.length ? `Pearson over common guests, ${source}.` : none, 1);
  }
}

function badge(kind, text) {
  const shown = element('lookup');
  shown.className = `badge ${kind}`;
  shown.textContent = text;
}

function facts(entries) {
  const cells = entries.map(([term, value]) =>
    make('div', {}, make('dt', { textContent: term }), make('dd', { textContent: value })),
  );
  element('facts').replaceChildren(...cells);
}

function factsOf({ grapes, dishes, body, acidity, abv, region, vintages: [count, first, last] }) {
  return [
    ['Grapes', grapes.join(', ')],
    ['Goes with', dishes.join(', ')],
    ['Body', body],
    ['Acidity', acidity],
    ['Alcohol', `${abv} %`],
    ['Region', region],
    ['Vintages', count ? `${count}, ${first} to ${last}` : 'without a year'],
  ];
}

/** How many guests gave how many stars, one meter a step. */
function stars(counts) {
  const most = Math.max(1, ...(counts ?? []));
  const meters = (counts ?? new Array(9).fill(0)).map((count, at) => {
    const label = `${at / 2 + 1} stars`;
    const meter = make('meter', { max: most, value: count, 'aria-label': `${label}: ${count} guests` });
    return make('div', { title: `${label}: ${count}` }, make('span', { textContent: at % 2 ? '' : at / 2 + 1 }), meter);
  });
  element('stars').replaceChildren(...meters);
}

function similar(rows, note, progress) {
  element('similar-note').textContent = note;
  element('similar-progress').value = progress;
  element('similar-progress').hidden = progress === 1;
  element('similar').replaceChildren(...rows.map(alike));
}

/** A wine that is like another, how much, and by how many guests that is known. */
function alike({ wine, similarity, commonItems }) {
  const name = make('button', { type: 'button', className: 'link', 'data-wine': wine.id }, wine.name);
  const origin = make('small', { textContent: `${wine.winery} · ${commonItems} guests in common` });
  return make('li', {}, make('span', { className: 'names' }, name, origin), make('b', {}, similarity.toFixed(2)));
}
