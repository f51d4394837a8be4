// The light in the head of the page: live, reconnecting, disconnected, and how old the figures are.

import { byId, setText } from './element.js';
import { duration } from './format.js';

const WORDS = {
  connecting: 'Connecting',
  live: 'Live',
  silent: 'Live, but silent',
  reconnecting: 'Reconnecting',
  disconnected: 'Disconnected',
  unauthorized: 'Token needed',
};
/** Figures older than this are marked, milliseconds; longer where the server samples more rarely. */
const STALE_MS = 15_000;

/** Shows the stream's state; marks every figure of the page while it is away. */
export function connect(stream, history) {
  const host = byId('connection');
  const word = byId('connection-word');
  const age = byId('connection-age');
  const tick = () => {
    const now = Date.now();
    const old = stream.lastAt === null ? null : now - stream.lastAt;
    const silent =
      stream.state === 'live' &&
      old !== null &&
      now - (history.newestAt ?? now) > Math.max(STALE_MS, 4 * history.interval);
    const state = silent ? 'silent' : stream.state;
    host.dataset.state = state;
    setText(word, WORDS[state]);
    setText(age, since(stream, old, now));
    document.body.dataset.stale = String(state !== 'live');
  };
  stream.addEventListener('state', tick);
  stream.addEventListener('message', tick);
  setInterval(tick, 1000);
  tick();
}

function since(stream, old, now) {
  const parts = [];
  if (old !== null) parts.push(`data ${old < 1500 ? 'now' : `${duration(Math.round(old / 1000) * 1000)} ago`}`);
  if (stream.retryAt !== null) parts.push(`next try in ${Math.max(0, Math.ceil((stream.retryAt - now) / 1000))} s`);
  return parts.join(' · ');
}
