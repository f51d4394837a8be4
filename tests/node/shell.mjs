// The package as a shell of the vector runner: one JSON line in, one JSON line out.
//
//   node tests/node/shell.mjs node|chromium FOLDER_OF_THE_PACKAGE
//
// {"op":"new","config":{...},"now":MS}   a fresh API
// {"op":"handle","now":MS,"method","path","query","contentType","accept","body":BASE64}
// {"op":"run","now":MS}                  runs all work that is due

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { answer, operations } from './api.mjs';

const [where, folder] = process.argv.slice(2);
const root = resolve(folder);
const here = dirname(fileURLToPath(import.meta.url));

async function inNode() {
  const { PerformanceApi } = await import(pathToFileURL(resolve(root, 'dist/api.js')));
  const module = new WebAssembly.Module(readFileSync(resolve(root, 'dist/service.wasm')));
  const table = operations(PerformanceApi, module);
  return { ask: (request) => answer(table, request), stop() {} };
}

async function inChromium() {
  const { launch } = await import(pathToFileURL(resolve(root, 'test/support/chromium.mjs')));
  const { serve } = await import(pathToFileURL(resolve(root, 'test/support/server.mjs')));
  const pages = { '/vectors': '<!doctype html><title>vectors</title>' };
  const server = await serve({ '/pkg/': root, '/tests/': here }, { pages });
  const browser = await launch();
  const page = await browser.newPage();
  await page.goto(`${server.url}/vectors`);
  await page.evaluate(async () => {
    const { PerformanceApi } = await import('/pkg/dist/api.js');
    const { answer, operations } = await import('/tests/api.mjs');
    const module = await WebAssembly.compileStreaming(fetch('/pkg/dist/service.wasm'));
    const table = operations(PerformanceApi, module);
    globalThis.ask = async (text) => JSON.stringify(await answer(table, JSON.parse(text)));
  });
  return {
    ask: async (request) => JSON.parse(await page.evaluate((text) => globalThis.ask(text), JSON.stringify(request))),
    async stop() {
      await browser.close();
      await server.stop();
    },
  };
}

const shell = await (where === 'chromium' ? inChromium() : inNode());
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await shell.ask(JSON.parse(line)))}\n`);
}
await shell.stop();
