// Tables that change while they are looked at: a row stays the same element, so that the focus and
// a press of a button survive.

import { h } from './element.js';

/**
 * A table in a box of its own that scrolls sideways; a `stacked` one has a card a row on a phone.
 * `columns`: `{title, class}` or texts. `row` makes one of nodes or texts in their order.
 */
export function table(caption, columns, { stacked = false } = {}) {
  const head = columns.map((column) => {
    const { title, class: name } = typeof column === 'string' ? { title: column } : column;
    return h('th', { scope: 'col', class: name ?? '' }, title);
  });
  const body = h('tbody');
  const element = h(
    'div',
    { class: stacked ? 'scroll stacked' : 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', {}, h('caption', { class: 'unseen' }, caption), h('thead', {}, h('tr', {}, head)), body),
  );
  const row = (data, ...parts) =>
    h(
      'tr',
      { data },
      parts.map((part, at) => {
        const { title, class: name } = typeof columns[at] === 'string' ? { title: columns[at] } : columns[at];
        return h('td', { class: name ?? '', data: { column: title } }, part);
      }),
    );
  return { element, body, row };
}

/**
 * Makes the rows those of `items`. `make(item)` answers `{element, update(item)}` of a new one,
 * `key(item)` what makes it the same.
 */
export class Rows {
  #body;
  #key;
  #make;
  #known = new Map();

  constructor(body, key, make) {
    this.#body = body;
    this.#key = key;
    this.#make = make;
  }

  get(key) {
    return this.#known.get(key);
  }

  set(items) {
    const next = new Map();
    let before = null;
    for (const item of items) {
      const key = this.#key(item);
      const row = this.#known.get(key) ?? this.#make(item);
      row.update(item);
      next.set(key, row);
      const place = before ? before.nextSibling : this.#body.firstChild;
      if (row.element !== place) this.#body.insertBefore(row.element, place);
      before = row.element;
    }
    for (const [key, row] of this.#known) if (!next.has(key)) row.element.remove();
    this.#known = next;
  }
}
