// What a person looks at: both schemes on a desktop, and a phone.

import { resolve } from 'node:path';
import { check } from './tally.mjs';
import { DESKTOP, PHONE, state, tab, visit } from './visitor.mjs';

const LOOKS = {
  'desktop-dark': { viewport: DESKTOP, colorScheme: 'dark' },
  'desktop-light': { viewport: DESKTOP, colorScheme: 'light' },
  phone: { viewport: PHONE, colorScheme: 'dark', isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};
const VIEWS = ['cache', 'jobs', 'batches', 'load', 'memory', 'system', 'alerts'];

export async function screenshots(browser, server, folder) {
  let taken = 0;
  await server.call('POST', 'cache/set', { key: 'barolo', value: { country: 'Italy' }, tags: ['red'] });
  const stop = traffic(server);
  for (const [look, options] of Object.entries(LOOKS)) {
    const { context, page } = await visit(browser, server, options);
    await state(page, 'live');
    const shoot = async (name) => {
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: resolve(folder, `${look}-${name}.png`), fullPage: true });
      taken += 1;
    };
    await page.waitForFunction(() => Number(document.querySelector('[data-chart=requests]').dataset.points) > 5);
    await page.waitForTimeout(1500);
    await shoot('overview');
    for (const view of VIEWS) {
      await tab(page, view);
      if (view === 'load') await measured(page);
      if (view === 'jobs') await worked(page);
      await page.waitForTimeout(view === 'memory' ? 4500 : 800);
      await shoot(view);
    }
    await context.close();
  }
  stop();
  check('screenshots are taken', taken === Object.keys(LOOKS).length * (VIEWS.length + 1), taken);
}

/** A moderate load that comes and goes, so that the charts have a shape. */
function traffic(server) {
  let at = 0;
  const timer = setInterval(() => {
    at += 1;
    for (let i = 0; i < 4 + 3 * Math.sin(at / 15); i += 1) {
      server.call('GET', i % 3 ? 'cache/get/barolo' : 'memory/stats').catch(() => {});
      if (at % 5 === 0) server.call('GET', 'cache/get/absent').catch(() => {});
    }
  }, 100);
  return () => clearInterval(timer);
}

async function measured(page) {
  await page.locator('#view-load').getByRole('button', { name: 'Start' }).click();
  await page.locator('#load-result').waitFor({ timeout: 60_000 });
}

async function worked(page) {
  await page.locator('#sample-job').getByRole('button', { name: 'Submit' }).click();
  await page.locator('#view-jobs tr[data-job]').first().waitFor();
}
