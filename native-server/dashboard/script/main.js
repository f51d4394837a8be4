// The dashboard: puts the parts together.

import { Client } from './client.js';
import { connect } from './connection.js';
import { askToken } from './dialog.js';
import { byId } from './element.js';
import { History } from './history.js';
import { notify } from './notice.js';
import { Stream } from './stream.js';
import { startTabs } from './tabs.js';
import { startTheme } from './theme.js';
import { Trends } from './trend.js';
import { alertsView } from './views/alerts.js';
import { batchesView } from './views/batches.js';
import { cacheView } from './views/cache.js';
import { jobsView } from './views/jobs.js';
import { loadView } from './views/load.js';
import { memoryView } from './views/memory.js';
import { overviewView } from './views/overview.js';
import { systemView } from './views/system.js';

const client = new Client();
const stream = new Stream(client);
const history = new History(client);
const trends = new Trends(client, history);
/** What every view is given. `tabs` comes with the tabs. */
const parts = { client, stream, history, trends, tabs: null };

startTheme();
connect(stream, history);

const views = [
  overviewView(parts),
  cacheView(parts),
  jobsView(parts),
  batchesView(parts),
  alertsView(parts),
  loadView(parts),
  memoryView(parts),
  systemView(parts),
];
parts.tabs = startTabs(views);

/** Reads the past again; what fails is tried again with the next connection. */
async function fill() {
  try {
    await history.fill();
  } catch (error) {
    if (error.code !== 'ABORTED' && error.status !== 0) notify(`The history: ${error.message}`, 'bad');
  }
}

stream.addEventListener('state', ({ detail }) => {
  if (detail !== 'live') return;
  trends.forget();
  fill();
  for (const view of views) view.returned?.();
});
stream.addEventListener('message', ({ detail: { name, data } }) => {
  if (name === 'metrics') history.push(data);
  if (name === 'gap') fill();
  for (const view of views) view.event?.(name, data);
});

/** Set when the question was declined: it is not put again until the button is used. */
let declined = false;
async function enterToken(why) {
  const given = await askToken(client.token, why);
  declined = given === null;
  if (given !== null) client.token = given;
}
client.addEventListener('unauthorized', () => {
  if (declined) return;
  enterToken(
    'This server asks for an access token. Enter one that may read; changes need one that may write, tests one that ' +
      'may do all.',
  );
});
byId('token').addEventListener('click', () =>
  enterToken('A server that was started with --token asks for it. Without one, leave this empty.'),
);
byId('range').addEventListener('change', ({ target }) => {
  history.range = Number(target.value);
  trends.forget();
  fill();
});

stream.restart();
