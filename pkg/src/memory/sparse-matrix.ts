import { engine } from '../engine.js';
import { guarded, SommosError } from '../errors.js';
import type { SparseMatrix as Inner } from '../generated/engine/engine.js';
import { finite, integer } from '../options.js';
import { Held } from './held.js';

const DIMENSION_MAX = 2 ** 32 - 1;
const ENTRIES_MAX = 250_000_000;

/** What a {@link SparseMatrix} is made from. */
export interface SparseMatrixOptions {
  /** Rows, 1 to 2^32 - 1. */
  rows: number;
  /** Columns, 1 to 2^32 - 1. */
  cols: number;
  /** What an element is unless set. Default 0. */
  defaultValue?: number | undefined;
  /** Most elements that may differ from the default, count. Default 10,000,000 (120 MB). */
  maxEntries?: number | undefined;
}

/**
 * A matrix of which most elements are the default; the others occupy 12 bytes each (and at most 3
 * more until `compact()`), in the module's memory.
 */
export class SparseMatrix {
  readonly rows: number;
  readonly cols: number;
  readonly defaultValue: number;
  readonly #held: Held<Inner>;

  constructor(options: SparseMatrixOptions) {
    const dimension = { min: 1, max: DIMENSION_MAX, default: NaN };
    this.rows = integer('rows', options?.rows, dimension);
    this.cols = integer('cols', options?.cols, dimension);
    const real = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE, default: 0 };
    this.defaultValue = finite('defaultValue', options.defaultValue, real);
    const entries = { min: 1, max: ENTRIES_MAX, default: 10_000_000 };
    const limit = integer('maxEntries', options.maxEntries, entries);
    const { SparseMatrix: Binding } = engine();
    const inner = guarded(() => new Binding(this.rows, this.cols, this.defaultValue, limit));
    this.#held = new Held('SparseMatrix', inner);
  }

  /**
   * Changes an element; the default removes it. O(1) amortized.
   *
   * @throws SommosError `INVALID_FIELD` out of range or not finite, `LIMIT_EXCEEDED` beyond
   *   `maxEntries`; nothing is then changed.
   */
  set(row: number, col: number, value: number): void {
    this.#check(row, col);
    guarded(() => this.#held.inner.set(row, col, value));
  }

  /**
   * Changes many elements in one call: element `i` is at `rows[i]`, `cols[i]`.
   *
   * @throws SommosError as {@link set}; those before the refused one stay changed.
   */
  setMany(rows: Uint32Array, cols: Uint32Array, values: Float64Array): void {
    if (rows.length !== cols.length || rows.length !== values.length) {
      const lengths = `${rows.length} rows, ${cols.length} columns, ${values.length} values`;
      throw new SommosError('INVALID_FIELD', `${lengths} were given; as many of each are needed`);
    }
    guarded(() => this.#held.inner.setMany(rows, cols, values));
  }

  /** An element. O(log). @throws SommosError `INVALID_FIELD` out of range. */
  get(row: number, col: number): number {
    this.#check(row, col);
    return guarded(() => this.#held.inner.get(row, col));
  }

  /** Elements that differ from the default. */
  getSize(): number {
    return this.#held.inner.size();
  }

  /** Bytes in the module's memory. */
  getMemoryUsage(): number {
    return this.#held.inner.memoryUsage();
  }

  /** Merges recent changes: 12 bytes an element afterwards. */
  compact(): void {
    this.#held.inner.compact();
  }

  /** All elements, row by row. @throws SommosError `LIMIT_EXCEEDED` above 16,777,216. */
  toDense(): Float64Array {
    return guarded(() => this.#held.inner.toDense(2 ** 24));
  }

  /** Gives the memory back; later calls throw `CLOSED`. */
  destroy(): void {
    this.#held.free();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(row: number, col: number): void {
    if (row >>> 0 !== row || col >>> 0 !== col) {
      const range = `rows 0 to ${this.rows - 1}, columns 0 to ${this.cols - 1}`;
      throw new SommosError('INVALID_FIELD', `no element at row ${row}, column ${col}: ${range}`);
    }
  }
}
