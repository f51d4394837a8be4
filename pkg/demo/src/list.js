// The list of wines, its search and its filter by type.

import { plain } from './catalogue.js';
import { count, element, make } from './dom.js';

/** Rows exist once; a search hides those that do not match. */
export class WineList {
  #rows = new Map();
  #type = '';
  #search = /** @type {HTMLInputElement} */ (element('search'));
  #list = element('wines');

  /**
   * @param {import('./catalogue.js').Catalogue} catalogue
   * @param {(wine: import('./catalogue.js').Wine) => void} open
   */
  constructor(catalogue, open) {
    this.catalogue = catalogue;
    for (const wine of catalogue.wines) this.#rows.set(wine, row(wine));
    this.#list.append(...this.#rows.values());
    this.#list.addEventListener('click', ({ target }) => {
      const id = target.closest('button')?.dataset.wine;
      if (id) open(catalogue.byId.get(Number(id)));
    });
    this.#list.addEventListener('keydown', (event) => this.#onArrow(event));
    this.#search.addEventListener('input', () => this.#show());
    this.#search.addEventListener('keydown', (event) => this.#onArrow(event));
    element('filter').addEventListener('submit', (event) => event.preventDefault());
    document.addEventListener('keydown', (event) => this.#onSlash(event));
    this.#choices();
    this.#show();
  }

  #choices() {
    for (const type of ['', ...this.catalogue.types]) {
      const input = make('input', { type: 'radio', name: 'type', value: type, checked: type === '' });
      input.addEventListener('change', () => {
        this.#type = type;
        this.#show();
      });
      element('types').append(make('label', { className: 'choice' }, input, make('span', {}, type || 'All')));
    }
  }

  #show() {
    const words = plain(this.#search.value).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [wine, line] of this.#rows) {
      line.hidden = !this.catalogue.matches(wine, words, this.#type);
      if (!line.hidden) shown += 1;
    }
    const all = this.#rows.size;
    element('count').textContent = shown === all ? `${count(all)} wines` : `${count(shown)} of ${count(all)} wines`;
  }

  /** Arrow keys go from row to row. */
  #onArrow(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...this.#list.querySelectorAll('li:not([hidden]) button')];
    const next = buttons.indexOf(document.activeElement) + step;
    (next < 0 ? this.#search : buttons[next])?.focus();
  }

  /** A slash goes to the search, as on many sites. */
  #onSlash(event) {
    if (event.key !== '/' || event.target.closest('input, dialog[open]')) return;
    event.preventDefault();
    this.#search.focus();
  }
}

function row(wine) {
  const stars = wine.stars === null ? '' : wine.stars.toFixed(1);
  const label = wine.stars === null ? 'not rated' : `${stars} of 5 stars`;
  return make(
    'li',
    {},
    make(
      'button',
      { type: 'button', 'data-wine': wine.id },
      make('span', { className: 'dot', 'data-type': wine.type, 'aria-hidden': 'true' }),
      make(
        'span',
        { className: 'names' },
        make('strong', { textContent: wine.name }),
        make('small', { textContent: `${wine.winery} · ${wine.country} · ${wine.type}` }),
      ),
      make('span', { className: 'score', 'aria-label': label }, stars),
    ),
  );
}
