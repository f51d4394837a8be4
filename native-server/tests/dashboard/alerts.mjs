// Alerts: errors that the application reports raise one; it is seen, and resolved by hand.

import { check } from './tally.mjs';
import { state, tab, text, visit } from './visitor.mjs';

const EVERY_MS = 1500;
/** The rule must alarm for its time; two busy cores are slow. */
const RAISED_MS = 90_000;

/** Reports errors among answered requests until it is told to stop. */
function trouble(server) {
  const metrics = Array.from({ length: 60 }, () => ({
    kind: 'error',
    name: 'CellarDoor',
    message: 'the door is stuck',
  }));
  let on = true;
  const run = async () => {
    while (on) {
      await server.call('POST', 'metrics', { metrics });
      for (let i = 0; i < 10; i += 1) await server.call('GET', 'cache/stats');
      await new Promise((wake) => setTimeout(wake, EVERY_MS));
    }
  };
  const running = run();
  return async () => {
    on = false;
    await running;
  };
}

export async function alerts(browser, server, shoot) {
  const { context, page, complaints } = await visit(browser, server, { hash: '#alerts' });
  await state(page, 'live');
  check('without alerts it says so', (await text(page, '#view-alerts .empty')).startsWith('No alert is open'));
  const stop = trouble(server);
  const alert = page.locator('#view-alerts li[data-type=HIGH_ERROR_RATE]');
  await alert.waitFor({ timeout: RAISED_MS });
  check('an alert is raised', (await alert.textContent()).includes('error rate'), await alert.textContent());
  check('once', (await alert.count()) === 1);
  await page.locator('.notice', { hasText: 'High error rate' }).waitFor();
  check('a notice tells of it', true);
  await page.locator('#tab-alerts .badge').waitFor();
  check('the tab counts it', Number(await text(page, '#tab-alerts .badge')) >= 1);
  await shoot?.(page, 'alerts');
  await tab(page, 'overview');
  await page.waitForFunction(() => document.querySelector('[data-figure=alerts]').textContent === '1');
  check('so does the overview', true);
  await shoot?.(page, 'overview-alert');
  await tab(page, 'alerts');
  const id = await alert.getAttribute('data-alert');
  await alert.getByRole('button', { name: /^Resolve/ }).click();
  await page.locator(`#view-alerts li[data-alert="${id}"]`).waitFor({ state: 'detached' });
  await page.locator('#view-alerts .empty', { hasText: 'No alert is open' }).waitFor();
  check('it is resolved', (await server.call('GET', 'monitoring/alerts')).length === 0);
  if (await server.offers('monitoring/alerts/history')) {
    const past = page.locator(`#view-alerts tr[data-alert="${id}"]`);
    await past.waitFor();
    check('it stands among those that were', (await past.textContent()).includes('by hand'), await past.textContent());
  }
  if (await server.offers('monitoring/rules')) {
    const rule = page.locator('#view-alerts tr[data-rule=HIGH_ERROR_RATE]');
    check(
      'its rule stays quiet until it is well again',
      (await rule.textContent()).includes('silenced'),
      await rule.textContent(),
    );
  }
  await stop();
  check('alerts complain of nothing', complaints.length === 0, complaints);
  await context.close();
}
