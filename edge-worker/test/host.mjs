// The worker on a port, for the vectors and for tests that kill it: prints its origin as JSON and
// ends with its standard input. A line of input is an array of messages for its queue.
//
//   node test/host.mjs BUILD [STORAGE] [BINDINGS]

import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { start, worker } from './workerd.mjs';

const [build = 'build', storage, bindings] = process.argv.slice(2);
const persist = storage && {
  durableObjectsPersist: join(storage, 'objects'),
  kvPersist: join(storage, 'kv'),
  cachePersist: join(storage, 'cache'),
};
// For the vectors each read asks its group: what other shells answer is never old.
const vectors = { TEST_CONTROL: '1', CACHE_STALENESS_SECONDS: '0' };
const given = bindings ? JSON.parse(bindings) : vectors;
const { miniflare, origin } = await start({ ...worker(build, given), ...persist });
process.stdout.write(`${JSON.stringify({ origin })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const queue = await miniflare.getQueueProducer('WORK');
  for (const message of JSON.parse(line)) await queue.send(JSON.stringify(message));
}
await miniflare.dispose();
process.exit(0);
