// Small helpers over the document.

/** The element of an id. */
export function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no element "${id}"`);
  return found;
}

/** A new element with properties and children; `data-*` and `aria-*` become attributes. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Terms and figures of a description list, renewed without building it anew. */
export class Figures {
  #cells = new Map();

  constructor(list) {
    this.list = list;
  }

  /** @param {Record<string, string | number>} figures */
  show(figures) {
    for (const [term, value] of Object.entries(figures)) {
      let cell = this.#cells.get(term);
      if (!cell) {
        cell = make('dd');
        this.#cells.set(term, cell);
        this.list.append(make('div', {}, make('dt', { textContent: term }), cell));
      }
      const text = String(value);
      if (cell.textContent !== text) cell.textContent = text;
    }
  }
}

const NUMBER = new Intl.NumberFormat('en');

/** 12345 as 12,345. */
export const count = (value) => NUMBER.format(value);

/** Bytes with a unit. */
export function bytes(value) {
  if (value === null) return 'not told';
  if (value < 1 << 20) return `${(value / 1024).toFixed(0)} KiB`;
  return `${(value / (1 << 20)).toFixed(1)} MiB`;
}

/** Milliseconds with a unit. */
export function duration(ms) {
  if (ms < 1) return `${Math.max(1, Math.round(ms * 1000))} µs`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}
