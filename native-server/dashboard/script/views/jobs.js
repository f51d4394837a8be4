// Jobs: what waits, runs and ended; retry, cancel, details, and sample work.

import { confirm, details } from '../dialog.js';
import { h, setText } from '../element.js';
import * as format from '../format.js';
import { attempt, notify } from '../notice.js';
import {
  Refresh,
  button,
  card,
  empty,
  failure,
  field,
  figures,
  numberInput,
  progress,
  select,
  status,
  tile,
  tiles,
} from '../panels.js';
import { Rows, table } from '../rows.js';
import { JOBS } from '../samples.js';

const PAGE = 20;
/** The server lists no more. */
const LIST_MAX = 1000;
const RESULT_MAX = 20_000;
const FILTERS = [
  ['', 'All jobs'],
  ['status=queued', 'Waiting'],
  ['status=running', 'Running'],
  ['status=completed', 'Completed'],
  ['status=failed', 'Failed'],
  ['dead=true', 'Dead letters'],
  ['status=cancelled', 'Cancelled'],
];
const COLUMNS = [
  'Type',
  'Id',
  'Status',
  'Progress',
  { title: 'Attempts', class: 'end' },
  'Created',
  'Took',
  { title: 'Actions', class: 'end' },
];
const NOTHING = {
  '': 'No jobs yet. Submit one with POST /api/performance/async/job, or try a sample below.',
  'dead=true': 'No dead letters: no job has used up its attempts.',
};

/** How long it took, or has taken so far. */
function took(job) {
  if (!job.startedAt) return format.NONE;
  const end = job.completedAt ?? job.failedAt ?? (job.status === 'running' ? Date.now() : null);
  return end === null ? format.NONE : format.duration(Math.max(0, end - job.startedAt));
}

export function jobsView({ client }) {
  const top = { waiting: tile('Waiting'), running: tile('Running'), done: tile('Completed'), dead: tile('Failed') };
  const failed = failure();
  const filter = select('filter', FILTERS);
  const search = h('input', { type: 'search', placeholder: 'type or id', autocomplete: 'off' });
  const list = table('Jobs', COLUMNS, { stacked: true });
  const nothing = empty('');
  const place = h('span', { class: 'dim' });
  const back = button('Newer', () => turn(-1));
  const on = button('Older', () => turn(1));
  let page = 0;
  let jobs = [];

  const rows = new Rows(list.body, (job) => job.id, makeRow);

  function makeRow(first) {
    let job = first;
    const state = status(job.status);
    const bar = progress(`Progress of ${first.type}`);
    const attempts = h('span');
    const created = h('span');
    const time = h('span', { class: 'num' });
    const cancel = button('Cancel', () => stop(job), {
      'aria-label': `Cancel ${first.type} ${format.shortId(first.id)}`,
    });
    const retry = button('Retry', () => again(job), {
      'aria-label': `Retry ${first.type} ${format.shortId(first.id)}`,
    });
    const more = button('Details', () => open(job.id), {
      'aria-label': `Details of ${first.type} ${format.shortId(first.id)}`,
    });
    const element = list.row(
      { job: first.id },
      h('code', {}, first.type),
      h('code', { title: first.id }, format.shortId(first.id)),
      state.element,
      bar.element,
      attempts,
      created,
      time,
      h('span', { class: 'row end' }, cancel, retry, more),
    );
    return {
      element,
      bar,
      update(next) {
        job = next;
        element.dataset.status = next.status;
        state.set(next.dead ? 'dead' : next.status);
        bar.set(next.status === 'completed' ? 100 : next.progress);
        setText(attempts, `${next.attempts} of ${next.maxAttempts}`);
        setText(created, format.time(next.createdAt));
        setText(time, took(next));
        cancel.hidden = !['queued', 'running'].includes(next.status);
        retry.hidden = next.status !== 'failed';
      },
    };
  }

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const found = jobs.filter((job) => `${job.type} ${job.id}`.toLowerCase().includes(wanted));
    page = Math.max(0, Math.min(page, Math.ceil(found.length / PAGE) - 1));
    const from = page * PAGE;
    const shown = found.slice(from, from + PAGE);
    rows.set(shown);
    list.element.hidden = shown.length === 0;
    nothing.hidden = shown.length > 0;
    setText(nothing, wanted ? 'No job matches the filter.' : (NOTHING[filter.value] ?? 'No job is in this state.'));
    const open = jobs.length >= LIST_MAX ? ' newest' : '';
    setText(
      place,
      shown.length === 0 ? '' : `${from + 1} to ${from + shown.length} of ${format.count(found.length)}${open}`,
    );
    back.disabled = page === 0;
    on.disabled = from + PAGE >= found.length;
  }

  function turn(by) {
    page += by;
    draw();
  }

  async function look() {
    try {
      const query = [filter.value, `limit=${LIST_MAX}`].filter(Boolean).join('&');
      const [found, m] = await Promise.all([client.get(`async/jobs?${query}`), client.get('async/metrics')]);
      jobs = found;
      draw();
      top.waiting.set(format.count(m.queueSize));
      top.running.set(
        format.count(m.activeJobs),
        `${m.workers.busy} of ${m.workers.current} workers busy, at most ${m.workers.max}`,
      );
      top.done.set(
        format.count(m.completedJobs),
        m.averageProcessingTime === null ? '' : `${format.duration(m.averageProcessingTime)} on average`,
      );
      top.dead.set(
        format.count(m.failedJobs),
        `${format.count(m.retries)} retries · ${format.count(m.cancelledJobs)} cancelled`,
      );
      failed.set(null);
    } catch (error) {
      if (error.status !== 0) failed.set(error);
    }
  }
  const refresh = new Refresh(look, 3000);
  filter.addEventListener('change', () => {
    page = 0;
    refresh.soon(0);
  });
  search.addEventListener('input', draw);

  async function stop(job) {
    const agreed = await confirm({
      title: 'Cancel this job?',
      text: `${job.type} ${job.id}: a running one is stopped, what it has done is lost.`,
      action: 'Cancel the job',
    });
    if (!agreed) return;
    await attempt(
      'The job was not cancelled',
      () => client.call('DELETE', `async/job/${job.id}`),
      (answer) => answer.message,
    );
    refresh.soon(0);
  }

  async function again(job) {
    await attempt(
      'The job was not queued again',
      () => client.call('POST', `async/job/${job.id}/retry`),
      (answer) => answer.message,
    );
    refresh.soon(0);
  }

  async function open(id) {
    const job = await attempt('The job was not read', () => client.get(`async/job/${id}`));
    if (!job) return;
    const facts = figures();
    facts.set([
      ['Status', job.dead ? `${job.status}, a dead letter` : job.status],
      ['Place in line', job.position === null ? format.NONE : format.count(job.position)],
      ['Attempts', `${job.attempts} of ${job.maxAttempts}`],
      ['Priority', format.count(job.options.priority)],
      ['Timeout', format.duration(job.options.timeout)],
      ['Created', format.time(job.createdAt)],
      ['Started', format.time(job.startedAt)],
      ['Ended', format.time(job.completedAt ?? job.failedAt)],
      ['Next attempt', format.time(job.nextAttemptAt)],
    ]);
    const result = job.result === null ? null : JSON.stringify(job.result, null, 2);
    details(
      `${job.type}`,
      h('p', {}, h('code', {}, job.id)),
      facts.element,
      job.error ? h('p', { class: 'failure' }, job.error) : null,
      result === null
        ? null
        : h(
            'pre',
            { tabindex: '0' },
            result.length > RESULT_MAX
              ? `${result.slice(0, RESULT_MAX)}\n… cut after ${format.count(RESULT_MAX)} characters`
              : result,
          ),
    );
  }

  return {
    id: 'jobs',
    title: 'Jobs',
    element: h(
      'div',
      {},
      failed.element,
      tiles(...Object.values(top)),
      card(
        'Queue',
        h('div', { class: 'row' }, field('State', filter), field('Filter', search)),
        nothing,
        list.element,
        h('div', { class: 'row between' }, place, h('span', { class: 'row' }, back, on)),
      ),
      sample(client, () => refresh.soon(0)),
    ),
    show: () => refresh.start(),
    hide: () => refresh.stop(),
    returned: () => refresh.soon(0),
    event(name, data) {
      if (name === 'jobProgress') {
        rows.get(data.id)?.bar.set(data.progress);
        const known = jobs.find((job) => job.id === data.id);
        if (known) known.progress = data.progress;
      } else if (name.startsWith('job')) refresh.soon(400);
      if (name === 'jobFailed' && data.dead) notify(`A job used up its attempts: ${data.error}`, 'warn');
    },
  };
}

/** The form that submits a sample. */
function sample(client, submitted) {
  const kind = select(
    'kind',
    Object.entries(JOBS).map(([type, { title }]) => [type, title]),
  );
  const size = numberInput('size', 400, 2, 2000);
  const timeout = numberInput('timeout', 60_000, 1, 1_800_000);
  const retries = numberInput('retries', 0, 0, 10);
  const sizeField = field('Size', size, 'users');
  const fit = () => {
    const chosen = JOBS[kind.value];
    size.value = chosen.size;
    size.max = chosen.max;
    setText(sizeField.querySelector('small'), `${chosen.unit}, at most ${format.count(chosen.max)}`);
  };
  kind.addEventListener('change', fit);
  fit();
  const form = h(
    'form',
    {
      class: 'form',
      id: 'sample-job',
      on: {
        submit: async (event) => {
          event.preventDefault();
          const body = {
            jobType: kind.value,
            data: JOBS[kind.value].data(Number(size.value)),
            options: { timeout: Number(timeout.value), retries: Number(retries.value), retryDelay: 500 },
          };
          await attempt(
            'The job was not taken',
            () => client.call('POST', 'async/job', { body }),
            (answer) => `Queued ${format.shortId(answer.jobId)}`,
          );
          submitted();
        },
      },
    },
    field('Work', kind),
    sizeField,
    field('Timeout', timeout, 'milliseconds an attempt'),
    field('Retries', retries, 'after the first attempt'),
    h('button', { type: 'submit', class: 'primary' }, 'Submit'),
  );
  return card('Try a sample', form);
}
