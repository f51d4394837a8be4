// The server goes away and comes back; so does the network; a token is asked for.

import { check } from './tally.mjs';
import { points, state, text, visit } from './visitor.mjs';

const stale = (page) => page.evaluate(() => document.body.dataset.stale);
/** Waits for a chart to have new points: what came is drawn. */
const grows = (page, from) =>
  page.waitForFunction((n) => Number(document.querySelector('[data-chart=requests]').dataset.points) > n, from);

export async function serverAway(browser, server) {
  const { context, page, complaints, away } = await visit(browser, server);
  await state(page, 'live');
  await grows(page, 1);
  check('figures of a live server are not marked', (await stale(page)) === 'false');
  away.yes = true;
  await server.kill();
  await state(page, 'disconnected');
  check('a server that is gone is told', (await text(page, '#connection-word')) === 'Disconnected');
  check('the figures are marked as old', (await stale(page)) === 'true');
  await page.locator('#connection-age', { hasText: /data .* ago/ }).waitFor();
  check(
    'and it is told how old they are',
    /next try|data/.test(await text(page, '#connection-age')),
    await text(page, '#connection-age'),
  );
  const kept = await text(page, '[data-figure=memory]');
  check('they stay to be read', /\d/.test(kept), kept);
  await server.start();
  await state(page, 'live');
  away.yes = false;
  const before = await points(page, 'requests');
  await grows(page, before);
  check('it comes back by itself', (await stale(page)) === 'false');
  check('a restart complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

export async function networkAway(browser, server) {
  const { context, page, complaints, away } = await visit(browser, server);
  await state(page, 'live');
  await grows(page, 1);
  away.yes = true;
  await context.setOffline(true);
  // The browser tells the page before it cuts the network off: what the page asks for in between is
  // never cut off. Then it is told once more.
  await state(page, 'disconnected', 5000).catch(() => page.evaluate(() => dispatchEvent(new Event('offline'))));
  await state(page, 'disconnected');
  check('without a network it says so', (await stale(page)) === 'true');
  const left = Date.now();
  // What the server samples meanwhile is the gap that must be filled.
  await page.waitForTimeout(12_000);
  await context.setOffline(false);
  await state(page, 'live');
  away.yes = false;
  const samples = await server.call(
    'GET',
    `monitoring/metrics?category=application&startTime=${left}&endTime=${Date.now()}`,
  );
  const last = await points(page, 'requests');
  await grows(page, last);
  const pause = await page.locator('[data-chart=requests]').getAttribute('data-pause');
  check('the server kept what was missed', samples.length >= 2, samples.length);
  check('the gap is filled from the history', Number(pause) < 9000, pause);
  check('the network complains of nothing', complaints.length === 0, complaints);
  await context.close();
}

export async function token(browser, server, secret) {
  const { context, page, complaints } = await visit(browser, server);
  await state(page, 'unauthorized');
  const dialog = page.locator('dialog[open]');
  await dialog.waitFor();
  check('a token is asked for', (await dialog.textContent()).includes('access token'));
  await page.keyboard.press('Escape');
  // Calls go on to be refused meanwhile.
  await page.waitForResponse((response) => response.status() === 401);
  await page.waitForResponse((response) => response.status() === 401);
  check('who declines is not asked again', (await dialog.count()) === 0);
  await page.locator('#token').click();
  await dialog.locator('input').fill(secret);
  await page.keyboard.press('Enter');
  await state(page, 'live');
  await page.waitForFunction(() => /\d/.test(document.querySelector('[data-figure=memory]').textContent));
  check('with it the figures come', true);
  check(
    'it is kept for this tab alone',
    await page.evaluate(
      (s) => sessionStorage.getItem('sommos-token') === s && localStorage.getItem('sommos-token') === null,
      secret,
    ),
  );
  const other = complaints.filter((c) => !/status of 401/.test(c));
  check('tokens complain of nothing', other.length === 0, other);
  await context.close();
}
