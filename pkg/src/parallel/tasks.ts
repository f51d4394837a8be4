/** The six kinds of work: what each takes and gives, and how it runs in the compute worker. */
import type { DataOperation } from '../batch/index.js';
import { SommosError } from '../errors.js';
import { oneOf } from '../options.js';
import type { FlatMatrix, Id } from '../runtime/calls.js';
import { compute, type CallOptions } from '../runtime/compute.js';
import { ROW_ALGORITHMS, type RowAlgorithm, type SimilarityAlgorithm } from './algorithms.js';
import { isFlat, toRows, type MatrixInput } from './matrix.js';
import type { RatingsInput } from './ratings.js';
import {
  similarityNeighbours,
  similarityTable,
  type NeighbourOptions,
  type SimilarityNeighbours,
  type SimilarityOptions,
  type SimilarityPair,
} from './similarity.js';

/** Kinds of features. */
export type FeatureType =
  | 'text_features'
  | 'numerical_features'
  | 'categorical_features'
  | 'temporal_features'
  | 'wine_features'
  | 'dish_features';

/** What a model_training gives. */
export interface TrainedModel {
  modelType: string;
  [field: string]: unknown;
}

/** Each kind of work: what it takes and gives. */
export interface TaskTypes {
  similarity_calculation: {
    data: (
      | { entities: RatingsInput }
      | { users: readonly Id[]; items: readonly Id[]; ratings: readonly number[] }
    ) & {
      algorithm?: SimilarityAlgorithm;
      options?: Omit<SimilarityOptions, keyof CallOptions> & { topK?: number; queryIds?: readonly Id[] };
    };
    result: SimilarityPair[] | SimilarityNeighbours[];
  };
  matrix_multiplication: {
    data: { matrixA: MatrixInput; matrixB: MatrixInput };
    /** Rows, or a flat matrix when both matrices were flat. */
    result: number[][] | FlatMatrix;
  };
  matrix_similarity: {
    data: { matrix: MatrixInput; algorithm?: RowAlgorithm; topK?: number };
    result: number[][] | FlatMatrix<Float64Array> | { row: number; similarity: number }[][];
  };
  feature_extraction: {
    data: { items: readonly Record<string, unknown>[]; featureTypes?: readonly FeatureType[]; options?: Record<string, unknown> };
    result: unknown;
  };
  data_processing: {
    data: { dataset: readonly Record<string, unknown>[]; operations: readonly DataOperation[] };
    result: Record<string, unknown>[];
  };
  model_training: {
    data: { modelType: 'collaborative_filtering'; trainingData: unknown; parameters?: Record<string, unknown> };
    result: TrainedModel;
  };
}

/** Names of the kinds of work. */
export type TaskType = keyof TaskTypes;

/** The names, in the order of the REST API's list. */
export const TASK_TYPES = [
  'similarity_calculation',
  'matrix_multiplication',
  'matrix_similarity',
  'feature_extraction',
  'data_processing',
  'model_training',
] as const satisfies readonly TaskType[];

/** Runs a task in the compute worker. */
export async function runTask<K extends TaskType>(
  type: K,
  data: TaskTypes[K]['data'],
  options: CallOptions = {},
): Promise<TaskTypes[K]['result']> {
  if (data === null || typeof data !== 'object') {
    throw new SommosError('MISSING_FIELD', `${type} takes an object as data`);
  }
  switch (type as TaskType) {
    case 'similarity_calculation':
      return runSimilarity(data as TaskTypes['similarity_calculation']['data'], options);
    case 'matrix_multiplication': {
      const { matrixA, matrixB } = data as TaskTypes['matrix_multiplication']['data'];
      return multiply(matrixA, matrixB, options);
    }
    case 'matrix_similarity': {
      const { matrix, algorithm, topK } = data as TaskTypes['matrix_similarity']['data'];
      return rowSimilarity(matrix, algorithm, topK, options);
    }
    case 'feature_extraction':
    case 'data_processing':
    case 'model_training':
      return (await compute.call('task', { taskType: type, data }, options)) as TaskTypes[K]['result'];
    default:
      throw new SommosError('UNKNOWN_NAME', `unknown task type "${type}"; known: ${TASK_TYPES.join(', ')}`);
  }
}

async function runSimilarity(data: TaskTypes['similarity_calculation']['data'], options: CallOptions) {
  const { algorithm, options: wanted = {} } = data;
  const ratings: RatingsInput = 'entities' in data ? data.entities : data;
  const all = { ...wanted, ...options };
  if (wanted.topK !== undefined) return similarityNeighbours(ratings, algorithm, all as NeighbourOptions);
  return (await similarityTable(ratings, algorithm, all)).toArray();
}

/** The product; rows unless both are flat. */
export async function multiply(a: MatrixInput, b: MatrixInput, options: CallOptions): Promise<number[][] | FlatMatrix> {
  if (a === undefined || b === undefined) {
    throw new SommosError('MISSING_FIELD', `${a === undefined ? 'matrixA' : 'matrixB'} is required`);
  }
  const product = await compute.call('multiply', { a, b }, options);
  return isFlat(a) && isFlat(b) ? product : toRows(product);
}

/** Similarities of the rows; with `topK` the nearest of each. */
export async function rowSimilarity(
  matrix: MatrixInput,
  algorithm: RowAlgorithm | undefined,
  topK: number | undefined,
  options: CallOptions,
): Promise<TaskTypes['matrix_similarity']['result']> {
  if (matrix === undefined) throw new SommosError('MISSING_FIELD', 'matrix is required');
  const measure = oneOf('algorithm', algorithm, ROW_ALGORITHMS, 'cosine');
  if (topK === undefined) {
    const found = await compute.call('rowSimilarity', { matrix, algorithm: measure }, options);
    return isFlat(matrix) ? found : toRows(found);
  }
  const { rows, similarity, count } = await compute.call(
    'rowNeighbours',
    { matrix, algorithm: measure, k: topK },
    options,
  );
  const each = count === 0 ? 0 : rows.length / count;
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: each }, (_, n) => {
      const at = row * each + n;
      return { row: rows[at]!, similarity: similarity[at]! };
    }),
  );
}
