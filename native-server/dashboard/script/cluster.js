// The servers that share a Redis: all of them together, and each.

import { h, setText, show } from './element.js';
import * as format from './format.js';
import { Refresh, card, figures, status } from './panels.js';
import { Rows, table } from './rows.js';

const EVERY_MS = 5000;
const END = { class: 'end' };
const COLUMNS = [
  'Server',
  'Address',
  'State',
  { title: 'Up', ...END },
  { title: 'Requests', ...END },
  { title: 'p95', ...END },
  { title: 'Errors, last minute', ...END },
  { title: 'Processor', ...END },
  { title: 'Memory', ...END },
  { title: 'Jobs running', ...END },
  { title: 'Jobs waiting', ...END },
];

/** A card that hides itself where a server works alone. */
export function clusterCard(client) {
  const totals = figures();
  const note = h('p', { class: 'dim' });
  const list = table('Servers of the cluster', COLUMNS, { stacked: true });
  const rows = new Rows(list.body, (one) => one.nodeId, make);
  const element = card('Cluster', totals.element, list.element, note);
  element.id = 'cluster';
  element.hidden = true;

  function make(first) {
    const state = status('live');
    const seen = h('small', { class: 'dim' });
    const [up, rate, p95, errors, cpu, memory, active, queued] = Array.from({ length: 8 }, () => h('span'));
    const name = h('span', {}, first.nodeId, first.answers ? h('small', {}, 'answers here') : null);
    const element = list.row(
      { node: first.nodeId },
      name,
      first.address ?? format.NONE,
      h('span', {}, state.element, seen),
      ...[up, rate, p95, errors, cpu, memory, active, queued],
    );
    return {
      element,
      update(one) {
        state.set(one.stale ? 'stale' : 'live');
        setText(seen, one.stale ? `${format.duration(one.ageMs)} old` : '');
        setText(up, format.duration(one.uptime === null ? null : one.uptime * 1000));
        setText(rate, format.rate(one.requestsPerSecond));
        setText(p95, format.duration(one.p95Ms));
        setText(errors, `${format.count(one.errors)} (${format.percent(one.errorRate)})`);
        setText(cpu, format.percent(one.cpu));
        setText(memory, format.bytes(one.memory));
        setText(active, format.count(one.jobsActive));
        setText(queued, format.count(one.jobsQueued));
      },
    };
  }

  function tell(all) {
    const { cluster, instances, application: a, windows } = all;
    const minute = windows['1m'];
    totals.set([
      ['Servers', format.count(cluster.fresh)],
      ['Requests a second', format.number(a.throughput)],
      ['Response time, p95', format.duration(a.p95Ms)],
      ['Errors, last minute', `${format.count(minute.errors)} (${format.percent(minute.errorRate)})`],
      ['Processor, mean', format.percent(all.system.cpu)],
      ['Memory', format.bytes(all.system.memory)],
      ['Jobs running', format.count(all.jobs.active)],
      ['Jobs waiting', format.count(all.jobs.queued)],
      ['Redis', cluster.breaker === 'closed' ? 'answers' : cluster.breaker ? `away (breaker ${cluster.breaker})` : '–'],
    ]);
    const notes = [];
    if (cluster.stale > 0) notes.push('Stale figures are not counted above.');
    if (cluster.leftOff > 0) notes.push(`${format.count(cluster.leftOff)} more servers are not shown.`);
    setText(note, notes.join(' '));
    show(note, notes.length > 0);
    rows.set(instances);
  }

  async function look() {
    try {
      const all = await client.get('monitoring/summary?scope=cluster');
      // An older server knows no scope, one without Redis is alone for as long as it runs.
      const alone = !all.instances || (all.instances.length < 2 && !all.cluster.breaker);
      show(element, !alone);
      if (alone) refresh.stop();
      else tell(all);
    } catch {
      // The view around it says what failed.
    }
  }
  const refresh = new Refresh(look, EVERY_MS);

  return { element, start: () => refresh.start() };
}
