// The engine's figures once a second: tiles and live charts.

import { Chart } from './chart.js';
import { Figures, bytes, count, duration, element } from './dom.js';
import { Pulse } from './pulse.js';

const EVERY_MS = 1000;
const MIB = 1 << 20;
const percent = (value) => `${Math.round(value)} %`;
const mebibytes = (value) => `${value < 10 && value % 1 ? value.toFixed(1) : Math.round(value)} MiB`;
const milliseconds = (value) => `${Math.round(value)} ms`;

/** The view of the engine. */
export class Instruments {
  #pulse = new Pulse();
  #cacheFigures = new Figures(element('cache-figures'));
  #memoryFigures = new Figures(element('memory-figures'));
  #threadFigures = new Figures(element('thread-figures'));
  #cacheChart = new Chart(
    element('cache-chart'),
    [
      { label: 'Hit rate', colour: '--one', text: percent, area: true },
      { label: 'Fill', colour: '--two', text: percent },
    ],
    { y: [0, 100] },
  );
  #memoryChart = new Chart(element('memory-chart'), [
    { label: 'Page heap', colour: '--one', text: mebibytes, area: true },
    { label: 'Engine', colour: '--two', text: mebibytes },
    { label: 'Cache', colour: '--three', text: mebibytes },
  ]);
  #threadChart = new Chart(element('thread-chart'), [
    { label: 'Timer late by', colour: '--one', text: milliseconds, area: true },
    { label: 'Longest task', colour: '--two', text: milliseconds },
  ]);

  /**
   * @param {import('@sommos/performance').AdvancedCacheManager} cache
   * @param {import('@sommos/performance').MemoryOptimizationEngine} memory
   * @param {import('@sommos/performance').PerformanceMonitoringEngine} monitor
   */
  constructor(cache, memory, monitor) {
    this.cache = cache;
    this.memory = memory;
    this.monitor = monitor;
    this.#sample();
    setInterval(() => this.#sample(), EVERY_MS);
  }

  #sample() {
    const seconds = Date.now() / 1000;
    const cache = this.cache.getStats();
    this.#showCache(seconds, cache);
    this.#showMemory(seconds, cache);
    this.#showThread(seconds);
  }

  #showCache(seconds, { hits, misses, evictions, size, maxSize, hitRate, utilization }) {
    this.#cacheFigures.show({
      'Hit rate': percent(hitRate * 100),
      Hits: count(hits),
      Misses: count(misses),
      Entries: `${count(size)} / ${count(maxSize)}`,
      Evictions: count(evictions),
    });
    this.#cacheChart.push(seconds, [hits + misses ? hitRate * 100 : null, utilization * 100]);
  }

  #showMemory(seconds, cache) {
    const { current, tracking } = this.memory.getMemoryStats();
    this.#memoryFigures.show({
      'Page heap': bytes(current.heapUsed),
      Engine: bytes(current.engine),
      Cache: bytes(cache.memoryUsage),
      Ratings: bytes(tracking.memoryUsage),
    });
    const heap = current.heapUsed === null ? null : current.heapUsed / MIB;
    this.#memoryChart.push(seconds, [heap, current.engine / MIB, cache.memoryUsage / MIB]);
  }

  #showThread(seconds) {
    const { lag, longest } = this.#pulse.take();
    const { application } = this.monitor.getPerformanceSummary();
    this.#threadFigures.show({
      'Timer late by': duration(lag),
      'Longest task ever': this.#pulse.told ? duration(this.#pulse.longestEver) : 'not told',
      'Source, 95 %': application.p95Ms === null ? '–' : duration(application.p95Ms),
      Alerts: this.monitor.alerts.length,
    });
    this.#threadChart.push(seconds, [lag, this.#pulse.told ? longest : null]);
  }
}
