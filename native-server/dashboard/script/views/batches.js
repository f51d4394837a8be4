// Batches: progress, errors, cancel. The server lists none: those that its events name are shown.

import { confirm } from '../dialog.js';
import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt } from '../notice.js';
import {
  Refresh,
  button,
  card,
  empty,
  failure,
  field,
  numberInput,
  progress,
  select,
  status,
  tile,
  tiles,
} from '../panels.js';
import { Rows, table } from '../rows.js';
import { BATCHES, batch } from '../samples.js';

const KEY = 'sommos-batches';
const KEPT = 50;
/** Events of the past that are searched for batches. */
const PAST = 2000;
/** Batches that are asked for at once. */
const SHOWN = 20;
const COLUMNS = [
  'Id',
  'Status',
  'Progress',
  { title: 'Records', class: 'end' },
  { title: 'Chunks', class: 'end' },
  'Created',
  'Took',
  { title: 'Actions', class: 'end' },
];
const over = (state) => ['completed', 'failed', 'cancelled'].includes(state);

export function batchesView({ client, stream }) {
  const top = {
    active: tile('At work'),
    records: tile('Records processed'),
    queue: tile('Chunks waiting'),
    failed: tile('Failed'),
  };
  const failed = failure();
  const list = table('Batches', COLUMNS, { stacked: true });
  const nothing = empty(
    'No batch of late. Those that start from now on appear here; look up an older one by its id, or try a sample.',
  );
  const lookup = h('input', {
    name: 'id',
    required: true,
    autocomplete: 'off',
    pattern: 'batch_.+',
    placeholder: 'batch_…',
  });
  /** Newest first. */
  let ids = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
  const found = new Map();
  let recalled = false;
  let shown = false;
  const rows = new Rows(list.body, (b) => b.id, makeRow);

  function remember(id) {
    if (ids.includes(id)) return;
    ids = [id, ...ids].slice(0, KEPT);
    sessionStorage.setItem(KEY, JSON.stringify(ids));
  }

  function makeRow(first) {
    const state = status(first.status);
    const bar = progress(`Progress of ${first.id}`);
    const [records, chunks, took] = [h('span'), h('span'), h('span')];
    const stopIt = button('Cancel', () => stop(first.id), { 'aria-label': `Cancel ${format.shortId(first.id)}` });
    const error = h('small', { class: 'bad' });
    const element = list.row(
      { batch: first.id },
      h('code', { title: first.id }, format.shortId(first.id)),
      h('span', {}, state.element, error),
      bar.element,
      records,
      chunks,
      format.time(first.createdAt),
      took,
      stopIt,
    );
    return {
      element,
      bar,
      update(b) {
        state.set(b.status);
        element.dataset.status = b.status;
        bar.set(b.progress);
        setText(records, `${format.count(b.processedItems)} of ${format.count(b.totalItems)}`);
        setText(chunks, `${format.count(b.completedChunks + b.failedChunks)} of ${format.count(b.totalChunks)}`);
        setText(took, format.duration(b.processingTime));
        setText(error, b.error ?? b.errors[0]?.error ?? '');
        stopIt.hidden = over(b.status);
      },
    };
  }

  /** Batches of before this page, once. */
  async function recall() {
    if (recalled || stream.state !== 'live') return;
    recalled = true;
    const past = await stream.past(PAST).catch(() => []);
    for (const { name, data } of past) if (name === 'batchQueued' || name === 'batchStarted') remember(data.id);
    if (past.length > 0) refresh.soon(0);
    else recalled = false;
  }

  async function read(id) {
    const known = found.get(id);
    if (known && over(known.status)) return known;
    try {
      const { results: _, ...b } = await client.get(`batch/${id}`);
      found.set(id, b);
      return b;
    } catch (error) {
      if (error.status !== 404) throw error;
      // Its time was over.
      ids = ids.filter((other) => other !== id);
      sessionStorage.setItem(KEY, JSON.stringify(ids));
      return null;
    }
  }

  async function look() {
    try {
      const m = await client.get('batch/metrics');
      top.active.set(format.count(m.activeBatches));
      top.records.set(
        format.count(m.totalItemsProcessed),
        `of ${format.count(m.totalBatches)} ${m.totalBatches === 1 ? 'batch' : 'batches'}`,
      );
      top.queue.set(format.count(m.queueSize));
      top.failed.set(format.count(m.failedBatches), `${format.count(m.cancelledBatches)} cancelled`);
      const all = await Promise.all(ids.slice(0, SHOWN).map(read));
      const shown = all.filter(Boolean).sort((a, b) => b.createdAt - a.createdAt);
      rows.set(shown);
      nothing.hidden = shown.length > 0;
      list.element.hidden = shown.length === 0;
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 3000);

  async function stop(id) {
    const agreed = await confirm({
      title: 'Cancel this batch?',
      text: `${id}: chunks at work are stopped, those that are done stay.`,
      action: 'Cancel the batch',
    });
    if (!agreed) return;
    await attempt(
      'The batch was not cancelled',
      () => client.call('DELETE', `batch/${id}`),
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
          const id = lookup.value.trim();
          if (await attempt('The batch was not found', () => client.get(`batch/${encodeURIComponent(id)}`)))
            remember(id);
          refresh.soon(0);
        },
      },
    },
    field('Id', lookup),
    h('button', { type: 'submit' }, 'Look up'),
  );

  return {
    id: 'batches',
    title: 'Batches',
    element: h(
      'div',
      {},
      failed.element,
      tiles(...Object.values(top)),
      card('Recent batches', form, nothing, list.element),
      sample(client, (id) => {
        remember(id);
        refresh.soon(0);
      }),
    ),
    show() {
      shown = true;
      refresh.start();
      recall();
    },
    hide() {
      shown = false;
      refresh.stop();
    },
    returned: () => refresh.soon(0),
    event(name, data) {
      if (shown) recall();
      if (!name.startsWith('batch')) return;
      remember(data.id);
      if (name === 'batchProgress') rows.get(data.id)?.bar.set(data.progress);
      refresh.soon(400);
    },
  };
}

/** The form that submits a sample. */
function sample(client, submitted) {
  const records = numberInput('records', 20_000, 1, 200_000);
  const chunk = numberInput('chunk', 200, 1, 10_000);
  const processor = select('processor', Object.entries(BATCHES));
  processor.value = 'slow';
  const form = h(
    'form',
    {
      class: 'form',
      id: 'sample-batch',
      on: {
        submit: async (event) => {
          event.preventDefault();
          const body = batch(Number(records.value), processor.value, Number(chunk.value));
          const answer = await attempt(
            'The batch was not taken',
            () => client.call('POST', 'batch/process', { body }),
            (a) => `Queued ${format.shortId(a.batchId)}`,
          );
          if (answer) submitted(answer.batchId);
        },
      },
    },
    field('Records', records),
    field('Records a chunk', chunk),
    field('Processor', processor),
    h('button', { type: 'submit', class: 'primary' }, 'Submit'),
  );
  return card('Try a sample', form);
}
