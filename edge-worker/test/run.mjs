// Runs the tests of the worker in workerd, and ends with `N passed, N failed`.
//
//   node test/run.mjs [PART]               only files whose name has PART; without it all but those of
//                                          processors, which need a build of their own

import { readdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const part = process.argv[2] ?? '';
const files = readdirSync(here)
  .filter((file) => file.endsWith('.test.mjs') && (part ? file.includes(part) : !file.startsWith('processors')))
  .map((file) => resolve(here, file));
if (files.length === 0) throw new Error(`no test file has ${JSON.stringify(part)} in its name`);

let passed = 0;
let failed = 0;
const tests = run({ files, concurrency: 1, timeout: 600_000 });
tests.on('test:pass', ({ details }) => details.type !== 'suite' && (passed += 1));
tests.on('test:fail', ({ details }) => details.type !== 'suite' && (failed += 1));
tests.compose(spec).pipe(process.stdout);
await new Promise((done) => tests.on('end', done));
process.on('exit', () => console.log(`${passed} passed, ${failed} failed`));
process.exitCode = failed > 0 ? 1 : 0;
