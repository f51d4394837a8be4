import { SommosError } from '../errors.js';
import { builtinRunner } from '../jobs/builtin.js';
import type { AnyProcessor } from './run.js';
import type { DataOperation } from './types.js';

/** Whether every operation looks at one record at a time. */
export function rowWise(operations: DataOperation[]): boolean {
  return operations.every(({ type }) => type === 'filter' || type === 'transform');
}

/** Runs built-in operations on each chunk. */
export function runOperations(operations: DataOperation[]): AnyProcessor {
  return (dataset, { signal }) => {
    const run = builtinRunner();
    if (run) {
      const data = { dataset, operations };
      return run('data_processing', data, { signal, onProgress: () => undefined });
    }
    throw new SommosError('UNSUPPORTED', 'nobody runs the built-in operations here');
  };
}
