// The figures over time: filled from the server's history, continued by its events.

/** Rows of a range at most: a row stands for at least so much of it. */
const ROWS = 1200;
/** So long do figures beside the events hold, milliseconds. */
const BESIDE_MS = 15_000;
/** Distance of the history's rows, milliseconds. */
const STEP_MS = 5000;
const CATEGORIES = ['application', 'system', 'cache'];

/** What a row takes of each category's point. */
const FIELDS = {
  application: (d) => ({
    throughput: d.throughput,
    p50: d.p50Ms,
    p95: d.p95Ms,
    p99: d.p99Ms,
    errorRate: d.recentErrorRate,
  }),
  system: (d) => ({ cpu: d.cpuPercent ?? d.processCpuPercent, rss: d.rss ?? d.memoryUsed }),
  cache: (d) => ({ hits: d.hits, misses: d.misses, hitRate: d.hitRate }),
};

/**
 * Emits `rows` when they changed. A row: `t` in Unix milliseconds, figures by name, and `heard` when
 * an event brought it.
 */
export class History extends EventTarget {
  #client;
  #range = 900_000;
  #filling = null;
  #beside = { at: 0, figures: {} };
  rows = [];
  /** When the newest row came, of this clock. */
  newestAt = null;
  /** Milliseconds between the server's samples, as seen. */
  interval = 5000;

  constructor(client) {
    super();
    this.#client = client;
  }

  get range() {
    return this.#range;
  }

  /** Another range: what is kept fits no longer, `fill` reads it anew. */
  set range(ms) {
    this.#range = ms;
    this.rows = [];
    this.#changed();
  }

  /** Least milliseconds between two rows. */
  get bucket() {
    return Math.max(500, this.#range / ROWS);
  }

  /** Reads the whole range from the server: what came while the page was away is in it. */
  async fill() {
    this.#filling?.abort();
    const abort = new AbortController();
    this.#filling = abort;
    const end = Date.now() + 60_000;
    const step = this.#range > 3_600_000 ? `&step=${Math.ceil(this.bucket)}` : '';
    const asked = CATEGORIES.map((category) =>
      this.#client.get(
        `monitoring/metrics?category=${category}&startTime=${end - 60_000 - this.#range}&endTime=${end}${step}`,
        { signal: abort.signal },
      ),
    );
    const answers = await Promise.all(asked);
    const merged = new Map();
    answers.forEach((points, at) => {
      for (const { timestamp, data } of points) {
        const row = merged.get(timestamp) ?? { t: timestamp };
        merged.set(timestamp, Object.assign(row, FIELDS[CATEGORIES[at]](data)));
      }
    });
    // What events told is finer than the history: that fills only where nothing was heard.
    const slot = (t) => Math.floor(t / Math.max(STEP_MS, this.bucket));
    const heard = new Set(this.rows.filter((row) => row.heard).map((row) => slot(row.t)));
    const missing = [...merged.values()].filter((row) => !heard.has(slot(row.t)));
    const kept = [...missing, ...this.rows.filter((row) => row.heard)].sort((a, b) => a.t - b.t);
    this.rows = [];
    for (const row of kept) this.#append(row);
    this.#changed();
  }

  /** A summary as the events bring it. */
  push(summary) {
    const now = Date.now();
    if (this.newestAt !== null)
      this.interval = Math.min(60_000, Math.max(500, 0.7 * this.interval + 0.3 * (now - this.newestAt)));
    this.newestAt = now;
    const { application: a, system: s, cache: c, windows } = summary;
    this.#append({
      ...(now - this.#beside.at < BESIDE_MS ? this.#beside.figures : {}),
      t: summary.timestamp,
      heard: true,
      throughput: a.throughput,
      p50: a.p50Ms,
      p95: a.p95Ms,
      p99: a.p99Ms,
      errorRate: windows['1m'].errorRate,
      cpu: s.cpu,
      rss: s.memory,
      hits: c.hits,
      misses: c.misses,
      hitRate: c.hitRate,
    });
    this.#changed();
  }

  /** Adds figures that the events do not bring, such as those of the queue: they hold until the next. */
  extend(figures) {
    this.#beside = { at: Date.now(), figures };
    const last = this.rows.at(-1);
    if (!last) return;
    Object.assign(last, figures);
    this.#changed();
  }

  #append(row) {
    const last = this.rows.at(-1);
    if (last && row.t - last.t < this.bucket) {
      // The newer one stands for both; what it does not tell stays.
      Object.assign(last, row, { t: last.t });
      return;
    }
    this.rows.push({ ...row, lookupRate: recentHitRate(last, row) });
  }

  #changed() {
    const newest = this.rows.at(-1)?.t ?? 0;
    const first = this.rows.findIndex((row) => row.t >= newest - this.#range);
    if (first > 0) this.rows.splice(0, first);
    this.dispatchEvent(new Event('rows'));
  }
}

/** Percent of the lookups between two rows that hit; null without lookups, or over a restart. */
function recentHitRate(before, row) {
  if (!before || row.hits === undefined || before.hits === undefined) return null;
  const hits = row.hits - before.hits;
  const all = hits + row.misses - before.misses;
  return hits >= 0 && all > 0 ? (100 * hits) / all : null;
}
