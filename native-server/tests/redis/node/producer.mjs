// Adds jobs of the servers' own types and waits for what they give.
import { Queue, QueueEvents } from 'bullmq';

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };
const jobs = new Queue('jobs', { connection, prefix: 'sommos' });
const events = new QueueEvents('jobs', { connection, prefix: 'sommos' });
// All are waited for at once.
jobs.setMaxListeners(0);
events.setMaxListeners(0);
await events.waitUntilReady();
const WAIT_MS = 60_000;

const records = await jobs.add('data_processing', {
  dataset: [{ n: 1 }, { n: 2 }],
  operations: [{ type: 'filter', criteria: { n: { gt: 1 } } }],
});
const product = await jobs.add('matrix_multiplication', {
  matrixA: [[1, 2], [3, 4]],
  matrixB: [[5, 6], [7, 8]],
});
const wrong = await jobs.add('data_processing', { operations: [] });
const answer = {
  records: await records.waitUntilFinished(events, WAIT_MS),
  product: await product.waitUntilFinished(events, WAIT_MS),
  wrong: await wrong.waitUntilFinished(events, WAIT_MS).catch((error) => error.message),
};
const many = await jobs.addBulk(
  Array.from({ length: 200 }, (_, n) => ({
    name: 'data_processing',
    data: { dataset: [{ n }], operations: [] },
  })),
);
const results = await Promise.all(many.map((job) => job.waitUntilFinished(events, WAIT_MS)));
answer.many = results.filter((result, n) => result[0].n === n).length;
console.log(JSON.stringify(answer));
await events.close();
await jobs.close();
