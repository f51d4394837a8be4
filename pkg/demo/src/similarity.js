// Similar wines and similar guests, computed by the engine's threads.

import { SimilarityCalculationEngine } from '@sommos/performance';
import { resample } from './ratings.js';

/** The measures that are run over all pairs, and their names here. */
const MEASURES = { pearson: 'Pearson', cosine: 'Cosine', jaccard: 'Jaccard', euclidean: 'Euclidean' };
/** Wines alike by few common guests say little. */
const COMMON_MIN = 10;
const NEIGHBOURS = 8;
const BEST = 10;
/** How often the guests are drawn anew, and how many pairs count as the best of a draw. */
export const DRAWS = 100;
export const BEST_OF_DRAW = 100;

/** Whose pairs are compared: guests are the rows of the ratings, wines the columns. */
const SIDES = [
  { by: 'entity', name: 'guests' },
  { by: 'item', name: 'wines' },
];

/** The similarities of this page. */
export class Similarity {
  /** @param {import('@sommos/performance').CsrRatings} ratings */
  constructor(ratings) {
    this.ratings = ratings;
    // Every run computes: a result kept for the same input would only show off the cache.
    this.engine = new SimilarityCalculationEngine({ cacheExpiry: 0 });
  }

  /** The wines that the same guests liked and disliked, the most similar first. */
  async similar(wine, options) {
    const found = await this.engine.findSimilar(this.ratings, 'pearson', {
      by: 'item',
      topK: NEIGHBOURS,
      queryIds: [wine.id],
      minCommonItems: COMMON_MIN,
      ...options,
    });
    return found[0]?.neighbours ?? [];
  }

  /**
   * All pairs of guests and of wines, by every measure, one run after the other; then all pairs of
   * wines again for guests drawn anew (bootstrap), which tells how far chance chose the best pairs.
   */
  async *runs({ signal, onProgress }) {
    const measured = Object.entries(MEASURES).flatMap(([measure, label]) =>
      SIDES.map((side) => ({ ...side, measure, label, ratings: this.ratings, limit: BEST })),
    );
    const drawn = { by: 'item', name: 'wines', measure: 'pearson', limit: BEST_OF_DRAW };
    const total = measured.length + DRAWS;
    for (let at = 0; at < total; at++) {
      const draw = at - measured.length + 1;
      const stage = measured[at] ?? {
        ...drawn,
        draw,
        label: `Guests drawn anew, ${draw} of ${DRAWS}`,
        ratings: resample(this.ratings),
      };
      yield await this.#run(stage, { signal, onProgress: (part) => onProgress({ ...stage, part, all: (at + part) / total }) });
    }
  }

  async #run(stage, { signal, onProgress }) {
    const before = performance.now();
    onProgress(0);
    const best = await this.engine.calculateSimilarities(stage.ratings, stage.measure, {
      by: stage.by,
      limit: stage.limit,
      minCommonItems: COMMON_MIN,
      signal,
      onProgress: ({ done, total }) => onProgress(done / total),
    });
    onProgress(1);
    const rows = stage.by === 'item' ? this.ratings.itemIds.length : this.ratings.offsets.length - 1;
    return { ...stage, best, pairs: (rows * (rows - 1)) / 2, ms: performance.now() - before };
  }
}
