/** Heavy calls where there are no workers: in this thread, with the same results. */
import { abortReason } from '../errors.js';
import { setCheckpoint } from '../worker/checkpoint.js';
import { runCall, setEngines, type Calls } from './calls.js';
import { loadCodecs, loadCompute, loadTasks } from './modules.js';
import type { CallOptions } from './compute.js';

/** Runs a call here. Progress comes as it goes; an abort is only seen before it begins. */
export async function runInline(method: keyof Calls, args: unknown, options: CallOptions): Promise<unknown> {
  setEngines({ engine: await loadCompute(), tasks: loadTasks, codecs: loadCodecs });
  const { signal, onProgress } = options;
  if (signal?.aborted) throw abortReason(signal);
  setCheckpoint((done, total) => {
    onProgress?.({ done, total });
    return signal?.aborted ?? false;
  });
  try {
    return (await runCall(method, args)).value;
  } finally {
    setCheckpoint(() => false);
  }
}
