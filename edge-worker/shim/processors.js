// Runs JavaScript processors in the engine's wasm module. Each chunk has an instance of its own, so
// that one which traps (steps or memory that ran out, a stack that ran over, a panic of the engine)
// ends alone. An instance sees nothing of the worker but its memory. That is one for all, zeroed
// between them: memories of their own would stay until garbage is collected, which took 1.6 GB in
// a test of 40 chunks that each used all they had.

import processors from './processors.wasm';

const PAGE_BYTES = 1 << 16;
/** The memory that the module asks for, as `cargo xtask build-edge` links it. */
const MEMORY_BYTES_AT_START = 3 << 20;
const MEMORY_BYTES = 64 << 20;

let memory;

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
  memory ??= new WebAssembly.Memory({ initial: MEMORY_BYTES_AT_START / PAGE_BYTES, maximum: MEMORY_BYTES / PAGE_BYTES });
  const { exports } = new WebAssembly.Instance(processors, { env: { memory } });
  try {
    return answerOf(exports, new TextEncoder().encode(source), chunk, now);
  } catch (error) {
    throw typeof error === 'string' ? error : faultOf(error, exports.steps.value, exports.steps_allowed.value);
  } finally {
    new Uint8Array(memory.buffer, 0, exports.pages.value * PAGE_BYTES).fill(0);
  }
}

function answerOf({ alloc, run }, source, chunk, now) {
  const put = (bytes) => {
    const address = alloc(bytes.length) >>> 0;
    new Uint8Array(memory.buffer, address, bytes.length).set(bytes);
    return address;
  };
  const answer = run(put(source), source.length, put(chunk), chunk.length, now) >>> 0;
  const [status, length] = new Uint32Array(memory.buffer.slice(answer, answer + 8));
  const bytes = new Uint8Array(memory.buffer, answer + 8, length).slice();
  if (status !== 0) throw new TextDecoder().decode(bytes);
  return bytes;
}
