// The parts that views are made of.

import { freshId, h, setText } from './element.js';
import { NONE } from './format.js';

/** A titled box. */
export function card(title, ...children) {
  return h('div', { class: 'card' }, h('h2', {}, title), children);
}

/** A figure with its name; `set(value, note, level)`, level: '', warn or bad. */
export function tile(name, id) {
  const value = h('dd', { class: 'value', data: { figure: id ?? name } }, NONE);
  const note = h('dd', { class: 'note' }, ' ');
  const element = h('div', { class: 'tile' }, h('dt', {}, name), value, note);
  return {
    element,
    set(text, aside = '', level = '') {
      setText(value, text);
      setText(note, aside || ' ');
      if (element.dataset.level !== level) element.dataset.level = level;
    },
  };
}

export const tiles = (...all) =>
  h(
    'dl',
    { class: 'tiles' },
    all.map((one) => one.element),
  );

/** Names and figures; `set([[name, value]])`. */
export function figures() {
  const element = h('dl', { class: 'figures' });
  const known = new Map();
  return {
    element,
    set(pairs) {
      for (const [name, value] of pairs) {
        let dd = known.get(name);
        if (!dd) {
          dd = h('dd', {});
          known.set(name, dd);
          element.append(h('div', {}, h('dt', {}, name), dd));
        }
        setText(dd, value);
      }
    },
  };
}

/** A labelled input. */
export function field(label, input, hint) {
  input.id ||= freshId('field');
  const note = hint ? h('small', { id: `${input.id}-hint`, class: 'dim' }, hint) : null;
  if (note) input.setAttribute('aria-describedby', note.id);
  return h('label', { class: 'field', for: input.id }, h('span', {}, label), input, note);
}

export const numberInput = (name, value, min, max, step) =>
  h('input', { type: 'number', name, value, min, max, step: step ?? '1', inputmode: 'numeric' });

export function select(name, options) {
  return h(
    'select',
    { name },
    options.map(([value, text]) => h('option', { value }, text)),
  );
}

export const button = (text, on, props = {}) => h('button', { type: 'button', ...props, on: { click: on } }, text);

/** What stands where there is nothing yet: what to do about it. */
export const empty = (text) => h('p', { class: 'empty' }, text);

/** Where something failed: what happened. Nothing while all is well. */
export function failure() {
  const element = h('p', { class: 'failure', role: 'alert', hidden: true });
  return {
    element,
    set(error) {
      element.hidden = !error;
      setText(element, error ? (typeof error === 'string' ? error : error.message) : '');
    },
  };
}

/** A bar with its percentage. */
export function progress(label) {
  const bar = h('progress', { max: '100', value: '0', 'aria-label': label });
  const text = h('span', { class: 'num' }, '0 %');
  return {
    element: h('span', { class: 'progress' }, bar, text),
    set(value) {
      const shown = Math.max(0, Math.min(100, Math.round(value ?? 0)));
      if (bar.value !== shown) bar.value = shown;
      setText(text, `${shown} %`);
    },
  };
}

/** A word for a state, with its colour. */
export function status(word) {
  const element = h('span', { class: 'status', data: { status: word } }, word);
  return {
    element,
    set(next) {
      element.dataset.status = next;
      setText(element, next);
    },
  };
}

/** Calls `look` while it is wanted, one call at a time; `soon` brings the next one forward. */
export class Refresh {
  #look;
  #every;
  #timer = 0;
  #wanted = false;
  #busy = false;
  #again = false;

  constructor(look, everyMs) {
    this.#look = look;
    this.#every = everyMs;
  }

  start() {
    this.#wanted = true;
    this.#run();
  }

  stop() {
    this.#wanted = false;
    clearTimeout(this.#timer);
  }

  soon(ms = 300) {
    if (!this.#wanted) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#run(), ms);
  }

  async #run() {
    if (this.#busy) return;
    clearTimeout(this.#timer);
    this.#busy = true;
    await this.#look();
    this.#busy = false;
    if (!this.#wanted) return;
    this.#timer = setTimeout(() => this.#run(), this.#again ? 300 : this.#every);
    this.#again = false;
  }
}
