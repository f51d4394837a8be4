// The BullMQ twin of the queue benchmark: `node queue.cjs PORT throughput JOBS SUBMITTERS` prints
// jobs/s of add + process, with `equal` behind it those of jobs that have what every job of ours
// has: a priority, an id and a timestamp of its own, retries, and counts of what ended;
// `node queue.cjs PORT pickup JOBS RATE` prints p50 and p99 of the milliseconds from an add that
// was due to the start of its job. Needs npm `bullmq` and `ioredis`, here or in
// NODE_PATH, and a Redis server of its own.
'use strict';
const { Queue, Worker } = require('bullmq');

const { randomUUID } = require('node:crypto');

const [port, mode, jobs, parameter, equal] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port) };
const options = { connection, defaultJobOptions: { removeOnComplete: 100000 } };
const metrics = equal ? { maxDataPoints: 60 * 24 * 7 } : undefined;

function jobOptions() {
  if (!equal) return undefined;
  const backoff = { type: 'exponential', delay: 1000 };
  return { jobId: randomUUID(), timestamp: Date.now(), priority: 1000001, attempts: 3, backoff };
}

async function main() {
  const count = Number(jobs);
  const queue = new Queue('bench', options);
  await queue.obliterate({ force: true });
  const due = new Float64Array(count);
  const waits = [];
  let seen = 0;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const process_ = async (job) => {
    waits.push(performance.now() - due[job.data.n]);
    return { n: job.data.n };
  };
  const worker = new Worker('bench', process_, { connection, concurrency: 64, metrics });
  worker.on('completed', () => { if (++seen === count) finish(); });
  await worker.waitUntilReady();
  const start = performance.now();
  if (mode === 'throughput') {
    let next = 0;
    const submit = async () => {
      while (next < count) await queue.add('noop', { n: next++ }, jobOptions());
    };
    await Promise.all(Array.from({ length: Number(parameter) }, submit));
  } else {
    const every = 1000 / Number(parameter);
    const adds = [];
    for (let n = 0; n < count; ) {
      const now = performance.now() - start;
      for (; n < count && n * every <= now; n++) {
        due[n] = start + n * every;
        adds.push(queue.add('noop', { n }));
      }
      await new Promise((resolve) => { setTimeout(resolve, 1); });
    }
    await Promise.all(adds);
  }
  await finished;
  const seconds = (performance.now() - start) / 1000;
  if (mode === 'throughput') {
    console.log(count / seconds);
  } else {
    waits.sort((a, b) => a - b);
    console.log(waits[Math.floor(count * 0.5)], waits[Math.floor(count * 0.99)]);
  }
  await worker.close();
  await queue.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
