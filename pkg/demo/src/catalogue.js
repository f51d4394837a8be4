// What is known of every wine without asking the cache: the list's columns.

/**
 * @typedef {object} Wine
 * @property {number} id
 * @property {number} position Its place in the list, which is its number in the ratings.
 * @property {string} name
 * @property {string} type
 * @property {string} country
 * @property {string} winery
 * @property {number | null} stars Mean of its ratings, 1 to 5; null without any.
 * @property {string} text What a search looks through.
 */

/** Fetches a file of the demo and says which when that fails. */
export async function fetched(path, signal) {
  const response = await fetch(path, { signal });
  if (!response.ok) throw new Error(`${path} answered ${response.status}; run npm run build again`);
  return response;
}

/** Small letters without accents, as people type them. */
export function plain(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** The list. */
export class Catalogue {
  /** @param {{shelves: number, columns: string[], rows: unknown[][]}} file */
  constructor({ shelves, columns, rows }) {
    this.shelves = shelves;
    /** @type {Wine[]} */
    this.wines = rows.map((row, position) => {
      const wine = Object.fromEntries(columns.map((name, at) => [name, row[at]]));
      return { ...wine, position, text: plain(`${wine.name} ${wine.winery} ${wine.country}`) };
    });
    this.byId = new Map(this.wines.map((wine) => [wine.id, wine]));
    this.types = [...new Set(this.wines.map((wine) => wine.type))];
  }

  static async load() {
    return new Catalogue(await (await fetched('/data/wines.json')).json());
  }

  /** Whether a wine has all words of a search and one of the types; no type: any. */
  matches(wine, words, type) {
    return (!type || wine.type === type) && words.every((word) => wine.text.includes(word));
  }

  /** Where the details of a wine lie. */
  shelf(wine) {
    return `/data/details/${wine.position % this.shelves}.json`;
  }
}
