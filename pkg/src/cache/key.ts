import { SommosError } from '../errors.js';

/** Any JSON value. Objects are the same key whatever the order of their members. */
export type CacheKey = string | number | boolean | null | object;

/** Marks stored keys that are not a plain string; such a string itself is marked `\0s`. */
const MARK = '\0';
const DEPTH_MAX = 32;

/**
 * The text under which a key is stored. A string stands for itself; any other value is `\0j` and
 * its canonical JSON, so that `{a: 1}` and the string `{"a":1}` are different keys. A string that
 * begins with the character 0 is `\0s` and itself.
 */
export function storedKey(key: CacheKey, lengthMax: number): string {
  let stored: string;
  if (typeof key === 'string') {
    stored = key.charCodeAt(0) === 0 ? `${MARK}s${key}` : key;
  } else {
    stored = `${MARK}j${canonicalJson(key)}`;
  }
  if (stored.length > lengthMax) {
    throw new SommosError(
      'INVALID_KEY',
      `the key ${shown(key)} has ${stored.length} characters; at most ${lengthMax} are allowed (option maxKeyLength)`,
    );
  }
  return stored;
}

/** The key that was stored under this text. */
export function originalKey(stored: string): CacheKey {
  if (stored.charCodeAt(0) !== 0) return stored;
  const rest = stored.slice(2);
  return stored[1] === 'j' ? (JSON.parse(rest) as CacheKey) : rest;
}

/** The key as the REST API knows it: a string itself, any other value as canonical JSON. */
export function plainKey(stored: string): string {
  return stored.charCodeAt(0) === 0 ? stored.slice(2) : stored;
}

/** JSON with members sorted by code point and no spaces, as the server writes it. */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return JSON.stringify(value);
    throw invalid(`contains ${value}`);
  }
  if (typeof value !== 'object') throw invalid(`contains a value of type ${typeof value}`);
  if (depth >= DEPTH_MAX) throw invalid(`is nested deeper than ${DEPTH_MAX} levels, or in itself`);
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join()}]`;
  const plain = value as { toJSON?: unknown; [name: string]: unknown };
  if (typeof plain.toJSON === 'function') return write(plain.toJSON(), depth + 1);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw invalid(`contains a ${value.constructor?.name ?? 'class instance'}`);
  }
  const members = Object.keys(plain)
    .filter((name) => plain[name] !== undefined)
    .sort(byCodePoint)
    .map((name) => `${JSON.stringify(name)}:${write(plain[name], depth + 1)}`);
  return `{${members.join()}}`;
}

/** UTF-16 order differs from code point order where surrogates meet the characters above them. */
function byCodePoint(a: string, b: string): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}

function invalid(what: string): SommosError {
  return new SommosError('INVALID_KEY', `a cache key must be a JSON value; this one ${what}`);
}

/** A key as error messages show it, shortened. */
export function shown(key: unknown): string {
  const text = typeof key === 'string' ? JSON.stringify(key.slice(0, 80)) : safeJson(key);
  return text.length > 90 ? `${text.slice(0, 87)}...` : text;
}

function safeJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
