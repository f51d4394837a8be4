import { SommosError } from '../errors.js';
import { integer } from '../options.js';
import type { FlatMatrix } from '../runtime/calls.js';
import type { CallOptions } from '../runtime/compute.js';
import type { RowAlgorithm, SimilarityAlgorithm } from './algorithms.js';
import { ParallelProcessingEngine, type ParallelProcessingOptions } from './engine.js';
import { multiply, rowSimilarity } from './tasks.js';
import type { Rows } from './matrix.js';
import type { RatingsInput } from './ratings.js';
import {
  similarityNeighbours,
  similarityTable,
  wantsTable,
  type NeighbourOptions,
  type SimilarityNeighbours,
  type SimilarityOptions,
  type SimilarityPair,
  type SimilarityTable,
} from './similarity.js';

/** How a {@link SimilarityCalculationEngine} works. */
export interface SimilarityEngineOptions extends ParallelProcessingOptions {
  /** How long a result answers for the same input, milliseconds; 0: never. Default 3,600,000. */
  cacheExpiry?: number;
}

let engines = 0;

/** Similarities between entities from what they rated, over all pairs. */
export class SimilarityCalculationEngine extends ParallelProcessingEngine {
  readonly #cacheExpiry: number;
  readonly #number = ++engines;
  #cleared = 0;
  #closed = false;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: SimilarityEngineOptions = {}) {
    super(options);
    const range = { min: 0, max: 2 ** 53, default: 3_600_000 };
    this.#cacheExpiry = integer('cacheExpiry', options.cacheExpiry, range);
  }

  /**
   * All pairs that the options keep, the most similar first (for `euclidean_distance` the
   * nearest). With `compact` they come as a table of typed arrays, without an object for any.
   *
   * @throws SommosError `INVALID_OPTION`, `INVALID_FIELD`, `LIMIT_EXCEEDED` (more pairs than
   *   `maxPairs`), `CLOSED`; the signal's reason when that aborts.
   */
  calculateSimilarities<A extends SimilarityAlgorithm = 'pearson'>(
    entities: RatingsInput,
    algorithm: A | undefined,
    options: SimilarityOptions & { compact: true },
  ): Promise<SimilarityTable<A>>;
  calculateSimilarities<A extends SimilarityAlgorithm = 'pearson'>(
    entities: RatingsInput,
    algorithm?: A,
    options?: SimilarityOptions & { compact?: false },
  ): Promise<SimilarityPair<A>[]>;
  async calculateSimilarities(
    entities: RatingsInput,
    algorithm?: SimilarityAlgorithm,
    options: SimilarityOptions & { compact?: boolean } = {},
  ): Promise<SimilarityTable | SimilarityPair[]> {
    this.#open();
    const compact = wantsTable(options);
    const owner = `${this.#number}.${this.#cleared}`;
    const cache = this.#cacheExpiry > 0 ? { owner, expiresMs: this.#cacheExpiry } : undefined;
    const table = await similarityTable(entities, algorithm, options, cache);
    return compact ? table : table.toArray();
  }

  /** For each entity the `topK` most like it. Memory for rows times k, never for all pairs. */
  async findSimilar(
    entities: RatingsInput,
    algorithm: SimilarityAlgorithm | undefined,
    options: NeighbourOptions,
  ): Promise<SimilarityNeighbours[]> {
    this.#open();
    return similarityNeighbours(entities, algorithm, options);
  }

  /** Forgets the results kept for inputs that come again. */
  clearSimilarityCache(): void {
    this.#cleared += 1;
  }

  override async shutdown(): Promise<void> {
    this.#closed = true;
    await super.shutdown();
  }

  #open(): void {
    if (this.#closed) throw new SommosError('CLOSED', 'this SimilarityCalculationEngine was shut down');
  }
}

/** Options of a call on matrices. */
export interface MatrixCallOptions extends CallOptions {
  /** Accepted for SommOS's sake; the engine cuts the work by itself. */
  chunkSize?: number;
  /** As `chunkSize`. */
  batchSize?: number;
}

/** Products of dense matrices, and similarities of their rows. */
export class MatrixProcessingEngine extends ParallelProcessingEngine {
  #closed = false;

  /**
   * The product. Two flat matrices give a flat one, in single precision when both are; with
   * `transfer: [a.data.buffer, b.data.buffer]` their memory moves instead of being copied.
   *
   * @throws SommosError `INVALID_FIELD`, `LIMIT_EXCEEDED`, `CLOSED`; the signal's reason.
   */
  multiplyMatrices(
    a: FlatMatrix<Float32Array>,
    b: FlatMatrix<Float32Array>,
    options?: MatrixCallOptions,
  ): Promise<FlatMatrix<Float32Array>>;
  multiplyMatrices(a: FlatMatrix, b: FlatMatrix, options?: MatrixCallOptions): Promise<FlatMatrix<Float64Array>>;
  multiplyMatrices(a: Rows, b: Rows, options?: MatrixCallOptions): Promise<number[][]>;
  async multiplyMatrices(
    a: Rows | FlatMatrix,
    b: Rows | FlatMatrix,
    options: MatrixCallOptions = {},
  ): Promise<number[][] | FlatMatrix> {
    this.#check(options);
    return multiply(a, b, options);
  }

  /** Similarities of all rows with each other, in a symmetric matrix. */
  calculateMatrixSimilarity(rows: FlatMatrix, algorithm?: RowAlgorithm, options?: MatrixCallOptions): Promise<FlatMatrix<Float64Array>>;
  calculateMatrixSimilarity(rows: Rows, algorithm?: RowAlgorithm, options?: MatrixCallOptions): Promise<number[][]>;
  async calculateMatrixSimilarity(
    rows: Rows | FlatMatrix,
    algorithm?: RowAlgorithm,
    options: MatrixCallOptions = {},
  ): Promise<unknown> {
    this.#check(options);
    return rowSimilarity(rows, algorithm, undefined, options);
  }

  override async shutdown(): Promise<void> {
    this.#closed = true;
    await super.shutdown();
  }

  #check({ chunkSize, batchSize }: MatrixCallOptions): void {
    if (this.#closed) throw new SommosError('CLOSED', 'this MatrixProcessingEngine was shut down');
    integer('chunkSize', chunkSize, { min: 1, max: 1_000_000, default: 1000 });
    integer('batchSize', batchSize, { min: 1, max: 1_000_000, default: 100 });
  }
}
