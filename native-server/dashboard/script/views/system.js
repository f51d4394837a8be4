// System: the machine and the process, each route, errors, exports and the profile.

import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt } from '../notice.js';
import { Refresh, button, card, empty, failure, field, figures, numberInput, select } from '../panels.js';
import { Rows, table } from '../rows.js';

/** Figures by name, with how they are written; others are shown as numbers. */
const FORMATS = [
  [/percent$|perCore$/i, format.percent],
  [/(read|write|receive|transmit)Rate$/i, (n) => `${format.bytes(n)}/s`],
  [/^(rss|heap.*|memory.*|disk(Used|Total|Free|Available)|swap.*|.*bytes.*)$/i, format.bytes],
  [/^uptime/i, (s) => format.duration(s * 1000)],
  [/ms$/i, format.duration],
];
const NAMES = {
  cpuPercent: 'Processor, all cores',
  processCpuPercent: 'Processor, this process',
  rss: 'Resident memory',
  heapUsed: 'Heap in use',
  memoryUsed: 'Memory of the machine in use',
  memoryTotal: 'Memory of the machine',
  cpuPerCore: 'Each core',
  load1: 'Load, 1 minute',
  load5: 'Load, 5 minutes',
  load15: 'Load, 15 minutes',
  diskReadRate: 'Disk, read',
  diskWriteRate: 'Disk, written',
  networkReceiveRate: 'Network, received',
  networkTransmitRate: 'Network, sent',
  processReadRate: 'This process, read',
  processWriteRate: 'This process, written',
};
const PROFILE_SECONDS = 5;

function written(name, value) {
  if (value === null) return format.NONE;
  if (Array.isArray(value)) return value.map((one) => written(name, one)).join(' · ');
  if (typeof value !== 'number') return String(value);
  const [, write] = FORMATS.find(([pattern]) => pattern.test(name)) ?? [null, format.number];
  return write(value);
}

export function systemView({ client }) {
  const machine = figures();
  const totals = figures();
  const failed = failure();
  const routes = table('Requests by route', [
    'Method',
    'Route',
    ...['Responses', 'Errors', 'p50', 'p95', 'p99', 'Sent'].map((title) => ({ title, class: 'end' })),
  ]);
  const errors = table('Latest errors', ['When', 'Type', 'Message'], { stacked: true });
  const noErrors = empty('No error has been recorded.');
  const routeRows = new Rows(routes.body, (e) => `${e.method} ${e.route}`, makeRoute);
  const errorRows = new Rows(
    errors.body,
    (e) => e.key,
    (e) => ({ element: errors.row({}, format.time(e.timestamp), h('code', {}, e.type), e.message), update() {} }),
  );

  function makeRoute(e) {
    const all = Array.from({ length: 6 }, () => h('span'));
    return {
      element: routes.row(
        { route: e.route },
        h('code', {}, e.method === '_OTHER' ? 'any' : e.method),
        e.route === 'other' ? 'not of the API, such as this page' : h('code', {}, e.route),
        ...all,
      ),
      update(r) {
        [
          format.count(r.responses),
          `${format.count(r.clientErrors + r.errors)}`,
          format.duration(r.p50Ms),
          format.duration(r.p95Ms),
          format.duration(r.p99Ms),
          format.bytes(r.bytesOut),
        ].forEach((text, at) => setText(all[at], text));
      },
    };
  }

  async function look() {
    try {
      const now = await client.get('monitoring/metrics');
      machine.set(
        Object.entries(now.system)
          .filter(([, v]) => typeof v !== 'object' || v === null || Array.isArray(v))
          .map(([name, value]) => [NAMES[name] ?? format.words(name), written(name, value)]),
      );
      totals.set([
        ['Requests', format.count(now.application.requests)],
        ['Mean time', format.duration(now.application.responseTime)],
        ['Client errors', format.count(now.api.clientErrors)],
        ['Server errors', format.count(now.api.serverErrors)],
        ['Sent', format.bytes(now.api.bytesOut)],
        ['Database queries', format.count(now.database.queries)],
        ['Slow queries', format.count(now.database.slowQueries)],
        ['Predictions', format.count(now.ml.predictions)],
      ]);
      routeRows.set([...now.api.endpoints].sort((a, b) => b.responses - a.responses));
      const recent = (now.api.errors.recent ?? [])
        .map((e, at) => ({ ...e, key: `${e.timestamp} ${e.type} ${at}` }))
        .reverse()
        .slice(0, 20);
      errorRows.set(recent);
      noErrors.hidden = recent.length > 0;
      errors.element.hidden = recent.length === 0;
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 4000);

  return {
    id: 'system',
    title: 'System',
    element: h(
      'div',
      {},
      failed.element,
      h(
        'div',
        { class: 'columns' },
        card('Machine and process', machine.element),
        card('Since the start', totals.element),
      ),
      card('Requests by route', routes.element),
      card('Latest errors', noErrors, errors.element),
      exportCard(client),
      profile(client),
    ),
    show: () => refresh.start(),
    hide: () => refresh.stop(),
    returned: () => refresh.soon(0),
    event() {},
  };
}

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  h('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The last hour as a file. A link would not carry the token. */
function exportCard(client) {
  const kind = select('format', [
    ['csv', 'CSV, a row a sample'],
    ['json', 'JSON'],
    ['prometheus', 'Prometheus text'],
  ]);
  const take = button('Save', () =>
    attempt('Nothing was exported', async () => {
      const response = await client.fetch('GET', `monitoring/export?format=${kind.value}`);
      save(`sommos-metrics.${kind.value === 'prometheus' ? 'prom' : kind.value}`, await response.blob());
    }),
  );
  return card(
    'Export',
    h('p', { class: 'dim' }, 'The samples of the last hour.'),
    h('div', { class: 'row' }, field('Format', kind), take),
    h(
      'p',
      {},
      h('a', { href: '/api/docs' }, 'The API, described'),
      ' · ',
      h('a', { href: '/api/openapi.json' }, 'OpenAPI document'),
    ),
  );
}

/** A flame graph of the process. It is shown as an image: nothing in it runs. */
function profile(client) {
  const seconds = numberInput('seconds', PROFILE_SECONDS, 1, 60);
  const host = h('div', { id: 'profile' });
  const take = button('Record', async () => {
    take.disabled = true;
    host.replaceChildren(empty(`Recording ${seconds.value} s …`));
    let svg = null;
    try {
      const response = await client.fetch('GET', `monitoring/profile?seconds=${Number(seconds.value)}`, {
        timeout: 120_000,
      });
      svg = await response.text();
    } catch (error) {
      host.replaceChildren(empty(error.missing ? 'This server records no profiles.' : `No profile: ${error.message}`));
    }
    take.disabled = false;
    if (svg === null) return;
    host.replaceChildren(
      h('img', {
        alt: 'Flame graph: the wider a function, the more of the time it was at work',
        src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`,
      }),
      button('Save the graph', () => save('sommos-profile.svg', new Blob([svg], { type: 'image/svg+xml' }))),
    );
  });
  return card(
    'Profile',
    h('p', { class: 'dim' }, 'Where the process spends its time, as a flame graph. It needs the right to test.'),
    h('div', { class: 'row' }, field('Seconds', seconds), take),
    host,
  );
}
