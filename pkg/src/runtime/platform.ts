/** The WebAssembly modules of the package; ARCHITECTURE.md of the repository tells what is in each. */
export type ModuleName = 'engine' | 'monitor' | 'compute' | 'scalar' | 'threads' | 'tasks' | 'codecs' | 'service';

/** A running compute worker, whatever the platform calls it. */
export interface Port {
  post(message: unknown, transfer?: Transferable[]): void;
  terminate(): void;
  /** Keeps a Node process alive while work is under way; nothing in browsers. */
  hold(): void;
  /** Lets a Node process end; nothing in browsers. */
  release(): void;
}

/** What a port tells. */
export interface PortEvents {
  message(message: unknown): void;
  /** The worker ended or never started. */
  lost(reason: string): void;
}

/** What differs between browsers, Node and workerd. */
export interface Platform {
  readonly name: 'browser' | 'node' | 'workerd';
  /** Where a module is: an address that a worker of this platform can load. */
  url(module: ModuleName): string;
  /** Compiles a module off the main thread where the platform can. */
  compile(module: ModuleName): Promise<WebAssembly.Module>;
  /** Compiles at once, on platforms that may. */
  compileSync?(module: ModuleName): WebAssembly.Module;
  /** Starts a compute worker; absent where there are no workers. */
  spawn?(events: PortEvents): Port;
  /** Processors that may be used. */
  processors(): number;
  /** Why shared memory cannot be used here; undefined when it can. */
  unshared(): string | undefined;
}

let current: Platform | undefined;

/** Set once by the entry point. */
export function setPlatform(platform: Platform): void {
  current = platform;
}

/** The platform that the entry point chose. */
export function platform(): Platform {
  if (!current) throw new Error('import @sommos/performance through its entry point');
  return current;
}
