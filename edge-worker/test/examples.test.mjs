// The usage examples run unchanged: from Node's fetch, and from a page in Chromium that another
// origin serves.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import * as examples from './examples.mjs';
import { start, worker } from './workerd.mjs';

const userRatings = [
  { id: 'anna', ratings: [{ item_id: 'rioja', rating: 5 }, { item_id: 'cava', rating: 2 }, { item_id: 'port', rating: 4 }] },
  { id: 'ben', ratings: [{ item_id: 'rioja', rating: 4 }, { item_id: 'cava', rating: 1 }, { item_id: 'port', rating: 3 }] },
  { id: 'cleo', ratings: [{ item_id: 'rioja', rating: 1 }, { item_id: 'cava', rating: 5 }, { item_id: 'port', rating: 2 }] },
];
const largeDataset = Array.from({ length: 5_000 }, (_, id) => ({ id, value: `data${id}` }));
const inputs = { userRatings, largeDataset };
/** Of the description of POST /api/performance/batch/process. */
const batchRequest = {
  data: [
    { id: 1, value: 'data1' },
    { id: 2, value: 'data2' },
  ],
  processor: 'function(chunk) { return chunk.map(item => ({...item, processed: true})); }',
  options: { batchSize: 1000, maxConcurrency: 5 },
};

/** A page, empty but for its base, on an origin of its own. */
async function pageServer() {
  const server = createServer((request, response) => {
    const base = new URL(request.url, 'http://page').searchParams.get('base');
    response.writeHead(200, { 'content-type': 'text/html' }).end(`<!doctype html><base href="${base}/">`);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const stop = () => (server.closeAllConnections(), new Promise((closed) => server.close(closed)));
  return { origin: `http://127.0.0.1:${server.address().port}`, stop };
}

const BROWSERS = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

async function launch() {
  const executablePath = BROWSERS.find((path) => path && existsSync(path));
  assert.ok(executablePath, 'no Chromium was found: install it, or name it in CHROMIUM');
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--no-first-run'] });
}

/** Keeps the answers that an example gets, also of one that throws. Works in Node and in pages. */
async function recorded(run, input) {
  const native = globalThis.fetch;
  const answers = [];
  globalThis.fetch = async (...args) => {
    const response = await native(...args);
    const body = await response.clone().json();
    answers.push({ status: response.status, body });
    return response;
  };
  try {
    return { gave: await run(input), answers };
  } catch (error) {
    return { threw: `${error.name}: ${error.message}`, answers };
  } finally {
    globalThis.fetch = native;
  }
}

/** Runs an example by Node's fetch; paths lead to the worker. */
const inNode = (origin) => async (example) => {
  const native = globalThis.fetch;
  globalThis.fetch = (path, init) => native(new URL(path, origin), init);
  try {
    return await recorded(example, inputs);
  } finally {
    globalThis.fetch = native;
  }
};

/** Runs an example in a page; its base leads to the worker. */
const inPage = (page) => (example) =>
  page.evaluate(`(${recorded})(${example}, ${JSON.stringify(inputs)})`);

let listed, unlisted, edge, browser;
before(async () => {
  [listed, unlisted] = [await pageServer(), await pageServer()];
  edge = await start(worker('build', { CORS_ORIGINS: `https://cellar.example, ${listed.origin}` }));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await Promise.all([edge?.miniflare.dispose(), listed?.stop(), unlisted?.stop()]);
});

async function open(server, base = edge.origin) {
  const page = await browser.newPage();
  await page.goto(`${server.origin}/?base=${encodeURIComponent(base)}`);
  return page;
}

const get = async (path, base = edge.origin) => (await fetch(`${base}${path}`)).json();

/** Asks until the piece of work has ended. */
async function ended(path, base) {
  for (let tries = 0; tries < 600; tries += 1) {
    const answer = await get(path, base);
    const { data } = answer;
    assert.ok(data, `${path}: ${JSON.stringify(answer)}`);
    if (['completed', 'failed', 'cancelled'].includes(data.status)) return data;
    await sleep(50);
  }
  return assert.fail(`${path} did not end`);
}

const statuses = (outcome) => outcome.answers.map((answer) => answer.status);

function suite(name, runner) {
  describe(name, () => {
    let run;
    before(async () => {
      run = await runner();
    });

    test('cache management', async () => {
      const outcome = await run(examples.cacheManagement);
      assert.deepEqual(statuses(outcome), [200, 200]);
      assert.deepEqual(outcome.gave.data, { success: true, data: { wine_types: ['red', 'white'] } });
    });

    test('async job processing', async () => {
      const outcome = await run(examples.asyncJob);
      assert.deepEqual(statuses(outcome), [200, 200]);
      assert.match(outcome.gave.jobId, /^job_/);
      assert.equal(outcome.gave.status.data.id, outcome.gave.jobId);
      const job = await ended(`/api/performance/async/job/${outcome.gave.jobId}`);
      assert.equal(job.status, 'completed');
      const pair = job.result.find((found) => found.entity1 === 'anna' && found.entity2 === 'ben');
      assert.ok(Math.abs(pair.similarity - 1) < 1e-9, JSON.stringify(job.result));
    });

    test('batch processing', async () => {
      const outcome = await run(examples.batchProcessing);
      assert.deepEqual(statuses(outcome), [200, 200]);
      assert.equal(outcome.gave.progress.data.totalItems, 5_000);
      const batch = await ended(`/api/performance/batch/${outcome.gave.batchId}`);
      assert.deepEqual([batch.status, batch.processedItems, batch.completedChunks], ['completed', 5_000, 5]);
    });

    test('performance monitoring', async () => {
      const outcome = await run(examples.performanceMonitoring);
      assert.deepEqual(statuses(outcome), [200, 200, 200]);
      const { summary, alerts, metrics } = outcome.gave;
      assert.ok(summary.data.application.requests > 0, JSON.stringify(summary));
      assert.ok(Array.isArray(alerts.data));
      assert.ok(metrics.data.summary.application.requests > 0);
    });

    test('alert resolution: no alert has this id', async () => {
      const outcome = await run(examples.alertResolution);
      const { status, body } = outcome.answers[0];
      assert.deepEqual([status, body.code, body.field], [404, 'ALERT_NOT_FOUND', 'id']);
    });

    for (const [example, reason] of [
      [examples.loadTesting, /a worker cannot load itself: start the load from outside/],
      [examples.memoryTesting, /a worker cannot look at its process: the server offers it/],
    ]) {
      test(`${example.name}: 501 and why`, async () => {
        const outcome = await run(example);
        assert.equal(outcome.answers.length, 1);
        const { status, body } = outcome.answers[0];
        assert.deepEqual([status, body.success, body.code], [501, false, 'NOT_IMPLEMENTED']);
        assert.match(body.error, reason);
        // The example prints fields of results, and there are none.
        assert.match(outcome.threw, /^TypeError/);
      });
    }
  });
}

suite("by Node's fetch", () => inNode(edge.origin));
suite('from the page of a listed origin', async () => inPage(await open(listed)));

test('an alert that was raised is resolved by the example with its id', async () => {
  const { miniflare, origin } = await start(worker('build', { TEST_CONTROL: '1' }));
  try {
    // Raised half a minute after the cause, so the cause is put into the past.
    const began = Date.now() - 60_000;
    const at = (ms) => ({ 'sommos-test': JSON.stringify({ space: 'main', now: began + ms }) });
    const metrics = Array.from({ length: 6 }, () => ({ kind: 'dbQuery', duration: 60_000 }));
    await fetch(`${origin}/api/performance/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...at(0) },
      body: JSON.stringify({ metrics }),
    });
    const path = '/api/performance/monitoring/alerts';
    let alerts = [];
    for (let ms = 5_000; ms <= 45_000; ms += 5_000) {
      alerts = (await (await fetch(`${origin}${path}`, { headers: at(ms) })).json()).data;
    }
    assert.equal(alerts.length, 1);
    assert.equal(alerts[0].type, 'DATABASE_SLOW_QUERIES');
    const text = `${examples.alertResolution}`.replace('alert_id', alerts[0].id);
    const outcome = await inNode(origin)(new Function(`return (${text})()`));
    assert.deepEqual(statuses(outcome), [200]);
    const left = await get(path, origin);
    assert.ok(left.data.every((alert) => alert.id !== alerts[0].id || alert.resolved), JSON.stringify(left));
  } finally {
    await miniflare.dispose();
  }
});

test('a page of an origin that is not listed: the browser refuses its POST and nothing is stored', async () => {
  const page = await open(unlisted);
  const post = (key, type) =>
    page.evaluate(
      async ([key, type]) => {
        const body = JSON.stringify({ key, value: 1 });
        try {
          const init = { method: 'POST', headers: { 'Content-Type': type }, body };
          return (await fetch('/api/performance/cache/set', init)).status;
        } catch (error) {
          return error.name;
        }
      },
      [key, type],
    );
  assert.equal(await post('by-json', 'application/json'), 'TypeError');
  // This one is sent without asking before; the worker itself must refuse it.
  assert.equal(await post('by-text', 'text/plain'), 'TypeError');
  for (const key of ['by-json', 'by-text']) {
    const found = await get(`/api/performance/cache/get/${key}`);
    assert.equal(found.code, 'KEY_NOT_FOUND');
  }
  const outcome = await inPage(page)(examples.cacheManagement);
  assert.match(outcome.threw, /^TypeError/);
  assert.deepEqual(outcome.answers, []);
});

test('a page of a listed origin reads the exposed headers', async () => {
  const page = await open(listed);
  await page.evaluate(`(${examples.cacheManagement})()`);
  const age = await page.evaluate(async () => {
    const response = await fetch('/api/performance/cache/get/user_preferences_123');
    return response.headers.get('age');
  });
  assert.match(age, /^\d+$/);
});

describe("the description's request of a batch, with a JavaScript processor", () => {
  const send = (origin, request) =>
    fetch(`${origin}/api/performance/batch/process`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });

  const processed = batchRequest.data.map((item) => ({ ...item, processed: true }));
  const results = async (origin, batchId) => {
    const { data } = await get(`/api/performance/batch/${batchId}/results`, origin);
    return data.chunks.flatMap((chunk) => chunk.items);
  };

  test('the plain build answers 501 and says why; without the processor it runs', async () => {
    const refused = await send(edge.origin, batchRequest);
    assert.equal(refused.status, 501);
    assert.deepEqual(await refused.json(), {
      success: false,
      code: 'NOT_IMPLEMENTED',
      error: 'JavaScript processors are not offered by this shell',
      field: 'processor',
    });
    const { processor: _, ...plain } = batchRequest;
    const taken = await send(edge.origin, plain);
    assert.equal(taken.status, 200);
    const { batchId } = await taken.json();
    assert.equal((await ended(`/api/performance/batch/${batchId}`)).status, 'completed');
    // What runs where no processor is named does the same.
    assert.deepEqual(await results(edge.origin, batchId), processed);
  });

  // `cargo xtask build-edge --processors` makes it.
  if (existsSync(resolve(import.meta.dirname, '../build-processors/index.js'))) {
    test('the build with processors runs it', async () => {
      const { miniflare, origin } = await start(worker('build-processors'));
      try {
        const taken = await send(origin, batchRequest);
        const answer = await taken.json();
        assert.equal(taken.status, 200, JSON.stringify(answer));
        const { batchId } = answer;
        const batch = await ended(`/api/performance/batch/${batchId}`, origin);
        assert.equal(batch.status, 'completed', JSON.stringify(batch.errors));
        assert.deepEqual(await results(origin, batchId), processed);
      } finally {
        await miniflare.dispose();
      }
    });
  }
});
