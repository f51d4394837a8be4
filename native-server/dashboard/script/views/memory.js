// Memory: the heap as the allocator counts it, live, and the memory test.

import { TimeChart, around } from '../chart.js';
import { h } from '../element.js';
import * as format from '../format.js';
import { attempt } from '../notice.js';
import { Refresh, card, empty, failure, field, figures, numberInput, tile, tiles } from '../panels.js';

const LOOK_MS = 2000;
/** Rows of the chart: a quarter of an hour. */
const ROWS = 450;
const RANGE_MS = 900_000;

export function memoryView({ client }) {
  const top = {
    heap: tile('Heap in use'),
    rss: tile('Resident'),
    peak: tile('Highest heap'),
    tracked: tile('Tracked by the application'),
  };
  const more = figures();
  const failed = failure();
  const chart = new TimeChart({
    id: 'heap',
    title: 'Heap and resident memory since this view was opened',
    series: [
      { key: 'heap', label: 'heap in use', colour: 'line-1', fill: true },
      { key: 'rss', label: 'resident', colour: 'line-2' },
    ],
    format: format.bytes,
    binary: true,
    range: (low, high) => [0, around(low, high)[1]],
  });
  const rows = [];

  async function look() {
    try {
      const { current: c, tracking: t, pools: p } = await client.get('memory/stats');
      rows.push({ t: Date.now(), heap: c.heapUsed, rss: c.rss });
      if (rows.length > ROWS) rows.shift();
      chart.update(rows, RANGE_MS, null);
      const live = t.allocatorAllocations === null ? null : t.allocatorAllocations - t.allocatorDeallocations;
      top.heap.set(format.bytes(c.heapUsed), live === null ? '' : `${format.count(live)} allocations alive`);
      top.rss.set(format.bytes(c.rss), `shared ${format.bytes(c.external)}`);
      top.peak.set(format.bytes(t.allocatorPeak), 'since the start');
      top.tracked.set(
        format.bytes(t.memoryUsage),
        `of ${format.bytes(t.memoryLimit)}`,
        t.memoryUsage > 0.9 * t.memoryLimit ? 'warn' : '',
      );
      more.set([
        ['Allocations', format.count(t.allocatorAllocations)],
        ['Deallocations', format.count(t.allocatorDeallocations)],
        ['Data segments', format.bytes(c.heapTotal)],
        ['Highest tracked', format.bytes(t.memoryPeak)],
        ['Tracked allocations', format.count(t.allocationCount)],
        ['Tracked deallocations', format.count(t.deallocationCount)],
        ['Entries of the cache', format.count(p.lazyCache)],
        ['Warm sandbox children', format.count(p.objectPools)],
      ]);
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, LOOK_MS);

  return {
    id: 'memory',
    title: 'Memory',
    element: h(
      'div',
      {},
      failed.element,
      tiles(...Object.values(top)),
      h('div', { class: 'charts single' }, chart.element),
      h('div', { class: 'columns' }, card('More', more.element), test(client)),
    ),
    show: () => refresh.start(),
    hide: () => refresh.stop(),
    returned: () => refresh.soon(0),
    event() {},
  };
}

/** The memory test: real allocations through the cache and the structures. */
function test(client) {
  const iterations = numberInput('iterations', 10_000, 1, 1_000_000);
  const size = numberInput('dataSize', 1000, 1, 268_435_456);
  const found = figures();
  found.element.id = 'memory-result';
  found.element.hidden = true;
  const nothing = empty(
    'It allocates so many values through the cache and the buffers, measures the heap before and after, and releases them.',
  );
  const start = h('button', { type: 'submit', class: 'primary', form: 'memory-form' }, 'Start');
  const form = h(
    'form',
    {
      class: 'form',
      id: 'memory-form',
      on: {
        submit: async (event) => {
          event.preventDefault();
          start.disabled = true;
          const body = { iterations: Number(iterations.value), dataSize: Number(size.value) };
          const r = await attempt('The memory test', () => client.call('POST', 'test/memory', { body }));
          start.disabled = false;
          if (!r) return;
          nothing.hidden = true;
          found.element.hidden = false;
          found.set([
            ['Heap before', format.bytes(r.initialMemory)],
            ['Highest', format.bytes(r.peakMemory)],
            ['Increase', format.bytes(r.memoryIncrease)],
            ['An iteration', format.bytes(r.memoryPerIteration)],
            ['Heap after release', format.bytes(r.finalMemory)],
            ['Not given back', format.bytes(r.leaked)],
            ['Took', format.duration(r.durationMs)],
            ['Measured by', r.source],
          ]);
        },
      },
    },
    field('Iterations', iterations),
    field('Bytes of each', size, 'at most 256 MiB in all'),
  );
  return card('Memory test', form, h('div', { class: 'row' }, start), nothing, found.element);
}
