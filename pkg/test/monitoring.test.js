import { assert } from 'chai';
import performance, { init, PerformanceMonitoringEngine, SommosError } from '@sommos/performance';

before(() => init({ monitoring: true }));

function thrown(call) {
  try {
    call();
  } catch (error) {
    assert.instanceOf(error, SommosError);
    return error;
  }
  return assert.fail('nothing was thrown');
}

function log(engine, ...events) {
  const seen = [];
  for (const event of events) engine.on(event, (...args) => seen.push([event, ...args]));
  return seen;
}

const CATEGORIES = ['system', 'application', 'database', 'api', 'cache', 'ml'];

describe('PerformanceMonitoringEngine', () => {
  let engine;
  beforeEach(() => (engine = new PerformanceMonitoringEngine()));
  afterEach(() => engine.destroy());

  it('is the default export, with the defaults of SommOS', () => {
    assert.strictEqual(performance, PerformanceMonitoringEngine);
    assert.deepInclude(engine, { monitoringInterval: 5000, metricsRetention: 86400000 });
    const { cpu, memory, responseTime, errorRate } = engine.alertThresholds;
    assert.deepEqual([cpu, memory, responseTime, errorRate], [80, 85, 5000, 5]);
    const own = new PerformanceMonitoringEngine({ alertThresholds: { cpu: 90 } });
    assert.deepEqual([own.alertThresholds.cpu, own.alertThresholds.memory], [90, 85]);
    own.destroy();
  });

  it('checks its options', () => {
    for (const options of [{ monitoringInterval: 0 }, { metricsRetention: 1 }, { alertThresholds: { cpu: -1 } }, { maxEndpoints: 1000 }, { alertAfter: -1 }, { reportTo: '' }]) {
      assert.equal(thrown(() => new PerformanceMonitoringEngine(options)).code, 'INVALID_OPTION', JSON.stringify(options));
    }
  });

  it('counts requests and responses by endpoint', () => {
    const seen = log(engine, 'requestStarted', 'responseCompleted');
    const id = engine.recordRequest('/api/wines', 'get', 1000);
    assert.equal(engine.getCurrentMetrics().api.inFlight, 1);
    assert.isTrue(engine.recordResponse(id, 200, 1250, 512));
    assert.isFalse(engine.recordResponse(id, 200, 1250, 512), 'it is over');
    const failed = engine.recordRequest('/api/wines', 'GET', 1000);
    engine.recordResponse(failed, 503, 1100, 10);
    engine.recordResponse(engine.recordRequest('/api/dishes', 'POST'), 404);
    const { application, api } = engine.getCurrentMetrics();
    assert.deepInclude(application, { requests: 3, responses: 3, errors: 1, errorRate: 33.33 });
    assert.deepInclude(api, { success: 1, clientErrors: 1, serverErrors: 1, bytesOut: 522, inFlight: 0 });
    const wines = api.endpoints.find(({ route }) => route === '/api/wines');
    assert.deepInclude(wines, { method: 'GET', responses: 2, errors: 1, responseTime: 175, bytesOut: 522 });
    assert.deepEqual(seen[0], ['requestStarted', { id, endpoint: '/api/wines', method: 'GET', startTime: 1000 }]);
    const response = { id, endpoint: '/api/wines', method: 'GET', status: 200, duration: 250, bytes: 512 };
    assert.deepEqual(seen[1], ['responseCompleted', response]);
  });

  it('bounds endpoints and requests without response', () => {
    const small = new PerformanceMonitoringEngine({ maxEndpoints: 2, maxPendingRequests: 2 });
    for (const path of ['/a', '/b', '/c', '/d']) small.recordResponse(small.recordRequest(path, 'GET'), 200);
    const routes = small.getCurrentMetrics().api.endpoints.map(({ route, responses }) => [route, responses]);
    assert.deepEqual(routes, [['/a', 1], ['/b', 1], ['other', 2]]);
    const [first] = [1, 2, 3].map(() => small.recordRequest('/a', 'GET'));
    assert.equal(small.getCurrentMetrics().api.inFlight, 2);
    assert.isFalse(small.recordResponse(first, 200));
    small.destroy();
  });

  it('remembers errors', () => {
    const seen = log(engine, 'errorRecorded');
    engine.recordError('TypeError', 'x is null', { page: '/wines' });
    engine.recordError('TypeError', 'y is null');
    const { errors } = engine.getCurrentMetrics().api;
    assert.deepInclude(errors.types[0], { type: 'TypeError', count: 2, lastMessage: 'y is null' });
    assert.equal(errors.recent[0].context, '{"page":"/wines"}');
    assert.equal(engine.getCurrentMetrics().application.errors, 2);
    assert.deepInclude(seen[0][1], { type: 'TypeError', message: 'x is null', context: { page: '/wines' } });
  });

  it('counts cache lookups, and no writes', () => {
    const seen = log(engine, 'cacheOperation');
    engine.recordCacheOperation('get', 'k', true);
    engine.recordCacheOperation('get', 'k', true);
    engine.recordCacheOperation('get', 'm', false);
    engine.recordCacheOperation('set', 'm');
    assert.deepInclude(engine.getCurrentMetrics().cache, { hits: 2, misses: 1, hitRate: 66.67 });
    assert.deepEqual(seen.at(-1), ['cacheOperation', { operation: 'set', key: 'm', hit: false }]);
  });

  it('counts queries and predictions', () => {
    const seen = log(engine, 'dbQuery', 'mlPrediction');
    engine.recordDBQuery('SELECT 1', 20, 3);
    engine.recordDBQuery('SELECT 2', 2000, 0);
    engine.recordMLPrediction('pairing', 10, 80);
    engine.recordMLPrediction('pairing', 30);
    const { database, ml } = engine.getCurrentMetrics();
    assert.deepEqual(database, { queries: 2, queryTime: 1010, slowQueries: 1 });
    assert.deepInclude(ml, { predictions: 2, accuracy: 80, predictionTime: 20 });
    assert.deepInclude(ml.models[0], { model: 'pairing', predictions: 2 });
    assert.deepEqual(seen[0], ['dbQuery', { query: 'SELECT 1', duration: 20, rows: 3 }]);
    assert.deepEqual(seen[3], ['mlPrediction', { model: 'pairing', duration: 30, accuracy: null }]);
  });

  it('takes web vitals', () => {
    engine.recordWebVital({ name: 'LCP', value: 1800, rating: 'good', url: '/' });
    engine.recordWebVital({ name: 'lcp', value: 5000 });
    engine.recordWebVital({ name: 'custom:pour', value: 3 });
    const [lcp, pour] = engine.getCurrentMetrics().api.webVitals;
    assert.deepInclude(lcp, { name: 'lcp', count: 2, good: 1, poor: 1, max: 5000 });
    assert.deepInclude(pour, { name: 'custom:pour', last: 3 });
    assert.equal(thrown(() => engine.recordWebVital({ name: 'speed', value: 1 })).code, 'UNKNOWN_NAME');
    assert.equal(thrown(() => engine.recordWebVital({ name: 'lcp', value: -1 })).code, 'INVALID_FIELD');
    assert.equal(thrown(() => engine.recordWebVital({ name: 'lcp', value: 1, rating: 'ok' })).code, 'INVALID_OPTION');
  });

  it('refuses what is no time, status, size or accuracy', () => {
    const id = engine.recordRequest('/', 'GET');
    for (const call of [
      () => engine.recordRequest('/', 'GET', NaN),
      () => engine.recordResponse(id, 'ok'),
      () => engine.recordResponse(id, 200, -1),
      () => engine.recordResponse(id, 200, 1, NaN),
      () => engine.recordDBQuery('q', '5'),
      () => engine.recordDBQuery('q'),
      () => engine.recordMLPrediction('m', 1, 101),
    ]) {
      assert.equal(thrown(call).code, 'INVALID_OPTION', String(call));
    }
    assert.isTrue(engine.recordResponse(id, 200), 'a refused response leaves its request');
  });

  it('samples every category, by itself and when asked', async () => {
    const quick = new PerformanceMonitoringEngine({ monitoringInterval: 10 });
    const events = CATEGORIES.map((category) => `${category}Metrics`);
    const all = events.map((event) => new Promise((resolve) => quick.once(event, resolve)));
    const [system, application] = await Promise.all(all);
    assert.containsAllKeys(system, ['cpuPercent', 'memoryUsed', 'rss', 'uptime', 'eventLoopLag']);
    assert.isAtLeast(system.eventLoopLag, 0);
    assert.isAbove(system.rss, 0);
    assert.equal(application.requests, 0);
    quick.destroy();
    const seen = log(engine, ...events);
    engine.collect();
    assert.deepEqual(seen.map(([event]) => event), events);
  });

  it('keeps a history', () => {
    const before = Date.now();
    engine.recordDBQuery('q', 5);
    engine.collect();
    const points = engine.getMetricsForRange('database', before, Date.now());
    assert.equal(points.length, 1);
    assert.deepEqual(points[0].data, { queries: 1, queryTime: 5, slowQueries: 0 });
    assert.isAtLeast(points[0].timestamp, before);
    for (const category of CATEGORIES) {
      const current = engine.getCurrentMetrics()[category];
      const [point] = engine.getMetricsForRange(category);
      for (const name of Object.keys(point.data)) assert.property(current, name, category);
    }
    assert.deepEqual(engine.getMetricsForRange('cache', 0, before - 1), []);
    const stepped = engine.getMetricsForRange('database', 0, Date.now(), 3_600_000);
    assert.equal(stepped[0].timestamp % 3_600_000, 0);
    assert.equal(thrown(() => engine.getMetricsForRange('disk')).code, 'INVALID_OPTION');
    assert.equal(thrown(() => engine.getMetricsForRange('ml', 2, 1)).code, 'INVALID_FIELD');
  });

  it('sums up in the shape of the documentation', () => {
    engine.recordResponse(engine.recordRequest('/', 'GET', 0), 200, 125);
    engine.recordCacheOperation('get', 'k', true);
    engine.collect();
    const summary = engine.getPerformanceSummary();
    assert.containsAllKeys(summary, ['timestamp', 'system', 'application', 'database', 'cache', 'ml', 'alerts']);
    assert.hasAllKeys(summary.system, ['cpu', 'memory', 'uptime']);
    assert.deepInclude(summary.application, { requests: 1, responses: 1, errors: 0, errorRate: 0, responseTime: 125 });
    assert.deepEqual(summary.cache, { hits: 1, misses: 0, hitRate: 100 });
    assert.deepEqual([summary.ml.predictions, summary.ml.accuracy, summary.alerts], [0, null, 0]);
    assert.equal(summary.windows['1m'].responses, 1);
  });

  describe('alerts', () => {
    let eager;
    beforeEach(() => (eager = new PerformanceMonitoringEngine({ alertAfter: 0, alertMinSamples: 1, alertThresholds: { cpu: 100_000, memory: 101, responseTime: 100 } })));
    afterEach(() => eager.destroy());
    const slow = () => eager.recordResponse(eager.recordRequest('/slow', 'GET', 0), 200, 900);

    it('are raised once, with an id, and end by hand', () => {
      const seen = log(eager, 'alertTriggered', 'alertResolved');
      slow();
      eager.collect();
      eager.collect();
      const [alert, ...others] = eager.alerts;
      assert.deepEqual(others, []);
      assert.match(alert.id, /^alert_\d+_[0-9a-f]{32}$/);
      assert.deepInclude(alert, { type: 'HIGH_RESPONSE_TIME', threshold: 100, resolved: false });
      assert.equal(eager.getPerformanceSummary().alerts, 1);
      const resolved = eager.resolveAlert(alert.id);
      assert.deepInclude(resolved, { id: alert.id, resolved: true, resolution: 'manual' });
      assert.deepEqual(eager.alerts, []);
      assert.deepEqual(eager.resolveAlert(alert.id), resolved, 'again changes nothing');
      eager.collect();
      assert.deepEqual(eager.alerts, [], 'it is not raised anew while the figure is high');
      assert.deepEqual(seen, [['alertTriggered', alert], ['alertResolved', resolved]]);
      assert.equal(thrown(() => eager.resolveAlert('alert_x')).code, 'ALERT_NOT_FOUND');
    });

    it('end by recovery', () => {
      const seen = log(eager, 'alertResolved');
      eager.recordCacheOperation('get', 'k', false);
      eager.collect();
      assert.equal(eager.alerts[0].type, 'CACHE_LOW_HIT_RATE');
      for (let i = 0; i < 9; i++) eager.recordCacheOperation('get', 'k', true);
      eager.collect();
      assert.deepEqual(eager.alerts, []);
      assert.equal(seen[0][1].resolution, 'recovery');
    });

    it('need their time by default', () => {
      engine.recordResponse(engine.recordRequest('/slow', 'GET', 0), 500, 900_000);
      engine.collect();
      assert.deepEqual(engine.alerts, []);
    });
  });

  describe('exportMetrics', () => {
    it('gives JSON of everything', () => {
      engine.recordDBQuery('q', 5);
      engine.collect();
      const all = JSON.parse(engine.exportMetrics('json'));
      assert.containsAllKeys(all, ['timestamp', 'summary', 'metrics', 'endpoints', 'errors', 'alerts', 'history']);
      assert.equal(all.history.database[0].data.queries, 1);
      assert.equal(JSON.parse(engine.exportMetrics()).summary.database.queries, 1);
    });

    it('gives CSV of the history', () => {
      engine.recordDBQuery('q', 5);
      engine.collect();
      const [header, row, rest] = engine.exportMetrics('csv').split('\r\n');
      const columns = header.split(',');
      assert.equal(columns[0], 'timestamp');
      const cells = row.split(',');
      assert.equal(cells.length, columns.length);
      assert.equal(cells[columns.indexOf('database.queries')], '1');
      assert.equal(rest, '');
      assert.equal(engine.exportMetrics('csv', { to: 1 }).trim(), header);
      assert.equal(thrown(() => engine.exportMetrics('xml')).code, 'INVALID_OPTION');
    });
  });

  it('reports to a server what it is told', async () => {
    const sent = [];
    const { fetch } = globalThis;
    let status = 503;
    globalThis.fetch = async (url, init) => {
      sent.push([url, JSON.parse(init.body)]);
      return new Response('{}', { status });
    };
    const reporting = new PerformanceMonitoringEngine({ reportTo: '/api/performance/metrics' });
    try {
      const failures = log(reporting, 'error');
      reporting.recordWebVital({ name: 'cls', value: 0.1, rating: 'good', url: '/a' });
      reporting.recordDBQuery('q', 7);
      await reporting.flushReports();
      assert.equal(failures[0][1].code, 'REPORT_FAILED');
      reporting.recordError('E', 'm');
      reporting.recordMLPrediction('p', 3, 90);
      reporting.recordCacheOperation('get', 'k', true);
      status = 200;
      await reporting.flushReports();
      await reporting.flushReports();
      assert.equal(sent.length, 2, 'nothing is sent twice');
      const [url, { metrics }] = sent[1];
      assert.equal(url, '/api/performance/metrics');
      assert.deepEqual(metrics, [
        { name: 'cls', value: 0.1, rating: 'good', url: '/a' },
        { kind: 'dbQuery', duration: 7 },
        { kind: 'error', name: 'E', message: 'm' },
        { kind: 'mlPrediction', name: 'p', duration: 3, accuracy: 90 },
        { kind: 'cacheOperation', hit: true },
      ]);
    } finally {
      reporting.destroy();
      globalThis.fetch = fetch;
    }
  });

  it('is closed once it is destroyed', () => {
    engine.destroy();
    engine[Symbol.dispose]();
    for (const call of [
      () => engine.recordRequest('/', 'GET'),
      () => engine.recordResponse('id', 200),
      () => engine.recordError('E', 'm'),
      () => engine.recordCacheOperation('get', 'k', true),
      () => engine.recordDBQuery('q', 1),
      () => engine.recordMLPrediction('m', 1),
      () => engine.recordWebVital({ name: 'lcp', value: 1 }),
      () => engine.getCurrentMetrics(),
      () => engine.getMetricsForRange('ml'),
      () => engine.getPerformanceSummary(),
      () => engine.alerts,
      () => engine.resolveAlert('a'),
      () => engine.exportMetrics(),
      () => engine.collect(),
    ]) {
      assert.equal(thrown(call).code, 'CLOSED', String(call));
    }
  });
});
