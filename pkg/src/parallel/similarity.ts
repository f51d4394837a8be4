/** Similarity between entities: what is asked for and what comes back. */
import { SommosError } from '../errors.js';
import { finite, flag, integer, invalidOption, oneOf } from '../options.js';
import type { Id, PairColumns, PairOptions } from '../runtime/calls.js';
import { compute, type CallOptions } from '../runtime/compute.js';
import { buildInSlices } from '../runtime/slices.js';
import { ALGORITHMS, type SimilarityAlgorithm } from './algorithms.js';
import { readRatings, type RatingsInput, type ReadRatings } from './ratings.js';

/** Pairs that one result may have, count; also the engine's default. */
const PAIRS_MAX = 10_000_000;
const PAIRS_DEFAULT = 1_000_000;

/** Two entities and how alike they are. */
export interface SimilarityPair<A extends SimilarityAlgorithm = SimilarityAlgorithm> {
  entity1: Id;
  entity2: Id;
  similarity: number;
  algorithm: A;
  /** Items that both rated, count. */
  commonItems: number;
}

/** An entity and those most like it, the most similar first. */
export interface SimilarityNeighbours {
  entity: Id;
  neighbours: { entity: Id; similarity: number; commonItems: number }[];
}

/** Which pairs to compute and to keep. */
export interface SimilarityOptions extends CallOptions {
  /** Accepted for SommOS's sake, 1 to 1,000,000; all pairs are computed whatever it is. */
  batchSize?: number;
  /** Pairs below this are left out. Default 0.1. */
  minSimilarity?: number;
  /** Pairs with fewer co-rated items are left out. Default: 3 for pearson, else 1. */
  minCommonItems?: number;
  /** Keep only the best so many pairs. */
  limit?: number;
  /** Most pairs in the result: more reject with `LIMIT_EXCEEDED`. Default 1,000,000. */
  maxPairs?: number;
  /** Whose similarity: of the entities (default), or of the items that they rated. */
  by?: 'entity' | 'item';
}

/** Options of {@link SimilarityOptions} with `topK`. */
export interface NeighbourOptions extends SimilarityOptions {
  /** Neighbours of each entity, count. */
  topK: number;
  /** Whose neighbours; default: everyone's. */
  queryIds?: readonly Id[];
}

/** All pairs in typed arrays: no object for any pair. */
export class SimilarityTable<A extends SimilarityAlgorithm = SimilarityAlgorithm>
  implements Iterable<SimilarityPair<A>>
{
  readonly algorithm: A;
  /** Names of the entities; `first` and `second` are positions in it. */
  readonly ids: readonly Id[];
  readonly first: Uint32Array;
  readonly second: Uint32Array;
  readonly similarity: Float64Array;
  readonly commonItems: Uint32Array;

  constructor(algorithm: A, ids: readonly Id[], { first, second, similarity, common }: Omit<PairColumns, 'names'>) {
    this.algorithm = algorithm;
    this.ids = ids;
    this.first = first;
    this.second = second;
    this.similarity = similarity;
    this.commonItems = common;
  }

  /** Pairs, count. */
  get length(): number {
    return this.first.length;
  }

  /** The pair at a place, the most similar at 0. */
  at(index: number): SimilarityPair<A> | undefined {
    return index >= 0 && index < this.length ? this.#pair(index) : undefined;
  }

  *[Symbol.iterator](): IterableIterator<SimilarityPair<A>> {
    for (let index = 0; index < this.length; index++) yield this.#pair(index);
  }

  /** As objects, built without holding up the event loop. */
  toArray(): Promise<SimilarityPair<A>[]> {
    return buildInSlices(this.length, (index) => this.#pair(index));
  }

  #pair(index: number): SimilarityPair<A> {
    return {
      entity1: this.ids[this.first[index]!]!,
      entity2: this.ids[this.second[index]!]!,
      similarity: this.similarity[index]!,
      algorithm: this.algorithm,
      commonItems: this.commonItems[index]!,
    };
  }
}

/** The checked options of a call. */
export function pairOptions(algorithm: SimilarityAlgorithm | undefined, options: SimilarityOptions): PairOptions {
  integer('batchSize', options.batchSize, { min: 1, max: 1_000_000, default: 100 });
  const count = { min: 1, max: PAIRS_MAX, default: PAIRS_DEFAULT };
  const { minCommonItems, limit } = options;
  return {
    algorithm: oneOf('algorithm', algorithm, ALGORITHMS, 'pearson'),
    minSimilarity: finite('minSimilarity', options.minSimilarity, { min: -Number.MAX_VALUE, max: Number.MAX_VALUE, default: 0.1 }),
    minCommonItems: minCommonItems === undefined ? undefined : integer('minCommonItems', minCommonItems, { min: 1, max: 2 ** 31, default: 1 }),
    maxPairs: integer('maxPairs', options.maxPairs, count),
    limit: limit === undefined ? undefined : integer('limit', limit, count),
    by: oneOf('by', options.by, ['entity', 'item'], 'entity'),
  };
}

/** All pairs in columns. */
export async function similarityTable(
  ratings: RatingsInput,
  algorithm: SimilarityAlgorithm | undefined,
  options: SimilarityOptions,
  cache?: { owner: string; expiresMs: number },
): Promise<SimilarityTable> {
  const wanted = pairOptions(algorithm, options);
  const read = await readRatings(ratings);
  const found = await compute.call('allPairs', { rows: read.rows, options: wanted, cache }, moving(read, options));
  return new SimilarityTable(wanted.algorithm, namesOf(read, wanted.by, found), found);
}

/** Arrays of our own move to the worker. */
function moving({ owned, rows }: ReadRatings, options: CallOptions): CallOptions {
  return owned ? { ...options, transfer: [rows.offsets.buffer, rows.items.buffer, rows.ratings.buffer] } : options;
}

/** What the rows of a result are called. */
function namesOf({ entityIds, itemIds }: ReadRatings, by: 'entity' | 'item', { names }: PairColumns): readonly Id[] {
  if (by === 'entity' || !names) return entityIds;
  // Without names of their own items are called by their numbers.
  return Array.from(names, (position) => itemIds[position] ?? position);
}

/** The most similar of each. */
export async function similarityNeighbours(
  ratings: RatingsInput,
  algorithm: SimilarityAlgorithm | undefined,
  options: NeighbourOptions,
): Promise<SimilarityNeighbours[]> {
  const k = integer('topK', options.topK, { min: 1, max: PAIRS_MAX, default: 10 });
  const { queryIds } = options;
  if (queryIds !== undefined && !Array.isArray(queryIds)) throw invalidOption('queryIds', queryIds, 'an array of ids');
  const wanted = pairOptions(algorithm, options);
  const read = await readRatings(ratings);
  const found = await compute.call(
    'topK',
    { rows: read.rows, options: wanted, k, queries: queryIds && positionsOf(read, wanted.by, queryIds) },
    moving(read, options),
  );
  const { first, second, similarity, common, queries } = found;
  const ids = namesOf(read, wanted.by, found);
  return buildInSlices(queries.length, (row) => ({
    entity: ids[queries[row]!]!,
    neighbours: Array.from({ length: first[row + 1]! - first[row]! }, (_, n) => {
      const at = first[row]! + n;
      return { entity: ids[second[at]!]!, similarity: similarity[at]!, commonItems: common[at]! };
    }),
  }), k);
}

/** Where ids stand among the entities, or among the items. */
function positionsOf({ entityIds, itemIds }: ReadRatings, by: 'entity' | 'item', ids: readonly Id[]): Uint32Array {
  const positions = new Map((by === 'entity' ? entityIds : itemIds).map((id, position) => [id, position]));
  return Uint32Array.from(ids, (id) => {
    const position = by === 'item' && itemIds.length === 0 && typeof id === 'number' ? id : positions.get(id);
    if (position === undefined) throw new SommosError('INVALID_FIELD', `queryIds: no ${by} has the id ${id}`);
    return position;
  });
}

/** Whether a call asked for the table instead of objects. */
export function wantsTable(options: { compact?: boolean }): boolean {
  return flag('compact', options.compact, false);
}
