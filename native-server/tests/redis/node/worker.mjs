// Serves a type of jobs that the servers do not know.
import { Worker } from 'bullmq';

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };

const worker = new Worker(
  'label-printing',
  async (job) => {
    if (job.data.wine === null) throw new Error('no wine');
    await job.updateProgress(40);
    // Long enough to be seen.
    await new Promise((done) => setTimeout(done, 1000));
    return { printed: job.data.wine, attempt: job.attemptsMade + 1 };
  },
  { connection, prefix: 'sommos' },
);
worker.on('error', (error) => console.error(error.message));
await worker.waitUntilReady();
console.log('"ready"');
