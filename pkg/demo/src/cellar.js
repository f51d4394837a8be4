// The cache between the page and its source: details of wines, and the similar wines computed
// once. Its snapshot in IndexedDB makes the next visit start warm, offline too.

import { AdvancedCacheManager, openCacheStore } from '@sommos/performance';
import { fetched } from './catalogue.js';

const DAY_MS = 86_400_000;
/** Fewer entries than there are wines, so that some must leave. */
const ENTRIES_MAX = 400;
const SAVE_EVERY_MS = 10_000;

/** Details by wine, and how each was come by. */
export class Cellar {
  /** Entries that the last visit left behind. */
  warm = 0;

  /**
   * @param {import('./catalogue.js').Catalogue} catalogue
   * @param {import('@sommos/performance').PerformanceMonitoringEngine} monitor
   */
  constructor(catalogue, monitor) {
    this.catalogue = catalogue;
    this.monitor = monitor;
    this.cache = new AdvancedCacheManager({ maxSize: ENTRIES_MAX, defaultTTL: DAY_MS });
    this.cache.on('hit', (key) => monitor.recordCacheOperation('get', key, true));
    this.cache.on('miss', (key) => monitor.recordCacheOperation('get', key, false));
    // Whoever asked is told of a loader's failure by its promise.
    this.cache.on('error', (error) => monitor.recordError('cache', String(error)));
  }

  /** Fills the cache from the last visit and keeps it for the next. */
  async open() {
    try {
      const store = await openCacheStore({ database: 'sommos-demo' });
      store.on('error', (error) => this.monitor.recordError('store', String(error)));
      // A damaged snapshot is only a cold start.
      this.warm = await store.load(this.cache).catch(() => 0);
      store.autosave(this.cache, SAVE_EVERY_MS);
      const save = () => store.save(this.cache).catch(() => {});
      document.addEventListener('visibilitychange', () => document.hidden && save());
      this.save = save;
    } catch (error) {
      // Private windows may have no IndexedDB.
      this.monitor.recordError('store', String(error));
    }
  }

  /** Keeps the cache for the next visit now; nothing without IndexedDB. */
  async save() {}

  /** The details of a wine. */
  details(wine, signal) {
    return this.measured({ wine: wine.id }, () => this.#fetch(wine), signal);
  }

  /** What the cache has for a key, or what `loader` brings: with the time, and whether it was a hit. */
  async measured(key, loader, signal) {
    const before = performance.now();
    let hit = true;
    const loading = (context) => {
      hit = false;
      return loader(context);
    };
    const value = await this.cache.getOrSet(key, loading, { signal });
    return { value, hit, ms: performance.now() - before };
  }

  /** The source: a file of the server, or of the service worker. */
  async #fetch(wine) {
    const path = this.catalogue.shelf(wine);
    const request = this.monitor.recordRequest('/data/details', 'GET');
    try {
      const response = await fetched(path);
      const text = await response.text();
      this.monitor.recordResponse(request, response.status, Date.now(), text.length);
      return JSON.parse(text)[wine.id];
    } catch (error) {
      this.monitor.recordResponse(request, 503);
      throw error;
    }
  }
}
