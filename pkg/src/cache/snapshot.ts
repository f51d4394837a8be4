import { SommosError } from '../errors.js';
import { crc32 } from './crc.js';
import { originalKey, plainKey, shown, storedKey, type CacheKey } from './key.js';

/** "SOMCACHE", then version (u16), flags (u16, 0), entries (u32), length of the text (u32); all
 * little-endian. Then the text, and the CRC-32 of everything before it (u32). The text is a JSON
 * array of [key, value, stale from or null, gone from or null, tags or null], the least recently used
 * first; null in place of a time means never. */
const MAGIC = 'SOMCACHE';
const VERSION = 1;
const HEAD = 20;
const TAIL = 4;
const DEPTH_MAX = 200;

/** How {@link AdvancedCacheManager.snapshot} meets values that JSON cannot hold. */
export interface SnapshotOptions {
  /** Called with each such value's error, whose entry is left out; without it the error is thrown. */
  skip?: (error: SommosError, key: CacheKey) => void;
}

/** One entry: the stored text of its key, its deadlines in milliseconds since 1970. */
export interface Saved {
  key: string;
  value: unknown;
  staleAt: number;
  goneAt: number;
  tags: readonly string[] | undefined;
}

/** The entries, the least recently used first, as bytes. */
export function writeSnapshot(entries: readonly Saved[], options: SnapshotOptions): Uint8Array {
  const rows: string[] = [];
  for (const entry of entries) {
    const wrong = notJson(entry.value, '', 0);
    if (wrong === undefined) {
      const { key, value, staleAt, goneAt, tags } = entry;
      // JSON writes Infinity as null.
      rows.push(JSON.stringify([key, value, staleAt, goneAt, tags ?? null]));
      continue;
    }
    const key = originalKey(entry.key);
    const error = new SommosError(
      'NOT_SERIALIZABLE',
      `the value of key ${shown(key)} cannot be written to a snapshot: ${wrong}`,
    );
    if (!options.skip) throw error;
    options.skip(error, key);
  }
  const text = new TextEncoder().encode(`[${rows.join()}]`);
  const bytes = new Uint8Array(HEAD + text.length + TAIL);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < MAGIC.length; at++) bytes[at] = MAGIC.charCodeAt(at);
  view.setUint16(8, VERSION, true);
  view.setUint32(12, rows.length, true);
  view.setUint32(16, text.length, true);
  bytes.set(text, HEAD);
  const end = HEAD + text.length;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** The entries of a snapshot, the least recently used first. */
export function readSnapshot(bytes: Uint8Array, limits: { maxKeyLength: number }): Saved[] {
  if (!(bytes instanceof Uint8Array)) {
    throw new SommosError('INVALID_OPTION', 'restore takes the Uint8Array of a snapshot');
  }
  const [text, count] = checkedText(bytes);
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch (error) {
    throw corrupt(`its text at byte ${HEAD} is not JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(rows) || rows.length !== count) {
    throw corrupt(`its text at byte ${HEAD} is not an array of the ${count} entries announced`);
  }
  return rows.map((row: unknown, at) => savedOf(row, at, limits.maxKeyLength));
}

function checkedText(bytes: Uint8Array): [string, number] {
  const { length } = bytes;
  if (length < HEAD + TAIL) {
    throw corrupt(`it ends at byte ${length}, within its head of ${HEAD} bytes and its checksum`);
  }
  for (let at = 0; at < MAGIC.length; at++) {
    if (bytes[at] !== MAGIC.charCodeAt(at)) throw corrupt(`byte ${at} is not of "${MAGIC}"`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const version = view.getUint16(8, true);
  if (version !== VERSION) {
    throw corrupt(`byte 8 gives version ${version}; this package reads version ${VERSION}`);
  }
  const end = HEAD + view.getUint32(16, true);
  if (end + TAIL !== length) {
    throw corrupt(`it has ${length} bytes where byte 16 announces ${end + TAIL}`);
  }
  const [stated, computed] = [view.getUint32(end, true), crc32(bytes.subarray(0, end))];
  if (stated !== computed) {
    const hex = (n: number): string => n.toString(16).padStart(8, '0');
    throw corrupt(`bytes 0 to ${end} have the checksum ${hex(computed)}, byte ${end} states ${hex(stated)}`);
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(HEAD, end));
    return [text, view.getUint32(12, true)];
  } catch {
    throw corrupt(`its text at byte ${HEAD} is not UTF-8`);
  }
}

function savedOf(row: unknown, at: number, lengthMax: number): Saved {
  if (!Array.isArray(row) || row.length !== 5) throw corrupt(`entry ${at} has not 5 parts`);
  const [key, value, staleAt, goneAt, tags] = row as unknown[];
  if (typeof key !== 'string' || !isStored(key, lengthMax)) {
    throw corrupt(`entry ${at} has no valid key`);
  }
  const time = (part: unknown, name: string): number => {
    if (part === null) return Infinity;
    if (typeof part === 'number' && part >= 0) return part;
    throw corrupt(`entry ${at} (${shown(plainKey(key))}) has no valid ${name}`);
  };
  const areTags = tags === null || (Array.isArray(tags) && tags.every((t) => typeof t === 'string'));
  if (!areTags) throw corrupt(`entry ${at} (${shown(plainKey(key))}) has no valid tags`);
  return {
    key,
    value,
    staleAt: time(staleAt, 'deadline'),
    goneAt: time(goneAt, 'second deadline'),
    tags: (tags as string[] | null) ?? undefined,
  };
}

function isStored(key: string, lengthMax: number): boolean {
  try {
    return storedKey(originalKey(key), lengthMax) === key;
  } catch {
    return false;
  }
}

/** Says what in a value JSON cannot hold, and where; undefined when it holds all. */
function notJson(value: unknown, path: string, depth: number): string | undefined {
  const where = path === '' ? 'it' : path;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined;
    case 'number':
      return Number.isFinite(value) ? undefined : `${where} is ${value}`;
    case 'object':
      break;
    default:
      return `${where} is of type ${typeof value}`;
  }
  if (value === null) return undefined;
  if (depth >= DEPTH_MAX) return `it is nested deeper than ${DEPTH_MAX} levels, or in itself`;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      const wrong = notJson(value[at], `${path}[${at}]`, depth + 1);
      if (wrong) return wrong;
    }
    return undefined;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    return `${where} is a ${value.constructor?.name ?? 'class instance'}`;
  }
  for (const [name, member] of Object.entries(value)) {
    // JSON leaves such members out; so does the snapshot.
    if (member === undefined) continue;
    const wrong = notJson(member, `${path}.${name}`, depth + 1);
    if (wrong) return wrong;
  }
  return undefined;
}

function corrupt(what: string): SommosError {
  return new SommosError('CORRUPT_DATA', `the snapshot is corrupt: ${what}`);
}
