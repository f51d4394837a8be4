// Overview: eight figures, the charts, and the servers where there are several.

import { TimeChart, around, fromZero, wholePercent } from '../chart.js';
import { clusterCard } from '../cluster.js';
import { h } from '../element.js';
import * as format from '../format.js';
import { Refresh, failure, tile, tiles } from '../panels.js';

const CHARTS = [
  {
    id: 'requests',
    title: 'Requests a second',
    series: [{ key: 'throughput', label: 'last minute', colour: 'line-1', fill: true }],
    format: format.number,
    range: fromZero(1),
    trend: { category: 'application', field: 'throughput', key: 'throughput' },
  },
  {
    id: 'latency',
    title: 'Response time',
    series: [
      { key: 'p50', label: 'p50', colour: 'line-2' },
      { key: 'p95', label: 'p95', colour: 'line-1' },
      { key: 'p99', label: 'p99', colour: 'line-3' },
    ],
    format: format.duration,
    range: fromZero(0.1),
    trend: { category: 'application', field: 'p95Ms', key: 'p95', of: 'p95' },
  },
  {
    id: 'cpu',
    title: 'Processor',
    series: [{ key: 'cpu', label: 'all cores', colour: 'line-1', fill: true }],
    format: format.percent,
    range: wholePercent,
    trend: { category: 'system', field: 'cpuPercent', key: 'cpu' },
  },
  {
    id: 'memory',
    title: 'Memory of the process',
    series: [{ key: 'rss', label: 'resident', colour: 'line-2', fill: true }],
    format: format.bytes,
    binary: true,
    range: around,
    trend: { category: 'system', field: 'rss', key: 'rss' },
  },
  {
    id: 'cache',
    title: 'Cache hit rate',
    series: [
      { key: 'lookupRate', label: 'latest lookups', colour: 'line-1', span: true },
      { key: 'hitRate', label: 'since the start', colour: 'line-2' },
    ],
    format: format.percent,
    range: wholePercent,
    trend: { category: 'cache', field: 'hitRate', key: 'hitRate', of: 'Since the start' },
  },
  {
    id: 'jobs',
    title: 'Jobs',
    series: [
      { key: 'queued', label: 'waiting', colour: 'line-3' },
      { key: 'active', label: 'running', colour: 'line-1' },
    ],
    format: format.number,
    range: fromZero(4),
  },
];
/** Thresholds where the server does not tell its rules: those it is delivered with. */
const DEFAULTS = { HIGH_CPU: 80, HIGH_RESPONSE_TIME: 5000, HIGH_ERROR_RATE: 5, CACHE_LOW_HIT_RATE: 50 };

export function overviewView({ client, history, trends }) {
  const tile8 = {
    cpu: tile('Processor', 'cpu'),
    memory: tile('Memory', 'memory'),
    rate: tile('Requests a second', 'rate'),
    p95: tile('Response time, p95', 'p95'),
    errors: tile('Errors', 'errors'),
    cache: tile('Cache hit rate', 'cache'),
    queue: tile('Jobs waiting', 'queue'),
    alerts: tile('Open alerts', 'alerts'),
  };
  const charts = CHARTS.map((options) => ({ options, chart: new TimeChart(options) }));
  const cluster = clusterCard(client);
  const failed = failure();
  const plain = h(
    'p',
    { class: 'dim', hidden: true },
    'This server offers no trends: the charts show the figures alone.',
  );
  const element = h(
    'div',
    {},
    failed.element,
    tiles(...Object.values(tile8)),
    cluster.element,
    h(
      'div',
      { class: 'charts' },
      charts.map((c) => c.chart.element),
    ),
    plain,
  );
  let shown = false;
  let drawing = 0;
  let system = {};
  const limits = { ...DEFAULTS };

  function draw() {
    drawing = 0;
    if (!shown) return;
    for (const { options, chart } of charts) {
      const trend = options.trend ? trends.of(options.trend.category, options.trend.field) : null;
      chart.update(history.rows, history.range, trend);
    }
    plain.hidden = trends.offered !== false;
  }
  const later = () => {
    if (shown && !drawing) drawing = requestAnimationFrame(draw);
  };
  history.addEventListener('rows', later);
  trends.addEventListener('trends', later);

  function tell(summary) {
    const { application: a, windows, cache: c, alerts } = summary;
    const minute = windows['1m'];
    const over = (value, name) => (value !== null && value > limits[name] ? 'bad' : '');
    const cpu = summary.system.cpu;
    tile8.cpu.set(
      format.percent(cpu),
      system.load1 === undefined ? '' : `load ${format.number(system.load1)}`,
      over(cpu, 'HIGH_CPU'),
    );
    const used = system.memoryTotal ? (100 * system.memoryUsed) / system.memoryTotal : null;
    tile8.memory.set(
      format.bytes(summary.system.memory),
      used === null ? '' : `machine ${format.percent(used)}`,
      over(used, 'HIGH_MEMORY'),
    );
    tile8.rate.set(format.number(a.throughput), `${format.count(a.inFlight)} in flight`);
    tile8.p95.set(
      format.duration(a.p95Ms),
      a.p50Ms === null ? 'no requests in the last minute' : `p50 ${format.duration(a.p50Ms)}`,
      over(a.p95Ms, 'HIGH_RESPONSE_TIME'),
    );
    tile8.errors.set(
      format.percent(minute.errorRate),
      `${format.count(minute.errors)} in the last minute`,
      over(minute.errorRate, 'HIGH_ERROR_RATE'),
    );
    const lookups = minute.cacheHits + minute.cacheMisses;
    const hitRate = lookups > 0 ? (100 * minute.cacheHits) / lookups : c.hits + c.misses > 0 ? c.hitRate : null;
    const low = lookups >= 100 && hitRate < limits.CACHE_LOW_HIT_RATE;
    tile8.cache.set(
      format.percent(hitRate),
      lookups > 0 ? `${format.count(lookups)} lookups a minute` : 'since the start',
      low ? 'warn' : '',
    );
    tile8.alerts.set(format.count(alerts), alerts > 0 ? 'see Alerts' : 'all is well', alerts > 0 ? 'bad' : '');
  }

  async function look() {
    try {
      const [jobs, present] = await Promise.all([
        client.get('async/metrics'),
        client.get('monitoring/metrics?category=system'),
      ]);
      system = present;
      const { workers } = jobs;
      tile8.queue.set(
        format.count(jobs.queueSize),
        `${format.count(jobs.activeJobs)} running · ${workers.busy} of ${workers.current} workers busy`,
      );
      history.extend({ queued: jobs.queueSize, active: jobs.activeJobs });
      failed.set(null);
    } catch (error) {
      // The head of the page says that the server is away.
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 4000);
  refresh.start();

  async function first() {
    try {
      const [summary, rules] = await Promise.all([
        client.get('monitoring/summary'),
        client.get('monitoring/rules').catch((error) => (error.missing ? { rules: [] } : Promise.reject(error))),
      ]);
      for (const rule of rules.rules) limits[rule.type] = rule.threshold;
      tell(summary);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }

  return {
    id: 'overview',
    title: 'Overview',
    element,
    show() {
      shown = true;
      later();
    },
    hide() {
      shown = false;
    },
    returned() {
      first();
      cluster.start();
      refresh.soon(0);
    },
    event(name, data) {
      if (name === 'metrics') {
        tell(data);
        refresh.soon();
      }
    },
  };
}
