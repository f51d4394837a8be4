import { engine } from '../engine.js';
import { pageHeap } from '../memory/process.js';

interface CpuTimes {
  user: number;
  nice: number;
  sys: number;
  idle: number;
  irq: number;
}

/** The parts of `node:os` that are read. */
interface Os {
  cpus(): { times: CpuTimes }[];
  totalmem(): number;
  freemem(): number;
  loadavg(): number[];
}

/** The parts of Node's `process` that are read; absent in browsers. */
interface NodeProcess {
  versions?: { node?: string };
  getBuiltinModule?(name: 'node:os'): Os | undefined;
  memoryUsage(): { rss: number };
  cpuUsage(): { user: number; system: number };
  uptime(): number;
}

const MICROSECONDS = 1000;

/** Reads the machine and the process, or the page. Processor use is since the last reading. */
export class SystemReader {
  readonly #process: NodeProcess | undefined;
  readonly #os: Os | undefined;
  #at = performance.now();
  #machine: { busy: number; all: number } | undefined;
  #own: number | undefined;

  constructor() {
    const { process } = globalThis as { process?: NodeProcess };
    // Bundlers put a `process` without these into pages.
    if (process?.versions?.node && typeof process.cpuUsage === 'function') {
      this.#process = process;
      this.#os = process.getBuiltinModule?.('node:os');
    }
    this.#machine = this.#machineTimes();
    this.#own = this.#ownTime();
  }

  /** In the order of the engine's columns; NaN where the platform does not tell. */
  read(): Float64Array {
    const elapsed = performance.now() - this.#at;
    this.#at += elapsed;
    const [cpu, own] = [this.#machineUse(), this.#ownUse(elapsed)];
    const total = this.#os?.totalmem();
    const heap = this.#process ? undefined : pageHeap();
    const used = this.#os && total !== undefined ? total - this.#os.freemem() : heap?.usedJSHeapSize;
    const load = this.#os?.loadavg()[0];
    return Float64Array.of(
      cpu ?? NaN,
      used ?? NaN,
      total ?? heap?.jsHeapSizeLimit ?? NaN,
      own ?? NaN,
      this.#process?.memoryUsage().rss ?? (heap?.usedJSHeapSize ?? 0) + engineBytes(),
      NaN,
      NaN,
      NaN,
      load ?? NaN,
      Math.round(this.#process?.uptime() ?? performance.now() / 1000),
    );
  }

  #machineUse(): number | undefined {
    const before = this.#machine;
    const now = (this.#machine = this.#machineTimes());
    if (!before || !now || now.all <= before.all) return undefined;
    return percent(now.busy - before.busy, now.all - before.all);
  }

  #machineTimes(): { busy: number; all: number } | undefined {
    const cpus = this.#os?.cpus();
    // Where /proc is closed there are none.
    if (!cpus || cpus.length === 0) return undefined;
    let [busy, all] = [0, 0];
    for (const { times } of cpus) {
      const active = times.user + times.nice + times.sys + times.irq;
      busy += active;
      all += active + times.idle;
    }
    return { busy, all };
  }

  #ownUse(elapsed: number): number | undefined {
    const before = this.#own;
    const now = (this.#own = this.#ownTime());
    if (before === undefined || now === undefined || elapsed <= 0) return undefined;
    return percent(now - before, elapsed);
  }

  /** Milliseconds of processor time of this process. */
  #ownTime(): number | undefined {
    if (!this.#process) return undefined;
    const { user, system } = this.#process.cpuUsage();
    return (user + system) / MICROSECONDS;
  }
}

function percent(part: number, whole: number): number {
  return Math.round((part / whole) * 10_000) / 100;
}

function engineBytes(): number {
  return (engine().moduleMemory() as WebAssembly.Memory).buffer.byteLength;
}
