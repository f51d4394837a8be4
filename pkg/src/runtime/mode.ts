/** Which module runs, and why. */
import { platform } from './platform.js';

/** How the engine runs here. */
export interface Mode {
  /** `threads`: a pool of workers over shared memory; `single`: one thread. */
  readonly mode: 'threads' | 'single';
  /** Whether the module uses SIMD instructions. */
  readonly simd: boolean;
  /** Threads of the pool; 1 without one. */
  readonly threads: number;
  /** For programs: why. */
  readonly code: 'ok' | 'asked-for' | 'no-shared-memory' | 'no-simd' | 'one-processor' | 'no-workers' | 'start-failed';
  /** For people: why. */
  readonly reason: string;
}

/** What `init` takes. */
export interface InitOptions {
  /** `auto` (default): the best that runs here; `single`: one thread; `scalar`: one, no SIMD. */
  mode?: 'auto' | 'threads' | 'single' | 'scalar';
  /** Threads of the pool, 1 to 16; default: the processors that may be used. */
  threads?: number;
  /** Also load what `PerformanceMonitoringEngine` needs. Node has it since the import. */
  monitoring?: boolean;
}

const THREADS_MAX = 16;
/** `(func (result v128) (i8x16.splat (i32.const 0)))`: validates only with SIMD. */
const SIMD_PROBE = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

let chosen: Mode | undefined;

/** Chooses, when the engine is initialized. */
export function choose(options: InitOptions): Mode {
  const threads = Math.min(options.threads ?? platform().processors(), THREADS_MAX);
  const simd = options.mode !== 'scalar' && WebAssembly.validate(SIMD_PROBE);
  const single = (code: Mode['code'], reason: string): Mode => ({ mode: 'single', simd, threads: 1, code, reason });
  const unshared = platform().unshared();
  if (options.mode === 'single') chosen = single('asked-for', 'init was asked for a single thread');
  else if (options.mode === 'scalar') chosen = single('asked-for', 'init was asked for no SIMD');
  else if (!simd) chosen = single('no-simd', 'this engine of JavaScript has no SIMD for WebAssembly');
  else if (!platform().spawn) chosen = single('no-workers', 'workers cannot be started here');
  else if (unshared !== undefined) chosen = single('no-shared-memory', unshared);
  else if (threads < 2 && options.mode !== 'threads') {
    chosen = single('one-processor', 'a single processor is available');
  } else {
    const reason = 'memory can be shared and SIMD is there';
    chosen = { mode: 'threads', simd, threads, code: 'ok', reason };
  }
  return chosen;
}

/** Which module runs here (threads or single), with how many threads, and why. */
export function mode(): Mode {
  return chosen ?? { mode: 'single', simd: false, threads: 1, code: 'asked-for', reason: 'init has not run yet' };
}

/** Falls back to one thread, saying why. */
export function demote(reason: string): void {
  chosen = { mode: 'single', simd: mode().simd, threads: 1, code: 'start-failed', reason };
}

/** The module for the compute worker. */
export function workerEngine(): 'threads' | 'compute' | 'scalar' {
  const { mode: kind, simd } = mode();
  if (kind === 'threads') return 'threads';
  return simd ? 'compute' : 'scalar';
}
