import { SommosError } from './errors.js';

/** Refuses an option, saying what would be right. */
export function invalidOption(name: string, value: unknown, expected: string): SommosError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 64)) : String(value);
  return new SommosError('INVALID_OPTION', `${name} is ${shown}; expected ${expected}`);
}

/** An integer option within its range. */
export function integer(
  name: string,
  value: number | undefined,
  range: { min: number; max: number; default: number },
): number {
  const given = value ?? range.default;
  if (!Number.isInteger(given) || given < range.min || given > range.max) {
    throw invalidOption(name, value, `an integer from ${range.min} to ${range.max}`);
  }
  return given;
}

/** A finite number within its range. */
export function finite(
  name: string,
  value: number | undefined,
  range: { min: number; max: number; default: number },
): number {
  const given = value ?? range.default;
  if (typeof given !== 'number' || !(given >= range.min && given <= range.max)) {
    throw invalidOption(name, value, `a number from ${range.min} to ${range.max}`);
  }
  return given;
}

/** A boolean option. */
export function flag(name: string, value: boolean | undefined, fallback: boolean): boolean {
  const given = value ?? fallback;
  if (typeof given !== 'boolean') throw invalidOption(name, value, 'true or false');
  return given;
}

/** One of several names. */
export function oneOf<T extends string>(
  name: string,
  value: T | undefined,
  names: readonly T[],
  fallback?: T,
): T {
  const given = value ?? fallback;
  if (given === undefined || !names.includes(given)) {
    throw invalidOption(name, value, `one of ${names.join(', ')}`);
  }
  return given;
}

/** A function. */
export function callable<F>(name: string, value: F): F {
  if (typeof value !== 'function') throw invalidOption(name, value, 'a function');
  return value;
}
