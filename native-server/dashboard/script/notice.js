// Notices: what just happened, in a corner, told to screen readers too.

import { byId, h } from './element.js';

const SHOWN_MS = 7000;
const MAX = 4;

/** `kind`: ok, warn or bad. A bad one stays until it is closed. */
export function notify(text, kind = 'ok') {
  const host = byId('notices');
  const close = h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close this notice' }, '×');
  const notice = h('div', { class: 'notice', data: { kind } }, h('p', {}, text), close);
  close.addEventListener('click', () => notice.remove());
  host.append(notice);
  while (host.children.length > MAX) host.firstElementChild.remove();
  if (kind !== 'bad') setTimeout(() => notice.remove(), SHOWN_MS);
}

/** Runs an action; says what came of it. */
export async function attempt(what, action, done) {
  try {
    const result = await action();
    if (done) notify(typeof done === 'function' ? done(result) : done);
    return result;
  } catch (error) {
    if (error.code !== 'ABORTED') notify(`${what}: ${error.message}`, 'bad');
    return undefined;
  }
}
