// Load test: started by the form, its result read, its plot seen, one cancelled.

import { check } from './tally.mjs';
import { drawn, state, text, visit } from './visitor.mjs';

const figure = (page, name) => page.locator(`#load-result .figures div:has(dt:text-is("${name}")) dd`).textContent();
const digits = (shown) => Number(shown.replace(/\D/g, ''));

async function fill(page, fields) {
  for (const [name, value] of Object.entries(fields))
    await page.locator(`#load-form [name=${name}]`).fill(String(value));
}

const start = (page) => page.locator('#view-load').getByRole('button', { name: 'Start' }).click();

export async function load(browser, server) {
  const { context, page, complaints } = await visit(browser, server, { hash: '#load' });
  await state(page, 'live');
  await closed(page);
  await open(page);
  await refused(page);
  await cancelled(page, server);
  // The refusal is an answer of 4xx, which the browser tells as an error of its own.
  const own = complaints.filter((c) => !/status of 4\d\d/.test(c));
  check('load tests complain of nothing', own.length === 0, own);
  await context.close();
}

async function closed(page) {
  await fill(page, { requests: 1500, concurrency: 4, endpoint: '/api/performance/cache/stats' });
  await start(page);
  await page.locator('#load-result').waitFor({ timeout: 60_000 });
  check('all requests were sent', digits(await figure(page, 'Requests')) === 1500, await figure(page, 'Requests'));
  check('none failed', digits(await figure(page, 'Failed')) === 0, await figure(page, 'Failed'));
  const times = await Promise.all(['p50', 'p95', 'p99', 'p99.9'].map((name) => figure(page, name)));
  check(
    'percentiles are told',
    times.every((t) => /\d.*(ms|s)$/.test(t)),
    times,
  );
  check('the percentiles are plotted', await drawn(page, '#load-result'));
  check(
    'the end is told',
    (await text(page, '#load-state')).startsWith('Done: 1,500'),
    await text(page, '#load-state'),
  );
  check('the run is kept', (await page.locator('#view-load tbody tr').count()) === 1);
}

async function open(page) {
  await fill(page, { requests: 60, concurrency: 4, rate: 40, duration: 20 });
  await start(page);
  const bar = page.locator('#view-load progress');
  await bar.waitFor();
  await page.locator('#load-cancel').waitFor();
  await page.locator('#load-state', { hasText: 'Done: 60' }).waitFor({ timeout: 60_000 });
  const offered = await figure(page, 'Offered rate');
  check('the offered rate is told', Math.abs(parseFloat(offered) - 40) < 6, offered);
}

async function refused(page) {
  await fill(page, { requests: 5, rate: '', endpoint: 'http://example.com/' });
  await start(page);
  await page.locator('#view-load .failure:visible').waitFor();
  const why = await text(page, '#view-load .card .failure');
  check('another origin is refused with the reason', /origin/.test(why), why);
  await fill(page, { endpoint: '/api/performance/cache/stats' });
}

/** A test goes on while its page is loaded anew; it is found again and cancelled. */
async function cancelled(page, server) {
  await fill(page, { requests: 2000, rate: 20, duration: 100 });
  await start(page);
  await page.locator('#load-cancel').waitFor();
  if (await asJob(server)) {
    await page.locator('#load-detail', { hasText: /of 2000 requests/ }).waitFor();
    check('how far it is is told', true);
    await page.reload();
    await page.locator('#load-detail', { hasText: /of 2000 requests/ }).waitFor();
    check('a page that comes later shows it, too', true);
  }
  await page.locator('#load-cancel').click();
  await page.locator('#load-state', { hasText: /^(Cancelled|Done)/ }).waitFor({ timeout: 30_000 });
  check('a test is cancelled', !(await text(page, '#load-state')).includes('2,000'), await text(page, '#load-state'));
}

/** Whether the server runs load tests as jobs. */
async function asJob(server) {
  const jobs = await server.call('GET', 'async/jobs?status=running');
  return jobs.some((job) => job.type === 'load_test');
}
