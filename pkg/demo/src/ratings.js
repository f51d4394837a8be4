// Who rated what how, as compressed sparse rows, which the engine takes without an object for any
// rating.
//
// ratings.bin, little endian: guests u32, ratings u32, then for each guest the number of its
// ratings u16, for each rating the wine's place in the list u16, and its half stars, two ratings a
// byte, the lower four bits first.

import { fetched } from './catalogue.js';

/** @param {ArrayBuffer} bytes @param {number[]} itemIds */
export function readRatings(bytes, itemIds) {
  const [guests, count] = new Uint32Array(bytes, 0, 2);
  const counts = new Uint16Array(bytes, 8, guests);
  const items = Uint32Array.from(new Uint16Array(bytes, 8 + 2 * guests, count));
  const nibbles = new Uint8Array(bytes, 8 + 2 * guests + 2 * count);
  const ratings = Float32Array.from(items, (_, at) => ((nibbles[at >> 1] >> (4 * (at & 1))) & 15) / 2);
  const offsets = new Uint32Array(guests + 1);
  counts.forEach((n, guest) => (offsets[guest + 1] = offsets[guest] + n));
  return { offsets, items, ratings, itemIds };
}

/** As many guests, each drawn by chance out of all: some come twice, some not at all. */
export function resample({ offsets, items, ratings, itemIds }) {
  const guests = offsets.length - 1;
  const drawn = Uint32Array.from({ length: guests }, () => Math.floor(Math.random() * guests));
  const rows = new Uint32Array(guests + 1);
  drawn.forEach((guest, row) => (rows[row + 1] = rows[row] + offsets[guest + 1] - offsets[guest]));
  const out = { offsets: rows, items: new Uint32Array(rows[guests]), ratings: new Float32Array(rows[guests]), itemIds };
  drawn.forEach((guest, row) => {
    out.items.set(items.subarray(offsets[guest], offsets[guest + 1]), rows[row]);
    out.ratings.set(ratings.subarray(offsets[guest], offsets[guest + 1]), rows[row]);
  });
  return out;
}

/** @param {import('./catalogue.js').Catalogue} catalogue */
export async function loadRatings(catalogue) {
  const bytes = await (await fetched('/data/ratings.bin')).arrayBuffer();
  return readRatings(bytes, catalogue.wines.map((wine) => wine.id));
}
