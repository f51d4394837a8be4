import { abortReason, SommosError } from '../errors.js';
import { integer, oneOf } from '../options.js';
import type { Calls } from '../runtime/calls.js';
import { compute, type CallOptions } from '../runtime/compute.js';
import { loadCodecs, loadCompute } from '../runtime/modules.js';
import { mode } from '../runtime/mode.js';

/** Every algorithm. Their modules load at the first use: the first load stays small. */
export const COMPRESSION_ALGORITHMS = ['gzip', 'deflate', 'lz4', 'brotli', 'zstd'] as const;

/** The name of an algorithm. */
export type CompressionAlgorithm = (typeof COMPRESSION_ALGORITHMS)[number];

/** Any JSON value. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What `compress` takes. */
export interface CompressOptions extends CallOptions {
  /** The algorithm's own: gzip and deflate 0 to 9 (6), brotli 0 to 11 (5), zstd 1 to 19 (3). */
  level?: number | undefined;
}

/** In which form `decompress` answers. */
export type DecompressAs = 'auto' | 'json' | 'text' | 'bytes';

/** What `decompress` takes. */
export interface DecompressOptions extends CallOptions {
  /** Default `auto`. */
  as?: DecompressAs | undefined;
  /** Most bytes of output, up to 1 GiB. Default 256 MiB. */
  maxBytes?: number | undefined;
}

/** Inputs above this go to the compute worker, bytes: gzip takes 2 ms for so many. */
const INLINE_MAX = 256 * 1024;
const OUTPUT_MAX = 2 ** 30;
const ON_DEMAND: readonly string[] = ['brotli', 'zstd'];

/** Compresses bytes. */
export async function compressBytes(
  bytes: Uint8Array,
  algorithm: CompressionAlgorithm,
  options: CompressOptions = {},
): Promise<Uint8Array> {
  oneOf('algorithm', algorithm, COMPRESSION_ALGORITHMS);
  const { level } = options;
  if (level !== undefined) integer('level', level, { min: 0, max: 19, default: 0 });
  const args = { codec: algorithm, level, bytes };
  return heavy('compress', args, options, async () => {
    if (!ON_DEMAND.includes(algorithm)) return (await loadCompute()).compress(algorithm, level, bytes);
    return (await loadCodecs()).compress(algorithm, level, bytes);
  });
}

/** Decompresses to bytes. */
export async function decompressBytes(
  bytes: Uint8Array,
  algorithm: CompressionAlgorithm,
  options: DecompressOptions = {},
): Promise<Uint8Array> {
  oneOf('algorithm', algorithm, COMPRESSION_ALGORITHMS);
  const range = { min: 1, max: OUTPUT_MAX, default: 256 * 1024 * 1024 };
  const maxBytes = integer('maxBytes', options.maxBytes, range);
  const args = { codec: algorithm, bytes, maxBytes };
  return heavy('decompress', args, options, async () => {
    if (!ON_DEMAND.includes(algorithm)) return (await loadCompute()).decompress(algorithm, bytes, maxBytes);
    return (await loadCodecs()).decompress(algorithm, bytes, maxBytes);
  });
}

async function heavy<M extends 'compress' | 'decompress'>(
  method: M,
  args: Calls[M]['args'],
  options: CallOptions,
  inline: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { signal, onProgress, transfer } = options;
  if (signal?.aborted) throw abortReason(signal);
  const { length } = args.bytes;
  try {
    // Without SIMD only the worker has a module that runs.
    if (length > INLINE_MAX || !mode().simd) return await compute.call(method, args, { signal, onProgress, transfer });
    const out = await inline();
    // Loading a codec takes time in which the caller may have changed its mind.
    if (signal?.aborted) throw abortReason(signal);
    onProgress?.({ done: length, total: length });
    return out;
  } catch (error) {
    if (signal?.aborted) throw abortReason(signal);
    throw SommosError.from(error);
  }
}

/**
 * What is compressed of a value: bytes as they are, text as UTF-8, anything else as its JSON text.
 *
 * @throws SommosError `DETACHED` when the buffer was transferred away, `INVALID_FIELD` when the
 *   value is nothing that JSON can tell.
 */
export function bytesOf(data: unknown): Uint8Array {
  if (data instanceof ArrayBuffer) return attached(data, 0, data.byteLength);
  if (ArrayBuffer.isView(data)) {
    return attached(data.buffer, data.byteOffset, data.byteLength);
  }
  return new TextEncoder().encode(typeof data === 'string' ? data : jsonOf(data));
}

function attached(buffer: ArrayBufferLike, offset: number, length: number): Uint8Array {
  try {
    // Throws for a detached buffer, which says of itself only that it is empty.
    void new Uint8Array(buffer);
    return new Uint8Array(buffer, offset, length);
  } catch (cause) {
    const message =
      'the ArrayBuffer is detached: it was transferred to another thread and has no bytes here; give a copy';
    throw new SommosError('DETACHED', message, { cause });
  }
}

function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new SommosError('INVALID_FIELD', `data cannot be written as JSON: ${why}`, { cause });
  }
  if (text === undefined) {
    throw new SommosError('INVALID_FIELD', `data is ${typeof value}; expected text, bytes or a JSON value`);
  }
  return text;
}

/** The value that decompressed bytes stand for. */
export function valueOf(bytes: Uint8Array, as: DecompressAs): unknown {
  if (as === 'bytes') return bytes;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    if (as === 'auto') return bytes;
    throw new SommosError('CORRUPT_DATA', 'the decompressed bytes are no UTF-8 text', { cause });
  }
  if (as === 'text') return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (as === 'auto') return text;
    throw new SommosError('CORRUPT_DATA', 'the decompressed text is no JSON', { cause });
  }
}
