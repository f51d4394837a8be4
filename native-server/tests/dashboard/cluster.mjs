// Two servers with one Redis: the overview shows both, what one alone does not.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ruled } from './access.mjs';
import { check } from './tally.mjs';
import { PHONE, state, text, visit } from './visitor.mjs';

const freePort = () =>
  new Promise((found) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => found(port));
    });
  });

/** A Redis of its own, in a folder of its own. */
export class Redis {
  #folder = mkdtempSync(join(tmpdir(), 'sommos-redis-'));
  #child = null;
  url = '';

  async start() {
    const port = await freePort();
    const flags = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--dir', this.#folder];
    this.#child = spawn('redis-server', flags.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((ready, failed) => {
      this.#child.once('error', failed);
      this.#child.once('exit', (code) => failed(new Error(`redis-server ended with ${code}`)));
      this.#child.stdout.on('data', (told) => String(told).includes('Ready to accept connections') && ready());
    });
    this.url = `redis://127.0.0.1:${port}`;
    return this;
  }

  async stop() {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((done) => child.once('exit', done));
      process.kill(child.pid, 'SIGKILL');
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const rows = (page) => page.locator('#cluster tr[data-node]');

export async function cluster(browser, alone, fresh) {
  const single = await visit(browser, alone);
  await state(single.page, 'live');
  await single.page.waitForTimeout(1000);
  check('a server alone shows no cluster', await single.page.locator('#cluster').isHidden());
  await single.context.close();

  const redis = await new Redis().start();
  try {
    const flags = (name) => ['--redis-url', redis.url, '--node-id', name];
    const a = await fresh(flags('cellar-a'));
    const b = await fresh(flags('cellar-b'));
    for (let i = 0; i < 50; i += 1) await b.call('GET', 'memory/stats');
    for (const colorScheme of ['dark', 'light']) {
      const { context, page, complaints } = await visit(browser, a, { colorScheme });
      await state(page, 'live');
      await rows(page).nth(1).waitFor();
      await page.locator('#cluster tr[data-node=cellar-b] [data-status=live]').waitFor();
      const names = await rows(page).evaluateAll((all) => all.map((row) => row.dataset.node));
      check('both servers are listed by name', names.join() === 'cellar-a,cellar-b', names);
      const own = await text(page, '#cluster tr[data-node=cellar-a]');
      check('the one that answers is marked', own.includes('answers here'), own);
      const totals = await text(page, '#cluster .figures');
      check('the totals count two', /Servers2/.test(totals) && /Redisanswers/.test(totals), totals);
      await ruled(page, `the cluster, ${colorScheme}`);
      check('the cluster complains of nothing', complaints.length === 0, complaints);
      await context.close();
    }
    await fits(browser, a);
    await dies(browser, a, b);
  } finally {
    await redis.stop();
  }
}

async function fits(browser, server) {
  const { context, page } = await visit(browser, server, { viewport: PHONE, hasTouch: true, isMobile: true });
  await state(page, 'live');
  await rows(page).nth(1).waitFor();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  check('the cluster fits a phone', width <= PHONE.width, width);
  await context.close();
}

/** By the keyboard its table is reached; a server that died is told as stale, then no more. */
async function dies(browser, a, b) {
  const { context, page } = await visit(browser, a);
  await state(page, 'live');
  await rows(page).nth(1).waitFor();
  await page.locator('#tab-overview').focus();
  let reached = false;
  for (let i = 0; i < 20 && !reached; i += 1) {
    await page.keyboard.press('Tab');
    reached = await page.evaluate(() => document.activeElement.getAttribute('aria-label') === 'Servers of the cluster');
  }
  check('the table is reached by the keyboard', reached);
  await b.kill();
  await page.waitForFunction(() => document.querySelectorAll('#cluster tr[data-node]').length === 1);
  check('a server that died is listed no more', (await rows(page).getAttribute('data-node')) === 'cellar-a');
  check('the cluster stays, for there is a Redis', await page.locator('#cluster').isVisible());
  await context.close();
}
