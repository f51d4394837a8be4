// Cache: its figures, its keys, and what can be taken out of it.

import { confirm, details } from '../dialog.js';
import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt } from '../notice.js';
import { Refresh, button, card, empty, failure, field, figures, tile, tiles } from '../panels.js';
import { Rows, table } from '../rows.js';

/** Keys that are asked for, and shown. */
const KEYS = 1000;
const SHOWN = 50;
/** A value longer than this is cut, characters. */
const VALUE_MAX = 20_000;

export function cacheView({ client }) {
  const top = { rate: tile('Hit rate'), size: tile('Entries'), memory: tile('Memory'), evictions: tile('Evictions') };
  const more = figures();
  const failed = failure();
  const filter = h('input', { type: 'search', placeholder: 'part of a key', autocomplete: 'off' });
  const tag = h('input', { name: 'tag', required: true, autocomplete: 'off', maxlength: '256' });
  const keys = table('Keys of the cache', ['Key', { title: 'Actions', class: 'end' }]);
  const told = h('p', { class: 'dim' });
  const nothing = empty(
    'The cache is empty. Set a value with POST /api/performance/cache/set, or warm it with cache/warm.',
  );
  let all = [];

  const rows = new Rows(
    keys.body,
    (key) => key,
    (key) => ({
      element: keys.row(
        {},
        h('code', {}, key),
        h(
          'span',
          { class: 'row end' },
          button('Show', () => show(key), { 'aria-label': `Show ${key}` }),
          button('Delete', () => remove(key), { 'aria-label': `Delete ${key}` }),
        ),
      ),
      update() {},
    }),
  );

  function list() {
    const wanted = filter.value.trim().toLowerCase();
    const found = all.filter((key) => key.toLowerCase().includes(wanted));
    rows.set(found.slice(0, SHOWN));
    nothing.hidden = all.length > 0;
    keys.element.hidden = found.length === 0;
    setText(
      told,
      all.length === 0
        ? ''
        : `${format.count(Math.min(found.length, SHOWN))} of ${format.count(found.length)} keys shown`,
    );
  }

  async function look() {
    try {
      const [stats, page] = await Promise.all([client.get('cache/stats'), client.get(`cache/keys?limit=${KEYS}`)]);
      const lookups = stats.hits + stats.misses;
      top.rate.set(
        lookups > 0 ? format.percent((100 * stats.hits) / lookups) : format.NONE,
        `${format.count(lookups)} lookups`,
      );
      top.size.set(
        format.count(stats.size),
        `of ${format.count(stats.maxSize)}`,
        stats.size > 0.95 * stats.maxSize ? 'warn' : '',
      );
      top.memory.set(
        format.bytes(stats.memoryUsage),
        `of ${format.bytes(stats.maxMemory)}`,
        stats.memoryUsage > 0.95 * stats.maxMemory ? 'warn' : '',
      );
      top.evictions.set(format.count(stats.evictions), `${format.count(stats.expirations)} expired`);
      more.set([
        ['Hits', format.count(stats.hits)],
        ['Misses', format.count(stats.misses)],
        ['Sets', format.count(stats.sets)],
        ['Deletes', format.count(stats.deletes)],
        ['Utilization', format.share(stats.utilization)],
      ]);
      all = page.keys;
      list();
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 3000);

  async function show(key) {
    const value = await attempt('The value was not read', () =>
      client.fetch('GET', `cache/get/${encodeURIComponent(key)}`).then((r) => r.json()),
    );
    if (value === undefined) return;
    const text = JSON.stringify(value.data, null, 2) ?? 'null';
    details(
      key,
      h(
        'pre',
        { tabindex: '0' },
        text.length > VALUE_MAX
          ? `${text.slice(0, VALUE_MAX)}\n… cut after ${format.count(VALUE_MAX)} characters`
          : text,
      ),
    );
  }

  async function remove(key) {
    await attempt(
      'The key was not deleted',
      () => client.call('DELETE', `cache/delete/${encodeURIComponent(key)}`),
      `Deleted ${key}`,
    );
    refresh.soon(0);
  }

  async function clear() {
    const agreed = await confirm({
      title: 'Clear the cache?',
      text: 'Every entry is removed. Answers come from their sources until it is warm again.',
      action: 'Clear it',
    });
    if (!agreed) return;
    await attempt(
      'The cache was not cleared',
      () => client.call('DELETE', 'cache/clear'),
      (answer) => answer.message,
    );
    refresh.soon(0);
  }

  const form = h(
    'form',
    {
      class: 'row',
      on: {
        submit: async (event) => {
          event.preventDefault();
          await attempt(
            'Nothing was invalidated',
            () => client.call('DELETE', `cache/tag/${encodeURIComponent(tag.value)}`),
            (answer) => answer.message,
          );
          refresh.soon(0);
        },
      },
    },
    field('Tag', tag),
    h('button', { type: 'submit' }, 'Invalidate'),
  );
  filter.addEventListener('input', list);

  return {
    id: 'cache',
    title: 'Cache',
    element: h(
      'div',
      {},
      failed.element,
      tiles(...Object.values(top)),
      h(
        'div',
        { class: 'columns' },
        card('Since the start', more.element),
        card(
          'Take out',
          h('p', { class: 'dim' }, 'Entries with a tag, or all of them.'),
          form,
          h('div', {}, button('Clear the cache…', clear, { class: 'danger' })),
        ),
      ),
      card('Keys', h('div', { class: 'row' }, field('Filter', filter)), nothing, keys.element, told),
    ),
    show: () => refresh.start(),
    hide: () => refresh.stop(),
    returned: () => refresh.soon(0),
    event() {},
  };
}
