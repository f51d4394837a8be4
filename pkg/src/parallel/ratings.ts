/** Ratings in the forms that callers have them, and the one form that the engine takes. */
import { SommosError } from '../errors.js';
import type { Id } from '../runtime/calls.js';

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

/** The engine's form, and what its positions are called. */
export interface ReadRatings {
  offsets: Uint32Array;
  items: Uint32Array;
  ratings: Float32Array;
  entityIds: Id[];
  itemIds: Id[];
}

/** Reads any form. An item rated twice by the same entity keeps the last rating. */
export function readRatings(input: RatingsInput): ReadRatings {
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

function readEntities(entities: readonly RatedEntity[]): ReadRatings {
  let count = 0;
  entities.forEach((entity, e) => {
    if (!Array.isArray(entity?.ratings)) {
      throw new SommosError('INVALID_FIELD', `entities[${e}].ratings is missing; expected [{item_id, rating}]`);
    }
    count += entity.ratings.length;
  });
  const rows = new Uint32Array(count);
  const items = new Uint32Array(count);
  const values = new Float32Array(count);
  const [entityNames, itemNames] = [new Positions(), new Positions()];
  let at = 0;
  entities.forEach((entity, e) => {
    const row = entityNames.of(entity.id, () => `entities[${e}].id`);
    entity.ratings.forEach((rating, r) => {
      const place = () => `entities[${e}].ratings[${r}]`;
      const item = 'item_id' in rating ? rating.item_id : rating.itemId;
      rows[at] = row;
      items[at] = itemNames.of(item, () => `${place()}.item_id`);
      values[at] = finiteRating(rating.rating, place);
      at += 1;
    });
  });
  return gather(rows, items, values, entityNames.ids, itemNames.ids);
}

function readTriplets({ users, items, ratings }: TripletRatings): ReadRatings {
  if (users.length !== items.length || users.length !== ratings.length) {
    throw new SommosError(
      'INVALID_FIELD',
      `users, items and ratings must be equally long, got ${users.length}, ${items.length} and ${ratings.length}`,
    );
  }
  const [entityNames, itemNames] = [new Positions(), new Positions()];
  const rows = Uint32Array.from(users, (id, i) => entityNames.of(id, () => `users[${i}]`));
  const columns = Uint32Array.from(items, (id, i) => itemNames.of(id, () => `items[${i}]`));
  const values = Float32Array.from(ratings, (value, i) => finiteRating(value, () => `ratings[${i}]`));
  return gather(rows, columns, values, entityNames.ids, itemNames.ids);
}

function readCsr({ ids, offsets, items, ratings, itemIds }: CsrRatings): ReadRatings {
  const entities = Math.max(offsets.length - 1, 0);
  if (ids && ids.length !== entities) {
    throw new SommosError('INVALID_FIELD', `ids has ${ids.length} names for ${entities} entities`);
  }
  const itemCount = items.reduce((most, item) => Math.max(most, item + 1), 0);
  if (itemIds && itemIds.length < itemCount) {
    throw new SommosError('INVALID_FIELD', `itemIds has ${itemIds.length} names for ${itemCount} items`);
  }
  return {
    offsets,
    items,
    ratings,
    entityIds: ids ? [...ids] : Array.from({ length: entities }, (_, i) => i),
    itemIds: itemIds ? [...itemIds] : Array.from({ length: itemCount }, (_, i) => i),
  };
}

/** Brings ratings in any order into rows, keeping their order within a row. */
function gather(
  rows: Uint32Array,
  items: Uint32Array,
  values: Float32Array,
  entityIds: Id[],
  itemIds: Id[],
): ReadRatings {
  const offsets = new Uint32Array(entityIds.length + 1);
  for (const row of rows) offsets[row + 1]! += 1;
  for (let row = 1; row < offsets.length; row++) offsets[row]! += offsets[row - 1]!;
  const next = offsets.slice();
  const sortedItems = new Uint32Array(items.length);
  const sortedValues = new Float32Array(values.length);
  for (let i = 0; i < rows.length; i++) {
    const place = next[rows[i]!]!++;
    sortedItems[place] = items[i]!;
    sortedValues[place] = values[i]!;
  }
  return { offsets, items: sortedItems, ratings: sortedValues, entityIds, itemIds };
}

function finiteRating(value: unknown, where: () => string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new SommosError('INVALID_FIELD', `${where()}.rating is ${String(value)}; expected a finite number`);
}
