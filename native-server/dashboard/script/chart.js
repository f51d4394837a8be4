// Charts over time, by uPlot. A chart is told rows; its figures stand as text beside it.

import { h, setText } from './element.js';
import { NONE } from './format.js';
import { colour, theme } from './theme.js';
import { describe, lineThrough } from './trend.js';

const HEIGHT = 190;
const AXIS = 56;
/** A pause this many times the usual distance of rows is a gap in the line. */
const GAP = 4;
const GAP_MS_MIN = 12_000;
/** The shortest time that a chart covers. */
const SPAN_MS_MIN = 60_000;
/** Steps of an axis of bytes. */
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
/** All charts show the time under the pointer. */
const SYNC = 'time';

/**
 * `series`: `{key, label, colour, fill}`; `format` writes a value; `range(min, max)` answers the
 * axis; `trend`: `{category, field, key}`, drawn dashed with its outliers as rings.
 */
export class TimeChart {
  #options;
  #plot = null;
  #data = [[]];
  #rows = [];
  #trend = null;
  #host = h('div', { class: 'plot' });
  #legend = [];
  #note = h('p', { class: 'trend dim' });
  #hover = null;
  #width = 0;

  constructor(options) {
    this.#options = options;
    const items = options.series.map((one) => {
      const value = h('b', { class: 'num', data: { series: one.key } }, NONE);
      this.#legend.push(value);
      return h('li', {}, h('i', { 'aria-hidden': 'true', data: { colour: one.colour } }), one.label, ' ', value);
    });
    this.element = h(
      'figure',
      { class: 'card chart', data: { chart: options.id } },
      h('figcaption', {}, h('h2', {}, options.title), h('ul', { class: 'legend' }, items)),
      this.#host,
      this.#note,
    );
    this.#host.setAttribute('role', 'img');
    new ResizeObserver(() => this.#resize()).observe(this.#host);
    theme.addEventListener('change', () => this.#rebuild());
  }

  /** Shows rows of the last `range` milliseconds, and a trend or null. */
  update(rows, range, trend) {
    this.#rows = rows;
    this.#trend = trend;
    this.#data = this.#columns(rows);
    const to = rows.at(-1)?.t ?? Date.now();
    // A young server's figures fill the chart, not its edge.
    const from = Math.max(to - range, Math.min(rows[0]?.t ?? to, to - SPAN_MS_MIN));
    this.range = [from, to];
    this.#plot?.batch(() => {
      this.#plot.setData(this.#data, false);
      this.#plot.setScale('x', { min: from, max: to });
    });
    if (!this.#plot) this.#resize();
    this.element.dataset.points = rows.length;
    // The longest pause between two rows, milliseconds.
    this.element.dataset.pause = rows.reduce(
      (most, row, at) => (at === 0 ? 0 : Math.max(most, row.t - rows[at - 1].t)),
      0,
    );
    this.#tell();
  }

  #columns(rows) {
    const keys = this.#options.series.map((one) => one.key);
    const columns = [[], ...keys.map(() => []), [], []];
    const trend = this.#trend;
    const usual = rows.length > 1 ? (rows.at(-1).t - rows[0].t) / (rows.length - 1) : 0;
    const gap = Math.max(GAP_MS_MIN, GAP * usual);
    const outliers = this.#outliers(rows, trend);
    const line = trend ? lineThrough(trend, rows, this.#options.trend.key) : () => null;
    let before = null;
    for (const row of rows) {
      if (before !== null && row.t - before > gap) {
        columns.forEach((column, at) => column.push(at === 0 ? before + 1 : null));
      }
      before = row.t;
      columns[0].push(row.t);
      keys.forEach((key, at) => columns[at + 1].push(row[key] ?? null));
      columns[keys.length + 1].push(line(row.t));
      columns[keys.length + 2].push(outliers.get(row) ?? null);
    }
    return columns;
  }

  /** The row nearest to each outlier carries it. */
  #outliers(rows, trend) {
    const marked = new Map();
    for (const { timestamp, value } of trend?.outliers ?? []) {
      let best = null;
      for (const row of rows) {
        if (!best || Math.abs(row.t - timestamp) < Math.abs(best.t - timestamp)) best = row;
      }
      if (best && Math.abs(best.t - timestamp) < GAP_MS_MIN) marked.set(best, value);
    }
    return marked;
  }

  #resize() {
    const width = Math.floor(this.#host.clientWidth);
    if (width < 40 || !this.range || width === this.#width) return;
    this.#width = width;
    if (this.#plot) this.#plot.setSize({ width, height: HEIGHT });
    else this.#build();
  }

  #rebuild() {
    if (!this.#plot) return;
    this.#plot.destroy();
    this.#build();
  }

  #build() {
    const { series, format, range, binary } = this.#options;
    const steps = binary ? POWERS : undefined;
    const [min, max] = this.range;
    const dim = colour('dim');
    const grid = { stroke: colour('grid'), width: 1 };
    const font = '11px system-ui, sans-serif';
    const lines = series.map((one) => ({
      label: one.label,
      stroke: colour(one.colour),
      width: 1.75,
      spanGaps: Boolean(one.span),
      fill: one.fill ? `${colour(one.colour)}22` : undefined,
      points: { show: (_, at, from, to) => to - from < 2, size: 5 },
    }));
    const trend = { stroke: colour('trend'), width: 1.25, dash: [6, 5], spanGaps: true, points: { show: false } };
    const outliers = {
      stroke: colour('bad'),
      width: 0,
      paths: () => null,
      points: { show: true, size: 9, width: 1.5, stroke: colour('bad'), fill: 'transparent' },
    };
    this.#plot = new globalThis.uPlot(
      {
        width: this.#width,
        height: HEIGHT,
        padding: [10, 22, 0, 0],
        ms: 1,
        legend: { show: false },
        cursor: { sync: { key: SYNC, setSeries: false }, drag: { x: false, y: false }, points: { size: 6 } },
        scales: { x: { min, max, time: true }, y: { range: (_, low, high) => range(low, high) } },
        axes: [
          { stroke: dim, grid: { show: false }, ticks: { show: false }, font, size: 22, space: 64, values: clocks },
          {
            stroke: dim,
            grid,
            ticks: { show: false },
            font,
            size: AXIS,
            space: 34,
            incrs: steps,
            values: (_, all) => all.map((v) => format(v)),
          },
        ],
        series: [{}, ...lines, trend, outliers],
        hooks: { setCursor: [(plot) => this.#point(plot.cursor.idx)] },
      },
      this.#data,
      this.#host,
    );
  }

  #point(at) {
    this.#hover = at ?? null;
    this.#tell();
  }

  /** The figures under the pointer, else the last ones. */
  #tell() {
    const { series, format, title, trend } = this.#options;
    const told = series.map((one, at) => {
      const column = this.#data[at + 1] ?? [];
      const value = this.#hover === null ? column.findLast((v) => v !== null) : column[this.#hover];
      setText(this.#legend[at], value === null || value === undefined ? NONE : format(value));
      return `${one.label} ${this.#legend[at].textContent}`;
    });
    if (this.#hover !== null) return;
    const note = this.#trend ? `${this.#options.trend.of ?? 'Trend'}: ${describe(this.#trend, format)}` : '';
    setText(this.#note, note);
    this.#note.hidden = !trend || note === '';
    if (this.#rows.length === 0) {
      this.#note.hidden = false;
      setText(this.#note, 'No samples yet: the first comes with the next interval.');
    }
    this.#host.setAttribute('aria-label', `${title}: ${told.join(', ')}. ${note}`);
    this.element.dataset.trend = String(Boolean(this.#trend));
    this.element.dataset.outliers = this.#trend?.outliers?.length ?? 0;
  }
}

function clocks(plot, splits, _axis, _space, step) {
  const seconds = step < 60_000;
  const format = { hour: '2-digit', minute: '2-digit', second: seconds ? '2-digit' : undefined, hourCycle: 'h23' };
  return splits.map((t) => new Date(t).toLocaleTimeString(undefined, format));
}

/** Axes: from zero, with room above; the whole of percent; as narrow as the values. */
export const fromZero = (least) => (_, high) => [0, Math.max(least, (high ?? 0) * 1.15)];
export const wholePercent = () => [0, 100];
export function around(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.25, high * 0.02);
  return [Math.max(0, low - room), high + room];
}
