// Load test: real requests to this server, as a job with progress and cancel.

import { PercentilePlot, SecondsPlot } from '../plot.js';
import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt } from '../notice.js';
import { button, card, empty, failure, field, figures, numberInput, progress, select } from '../panels.js';
import { Rows, table } from '../rows.js';

const LOOK_MS = 500;
const ENDED = ['completed', 'failed', 'cancelled'];
const KEPT = 10;
const PERCENTILES = [
  ['min', 0],
  ['p50', 50],
  ['p90', 90],
  ['p95', 95],
  ['p99', 99],
  ['p999', 99.9],
];

export function loadView({ client }) {
  const failed = failure();
  const fields = {
    requests: numberInput('requests', 2000, 1, 1_000_000),
    concurrency: numberInput('concurrency', 10, 1, 1000),
    endpoint: h('input', {
      name: 'endpoint',
      required: true,
      value: '/api/performance/cache/stats',
      autocomplete: 'off',
      spellcheck: 'false',
    }),
    method: select(
      'method',
      ['GET', 'POST', 'DELETE'].map((m) => [m, m]),
    ),
    body: h('textarea', { name: 'body', rows: '2', spellcheck: 'false', placeholder: '{"key": "a", "value": 1}' }),
    rate: numberInput('rate', '', 0.1, 1_000_000, 'any'),
    duration: numberInput('duration', '', 1, 3600, 'any'),
  };
  fields.rate.placeholder = 'as fast as it goes';
  fields.duration.placeholder = 'until all are sent';
  const bodyField = field('Body', fields.body, 'JSON, sent with each request');
  bodyField.hidden = true;
  fields.method.addEventListener('change', () => {
    bodyField.hidden = fields.method.value === 'GET';
  });
  const start = h('button', { type: 'submit', class: 'primary', form: 'load-form' }, 'Start');
  const stop = button('Cancel', cancel, { hidden: true, id: 'load-cancel' });
  const bar = progress('Progress of the load test');
  const state = h('span', { id: 'load-state', role: 'status' }, 'Ready.');
  // Beside the state, which is read aloud: this changes too often for it.
  const detail = h('span', { class: 'num', id: 'load-detail' });
  const running = h('div', { class: 'row middle', hidden: true }, bar.element, detail);
  const results = figures();
  const plot = new PercentilePlot();
  const seconds = new SecondsPlot();
  const overTime = h(
    'div',
    { hidden: true },
    h('h3', {}, 'Over the test'),
    legend(['line-2', 'requests a second'], ['line-1', 'p99, on the right']),
    seconds.element,
  );
  const nothing = empty(
    'No test has run yet. It sends real requests to this server: its own figures on the overview move while it runs.',
  );
  const outcome = h('div', { id: 'load-result', hidden: true });
  const past = table(
    'Tests of this tab',
    [
      'When',
      'Endpoint',
      { title: 'Requests', class: 'end' },
      { title: 'Requests a second', class: 'end' },
      { title: 'p50', class: 'end' },
      { title: 'p99', class: 'end' },
      { title: 'Errors', class: 'end' },
    ],
    { stacked: true },
  );
  const pastCard = card('Tests of this tab', past.element);
  pastCard.hidden = true;
  const pastRows = new Rows(
    past.body,
    (r) => r.at,
    (r) => ({
      element: past.row(
        {},
        format.time(r.at),
        h('code', {}, r.endpoint),
        format.count(r.report.totalRequests),
        format.number(r.report.requestsPerSecond),
        format.duration(r.report.responseTimes?.p50),
        format.duration(r.report.responseTimes?.p99),
        format.count(r.report.failedRequests),
      ),
      update() {},
    }),
  );
  let runs = [];
  /** The test that runs: its job, and what ends the waiting for it. */
  let current = null;

  function plan() {
    const number = (input) => (input.value === '' ? undefined : Number(input.value));
    const asked = {
      requests: number(fields.requests),
      concurrency: number(fields.concurrency),
      endpoint: fields.endpoint.value.trim(),
      method: fields.method.value,
      rate: number(fields.rate),
    };
    const seconds = number(fields.duration);
    if (seconds !== undefined) asked.duration = Math.round(seconds * 1000);
    if (fields.method.value !== 'GET' && fields.body.value.trim()) asked.body = JSON.parse(fields.body.value);
    return asked;
  }

  async function run() {
    failed.set(null);
    let asked;
    try {
      asked = plan();
    } catch {
      failed.set('The body is no JSON.');
      return;
    }
    const abort = new AbortController();
    await watch(asked.endpoint, { abort, id: null }, async () => {
      const answer = await client.call('POST', 'test/load?wait=false', {
        body: asked,
        signal: abort.signal,
        timeout: Infinity,
      });
      // A server without load tests as jobs waits and answers the result itself.
      return answer.jobId ? follow(answer.jobId) : answer;
    });
  }

  /** A test that runs already, begun before this page was loaded or elsewhere, is shown as well. */
  async function resume() {
    const found = await client.get('async/jobs?status=running&limit=50').catch(() => []);
    const job = found.find(({ type }) => type === 'load_test');
    if (job && !current) await watch('begun before', { abort: null, id: job.id }, () => follow(job.id));
  }

  /** Shows a test until its report is there. */
  async function watch(endpoint, test, report) {
    enter(test);
    try {
      finish(endpoint, await report());
    } catch (error) {
      if (error.code === 'ABORTED') setText(state, 'Cancelled.');
      else {
        failed.set(error);
        setText(state, 'Failed.');
      }
    } finally {
      leave();
    }
  }

  function enter(test) {
    current = test;
    start.disabled = true;
    stop.hidden = false;
    running.hidden = false;
    bar.set(0);
    setText(detail, '');
    setText(state, 'Running …');
  }

  function leave() {
    current = null;
    start.disabled = false;
    stop.hidden = true;
    running.hidden = true;
  }

  /** Waits for the job's end; a server that is away for a while is asked again. */
  async function follow(id) {
    current.id = id;
    for (;;) {
      const job = await client.get(`async/job/${id}`).catch((error) => {
        if (error.status !== 0) throw error;
        return null;
      });
      if (job) {
        bar.set(job.progress);
        setText(detail, job.progressDetail?.message ?? '');
      }
      if (job && ENDED.includes(job.status)) {
        if (job.status === 'failed') throw new Error(job.error ?? 'the test failed');
        return job.status === 'cancelled' && !job.result ? null : job.result;
      }
      await new Promise((wake) => setTimeout(wake, LOOK_MS));
    }
  }

  async function cancel() {
    if (!current) return;
    if (current.id === null) current.abort.abort();
    else await attempt('The test was not cancelled', () => client.call('DELETE', `async/job/${current.id}`));
  }

  function finish(endpoint, report) {
    if (!report) {
      setText(state, 'Cancelled.');
      return;
    }
    setText(state, `Done: ${format.count(report.totalRequests)} requests in ${format.duration(report.totalTime)}.`);
    nothing.hidden = true;
    outcome.hidden = false;
    results.set(rowsOf(report));
    draw(report);
    runs = [{ at: Date.now(), endpoint, report }, ...runs].slice(0, KEPT);
    pastRows.set(runs);
    pastCard.hidden = false;
  }

  function draw(report) {
    const curve = (label, colour, times) => ({
      label,
      colour,
      points: PERCENTILES.map(([name, p]) => [p, times[name]]),
    });
    const { responseTimes: all, serviceTimes: sent, latencyCurve, series } = report;
    plot.element.hidden = !all;
    overTime.hidden = !(series?.length > 1);
    if (!all) return;
    const whole = latencyCurve?.map(({ percentile, latency }) => [percentile, latency]);
    const due = curve('from when due', 'line-1', all);
    const curves = [whole?.length > 1 ? { ...due, points: whole } : due];
    if (sent) curves.push(curve('from when sent', 'line-2', sent));
    plot.update(
      curves,
      format.duration,
      `Response times by percentile: ${PERCENTILES.map(([name, p]) => `${p} % ${format.duration(all[name])}`).join(', ')}`,
    );
    if (overTime.hidden) return;
    const rates = series.map((s) => s.rate);
    seconds.update(
      series,
      { rate: format.number, time: format.duration },
      `Requests in each of ${series.length} seconds: ${format.number(Math.min(...rates))} to ${format.number(Math.max(...rates))}`,
    );
  }

  const form = h(
    'form',
    {
      class: 'form',
      id: 'load-form',
      on: {
        submit: (event) => {
          event.preventDefault();
          run();
        },
      },
    },
    field('Requests', fields.requests),
    field('Concurrency', fields.concurrency, 'connections at once'),
    field('Endpoint', fields.endpoint, 'a path of this server'),
    field('Method', fields.method),
    bodyField,
    field('Rate', fields.rate, 'requests a second, whatever the answers take'),
    field('Duration', fields.duration, 'seconds at most'),
  );

  return {
    id: 'load',
    title: 'Load test',
    element: h(
      'div',
      {},
      card('Test', form, h('div', { class: 'row middle' }, start, stop, state, running), failed.element),
      card('Result', nothing, outcome),
      pastCard,
    ),
    show() {
      outcome.replaceChildren(
        results.element,
        h('h3', {}, 'Response time by percentile'),
        legend(['line-1', 'from when due'], ['line-2', 'from when sent']),
        plot.element,
        overTime,
      );
      if (!current) resume();
    },
    returned() {},
    event(name, data) {
      if (name === 'jobProgress' && data.id === current?.id) bar.set(data.progress);
    },
  };
}

const legend = (...lines) =>
  h(
    'ul',
    { class: 'legend' },
    lines.map(([colour, text]) => h('li', {}, h('i', { 'aria-hidden': 'true', data: { colour } }), text)),
  );

function rowsOf(r) {
  const t = r.responseTimes ?? {};
  const errors = Object.entries(r.errors ?? {})
    .filter(([, n]) => n > 0)
    .map(([kind, n]) => `${kind}: ${format.count(n)}${r.reasons?.[kind] ? ` (${r.reasons[kind]})` : ''}`);
  const statuses = Object.entries(r.statuses ?? {}).map(([code, n]) => `${code}: ${format.count(n)}`);
  return [
    ['Requests', format.count(r.totalRequests)],
    ['Successful', `${format.count(r.successfulRequests)} (${format.percent(r.successRate)})`],
    ['Failed', format.count(r.failedRequests)],
    ['Requests a second', format.number(r.requestsPerSecond)],
    ['Offered rate', format.rate(r.offeredRate)],
    ['Dropped', format.count(r.droppedRequests)],
    ['Mean', format.duration(r.averageResponseTime)],
    ['p50', format.duration(t.p50)],
    ['p90', format.duration(t.p90)],
    ['p95', format.duration(t.p95)],
    ['p99', format.duration(t.p99)],
    ['p99.9', format.duration(t.p999)],
    ['Longest', format.duration(r.maxResponseTime)],
    ['Total time', format.duration(r.totalTime)],
    ['Received', format.bytes(r.bytesReceived)],
    ['Statuses', statuses.join(', ') || format.NONE],
    ['Without an answer', errors.join(', ') || 'none'],
    ['Ended by', format.words(r.endedBy ?? '')],
  ];
}
