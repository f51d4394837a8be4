// Trends as the server computes them: slope, change, outliers, time to a threshold.

import { duration, number, percent } from './format.js';

/** Milliseconds between two looks. */
const EVERY_MS = 15_000;
const CATEGORIES = ['application', 'system', 'cache'];

/** Emits `trends` when they changed. */
export class Trends extends EventTarget {
  #client;
  #history;
  #at = 0;
  #busy = false;
  /** By category; null until known. */
  found = {};
  /** Whether the server offers them; null until asked. */
  offered = null;

  constructor(client, history) {
    super();
    this.#client = client;
    this.#history = history;
    history.addEventListener('rows', () => this.#look());
  }

  /** Asks again with the next figures. */
  forget() {
    this.#at = 0;
    if (this.offered === false) this.offered = null;
  }

  async #look() {
    if (this.#busy || this.offered === false || Date.now() - this.#at < EVERY_MS) return;
    this.#busy = true;
    this.#at = Date.now();
    try {
      const of = (category) => this.#client.get(`monitoring/trends?category=${category}&window=${this.#history.range}`);
      // The first one tells whether there are any.
      const first = await of(CATEGORIES[0]);
      const answers = [first, ...(await Promise.all(CATEGORIES.slice(1).map(of)))];
      this.found = Object.fromEntries(CATEGORIES.map((category, at) => [category, answers[at]]));
      this.offered = true;
    } catch (error) {
      this.found = {};
      if (error.missing) this.offered = false;
    } finally {
      this.#busy = false;
    }
    this.dispatchEvent(new Event('trends'));
  }

  /** The trend of a field with the time that it covers; null when there is none. */
  of(category, field) {
    const found = this.found[category];
    const trend = found?.fields?.[field];
    if (!trend || trend.slopePerHour === null || trend.slopePerHour === undefined || trend.samples < 3) return null;
    return { ...trend, from: found.from, to: found.to };
  }
}

/** The line's value at a time. */
export function lineAt(trend, t) {
  const middle = (trend.from + trend.to) / 2;
  return trend.mean + (trend.slopePerHour * (t - middle)) / 3_600_000;
}

/** A trend in a sentence; `format` writes a value of its unit. */
export function describe(trend, format) {
  const parts = [];
  const slope = trend.slopePerHour;
  if (slope === 0 || trend.direction === 'flat') parts.push('steady');
  else parts.push(`${slope > 0 ? '↗ +' : '↘ −'}${format(Math.abs(slope))} an hour`);
  if (Number.isFinite(trend.changePercent)) {
    const change = trend.changePercent;
    parts.push(`${change >= 0 ? '+' : '−'}${percent(Math.abs(change))} against the window before`);
  }
  const outliers = trend.outliers?.length ?? 0;
  if (outliers > 0) parts.push(`${number(outliers)} ${outliers === 1 ? 'outlier' : 'outliers'}`);
  if (Number.isFinite(trend.timeToThreshold)) {
    parts.push(`reaches ${format(trend.threshold)} in ${duration(trend.timeToThreshold)}`);
  }
  return parts.join(' · ');
}
