// Counters of all isolates, kept by an object that is evicted and restarted.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { start, worker } from './workerd.mjs';
import { cleanUp, folder, Host } from './process.mjs';

after(cleanUp);
const API = '/api/performance';
const summary = async (host) => (await host.call('GET', `${API}/monitoring/summary`)).data;

test('counts survive a kill; what cannot be measured is null, not 0', { timeout: 60_000 }, async () => {
  const storage = folder();
  let host = await Host.start(storage, {});
  for (let i = 0; i < 30; i += 1) await host.call('GET', `${API}/cache/get/none`);
  await host.call('POST', `${API}/cache/set`, { key: 'a', value: 1 });
  const { application } = await summary(host);
  assert.equal(application.responses, 31);
  assert.deepEqual(
    [application.responseTime, application.p50Ms, application.p95Ms, application.p99Ms],
    [null, null, null, null],
  );
  assert.equal((await host.call('POST', `${API}/memory/allocate`, { size: 1000, type: 'wines' })).http, 200);
  // The counters are written a few seconds later, in one go.
  await sleep(6500);
  host.kill();
  host = await Host.start(storage, {});
  const after = (await summary(host)).application;
  // The summary and the allocation, too, are requests.
  assert.equal(after.responses, 33);
  const memory = (await host.call('GET', `${API}/memory/stats`)).data;
  assert.equal(memory.tracking.current ?? memory.tracking.memoryUsage, 1000, JSON.stringify(memory.tracking));
  host.kill();
});

test('an allocation that was acknowledged is there after a kill at once', { timeout: 60_000 }, async () => {
  const storage = folder();
  let host = await Host.start(storage, {});
  await host.call('POST', `${API}/memory/allocate`, { size: 77, type: 'wines' });
  host.kill();
  host = await Host.start(storage, {});
  const { http } = await host.call('POST', `${API}/memory/deallocate`, { size: 77, type: 'wines' });
  assert.equal(http, 200);
  host.kill();
});

test('the cron run samples; Prometheus is told of requests without a duration', { timeout: 60_000 }, async () => {
  const { miniflare, origin } = await start(worker('build'));
  try {
    for (let i = 0; i < 5; i += 1) await (await fetch(`${origin}${API}/cache/get/none`)).arrayBuffer();
    const monitor = await miniflare.getWorker();
    const { outcome } = await monitor.scheduled({ cron: '* * * * *' });
    assert.equal(outcome, 'ok');
    const text = await (await fetch(`${origin}/metrics`)).text();
    assert.match(text, /unmeasured_requests_total\{.*cache\/get.*"4xx"\} 5/);
  } finally {
    await miniflare.dispose();
  }
});

test('a task beyond the processor time of one call is refused with a 503 that says so', { timeout: 60_000 }, async () => {
  const { miniflare, origin } = await start(worker('build', { TASK_COST_MAX: '1000' }));
  try {
    const square = Array.from({ length: 20 }, () => Array.from({ length: 20 }, () => 1));
    const response = await fetch(`${origin}${API}/parallel/task`, {
      method: 'POST',
      body: JSON.stringify({ taskType: 'matrix_multiplication', data: { matrixA: square, matrixB: square } }),
    });
    const body = await response.json();
    assert.deepEqual([response.status, body.code], [503, 'CPU_LIMIT']);
    assert.match(body.error, /multiply-adds.*server of your own/);
  } finally {
    await miniflare.dispose();
  }
});
