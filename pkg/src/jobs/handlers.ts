import { SommosError } from '../errors.js';
import { callable, invalidOption } from '../options.js';
import { BUILTIN_TYPES, builtinRunner, isBuiltin } from './builtin.js';
import type { JobHandler } from './types.js';

/** A handler whose types are its caller's affair. */
export type AnyHandler = JobHandler<string, unknown, unknown>;

/** Why an attempt failed, as the queue takes it. */
export interface Fault {
  message: string;
  code: string;
  retryable: boolean;
}

/** Who runs which type of job. */
export class Handlers {
  readonly #handlers = new Map<string, AnyHandler>();

  /** @throws SommosError `INVALID_OPTION`. */
  set(type: string, handler: AnyHandler): void {
    this.#handlers.set(named(type), callable(`the handler of ${type}`, handler));
  }

  /**
   * The handler of a type: a registered one first, else the package's own.
   *
   * @throws SommosError `UNKNOWN_JOB_TYPE` with the types that would do.
   */
  of(type: string): AnyHandler {
    const own = this.#handlers.get(type);
    if (own) return own;
    const runner = builtinRunner();
    if (runner && isBuiltin(type)) {
      return (data, _job, { signal, progress }) =>
        runner(type, data, {
          signal,
          onProgress: ({ done, total }) =>
            progress(total > 0 ? Math.min(100, (100 * done) / total) : 0),
        });
    }
    const names = [...this.#handlers.keys(), ...(runner ? BUILTIN_TYPES : [])].join(', ');
    throw new SommosError(
      'UNKNOWN_JOB_TYPE',
      `no handler is registered for jobs of type "${type}"; registered: ${names || 'none'}`,
    );
  }
}

/** A type's name, checked. */
export function named(type: string): string {
  if (typeof type !== 'string' || type === '') throw invalidOption('type', type, 'a name');
  return type;
}

/** What a handler threw; a property `retryable: false` says that another attempt is no use. */
export function faultOf(thrown: unknown): Fault {
  const given = (thrown ?? {}) as { code?: unknown; retryable?: unknown };
  const code = typeof given.code === 'string' ? given.code : 'HANDLER_FAILED';
  const message = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  return { message, code, retryable: given.retryable !== false && code !== 'UNKNOWN_JOB_TYPE' };
}
