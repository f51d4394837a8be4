/** The compute worker of Node. */
import { readFile } from 'node:fs/promises';
import { Worker, parentPort, type Transferable as NodeTransferable } from 'node:worker_threads';
import { setHost } from './host.js';
import { receive } from './main.js';

const port = parentPort;
if (!port) throw new Error('this file is a worker of @sommos/performance');

setHost({
  post: (message, transfer = []) => port.postMessage(message, transfer as NodeTransferable[]),
  spawn(first, ready, failed) {
    const thread = new Worker(new URL(import.meta.url), { execArgv: [] });
    thread.once('message', ready);
    thread.once('error', (error) => failed(String(error)));
    thread.postMessage(first);
    thread.unref();
  },
  compile: async (url) => WebAssembly.compile(await readFile(new URL(url))),
});

port.on('message', (message) => void receive(message));
