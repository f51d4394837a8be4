// Charts of a load test: its times by percentile, and its seconds.

import { h } from './element.js';
import { colour, theme } from './theme.js';

const HEIGHT = 240;
const FONT = '11px system-ui, sans-serif';
/** Where the axis of percentiles has marks, as `nines` has them: 0, 50, 90, 99, 99.9, 99.99, 99.999 %. */
const NINES = [1, 2, 10, 100, 1000, 10_000, 100_000];

/** A plot that is drawn anew with each result, width or scheme. */
class Plot {
  #plot = null;
  #options = null;
  #data = null;
  element = h('div', { class: 'plot tall', role: 'img' });

  constructor() {
    new ResizeObserver(() => this.#resize()).observe(this.element);
    theme.addEventListener('change', () => this.#draw());
  }

  /** `options` makes uPlot's own for the colours of now. */
  set(options, data, label) {
    this.#options = options;
    this.#data = data;
    this.element.setAttribute('aria-label', label);
    this.#draw();
  }

  #width() {
    return Math.floor(this.element.clientWidth);
  }

  #resize() {
    if (!this.#plot) this.#draw();
    else if (this.#width() > 40 && this.#width() !== this.#plot.width)
      this.#plot.setSize({ width: this.#width(), height: HEIGHT });
  }

  #draw() {
    if (!this.#options || this.#width() < 40) return;
    this.#plot?.destroy();
    const common = {
      width: this.#width(),
      height: HEIGHT,
      padding: [10, 24, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
    };
    this.#plot = new globalThis.uPlot({ ...common, ...this.#options() }, this.#data, this.element);
  }
}

const axis = (size, more) => ({
  stroke: colour('dim'),
  grid: { stroke: colour('grid'), width: 1 },
  ticks: { show: false },
  font: FONT,
  size,
  ...more,
});
const line = ({ label, colour: name }, more) => ({
  label,
  stroke: colour(name),
  width: 2,
  spanGaps: true,
  points: { show: false },
  ...more,
});

/** Percentile 0 is 1, 90 is 10, 99 is 100: each nine is as wide as the one before. */
const nines = (percentile) => 100 / (100 - Math.min(percentile, 99.999));

/** The times by percentile, as HDR histograms show them. */
export class PercentilePlot extends Plot {
  /** `curves`: `{label, colour, points: [[percentile, ms]]}`. */
  update(curves, format, label) {
    const tables = curves.map(({ points }) => {
      // A logarithmic axis shows each place once: of equal percentiles the last time holds.
      const by = new Map(points.map(([p, ms]) => [nines(p), ms]));
      const x = [...by.keys()].sort((a, b) => a - b);
      return [x, x.map((at) => by.get(at))];
    });
    const data = globalThis.uPlot.join(tables);
    const last = Math.max(1000, data[0].at(-1));
    const options = () => ({
      scales: {
        x: { time: false, distr: 3, log: 10, range: [1, last] },
        y: { range: (_, _low, high) => [0, Math.max(0.001, high * 1.1)] },
      },
      axes: [
        axis(24, {
          splits: (plot) => NINES.filter((at) => at <= last && (at !== 2 || plot.width > 520)),
          filter: (_, all) => all,
          values: (_, all) => all.map((at) => `${Number((100 - 100 / at).toFixed(3))} %`),
        }),
        axis(64, { values: (_, all) => all.map((v) => format(v)) }),
      ],
      series: [{}, ...curves.map((one) => line(one, { points: { show: one.points.length < 10, size: 6 } }))],
    });
    this.set(options, data, label);
  }
}

/** What happened in each second. */
export class SecondsPlot extends Plot {
  /** `seconds`: `{second, rate, p99}`. */
  update(seconds, format, label) {
    const data = [seconds.map((s) => s.second), seconds.map((s) => s.rate), seconds.map((s) => s.p99)];
    const zero = (_, _low, high) => [0, Math.max(1e-3, (high ?? 1) * 1.1)];
    const options = () => ({
      scales: { x: { time: false, range: [0, Math.max(1, data[0].at(-1))] }, y: { range: zero }, ms: { range: zero } },
      axes: [
        axis(24, { values: (_, all) => all.map((s) => (Number.isInteger(s) ? `${s} s` : '')) }),
        axis(64, { values: (_, all) => all.map((v) => format.rate(v)) }),
        axis(64, { scale: 'ms', side: 1, grid: { show: false }, values: (_, all) => all.map((v) => format.time(v)) }),
      ],
      series: [
        {},
        line({ label: 'requests a second', colour: 'line-2' }, { points: { show: data[0].length < 40, size: 5 } }),
        line({ label: 'p99', colour: 'line-1' }, { scale: 'ms', points: { show: data[0].length < 40, size: 5 } }),
      ],
    });
    this.set(options, data, label);
  }
}
