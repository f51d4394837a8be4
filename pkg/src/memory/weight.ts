/** Parts of a value that are looked at; the rest of a larger one is estimated from these. */
const PARTS_MAX = 10_000;

/**
 * About how many bytes a JavaScript value occupies. Strings count two bytes a character, buffers
 * their length; of very large objects the first 10,000 parts are looked at.
 */
export function weightOf(value: unknown): number {
  const seen = new Set<object>();
  const open: unknown[] = [value];
  let bytes = 0;
  let parts = 0;
  while (open.length > 0 && parts < PARTS_MAX) {
    parts += 1;
    const part = open.pop();
    bytes += flatWeight(part);
    if (typeof part !== 'object' || part === null || seen.has(part)) continue;
    seen.add(part);
    if (ArrayBuffer.isView(part) || part instanceof ArrayBuffer) continue;
    if (part instanceof Map) for (const [key, entry] of part) open.push(key, entry);
    else if (part instanceof Set || Array.isArray(part)) for (const entry of part) open.push(entry);
    else {
      for (const key of Object.keys(part)) {
        bytes += 8;
        open.push((part as Record<string, unknown>)[key]);
      }
    }
  }
  return Math.round((bytes * (parts + open.length)) / parts);
}

function flatWeight(value: unknown): number {
  switch (typeof value) {
    case 'string':
      return 16 + 2 * value.length;
    case 'object':
      if (value === null) return 8;
      if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return 64 + value.byteLength;
      return 24;
    default:
      return 8;
  }
}
