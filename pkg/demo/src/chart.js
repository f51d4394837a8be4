// Live charts: lines over the last minutes, in the page's own colours.

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

/** Points that a chart keeps, count: three minutes at one a second. */
const POINTS_MAX = 180;
/** Least time that a chart shows, seconds. */
const SPAN_MIN = 30;
const HEIGHT = 170;

/** A colour of the style sheet, asked at each drawing: it changes with the scheme. */
const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const axis = (options) => ({
  stroke: colour('--quiet'),
  grid: { stroke: colour('--line'), width: 1 },
  ticks: { show: false },
  font: '12px system-ui, sans-serif',
  ...options,
});

/**
 * One line: its label, the colour's name, what its figures are written like, and the scale that
 * they belong to: `y` on the left, `right` on the right.
 * @typedef {{label: string, colour: string, text: (value: number) => string, scale?: 'y' | 'right', area?: boolean}} Line
 */

/** A chart that grows to the right and forgets on the left. */
export class Chart {
  #data;
  #plot;

  /** @param {HTMLElement} place @param {Line[]} lines @param {Record<string, [number, number] | undefined>} ranges */
  constructor(place, lines, ranges = {}) {
    this.#data = [[], ...lines.map(() => [])];
    const right = lines.find((line) => line.scale === 'right');
    const unit = (line) => (_, ticks) => ticks.map((tick) => line.text(tick));
    const series = lines.map(({ label, colour: name, text, scale = 'y', area }) => ({
      label,
      scale,
      stroke: colour(name),
      fill: area ? colour(`${name}-area`) : undefined,
      width: 2,
      points: { show: false },
      value: (_, value) => (value === null || value === undefined ? '–' : text(value)),
    }));
    const free = (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.15];
    const range = (name) => (ranges[name] ? () => ranges[name] : free);
    const time = { value: (_, value) => (value === null ? 'now' : new Date(value * 1000).toLocaleTimeString()) };
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: HEIGHT,
      legend: { live: true },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (_, first, last) => [Math.min(first, last - SPAN_MIN), last] }, y: { range: range('y') }, right: { range: range('right') } },
      axes: [
        axis({ space: 70, size: 28, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString([], { hour12: false })) }),
        axis({ values: unit(lines[0]), size: 60, space: 34 }),
        ...(right ? [axis({ scale: 'right', side: 1, values: unit(right), size: 44, space: 34, grid: { show: false } })] : []),
      ],
      series: [{ label: 'Time', ...time }, ...series],
    };
    this.#plot = new uPlot(options, this.#data, place);
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width > 0) this.#plot.setSize({ width: contentRect.width, height: HEIGHT });
    }).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#plot.redraw());
  }

  /** Adds a point for each line; null: nothing is known. */
  push(seconds, values) {
    [seconds, ...values].forEach((value, at) => {
      this.#data[at].push(value);
      if (this.#data[at].length > POINTS_MAX) this.#data[at].shift();
    });
    this.#plot.setData(this.#data);
    // Without a pointer over it the legend tells the last figures.
    if (!(this.#plot.cursor.left >= 0)) this.#plot.setLegend({ idx: this.#data[0].length - 1 });
  }
}
