// Caches of several tabs and of a web worker in step over BroadcastChannel, in Chromium. Ends with
// `N passed, N failed`.

import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from './support/chromium.mjs';
import { serve } from './support/server.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const WORKER = `
  import { DistributedCacheManager, init } from '/pkg/dist/browser.js';
  await init();
  const cache = new DistributedCacheManager({ nodeId: 'worker' });
  onmessage = ({ data: [method, ...args] }) => postMessage(cache[method](...args));
  postMessage('ready');`;
const PAGE = `<!doctype html><title>tab</title><script type="module">
  import { DistributedCacheManager, init } from '/pkg/dist/browser.js';
  await init();
  globalThis.cache = new DistributedCacheManager({ nodeId: new URLSearchParams(location.search).get('name') });
  const source = new Blob([${JSON.stringify(WORKER)}.replaceAll('/pkg/', location.origin + '/pkg/')], { type: 'text/javascript' });
  globalThis.startWorker = () => new Promise((resolve) => {
    const worker = new Worker(URL.createObjectURL(source), { type: 'module' });
    worker.onmessage = () => resolve();
    globalThis.ask = (...call) => new Promise((answer) => {
      worker.onmessage = ({ data }) => answer(data);
      worker.postMessage(call);
    });
  });
</script>`;

let passed = 0;
let failed = 0;

/** Waits until `look` sees what it should. */
async function eventually(name, look) {
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline) {
    if (await look()) {
      passed += 1;
      console.log(`${name}: as expected`);
      return;
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  failed += 1;
  console.log(`FAILED ${name}`);
}

const server = await serve({ '/pkg/': root }, { pages: { '/': PAGE } });
const browser = await launch();
try {
  const context = await browser.newContext();
  const open = async (name) => {
    const page = await context.newPage();
    page.on('pageerror', (error) => console.log(`page error: ${error.message}`));
    await page.goto(`${server.url}/?name=${name}`);
    await page.waitForFunction('globalThis.cache');
    return page;
  };
  const [one, two] = [await open('one'), await open('two')];
  await two.evaluate('startWorker()');
  const read = (key) => two.evaluate((k) => globalThis.cache.get(k), key);
  const readInWorker = (key) => two.evaluate((k) => globalThis.ask('get', k), key);

  await one.evaluate("cache.set('wine', { vintage: 2016 })");
  await eventually('a value set in one tab is in another', async () => (await read('wine'))?.vintage === 2016);
  await eventually('and in a worker of that tab', async () => (await readInWorker('wine'))?.vintage === 2016);
  await two.evaluate("ask('set', 'wine', { vintage: 2017 })");
  await eventually('a value set in a worker is in both tabs', async () => {
    const there = await one.evaluate("cache.get('wine')?.vintage");
    return there === 2017 && (await read('wine'))?.vintage === 2017;
  });
  await one.evaluate("cache.delete('wine')");
  await eventually('a deletion reaches the other tab', async () => (await read('wine')) === null);
  await eventually('and its worker', async () => (await readInWorker('wine')) === null);
} finally {
  await browser.close();
  await server.stop();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
