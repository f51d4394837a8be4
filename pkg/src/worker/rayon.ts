/**
 * Starts the threads of the pool; takes the place of wasm-bindgen-rayon's own helper, whose
 * `import('../../..')` no bundler-free page can resolve. Each thread is this same worker file
 * again, told by its first message that it is one.
 */
import type { wbg_rayon_PoolBuilder } from '../generated/threads/threads.js';
import { sharedControl, spawnThread } from './host.js';

/** First message to a thread of the pool. */
export interface ThreadMessage {
  type: 'thread';
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  receiver: number;
  control: SharedArrayBuffer;
}

/** Called by the module's `initThreadPool`. Resolves when every thread runs. */
export async function startWorkers(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  builder: wbg_rayon_PoolBuilder,
): Promise<void> {
  const message = { type: 'thread', module, memory, receiver: builder.receiver() };
  const control = sharedControl();
  const threads = Array.from({ length: builder.numThreads() }, () =>
    spawnThread({ ...message, control } as ThreadMessage),
  );
  await Promise.all(threads);
  builder.build();
}
