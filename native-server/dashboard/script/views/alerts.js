// Alerts: those that are open, what was, and the rules behind them.

import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt, notify } from '../notice.js';
import { Refresh, button, card, empty, failure, status } from '../panels.js';
import { Rows, table } from '../rows.js';

const HISTORY = 50;
const ENDED_BY = { manual: 'by hand', recovery: 'by recovery' };

/** A value in its rule's unit. */
function inUnit(value, unit) {
  if (value === null || value === undefined) return format.NONE;
  if (unit === 'percent') return format.percent(value);
  if (unit === 'ms') return format.duration(value);
  if (unit === 'bytes') return format.bytes(value);
  return `${format.number(value)}${unit && unit !== 'count' ? ` ${unit}` : ''}`;
}

export function alertsView(parts) {
  const { client } = parts;
  const failed = failure();
  const open = h('ul', { class: 'alerts' });
  const calm = empty('No alert is open. One is raised when a rule below stays over its threshold for its time.');
  const past = table('Alerts that were', ['Alert', 'Severity', 'Raised', 'Lasted', 'Ended', 'Message'], {
    stacked: true,
  });
  const noPast = empty('No alert has ended yet.');
  const rules = table(
    'Rules',
    [
      'Rule',
      'State',
      { title: 'Now', class: 'end' },
      { title: 'Threshold', class: 'end' },
      { title: 'For', class: 'end' },
      { title: 'Well again at', class: 'end' },
      'Severity',
    ],
    { stacked: true },
  );
  const noRules = empty('');

  const openRows = new Rows(open, (a) => a.id, makeOpen);
  const pastRows = new Rows(past.body, (a) => a.id, makePast);
  const ruleRows = new Rows(rules.body, (r) => r.type, makeRule);

  function makeOpen(first) {
    const since = h('span', { class: 'dim' });
    const element = h(
      'li',
      { class: 'alert', data: { severity: first.severity, alert: first.id, type: first.type } },
      h(
        'div',
        {},
        h('p', { class: 'row' }, status(first.severity).element, h('strong', {}, format.words(first.type)), since),
        h('p', {}, first.message),
      ),
      button('Resolve', () => resolve(first), { 'aria-label': `Resolve ${format.words(first.type)}` }),
    );
    return { element, update: (a) => setText(since, `raised ${format.ago(a.timestamp)}`) };
  }

  function makePast(a) {
    const element = past.row(
      { alert: a.id },
      format.words(a.type),
      status(a.severity).element,
      format.time(a.timestamp),
      a.resolvedAt ? format.duration(a.resolvedAt - a.timestamp) : 'still open',
      a.resolution ? (ENDED_BY[a.resolution] ?? a.resolution) : format.NONE,
      a.message,
    );
    return { element, update() {} };
  }

  function makeRule(first) {
    const state = status(first.status);
    const now = h('span');
    const element = rules.row(
      { rule: first.type },
      format.words(first.type),
      state.element,
      now,
      inUnit(first.threshold, first.unit),
      format.duration(first.forMs),
      inUnit(first.clear, first.unit),
      first.severity,
    );
    return {
      element,
      update(rule) {
        state.set(rule.status);
        setText(now, inUnit(rule.value, rule.unit));
      },
    };
  }

  /** A part that an older server does not offer: said, and the rest goes on. */
  const optional = (path, none) =>
    client.get(path).catch((error) => {
      if (error.missing) return none;
      throw error;
    });

  async function look() {
    try {
      const [now, ended, all] = await Promise.all([
        client.get('monitoring/alerts'),
        optional(`monitoring/alerts/history?limit=${HISTORY}`, null),
        optional('monitoring/rules', null),
      ]);
      openRows.set(now);
      calm.hidden = now.length > 0;
      mark(now.length);
      // Open ones stand above.
      const was = (ended?.alerts ?? []).filter((a) => a.resolved);
      pastRows.set(was);
      past.element.hidden = was.length === 0;
      noPast.hidden = was.length > 0;
      setText(noPast, ended ? 'No alert has ended yet.' : 'This server keeps no history of alerts.');
      ruleRows.set(all?.rules ?? []);
      rules.element.hidden = !all;
      noRules.hidden = Boolean(all);
      setText(noRules, all ? '' : 'This server does not tell its rules; its --help lists the flags that set them.');
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 3000);
  const mark = (n) => parts.tabs?.badge('alerts', n > 0 ? String(n) : '');

  async function resolve(alert) {
    await attempt(
      'The alert was not resolved',
      () => client.call('POST', `monitoring/alert/${alert.id}/resolve`),
      (answer) => answer.message,
    );
    refresh.soon(0);
  }

  return {
    id: 'alerts',
    title: 'Alerts',
    element: h(
      'div',
      {},
      failed.element,
      card('Open', calm, open),
      card('Ended', noPast, past.element),
      card('Rules', noRules, rules.element),
    ),
    show: () => refresh.start(),
    hide: () => refresh.stop(),
    returned: () => refresh.soon(0),
    event(name, data) {
      if (name === 'metrics') mark(data.alerts);
      if (name === 'alertTriggered')
        notify(`${format.words(data.type)}: ${data.message}`, data.severity === 'critical' ? 'bad' : 'warn');
      // Who resolves one by hand is told by the answer.
      if (name === 'alertResolved' && data.resolution !== 'manual') notify(`${format.words(data.type)} is well again`);
      if (name.startsWith('alert')) refresh.soon(0);
    },
  };
}
