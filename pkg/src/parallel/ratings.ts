/** Ratings in the forms that callers have them, and the one form that the engine takes. */
import { SommosError } from '../errors.js';
import type { Id } from '../runtime/calls.js';
import { Pace } from '../runtime/slices.js';

/** One rating; `itemId` is accepted too. */
export type Rating = { item_id: Id; rating: number } | { itemId: Id; rating: number };

/** An entity and what it rated. */
export interface RatedEntity {
  id: Id;
  ratings: readonly Rating[];
}

/**
 * Ratings as compressed sparse rows, without an object for any rating: entity `e` rated
 * `items[offsets[e]..offsets[e + 1]]`. Without `ids` the entities are called by their positions.
 */
export interface CsrRatings {
  ids?: readonly Id[];
  offsets: Uint32Array;
  items: Uint32Array;
  ratings: Float32Array;
  /** Names of the items, for similarities by item. */
  itemIds?: readonly Id[];
}

/** Who rated what how, in three lists of equal length. */
export interface TripletRatings {
  users: ArrayLike<Id>;
  items: ArrayLike<Id>;
  ratings: ArrayLike<number>;
}

/** Any of the forms. */
export type RatingsInput = readonly RatedEntity[] | CsrRatings | TripletRatings;

/** The engine's form: compressed rows over positions. */
export interface RatingRows {
  offsets: Uint32Array;
  items: Uint32Array;
  ratings: Float32Array;
}

/** The engine's form, and what its positions are called. */
export interface ReadRatings {
  rows: RatingRows;
  entityIds: readonly Id[];
  itemIds: readonly Id[];
  /** Whether the arrays are nobody else's and may move to a worker. */
  owned: boolean;
}

/**
 * Reads any form, a slice at a time: typed arrays are far cheaper to hand to a worker than an
 * object for each rating. An item rated twice by the same entity keeps the last rating.
 */
export async function readRatings(input: RatingsInput): Promise<ReadRatings> {
  if (Array.isArray(input)) return readEntities(input as readonly RatedEntity[]);
  if (input && 'offsets' in input) return readCsr(input);
  if (input && 'users' in input) return readTriplets(input);
  throw new SommosError(
    'MISSING_FIELD',
    'Entities are required: an array of {id, ratings: [{item_id, rating}]}, or typed arrays ' +
      '{offsets, items, ratings}, or {users, items, ratings} of equal length',
  );
}

/** Gives each id a position, in the order of first use. */
class Positions {
  readonly ids: Id[] = [];
  readonly #positions = new Map<Id, number>();

  of(id: Id, where: () => string): number {
    let position = this.#positions.get(id);
    if (position === undefined) {
      if (typeof id !== 'string' && !Number.isSafeInteger(id)) {
        throw new SommosError('INVALID_FIELD', `${where()} is ${String(id)}; expected an integer or a string`);
      }
      position = this.ids.length;
      this.ids.push(id);
      this.#positions.set(id, position);
    }
    return position;
  }
}

async function readEntities(entities: readonly RatedEntity[]): Promise<ReadRatings> {
  let count = 0;
  entities.forEach((entity, e) => {
    if (!Array.isArray(entity?.ratings)) {
      throw new SommosError('INVALID_FIELD', `entities[${e}].ratings is missing; expected [{item_id, rating}]`);
    }
    count += entity.ratings.length;
  });
  const triplets = new Triplets(count);
  const pace = new Pace();
  for (let e = 0; e < entities.length; e++) {
    const { id, ratings } = entities[e]!;
    const row = triplets.entities.of(id, () => `entities[${e}].id`);
    for (let r = 0; r < ratings.length; r++) {
      if (pace.due()) await pace.breathe();
      const rating = ratings[r]!;
      const item = 'item_id' in rating ? rating.item_id : rating.itemId;
      triplets.add(row, item, rating.rating, () => `entities[${e}].ratings[${r}]`);
    }
  }
  return triplets.gather(pace);
}

async function readTriplets({ users, items, ratings }: TripletRatings): Promise<ReadRatings> {
  if (users.length !== items.length || users.length !== ratings.length) {
    throw new SommosError(
      'INVALID_FIELD',
      `users, items and ratings must be equally long, got ${users.length}, ${items.length} and ${ratings.length}`,
    );
  }
  const triplets = new Triplets(users.length);
  const pace = new Pace();
  for (let i = 0; i < users.length; i++) {
    if (pace.due()) await pace.breathe();
    const row = triplets.entities.of(users[i]!, () => `users[${i}]`);
    triplets.add(row, items[i]!, ratings[i]!, () => `ratings[${i}]`);
  }
  return triplets.gather(pace);
}

function readCsr({ ids, offsets, items, ratings, itemIds }: CsrRatings): ReadRatings {
  const entities = Math.max(offsets.length - 1, 0);
  if (ids && ids.length !== entities) {
    throw new SommosError('INVALID_FIELD', `ids has ${ids.length} names for ${entities} entities`);
  }
  let itemCount = 0;
  for (let i = 0; i < items.length; i++) if (items[i]! >= itemCount) itemCount = items[i]! + 1;
  if (itemIds && itemIds.length < itemCount) {
    throw new SommosError('INVALID_FIELD', `itemIds has ${itemIds.length} names for ${itemCount} items`);
  }
  return {
    rows: { offsets, items, ratings },
    entityIds: ids ?? Array.from({ length: entities }, (_, i) => i),
    itemIds: itemIds ?? [],
    owned: false,
  };
}

/** Ratings in any order, on their way into rows. */
class Triplets {
  readonly entities = new Positions();
  readonly #items = new Positions();
  readonly #rows: Uint32Array;
  readonly #columns: Uint32Array;
  readonly #values: Float32Array;
  #at = 0;

  constructor(count: number) {
    this.#rows = new Uint32Array(count);
    this.#columns = new Uint32Array(count);
    this.#values = new Float32Array(count);
  }

  add(row: number, item: Id, value: number, where: () => string): void {
    this.#rows[this.#at] = row;
    this.#columns[this.#at] = this.#items.of(item, () => `${where()}.item_id`);
    this.#values[this.#at] = finiteRating(value, where);
    this.#at += 1;
  }

  /** In rows, with the order within a row as it came. */
  async gather(pace: Pace): Promise<ReadRatings> {
    const offsets = new Uint32Array(this.entities.ids.length + 1);
    for (const row of this.#rows) offsets[row + 1]! += 1;
    for (let row = 1; row < offsets.length; row++) offsets[row]! += offsets[row - 1]!;
    const next = offsets.slice();
    const items = new Uint32Array(this.#columns.length);
    const ratings = new Float32Array(this.#values.length);
    for (let i = 0; i < items.length; i++) {
      if (pace.due()) await pace.breathe();
      const place = next[this.#rows[i]!]!++;
      items[place] = this.#columns[i]!;
      ratings[place] = this.#values[i]!;
    }
    const [entityIds, itemIds] = [this.entities.ids, this.#items.ids];
    return { rows: { offsets, items, ratings }, entityIds, itemIds, owned: true };
  }
}

function finiteRating(value: unknown, where: () => string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new SommosError('INVALID_FIELD', `${where()}.rating is ${String(value)}; expected a finite number`);
}
