// Keeps the worker alive when Rust traps. A panic, memory that ran out and a stack that ran over
// all end the wasm instance: what ran in it never finishes, and nothing in its memory may be used
// again. So every call from outside runs under a guard: a trap fails all calls that were running,
// at once, and the module is made anew before anything else can enter it.

import * as bindings from 'sommos:bindings';

/** Told by `worker`: `instanceId` counts the instances made. */
const state = bindings.__worker_init_state();
/** What fails each call that runs now. */
const running = new Set();
/** How often a call asks whether its instance has ended, should nobody have told it. */
const ASK_MS = 1_000;

/** A call whose instance ended. */
class Ended extends Error {
  constructor(cause) {
    super('the wasm instance ended in this call or in another beside it', { cause });
  }
}

/** The number of the instance that serves now. */
export const instance = () => state.instanceId;

const isTrap = (error) =>
  error instanceof WebAssembly.RuntimeError ||
  // A stack that ran over inside wasm; the same in JavaScript alone costs a fresh instance.
  (error instanceof RangeError && /call stack/.test(error.message));

/** Makes the module anew if it has ended, and fails the calls that ran in it. */
function heal(error) {
  const before = state.instanceId;
  try {
    if (isTrap(error)) bindings.__wbg_reset_state();
    // Any call into the module makes it anew if the bindings know that it has ended.
    else bindings.__worker_init_state();
  } catch {
    bindings.__wbg_reset_state();
  }
  if (state.instanceId === before) return;
  console.error(`wasm instance ${before} ended; ${running.size} calls failed`, error);
  const lost = [...running];
  running.clear();
  for (const fail of lost) fail(new Ended(error));
}

// A call that has waited for I/O goes on from a microtask, where no caller can catch.
addEventListener('error', (event) => heal(event.error));
addEventListener('unhandledrejection', (event) => heal(event.reason));

/** Starts `call`, which enters the module, and gives its outcome. */
export async function guarded(call) {
  heal();
  let fail;
  const ended = new Promise((_, reject) => {
    fail = reject;
  });
  // It may fail before anybody waits for it.
  ended.catch(() => {});
  running.add(fail);
  const mine = state.instanceId;
  // Also keeps the request alive: one that waits for nothing of its own is cancelled as hung, and
  // news from another request (a Durable Object that it called) may come a moment after that.
  const ask = setInterval(() => state.instanceId !== mine && fail(new Ended()), ASK_MS);
  try {
    return await Promise.race([started(call), ended]);
  } finally {
    clearInterval(ask);
    running.delete(fail);
  }
}

function started(call) {
  try {
    return call();
  } catch (error) {
    heal(error);
    throw error;
  }
}

/** The answer of `ErrorCode::Internal` in core, for a request that the module cannot answer. */
export async function answered(call) {
  try {
    return await guarded(call);
  } catch (error) {
    console.error('a request failed', error);
    const body = { success: false, code: 'INTERNAL', error: 'internal error: this request was given up' };
    return Response.json(body, { status: 500 });
  }
}
