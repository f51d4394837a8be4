// The worker for the vectors: prints its origin as JSON and ends with its standard input.
//
//   node test/host.mjs BUILD

import { start, worker } from './workerd.mjs';

const build = process.argv[2] ?? 'build';
// Each read asks its group: what other shells answer is never old.
const bindings = { TEST_CONTROL: '1', CACHE_STALENESS_SECONDS: '0' };
const { miniflare, origin } = await start(worker(build, bindings));
process.stdout.write(`${JSON.stringify({ origin })}\n`);
process.stdin.resume();
process.stdin.on('end', async () => {
  await miniflare.dispose();
  process.exit(0);
});
