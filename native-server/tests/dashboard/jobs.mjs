// Jobs and batches: progress is watched, one is cancelled, a dead letter is retried.

import { load } from './overview.mjs';
import { check } from './tally.mjs';
import { state, tab, text, visit } from './visitor.mjs';

const row = (page, id) => page.locator(`#view-jobs tr[data-job="${id}"]`);
const ended = (page, id, status) =>
  page.locator(`#view-jobs tr[data-job="${id}"][data-status=${status}]`).waitFor({ timeout: 60_000 });

/** Submits a sample by its form; the id of the job. */
async function submit(page, { kind, size, timeout = 120_000, retries = 0 }) {
  const form = page.locator('#sample-job');
  await form.locator('[name=kind]').selectOption(kind);
  await form.locator('[name=size]').fill(String(size));
  await form.locator('[name=timeout]').fill(String(timeout));
  await form.locator('[name=retries]').fill(String(retries));
  const answered = page.waitForResponse((r) => r.url().endsWith('/async/job') && r.request().method() === 'POST');
  await form.getByRole('button', { name: 'Submit' }).click();
  return (await (await answered).json()).data.jobId;
}

/** Notes each step of a row's bar, from within the page. */
const watch = (page, id) =>
  page.evaluate((job) => {
    globalThis.steps = [];
    const look = () => {
      const bar = document.querySelector(`tr[data-job="${job}"] progress`);
      if (bar && globalThis.steps.at(-1) !== bar.value) globalThis.steps.push(bar.value);
      requestAnimationFrame(look);
    };
    look();
  }, id);

export async function jobs(browser, server) {
  const { context, page, complaints } = await visit(browser, server, { hash: '#jobs' });
  await state(page, 'live');
  check('an empty queue says what to do', (await text(page, '#view-jobs .empty')).includes('Submit one'));
  await progress(page);
  await cancelled(page);
  await deadLetter(page);
  await details(page);
  check('jobs complain of nothing', complaints.length === 0, complaints);
  await context.close();
}

async function progress(page) {
  const id = await submit(page, { kind: 'model_training', size: 2000 });
  await row(page, id).waitFor();
  await watch(page, id);
  await ended(page, id, 'completed');
  // The last step is noted in the frame after the row says that it is completed.
  await page.waitForFunction(() => globalThis.steps.at(-1) === 100);
  const steps = await page.evaluate(() => globalThis.steps);
  check('a job is watched on its way', steps.some((s) => s > 0 && s < 100), steps);
  check(
    'its progress only rises',
    steps.every((s, at) => at === 0 || s >= steps[at - 1]),
    steps,
  );
}

async function cancelled(page) {
  const id = await submit(page, { kind: 'model_training', size: 2000 });
  await page.locator(`#view-jobs tr[data-job="${id}"][data-status=running]`).waitFor();
  await row(page, id)
    .getByRole('button', { name: /^Cancel/ })
    .click();
  const dialog = page.locator('dialog[open]');
  check('a cancel is asked for', (await dialog.textContent()).includes(id));
  await page.keyboard.press('Escape');
  check(
    'Escape keeps the job',
    (await row(page, id).getAttribute('data-status')) === 'running',
    await row(page, id).getAttribute('data-status'),
  );
  const focused = await page.evaluate(() => document.activeElement.textContent);
  check('the focus is back on its button', focused === 'Cancel', focused);
  await row(page, id)
    .getByRole('button', { name: /^Cancel/ })
    .click();
  await dialog.getByRole('button', { name: 'Cancel the job' }).click();
  await ended(page, id, 'cancelled');
  check('a running job is cancelled', true);
}

async function deadLetter(page) {
  const id = await submit(page, { kind: 'model_training', size: 1500, timeout: 1 });
  await ended(page, id, 'failed');
  await page.locator('#view-jobs [name=filter]').selectOption('dead=true');
  await row(page, id).waitFor();
  check(
    'its attempts are used up',
    (await row(page, id).textContent()).includes('dead'),
    await row(page, id).textContent(),
  );
  await row(page, id)
    .getByRole('button', { name: /^Retry/ })
    .click();
  await page
    .locator('.notice', { hasText: /retr|queued/i })
    .first()
    .waitFor();
  await page.locator('#view-jobs [name=filter]').selectOption('');
  await page.waitForFunction((job) => {
    const cells = document.querySelector(`tr[data-job="${job}"]`)?.textContent ?? '';
    return /[12] of [12]/.test(cells);
  }, id);
  check('a dead letter is tried again', true);
}

async function details(page) {
  const first = page.locator('#view-jobs tr[data-status=completed]').first();
  await first.getByRole('button', { name: /^Details/ }).click();
  const told = await page.locator('dialog[open]').textContent();
  check('details hold the result', told.includes('"'), told.slice(0, 200));
  await page.keyboard.press('Escape');
  await page.locator('#view-jobs input[type=search]').fill('nothing like it');
  check('a filter narrows the list', (await page.locator('#view-jobs tbody tr').count()) === 0);
}

export async function batches(browser, server) {
  const { context, page, complaints } = await visit(browser, server, { hash: '#batches' });
  await state(page, 'live');
  const form = page.locator('#sample-batch');
  await form.locator('[name=records]').fill('20000');
  await form.locator('[name=chunk]').fill('100');
  await form.getByRole('button', { name: 'Submit' }).click();
  const line = page.locator('#view-batches tr[data-batch]').first();
  await line.waitFor();
  await page.waitForFunction(() => {
    const bar = document.querySelector('#view-batches tr[data-batch] progress');
    return bar.value > 0 && bar.value < 100;
  });
  check('a batch is watched on its way', true);
  await line.getByRole('button', { name: /^Cancel/ }).click();
  await page.getByRole('button', { name: 'Cancel the batch' }).click();
  await page.locator('#view-batches tr[data-status=cancelled]').waitFor();
  check('a batch is cancelled', true);
  await page.evaluate(() => sessionStorage.clear());
  await page.reload();
  await page.locator('#view-batches tr[data-status=cancelled]').waitFor();
  check('a later page knows of it, too', true);
  check('batches complain of nothing', complaints.length === 0, complaints);
  await context.close();
}

/** Cache: figures, a key is shown and deleted, a tag invalidated, all cleared. */
export async function cache(browser, server) {
  const { context, page, complaints } = await visit(browser, server, { hash: '#cache' });
  await state(page, 'live');
  const hostile = '<img src=x onerror=alert(1)>';
  await server.call('POST', 'cache/set', {
    key: hostile,
    value: { note: '<script>alert(1)</script>' },
    tags: ['cellar'],
  });
  await server.call('POST', 'cache/set', { key: 'barolo', value: 1 });
  const keys = page.locator('#view-cache tbody tr');
  await keys.filter({ hasText: hostile }).waitFor();
  check('a key with markup is text', (await page.locator('#view-cache td img').count()) === 0);
  await keys.filter({ hasText: hostile }).getByRole('button', { name: /^Show/ }).click();
  check('so is its value', (await page.locator('dialog[open] pre').textContent()).includes('<script>'));
  await page.keyboard.press('Escape');
  await page.locator('#view-cache [name=tag]').fill('cellar');
  await page.getByRole('button', { name: 'Invalidate' }).click();
  await keys.filter({ hasText: hostile }).waitFor({ state: 'detached' });
  check('a tag is invalidated', (await keys.filter({ hasText: 'barolo' }).count()) === 1);
  await page.getByRole('button', { name: 'Clear the cache…' }).click();
  await page.getByRole('button', { name: 'Clear it' }).click();
  await page.locator('#view-cache .empty:visible').waitFor();
  check('the cache is cleared', (await text(page, '#view-cache .empty')).includes('empty'));
  check('the cache complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

/** A flame graph is recorded under work, and shown as an image. */
async function profiled(page, server) {
  await tab(page, 'system');
  // An idle process has nothing to draw.
  const stop = load(server, ['cache/stats', 'memory/stats']);
  const view = page.locator('#view-system');
  await view.locator('[name=seconds]').fill('1');
  await view.getByRole('button', { name: 'Record' }).click();
  const image = page.locator('#profile img');
  await image.waitFor({ timeout: 60_000 });
  await stop();
  const width = await image.evaluate(async (node) => {
    await node.decode();
    return node.naturalWidth;
  });
  check('a flame graph is shown', width > 100, width);
}

/** Unused views are reached by their tabs: none fails. */
export async function views(browser, server) {
  const { context, page, complaints } = await visit(browser, server);
  await state(page, 'live');
  for (const name of ['cache', 'jobs', 'batches', 'alerts', 'load', 'memory', 'system', 'overview']) {
    await tab(page, name);
    await page.locator(`#view-${name}`).waitFor();
  }
  await tab(page, 'system');
  await page.locator('#view-system tr[data-route]').first().waitFor();
  check('routes have their figures', (await page.locator('#view-system tr[data-route]').count()) > 3);
  await tab(page, 'memory');
  await page.locator('#memory-form [name=iterations]').fill('2000');
  await page.locator('#view-memory').getByRole('button', { name: 'Start' }).click();
  await page.locator('#memory-result').waitFor();
  const told = await text(page, '#memory-result');
  check('the memory test tells the heap', /An iteration.*B/.test(told) && told.includes('allocator'), told);
  if (await server.offers('monitoring/profile')) await profiled(page, server);
  check('views complain of nothing', complaints.length === 0, complaints);
  await context.close();
}
