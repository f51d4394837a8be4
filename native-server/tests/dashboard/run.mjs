// The dashboard in Chromium against a live server. Ends with `N passed, N failed`.
//
//   node native-server/tests/dashboard/run.mjs [PART]   only parts whose name has PART
//
// Screenshots go to target/dashboard. SOMMOS_SERVER names another binary than target/debug's.

import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { launch } from '../../../pkg/test/support/chromium.mjs';
import { axe, keyboard, phone, schemes } from './access.mjs';
import { alerts } from './alerts.mjs';
import { cluster } from './cluster.mjs';
import { networkAway, serverAway, token } from './connection.mjs';
import { batches, cache, jobs, views } from './jobs.mjs';
import { load } from './load.mjs';
import { assets, overview } from './overview.mjs';
import { Server } from './server.mjs';
import { screenshots } from './screenshots.mjs';
import { close, part } from './tally.mjs';

const SECRET = 'a-token-of-the-dashboard-tests';
/** Sampled often, so that little time is waited for. */
const FLAGS = ['--monitoring-interval-ms', '500', '--log', 'warn,sommos_server=info'];
const folder = resolve(import.meta.dirname, '../../../target/dashboard');
const [wanted = ''] = process.argv.slice(2);

mkdirSync(folder, { recursive: true });
const servers = [];
const fresh = async (flags = [], env = {}) => {
  const server = new Server([...FLAGS, ...flags], env);
  servers.push(server);
  return server.start();
};
const browser = await launch();
const run = (name, what) => (name.includes(wanted) ? part(name, what) : undefined);
try {
  const main = await fresh();
  const troubled = await fresh([], { SOMMOS_ALERT_RULES: 'HIGH_ERROR_RATE.forMs=5000' });
  // It waits for its alert: the others run meanwhile.
  const alarming = run('alerts', () =>
    alerts(browser, troubled, (page, name) => page.screenshot({ path: resolve(folder, `${name}.png`) })),
  );
  await run('assets', () => assets(main));
  await run('overview', () => overview(browser, main));
  await run('jobs', () => jobs(browser, main));
  await run('batches', () => batches(browser, main));
  await run('cache', () => cache(browser, main));
  await run('cluster', () => cluster(browser, main, fresh));
  await run('load', () => load(browser, main));
  await run('views', () => views(browser, main));
  await run('keyboard', () => keyboard(browser, main));
  await run('axe', () => axe(browser, main));
  await run('phone', () => phone(browser, main));
  await run('schemes', () => schemes(browser, main));
  await run('network', () => networkAway(browser, main));
  await run('screenshots', () => screenshots(browser, main, folder));
  await run('server', () => serverAway(browser, main));
  await run('token', async () => token(browser, await fresh(['--token', SECRET]), SECRET));
  await alarming;
} finally {
  await browser.close();
  await Promise.all(servers.map((server) => server.stop()));
}
close();
