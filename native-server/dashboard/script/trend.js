// Trends as the server computes them: slope, change, outliers, time to a threshold.

import { duration, number, percent } from './format.js';

/** Milliseconds between two looks. */
const EVERY_MS = 15_000;
const HOUR_MS = 3_600_000;
/** Slopes over a window up to this are told a minute. */
const SHORT_MS = 900_000;
/** A threshold further away is not worth a word: thirty days. */
const FAR_MS = 30 * 24 * HOUR_MS;
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

/**
 * The trend's line through rows: as Theil and Sen have it, half of them lie above. A function of
 * the time; it answers null outside of the trend's window and below zero.
 */
export function lineThrough(trend, rows, key) {
  const within = (t) => t >= trend.from && t <= trend.to;
  const rise = (t) => (trend.slopePerHour * (t - trend.to)) / HOUR_MS;
  const rests = rows.filter((row) => within(row.t) && Number.isFinite(row[key])).map((row) => row[key] - rise(row.t));
  if (rests.length === 0) return () => null;
  rests.sort((a, b) => a - b);
  const middle = rests[Math.floor(rests.length / 2)];
  return (t) => (within(t) && middle + rise(t) >= 0 ? middle + rise(t) : null);
}

/** A trend in a sentence; `format` writes a value of its unit. */
export function describe(trend, format) {
  const parts = [];
  const slope = trend.slopePerHour;
  // Of a short window: what an hour would bring is a guess.
  const [part, unit] = trend.to - trend.from <= SHORT_MS ? [60, 'a minute'] : [1, 'an hour'];
  const told = format(Math.abs(slope) / part);
  // Too little to be written is steady, too.
  if (trend.direction === 'flat' || !/[1-9]/.test(told)) parts.push('steady');
  else parts.push(`${slope > 0 ? '↗ +' : '↘ −'}${told} ${unit}`);
  if (Number.isFinite(trend.changePercent)) {
    const change = trend.changePercent;
    parts.push(`${change >= 0 ? '+' : '−'}${percent(Math.abs(change))} against the window before`);
  }
  const outliers = trend.outliers?.length ?? 0;
  if (outliers > 0) parts.push(`${number(outliers)} ${outliers === 1 ? 'outlier' : 'outliers'}`);
  const left = trend.timeToThreshold;
  if (left === 0) parts.push(`has reached ${format(trend.threshold)}`);
  else if (Number.isFinite(left) && left < FAR_MS)
    parts.push(`reaches ${format(trend.threshold)} in ${duration(left)}`);
  return parts.join(' · ');
}
