// Runs the tests of the package's classes, and ends with `N passed, N failed`.
//
//   node test/run.mjs node                 every *.test.js in Node
//   node test/run.mjs chromium             those that are not *.node.test.js in Chromium, in a
//                                          page that is cross-origin isolated and in one that is not
//   ... [PART]                             only files whose name has PART

import { readdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import Mocha from 'mocha';
import { launch } from './support/chromium.mjs';
import { serve } from './support/server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '..');
const [where, part = ''] = process.argv.slice(2);
/** Longest run of one test, milliseconds: two busy cores are slow. */
const TIMEOUT_MS = 60_000;

const files = readdirSync(here).filter((file) => file.endsWith('.test.js') && file.includes(part));

async function inNode() {
  const mocha = new Mocha({ timeout: TIMEOUT_MS, reporter: 'dot' });
  for (const file of files) mocha.addFile(resolve(here, file));
  await mocha.loadFilesAsync();
  return new Promise((done) => {
    const runner = mocha.run(() => done(runner.stats));
  });
}

const page = (tests) => `<!doctype html><meta charset="utf-8"><title>tests</title><div id="mocha"></div>
<script type="importmap">{"imports":{
  "@sommos/performance":"/pkg/dist/browser.js",
  "@sommos/performance/api":"/pkg/dist/api.js",
  "chai":"/pkg/node_modules/chai/index.js"}}</script>
<script src="/pkg/node_modules/mocha/mocha.js"></script>
<script type="module">
  mocha.setup({ ui: 'bdd', timeout: ${TIMEOUT_MS} });
  try {
    for (const file of ${JSON.stringify(tests)}) await import('/pkg/test/' + file);
    const failures = [];
    const runner = mocha.run(() => (globalThis.outcome = { ...runner.stats, failures }));
    runner.on('fail', (test, error) => failures.push(test.fullTitle() + ': ' + (error.stack ?? error)));
  } catch (error) {
    globalThis.outcome = { passes: 0, failures: [String(error.stack ?? error)] };
  }
</script>`;

async function inChromium(isolated) {
  const pages = { '/tests': page(files.filter((file) => !file.endsWith('.node.test.js'))) };
  const server = await serve({ '/pkg/': root }, { isolated, pages });
  const browser = await launch();
  try {
    const tab = await browser.newPage();
    tab.on('pageerror', (error) => console.log(`page error: ${error.message}`));
    // Figures that a test prints.
    tab.on('console', (message) => message.text().startsWith('  ') && console.log(message.text()));
    await tab.goto(`${server.url}/tests`);
    const outcome = await tab.waitForFunction('globalThis.outcome', undefined, { timeout: 600_000 });
    const { passes, failures } = await outcome.jsonValue();
    for (const failure of failures) console.log(`FAILED ${failure}`);
    console.log(`chromium, ${isolated ? 'isolated' : 'not isolated'}: ${passes} of ${passes + failures.length}`);
    return { passes, failures: failures.length };
  } finally {
    await browser.close();
    await server.stop();
  }
}

const outcomes =
  where === 'node' ? [await inNode()] : where === 'chromium' ? [await inChromium(true), await inChromium(false)] : [];
if (outcomes.length === 0) throw new Error('usage: node test/run.mjs node|chromium [PART]');
const sum = (name) => outcomes.reduce((all, outcome) => all + outcome[name], 0);
console.log(`${sum('passes')} passed, ${sum('failures')} failed`);
process.exit(sum('failures') > 0 ? 1 : 0);
