import { SommosError } from './errors.js';
import type * as Bindings from './generated/engine/engine.js';

/** The classes and functions of the WebAssembly module. */
export type Engine = typeof Bindings;

let bindings: Engine | undefined;

/** The instantiated module of this thread. */
export function engine(): Engine {
  if (!bindings) {
    throw new SommosError(
      'NOT_INITIALIZED',
      'the engine is not loaded yet: await init() of @sommos/performance first',
    );
  }
  return bindings;
}

/** Called once the module is instantiated. */
export function setEngine(module: Engine): void {
  bindings = module;
}

/** Bytes of the module's memory in this thread: what the package's own objects live in. */
export function moduleBytes(): number {
  return (engine().moduleMemory() as WebAssembly.Memory).buffer.byteLength;
}
