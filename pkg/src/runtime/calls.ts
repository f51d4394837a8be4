/**
 * The heavy calls, as the compute worker runs them. Without a worker (workerd, or where none may
 * be started) they run where they are called.
 */
import { SommosError } from '../errors.js';
import type * as ComputeBindings from '../generated/compute/compute.js';
import type * as TasksBindings from '../generated/tasks/tasks.js';
import type * as CodecsBindings from '../generated/codecs/codecs.js';
import { flatten, type MatrixInput } from '../parallel/matrix.js';
import type { RatingRows } from '../parallel/ratings.js';
import { PairCache, type CacheRequest } from './pair-cache.js';
import { ALGORITHMS, ROW_ALGORITHMS, type RowAlgorithm, type SimilarityAlgorithm } from '../parallel/algorithms.js';

/** An identity of an entity or item. */
export type Id = string | number;

/** A matrix, row by row, in one typed array. */
export interface FlatMatrix<A extends Float32Array | Float64Array = Float32Array | Float64Array> {
  rows: number;
  cols: number;
  data: A;
}

/** Which pairs to keep. */
export interface PairOptions {
  algorithm: SimilarityAlgorithm;
  minSimilarity: number;
  minCommonItems: number | undefined;
  maxPairs: number;
  limit: number | undefined;
  by: 'entity' | 'item';
}

/** Pairs in columns: `first` and `second` are positions in `names`. */
export interface PairColumns {
  /** By item: the position of each row among the items. By entity rows are positions. */
  names: Uint32Array | undefined;
  first: Uint32Array;
  second: Uint32Array;
  similarity: Float64Array;
  common: Uint32Array;
}

/** Each heavy call: what it takes and gives. */
export interface Calls {
  allPairs: {
    args: { rows: RatingRows; options: PairOptions; cache: CacheRequest | undefined };
    result: PairColumns;
  };
  topK: {
    /** `queries` are positions of entities, or of items. */
    args: { rows: RatingRows; options: PairOptions; k: number; queries: Uint32Array | undefined };
    /** `first` has the offsets of the lists of `queries`. */
    result: PairColumns & { queries: Uint32Array };
  };
  multiply: { args: { a: MatrixInput; b: MatrixInput }; result: FlatMatrix };
  rowSimilarity: { args: { matrix: MatrixInput; algorithm: RowAlgorithm }; result: FlatMatrix<Float64Array> };
  rowNeighbours: {
    args: { matrix: MatrixInput; algorithm: RowAlgorithm; k: number };
    /** `count` lists of equal length, one after the other. */
    result: { rows: Uint32Array; similarity: Float64Array; count: number };
  };
  task: { args: { taskType: string; data: unknown }; result: unknown };
  /** Bytes of the module's memory in the thread that computes. */
  memory: { args: undefined; result: { bytes: number } };
  compress: { args: { codec: string; level: number | undefined; bytes: Uint8Array }; result: Uint8Array };
  decompress: { args: { codec: string; bytes: Uint8Array; maxBytes: number }; result: Uint8Array };
}

/** Where the calls find the modules. */
export interface Engines {
  engine: typeof ComputeBindings;
  tasks(): Promise<typeof TasksBindings>;
  codecs(): Promise<typeof CodecsBindings>;
}

let engines: Engines | undefined;

/** Called once the modules of this thread are loaded. */
export function setEngines(loaded: Engines): void {
  engines = loaded;
}

interface Outcome {
  value: unknown;
  transfer: Transferable[];
}

type Handlers = { [M in keyof Calls]: (e: Engines, args: Calls[M]['args']) => Outcome | Promise<Outcome> };

const handlers: Handlers = {
  allPairs({ engine }, { rows, options, cache }) {
    const found = cache && pairCache.get(cache, options, rows);
    if (found) return { value: found, transfer: [] };
    const { table, names } = openRatings(engine, rows, options.by);
    const wanted = pairOptions(engine, options);
    try {
      const pairs = columns(names, table.allPairs(wanted));
      // What is kept is copied to the caller, not moved.
      const kept = cache && pairCache.set(cache, options, rows, pairs);
      return { value: pairs, transfer: kept ? [] : buffers(pairs) };
    } finally {
      wanted.free();
      table.free();
    }
  },

  topK({ engine }, { rows, options, k, queries }) {
    const { table, names } = openRatings(engine, rows, options.by);
    const wanted = pairOptions(engine, options);
    try {
      const asked = queries && names ? Uint32Array.from(queries, (name) => names.indexOf(name)) : queries;
      if (asked?.includes(ABSENT)) throw new SommosError('INVALID_FIELD', 'queryIds: nobody rated one of the items');
      const lists = columns(names, table.topK(k, asked, wanted));
      const count = names?.length ?? rows.offsets.length - 1;
      const value = { ...lists, queries: asked ?? Uint32Array.from({ length: count }, (_, row) => row) };
      return { value, transfer: buffers(lists) };
    } finally {
      wanted.free();
      table.free();
    }
  },

  multiply({ engine }, { a: left, b: right }) {
    const [a, b] = [flatten('matrixA', left), flatten('matrixB', right)];
    if (a.cols !== b.rows) {
      throw new SommosError(
        'INVALID_FIELD',
        `matrixB has ${b.rows} rows, but matrixA has ${a.cols} columns: the two must be equal`,
      );
    }
    const single = a.data instanceof Float32Array && b.data instanceof Float32Array;
    const data = single
      ? engine.multiplyF32(a.data as Float32Array, b.data as Float32Array, a.rows, a.cols, b.cols)
      : engine.multiplyF64(doubles(a.data), doubles(b.data), a.rows, a.cols, b.cols);
    return { value: { rows: a.rows, cols: b.cols, data }, transfer: [data.buffer] };
  },

  rowSimilarity({ engine }, { matrix, algorithm }) {
    const { rows, cols, data: input } = flatten('matrix', matrix);
    const measure = ROW_ALGORITHMS.indexOf(algorithm);
    const data = engine.rowSimilarity(doubles(input), rows, cols, measure);
    return { value: { rows, cols: rows, data }, transfer: [data.buffer] };
  },

  rowNeighbours({ engine }, { matrix, algorithm, k }) {
    const { rows: count, cols, data } = flatten('matrix', matrix);
    const measure = ROW_ALGORITHMS.indexOf(algorithm);
    if (!Number.isInteger(k) || k < 1 || k > count) {
      throw new SommosError('INVALID_FIELD', `topK is ${k}; expected an integer from 1 to ${count}, the rows`);
    }
    const found = new engine.RowNeighbours(doubles(data), count, cols, measure, k);
    try {
      const { rows, similarity } = found;
      return { value: { rows, similarity, count }, transfer: [rows.buffer, similarity.buffer] };
    } finally {
      found.free();
    }
  },

  async task({ tasks }, { taskType, data }) {
    const { runTask } = await tasks();
    const text = JSON.stringify(data);
    if (text === undefined) throw new SommosError('MISSING_FIELD', 'data is required');
    return { value: JSON.parse(runTask(taskType, text)), transfer: [] };
  },

  memory({ engine }) {
    const { buffer } = engine.computeMemory() as WebAssembly.Memory;
    return { value: { bytes: buffer.byteLength }, transfer: [] };
  },

  async compress({ engine, codecs }, { codec, level, bytes }) {
    const out = ON_DEMAND.has(codec)
      ? (await codecs()).compress(codec, level, bytes)
      : engine.compress(codec, level, bytes);
    return { value: out, transfer: [out.buffer] };
  },

  async decompress({ engine, codecs }, { codec, bytes, maxBytes }) {
    const out = ON_DEMAND.has(codec)
      ? (await codecs()).decompress(codec, bytes, maxBytes)
      : engine.decompress(codec, bytes, maxBytes);
    return { value: out, transfer: [out.buffer] };
  },
};

/** The codecs that the engine module leaves out. */
const ON_DEMAND = new Set(['brotli', 'zstd']);

/** Runs a call in this thread. */
export async function runCall(method: string, args: unknown): Promise<Outcome> {
  if (!engines) throw new SommosError('NOT_INITIALIZED', 'the engine is not loaded in this thread');
  const handler = handlers[method as keyof Calls] as (e: Engines, args: unknown) => Outcome | Promise<Outcome>;
  return handler(engines, args);
}

/** Results of all pairs, kept in the thread that computed them. */
const pairCache = new PairCache();

/** -1 as an unsigned number: what `indexOf` gives for what is not there. */
const ABSENT = 0xffff_ffff;

function openRatings(engine: typeof ComputeBindings, { offsets, items, ratings }: RatingRows, by: 'entity' | 'item') {
  const table = new engine.RatingsTable(offsets, items, ratings);
  if (by === 'entity') return { table, names: undefined };
  try {
    const byItem = table.byItem();
    return { table: byItem, names: byItem.positions() };
  } finally {
    table.free();
  }
}

function pairOptions(engine: typeof ComputeBindings, options: PairOptions) {
  return new engine.SimilarityOptions(
    ALGORITHMS.indexOf(options.algorithm),
    options.minSimilarity,
    options.minCommonItems,
    options.maxPairs,
    options.limit,
  );
}

function columns(names: Uint32Array | undefined, found: unknown[]): PairColumns {
  const [first, second, similarity, common] = found as [Uint32Array, Uint32Array, Float64Array, Uint32Array];
  return { names, first, second, similarity, common };
}

function buffers({ first, second, similarity, common }: PairColumns): Transferable[] {
  return [first.buffer, second.buffer, similarity.buffer, common.buffer];
}

function doubles(data: Float32Array | Float64Array): Float64Array {
  return data instanceof Float64Array ? data : Float64Array.from(data);
}
