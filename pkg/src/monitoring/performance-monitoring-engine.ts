import { Emitter } from '../emitter.js';
import { monitorBindings } from '../runtime/modules.js';
import { guarded } from '../errors.js';
import type { Monitor } from '../generated/monitor/monitor.js';
import { Held } from '../memory/held.js';
import { finite, integer, invalidOption, oneOf } from '../options.js';
import { every } from '../timer.js';
import { Reporter } from './reporter.js';
import { Requests } from './requests.js';
import { SystemReader } from './system.js';
import type {
  Alert,
  AlertThresholds,
  ApiMetrics,
  ApplicationMetrics,
  CacheMetrics,
  CurrentApiMetrics,
  CurrentMetrics,
  CurrentMLMetrics,
  CurrentSystemMetrics,
  DatabaseMetrics,
  ExportOptions,
  MetricsByCategory,
  MetricsCategory,
  MetricsPoint,
  MonitoringEvents,
  PerformanceMonitoringOptions,
  PerformanceSummary,
  VitalRating,
  WebVital,
} from './types.js';

const CATEGORIES = ['system', 'application', 'database', 'api', 'cache', 'ml'] as const;
const RATINGS: readonly VitalRating[] = ['good', 'needs-improvement', 'poor'];
/** In the order of the engine. */
const THRESHOLDS: readonly [keyof AlertThresholds, number][] = [
  ['cpu', 80],
  ['memory', 85],
  ['responseTime', 5000],
  ['errorRate', 5],
  ['cacheHitRate', 50],
  ['slowQueries', 5],
];
/** Cache operations that look nothing up. */
const WRITES: readonly string[] = ['set', 'delete', 'clear', 'evict', 'eviction', 'cleanup', 'warm'];
const TIME_MAX = Number.MAX_SAFE_INTEGER;
const DAY_MS = 86_400_000;
/** Random bytes for the ids of the alerts that one round may raise: 16 each. */
const ENTROPY_BYTES = 96;

/** Requests, queries, cache, predictions and the system: figures, history, alerts, exports. */
export class PerformanceMonitoringEngine extends Emitter<MonitoringEvents> {
  readonly monitoringInterval: number;
  readonly metricsRetention: number;
  readonly alertThresholds: Readonly<AlertThresholds>;
  readonly #monitor: Held<Monitor>;
  readonly #system = new SystemReader();
  readonly #requests: Requests;
  readonly #reporter: Reporter | undefined;
  readonly #stop: () => void;
  #expected: number;
  #lag: number | null = null;

  constructor(options: PerformanceMonitoringOptions = {}) {
    super();
    const times = { min: 10, max: 2 ** 31 - 1, default: 5000 };
    this.monitoringInterval = integer('monitoringInterval', options.monitoringInterval, times);
    const keep = { min: 60_000, max: DAY_MS, default: DAY_MS };
    this.metricsRetention = integer('metricsRetention', options.metricsRetention, keep);
    this.alertThresholds = thresholds(options.alertThresholds);
    const counts = { min: 1, max: 1_000_000, default: 10_000 };
    this.#requests = new Requests(
      integer('maxPendingRequests', options.maxPendingRequests, counts),
      integer('maxEndpoints', options.maxEndpoints, { min: 1, max: 512, default: 64 }),
    );
    this.#monitor = new Held('PerformanceMonitoringEngine', this.#open(options));
    this.#reporter = this.#report(options.reportTo);
    this.#expected = performance.now() + this.monitoringInterval;
    this.#stop = every(this.monitoringInterval, () => this.#onTimer());
  }

  /** A request begins, by default now; `startMs` is a time of the same clock as `endMs` later. */
  recordRequest(endpoint: string, method: string, startMs: number = Date.now()): string {
    const request = { endpoint: String(endpoint), method: String(method).toUpperCase(), start: startMs };
    checkTime('startMs', startMs);
    const id = this.#requests.begin(this.#monitor.inner, Date.now(), request);
    this.emit('requestStarted', { id, endpoint: request.endpoint, method: request.method, startTime: startMs });
    return id;
  }

  /** Its response is sent. False when no request of this id is under way. */
  recordResponse(id: string, status: number, endMs: number = Date.now(), bytes = 0): boolean {
    const monitor = this.#monitor.inner;
    integer('status', status, { min: 0, max: 999, default: NaN });
    checkTime('endMs', endMs);
    finite('bytes', bytes, { min: 0, max: TIME_MAX, default: 0 });
    const request = this.#requests.end(monitor, id);
    if (!request) return false;
    const duration = Math.max(0, endMs - request.start);
    const { endpoint, method } = request;
    monitor.recordRequest(this.#requests.route(monitor, request), status, duration, bytes);
    this.emit('responseCompleted', { id, endpoint, method, status, duration, bytes });
    return true;
  }

  /** An error that belongs to no response. The last hundred are remembered. */
  recordError(type: string, message: string, context?: unknown): void {
    const timestamp = Date.now();
    this.#monitor.inner.recordError(timestamp, String(type), String(message), contextText(context));
    this.#reporter?.add({ kind: 'error', name: String(type), message: String(message) });
    this.emit('errorRecorded', { type, message, context, timestamp });
  }

  /** A cache operation; `hit` counts unless it is a write (set, delete, clear and the like). */
  recordCacheOperation(operation: string, key: unknown, hit = false): void {
    const monitor = this.#monitor.inner;
    if (!WRITES.includes(operation)) {
      monitor.recordCacheLookup(hit);
      this.#reporter?.add({ kind: 'cacheOperation', hit });
    }
    this.emit('cacheOperation', { operation, key, hit });
  }

  /** A database query of so many milliseconds. */
  recordDBQuery(query: string, ms: number, rows = 0): void {
    const monitor = this.#monitor.inner;
    const duration = checkTime('ms', ms);
    monitor.recordDbQuery(duration);
    this.#reporter?.add({ kind: 'dbQuery', duration });
    this.emit('dbQuery', { query, duration, rows });
  }

  /** A prediction of so many milliseconds; `accuracy` in percent where it is known. */
  recordMLPrediction(model: string, ms: number, accuracy?: number | null): void {
    const monitor = this.#monitor.inner;
    const duration = checkTime('ms', ms);
    const known = accuracy ?? undefined;
    if (known !== undefined) finite('accuracy', known, { min: 0, max: 100, default: 0 });
    monitor.recordPrediction(String(model), duration, known);
    this.#reporter?.add({ kind: 'mlPrediction', name: String(model), duration, accuracy: known });
    this.emit('mlPrediction', { model, duration, accuracy: known ?? null });
  }

  /** A web vital or custom metric. @throws SommosError `UNKNOWN_NAME`, `INVALID_FIELD`, `LIMIT_EXCEEDED`. */
  recordWebVital(vital: WebVital): void {
    const { name, value, rating, url } = vital;
    if (rating !== undefined) oneOf('rating', rating, RATINGS);
    const rated = rating === undefined ? undefined : RATINGS.indexOf(rating);
    guarded(() => this.#monitor.inner.recordVital(String(name), value, rated));
    this.#reporter?.add({ name: String(name), value, rating, url });
  }

  /** Every category now. */
  getCurrentMetrics(): CurrentMetrics {
    const timestamp = Date.now();
    const all = JSON.parse(guarded(() => this.#monitor.inner.current(timestamp))) as [
      Omit<CurrentSystemMetrics, 'eventLoopLag'>,
      ApplicationMetrics,
      DatabaseMetrics,
      CurrentApiMetrics,
      CacheMetrics,
      CurrentMLMetrics,
    ];
    const [system, application, database, api, cache, ml] = all;
    const eventLoopLag = this.#lag;
    return { timestamp, system: { ...system, eventLoopLag }, application, database, api, cache, ml };
  }

  /**
   * The history of a category from `from` to `to`: a row for each sample of the last hour, a row
   * a minute before. With `step`, one row for so many milliseconds.
   *
   * @throws SommosError `INVALID_OPTION`, `INVALID_FIELD` when it ends before it begins.
   */
  getMetricsForRange<C extends MetricsCategory>(
    category: C,
    from = 0,
    to: number = Date.now(),
    step?: number,
  ): MetricsPoint<C>[] {
    const place = CATEGORIES.indexOf(oneOf('category', category as MetricsCategory, CATEGORIES));
    const range = checkRange({ from, to, step });
    const text = guarded(() => this.#monitor.inner.range(place, range.from, range.to, range.step));
    return JSON.parse(text) as MetricsPoint<C>[];
  }

  /** The figures that matter most. */
  getPerformanceSummary(): PerformanceSummary {
    return JSON.parse(guarded(() => this.#monitor.inner.summary(Date.now()))) as PerformanceSummary;
  }

  /** The open alerts, at most one of a type. */
  get alerts(): Alert[] {
    return JSON.parse(guarded(() => this.#monitor.inner.alerts())) as Alert[];
  }

  /**
   * Resolves an alert; its rule stays silent until its figure recovered. Resolving it again
   * changes nothing.
   *
   * @throws SommosError `ALERT_NOT_FOUND`.
   */
  resolveAlert(id: string): Alert {
    const open = this.alerts.some((alert) => alert.id === id);
    const text = guarded(() => this.#monitor.inner.resolve(Date.now(), String(id)));
    const alert = JSON.parse(text) as Alert;
    if (open) this.emit('alertResolved', alert);
    return alert;
  }

  /**
   * `json`: everything that is known; `csv`: the history, one row a sample (RFC 4180).
   *
   * @throws SommosError `INVALID_OPTION`, `INVALID_FIELD`.
   */
  exportMetrics(format: 'json' | 'csv' = 'json', options: ExportOptions = {}): string {
    oneOf('format', format, ['json', 'csv']);
    const { from, to, step } = checkRange(options);
    const monitor = this.#monitor.inner;
    if (format === 'csv') return guarded(() => monitor.exportCsv(from, to, step));
    return guarded(() => monitor.exportJson(Date.now(), from, to, step));
  }

  /**
   * One round of monitoring, as the timer makes it: samples every category into the history, emits
   * the metrics, raises and ends alerts.
   */
  collect(): void {
    const entropy = crypto.getRandomValues(new Uint8Array(ENTROPY_BYTES));
    const monitor = this.#monitor.inner;
    const text = guarded(() => monitor.round(Date.now(), this.#system.read(), entropy));
    const [sample, raised, over] = JSON.parse(text) as [MetricsByCategory, Alert[], Alert[]];
    // No platform of this package tells of single cores.
    this.emit('systemMetrics', { ...sample.system, cpuPerCore: [], eventLoopLag: this.#lag });
    this.emit('applicationMetrics', sample.application);
    this.emit('databaseMetrics', sample.database);
    this.emit('apiMetrics', sample.api);
    this.emit('cacheMetrics', sample.cache);
    this.emit('mlMetrics', sample.ml);
    for (const alert of raised) this.emit('alertTriggered', alert);
    for (const alert of over) this.emit('alertResolved', alert);
  }

  /** Sends what waits for `reportTo` now. */
  async flushReports(): Promise<void> {
    await this.#reporter?.flush();
  }

  /** Stops the timer and gives everything back; later calls throw `CLOSED`. */
  destroy(): void {
    if (this.#monitor.freed) return;
    this.#stop();
    void this.#reporter?.flush(true);
    this.#requests.clear();
    this.#monitor.free();
    this.removeAllListeners();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #open(options: PerformanceMonitoringOptions): Monitor {
    const limits = Float64Array.from(THRESHOLDS, ([name]) => this.alertThresholds[name]);
    const times = { min: 0, max: DAY_MS, default: 1000 };
    const slow = finite('slowQuery', options.slowQuery, times);
    const after =
      options.alertAfter === undefined ? undefined : finite('alertAfter', options.alertAfter, times);
    const counts = { min: 1, max: 1_000_000, default: 1 };
    const samples =
      options.alertMinSamples === undefined
        ? undefined
        : integer('alertMinSamples', options.alertMinSamples, counts);
    const { Monitor: Binding } = monitorBindings();
    return guarded(() => new Binding(Date.now(), limits, slow, this.metricsRetention, after, samples));
  }

  #report(endpoint: string | undefined): Reporter | undefined {
    if (endpoint === undefined) return undefined;
    if (typeof endpoint !== 'string' || endpoint === '') {
      throw invalidOption('reportTo', endpoint, 'the address of POST /metrics');
    }
    return new Reporter(endpoint, (error) => void this.emit('error', error));
  }

  #onTimer(): void {
    const now = performance.now();
    this.#lag = Math.max(0, Math.round((now - this.#expected) * 1000) / 1000);
    this.#expected = now + this.monitoringInterval;
    this.collect();
    void this.#reporter?.flush();
  }
}

function thresholds(given: Partial<AlertThresholds> = {}): AlertThresholds {
  const entries = THRESHOLDS.map(([name, fallback]) => {
    const range = { min: 0, max: Number.MAX_VALUE, default: fallback };
    return [name, finite(`alertThresholds.${name}`, given[name], range)];
  });
  return Object.freeze(Object.fromEntries(entries)) as AlertThresholds;
}

function checkTime(name: string, ms: number): number {
  return finite(name, ms, { min: 0, max: TIME_MAX, default: NaN });
}

function checkRange(range: ExportOptions): { from: number; to: number; step: number | undefined } {
  const step = range.step;
  return {
    from: finite('from', range.from, { min: 0, max: TIME_MAX, default: 0 }),
    to: finite('to', range.to, { min: 0, max: TIME_MAX, default: TIME_MAX }),
    step: step === undefined ? undefined : integer('step', step, { min: 1, max: DAY_MS, default: 1 }),
  };
}

/** What goes with an error, as text; the engine keeps its first 512 bytes. */
function contextText(context: unknown): string | undefined {
  if (context === undefined || typeof context === 'string') return context;
  try {
    return JSON.stringify(context);
  } catch {
    return String(context);
  }
}
