/** The compute worker of browsers. One file, so that it runs however the page is built. */
import { setHost } from './host.js';
import { receive } from './main.js';

setHost({
  post: (message, transfer = []) => self.postMessage(message, { transfer }),
  spawn(first, ready, failed) {
    const thread = new Worker(self.location.href, { type: 'module', name: 'sommos-thread' });
    thread.onmessage = ready;
    thread.onerror = (event) => failed(event.message || 'a thread of the pool did not start');
    thread.postMessage(first);
  },
  async compile(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    if (response.headers.get('content-type')?.startsWith('application/wasm')) {
      return WebAssembly.compileStreaming(response);
    }
    return WebAssembly.compile(await response.arrayBuffer());
  },
});

self.onmessage = (event) => void receive(event.data);
