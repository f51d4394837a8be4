// Runs JavaScript processors in the engine's wasm module, which has no imports: it sees nothing of
// the worker. Each chunk has an instance of its own, so that one which traps (steps or memory that
// ran out, a stack that ran over, a panic of the engine) ends alone.

import processors from './processors.wasm';

/** The maximum in the module, as `cargo xtask build-edge` links it. */
const MEMORY_BYTES = 64 << 20;

/** What a trap means; the engine's own limits have ended most loops and recursion before. */
const faultOf = (trap, stepsLeft, allowed) => {
  if (stepsLeft < 0n) return `processor: ran longer than ${allowed} steps`;
  if (trap instanceof RangeError || /out of bounds/.test(trap.message)) {
    return 'processor: RangeError: Maximum call stack size exceeded';
  }
  return `processor: used more than ${MEMORY_BYTES} bytes of memory, or met a fault of the engine (${trap.message})`;
};

/**
 * The JSON that `source` makes of the JSON in `chunk` at the time `now`, as bytes. A fault of the
 * processor is thrown as a string, its message; any other error is not the processor's.
 */
export function run_processor(source, chunk, now) {
  const { memory, alloc, run, steps } = new WebAssembly.Instance(processors).exports;
  const allowed = steps.value;
  const put = (bytes) => {
    const address = alloc(bytes.length) >>> 0;
    new Uint8Array(memory.buffer, address, bytes.length).set(bytes);
    return address;
  };
  const text = new TextEncoder().encode(source);
  let answer;
  try {
    answer = run(put(text), text.length, put(chunk), chunk.length, now) >>> 0;
  } catch (trap) {
    throw faultOf(trap, steps.value, allowed);
  }
  const [status, length] = new Uint32Array(memory.buffer.slice(answer, answer + 8));
  const bytes = new Uint8Array(memory.buffer, answer + 8, length).slice();
  if (status !== 0) throw new TextDecoder().decode(bytes);
  return bytes;
}
