// Overview: figures and charts move under load; assets are served as they should be.

import { check } from './tally.mjs';
import { drawn, picture, points, state, text, visit } from './visitor.mjs';

const CHARTS = ['requests', 'latency', 'cpu', 'memory', 'cache', 'jobs'];
const number = (shown) => Number(String(shown).replace(/[^\d.]/g, ''));

/** Requests without pause until `stop` is called. */
export function load(server, paths) {
  let on = true;
  const run = async () => {
    for (let at = 0; on; at += 1) await server.call('GET', paths[at % paths.length]);
  };
  const all = [run(), run(), run()];
  return async () => {
    on = false;
    await Promise.all(all);
  };
}

export async function overview(browser, server) {
  const { context, page, complaints } = await visit(browser, server);
  await state(page, 'live');
  await page.waitForFunction(() =>
    [...document.querySelectorAll('#view-overview [data-figure]')].every(
      (f) => /\d/.test(f.textContent) || f.dataset.figure === 'cache',
    ),
  );
  check('eight figures stand on the overview', (await page.locator('#view-overview .tile').count()) === 8);
  await page.waitForFunction(() => Number(document.querySelector('[data-chart=requests]').dataset.points) >= 3);
  await server.call('POST', 'cache/set', { key: 'warm', value: 1 });
  const before = {
    points: await points(page, 'requests'),
    rate: number(await text(page, '[data-figure=rate]')),
    pictures: {},
  };
  for (const chart of CHARTS) before.pictures[chart] = await picture(page, chart);
  const stop = load(server, ['cache/get/warm', 'cache/stats', 'memory/stats']);
  await page.waitForFunction(
    (rate) => Number(document.querySelector('[data-figure=rate]').textContent.replace(/[^\d.]/g, '')) > rate + 5,
    before.rate,
  );
  await page.waitForFunction(
    (n) => Number(document.querySelector('[data-chart=requests]').dataset.points) >= n,
    before.points + 4,
  );
  await stop();
  check('the rate rises under load', true);
  for (const chart of CHARTS) {
    check(`the ${chart} chart is drawn`, await drawn(page, `[data-chart=${chart}]`));
    check(`the ${chart} chart moves`, (await picture(page, chart)) !== before.pictures[chart]);
  }
  const label = await page.locator('[data-chart=latency] .plot').getAttribute('aria-label');
  check('a chart says its figures in words', /p50 [\d.]+.*p95 [\d.]+/.test(label), label);
  check(
    'the hit rate is told',
    /%/.test(await text(page, '[data-figure=cache]')),
    await text(page, '[data-figure=cache]'),
  );
  if (await server.offers('monitoring/trends')) {
    const trend = page.locator('[data-chart=memory][data-trend=true]');
    await trend.waitFor({ timeout: 60_000 });
    check(
      'a trend is drawn and told',
      /^Trend: /.test(await trend.locator('.trend').textContent()),
      await trend.textContent(),
    );
  }
  await page.locator('#range').selectOption('3600000');
  await page.waitForFunction(() => Number(document.querySelector('[data-chart=requests]').dataset.points) >= 1);
  check('another range is shown', (await points(page, 'requests')) >= 1);
  await page.locator('#range').selectOption('86400000');
  await page.waitForFunction(() => Number(document.querySelector('[data-chart=requests]').dataset.points) >= 1);
  check('so is a day', await drawn(page, '[data-chart=requests]'));
  check('the overview complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

/** The page and its files over HTTP: types, policy, caching. */
export async function assets(server) {
  const first = await fetch(`${server.url}/`);
  const policy = first.headers.get('content-security-policy');
  check(
    'the page is HTML',
    first.headers.get('content-type') === 'text/html; charset=utf-8',
    first.headers.get('content-type'),
  );
  check(
    'its policy is strict',
    policy?.startsWith("default-src 'none'; script-src 'self'; style-src 'self';") && !policy.includes('unsafe'),
    policy,
  );
  const html = await first.text();
  const links = [...html.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)].map((m) => m[1]);
  const types = { js: 'text/javascript; charset=utf-8', css: 'text/css; charset=utf-8', svg: 'image/svg+xml' };
  for (const link of new Set(links)) {
    const response = await fetch(server.url + link);
    const type = response.headers.get('content-type');
    check(`${link} is served`, response.status === 200 && type === types[link.split('.').pop()], [
      response.status,
      type,
    ]);
  }
  const script = `${server.url}/dashboard/vendor/uplot/uPlot.iife.min.js`;
  const tagged = await fetch(script);
  const again = await fetch(script, {
    headers: { 'if-none-match': tagged.headers.get('etag'), 'cache-control': 'no-cache' },
  });
  check('a known file is answered 304', again.status === 304, again.status);
  const head = await fetch(script, { method: 'HEAD' });
  check('HEAD is GET without a body', head.status === 200 && (await head.text()) === '', head.status);
  const post = await fetch(`${server.url}/`, { method: 'POST' });
  check('the page takes no POST', post.status === 405, post.status);
  const unknown = await fetch(`${server.url}/dashboard/../../etc/passwd`);
  check('nothing else is served', unknown.status === 404, unknown.status);
}
