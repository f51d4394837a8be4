// All cases, in one thread of a place: Node or a page.

import * as cache from './cache.mjs';
import * as compress from './compress.mjs';
import * as matrix from './matrix.mjs';
import * as similarity from './similarity.mjs';
import { reporter } from './support.mjs';

const CASES = {
  similarity: similarity.run,
  matrix: matrix.run,
  cache: cache.run,
  gzip: compress.gzip,
  bloom: compress.bloom,
};

/** Runs the cases (all, or those named) and gives what was measured. */
export async function runAll(env, { only, print }) {
  await env.sommos.init({ mode: 'auto' });
  const report = reporter(env.where, print);
  for (const [name, run] of Object.entries(CASES)) {
    if (only.length === 0 || only.includes(name)) await run(env, report);
  }
  return report.cases;
}
