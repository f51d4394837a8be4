// The demonstration in Chromium: built before by `cargo xtask demo --build-only`. Ends with
// `N passed, N failed`.
//
//   node test/demo.mjs [FOLDER]   with FOLDER: screenshots go there

import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './support/chromium.mjs';
import { serve } from './support/server.mjs';

const dist = resolve(dirname(fileURLToPath(import.meta.url)), '../demo/dist');
const shots = process.argv[2];
if (!existsSync(dist)) throw new Error(`${dist} is not there: run cargo xtask demo --build-only`);

const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
const BAROLO = 'Barolo';
let passed = 0;
let failed = 0;

function check(name, holds, found) {
  if (holds) passed += 1;
  else failed += 1;
  console.log(holds ? `${name}: as expected` : `FAILED ${name}: ${JSON.stringify(found)}`);
}

/** One visitor: pages of a context of its own, and everything they complained of. */
async function visitor(browser, options) {
  const context = await browser.newContext({ viewport: PHONE, ...options });
  const complaints = [];
  context.on('weberror', (error) => complaints.push(String(error.error())));
  context.on('console', (message) => {
    const told = ['error', 'warning'].includes(message.type());
    if (told || message.text().startsWith('CSP')) complaints.push(message.text());
  });
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.log(`CSP: ${event.violatedDirective} refuses ${event.blockedURI}`),
    );
  });
  return { context, complaints };
}

const text = (page, selector) => page.locator(selector).textContent();
const number = (found) => Number(found?.replace(/\D/g, ''));
const tab = (page, name) => page.locator(`nav.tabs [data-view=${name}]`).click();

async function ready(page) {
  await page.waitForFunction(() => document.querySelectorAll('#wines li').length > 0);
}

async function open(page, name) {
  await page.locator('#search').fill(name);
  await page.locator('#wines li:not([hidden]) button').first().click();
  await page.locator('#similar li').first().waitFor();
}

async function list(page) {
  check('the list has every wine', (await text(page, '#count')) === '1,007 wines', await text(page, '#count'));
  await page.keyboard.press('/');
  await page.keyboard.type(BAROLO);
  const shown = await page.locator('#wines li:not([hidden])').count();
  check('a search narrows it', shown > 0 && shown < 100, shown);
  await page.locator('#types input[value="White"]').check();
  check('a type narrows it', number((await text(page, '#count')).split(' of ')[0]) < shown, await text(page, '#count'));
  await page.locator('#types input[value=""]').check();
  await page.keyboard.press('/');
  await page.keyboard.press('Escape');
}

async function detail(page) {
  await open(page, BAROLO);
  check('the first look-up is a miss', (await text(page, '#lookup')).startsWith('Cache miss'), await text(page, '#lookup'));
  check('details are shown', (await text(page, '#facts')).includes('Nebbiolo'), await text(page, '#facts'));
  const alike = await page.locator('#similar li').count();
  check('similar wines are computed', alike === 8, alike);
  const note = await text(page, '#similar-note');
  check('and it is told how', note.includes('computed in'), note);
  await page.keyboard.press('Escape');
  await open(page, BAROLO);
  check('the second look-up is a hit', (await text(page, '#lookup')).startsWith('Cache hit'), await text(page, '#lookup'));
  const again = await text(page, '#similar-note');
  check('similar wines come from the cache', again.includes('from the cache'), again);
  await page.keyboard.press('Escape');
}

/** Watches the bar from within the page, so that no step is missed. */
const watch = (page) =>
  page.evaluate(() => {
    globalThis.steps = new Set();
    const bar = document.getElementById('progress');
    new MutationObserver(() => globalThis.steps.add(bar.value)).observe(bar, { attributes: true });
  });

async function comparison(page) {
  await tab(page, 'compare');
  await watch(page);
  await page.locator('#start').click();
  await page.waitForFunction(() => document.getElementById('progress').value > 0.02);
  await page.locator('#cancel').click();
  await page.locator('#stage[data-state=cancelled]').waitFor();
  const runs = await page.locator('#runs tbody tr').count();
  // Waited for above: the stage says that the run was cancelled.
  check('cancel ends a run', runs <= 8, runs);
  await page.evaluate(() => globalThis.steps.clear());
  await page.locator('#start').click();
  await page.locator('#stage[data-state=done]').waitFor({ timeout: 180_000 });
  const steps = await page.evaluate(() => [...globalThis.steps]);
  check('progress is seen', steps.length >= 16 && steps.at(-1) === 1, steps);
  check('it only rises', steps.every((step, at) => at === 0 || step >= steps[at - 1]), steps);
  check('all eight comparisons ran', (await page.locator('#runs tbody tr').count()) === 8, await text(page, '#runs'));
  check('the wines most alike are told', (await page.locator('#alike li').count()) === 10, await text(page, '#alike'));
}

async function engine(page) {
  await tab(page, 'engine');
  await page.locator('#browse').click();
  await page.locator('#browse:enabled').waitFor({ timeout: 60_000 });
  check('200 wines were opened', (await text(page, '#browsed')).startsWith('200 wines opened'), await text(page, '#browsed'));
  const figure = async (list, term) =>
    text(page, `#${list} div:has(dt:text-is("${term}")) dd`);
  await page.waitForTimeout(1500);
  const hits = number(await figure('cache-figures', 'Hits'));
  check('the cache counts hits', hits > 10, hits);
  check('memory is told', (await figure('memory-figures', 'Engine')).endsWith('MiB'), await text(page, '#memory-figures'));
  const drawn = await page.evaluate(() =>
    [...document.querySelectorAll('.chart canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.some((byte) => byte > 0);
    }),
  );
  check('three charts are drawn', drawn.length === 3 && drawn.every(Boolean), drawn);
}

async function offline({ context, complaints }, page, server) {
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  // What leaving the page for another does.
  await page.evaluate(() => {
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  await page.waitForTimeout(500);
  await page.close();
  await server.stop();
  await context.setOffline(true);
  const second = await context.newPage();
  await second.goto(server.url);
  await ready(second);
  check('the second visit works without a server', true);
  check('the badge says so', await second.locator('#offline').isVisible());
  check('threads run offline, too', (await text(second, '#mode')).includes('threads'), await text(second, '#mode'));
  check('it starts warm', number(await text(second, '#warm')) > 10, await text(second, '#warm'));
  await open(second, BAROLO);
  check('its first look-up is a hit', (await text(second, '#lookup')).startsWith('Cache hit'), await text(second, '#lookup'));
  await second.keyboard.press('Escape');
  await open(second, 'Chianti');
  check('similar wines are computed offline', (await text(second, '#similar-note')).includes('omputed in'));
  check('nothing was complained of', complaints.length === 0, complaints);
}

/** A visit with the right headers, then one without a server. */
async function isolated(browser) {
  const server = await serve({ '/': dist }, { isolated: true });
  const guest = await visitor(browser);
  const page = await guest.context.newPage();
  await page.goto(server.url);
  await ready(page);
  check('the mode is threads', (await text(page, '#mode')).includes('threads'), await text(page, '#mode'));
  await list(page);
  await detail(page);
  await comparison(page);
  await engine(page);
  await offline(guest, page, server);
  await guest.context.close();
}

/** A visit to a server that does not isolate the page. */
async function single(browser) {
  const server = await serve({ '/': dist });
  const { context, complaints } = await visitor(browser);
  const page = await context.newPage();
  await page.goto(server.url);
  await ready(page);
  check('without the headers one thread runs', (await text(page, '#mode')) === 'Single thread', await text(page, '#mode'));
  check('and it is told why', (await text(page, '#mode-reason')).includes('Cross-Origin'), await text(page, '#mode-reason'));
  await open(page, BAROLO);
  check('similar wines are computed all the same', (await page.locator('#similar li').count()) === 8);
  await page.keyboard.press('Escape');
  await tab(page, 'compare');
  await page.locator('#start').click();
  await page.waitForFunction(() => document.getElementById('progress').value > 0);
  await page.locator('#cancel').click();
  await page.locator('#stage[data-state=cancelled]').waitFor();
  check('cancel ends a run of one thread', true);
  check('nothing was complained of without the headers', complaints.length === 0, complaints);
  await context.close();
  await server.stop();
}

/** What a person looks at: both widths, both schemes. */
async function screenshots(browser) {
  const server = await serve({ '/': dist }, { isolated: true });
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, viewport] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
      const { context } = await visitor(browser, { viewport, colorScheme });
      const page = await context.newPage();
      const shot = (view) => page.screenshot({ path: resolve(shots, `${name}-${colorScheme}-${view}.png`) });
      const phone = name === 'phone';
      await page.goto(server.url);
      await ready(page);
      await shot('list');
      await open(page, BAROLO);
      await shot('wine');
      await page.keyboard.press('Escape');
      await page.locator('#search').fill('');
      if (phone) await tab(page, 'engine');
      await page.locator('#browse').click();
      await page.locator('#browse:enabled').waitFor({ timeout: 60_000 });
      if (phone) await tab(page, 'compare');
      await page.locator('#start').click();
      await page.waitForFunction(() => document.getElementById('progress').value > 0.3);
      await shot('running');
      await page.locator('#stage[data-state=done]').waitFor({ timeout: 180_000 });
      await shot('compared');
      if (phone) await tab(page, 'engine');
      await shot('engine');
      await context.close();
    }
  }
  await server.stop();
}

const browser = await launch();
try {
  if (shots) await screenshots(browser);
  else {
    await isolated(browser);
    await single(browser);
  }
} catch (error) {
  check('the demonstration', false, error.message);
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
