// Similar wines and similar guests, computed by the engine's threads.

import { SimilarityCalculationEngine } from '@sommos/performance';

/** The measures that are run over all pairs, and their names here. */
const MEASURES = { pearson: 'Pearson', cosine: 'Cosine', jaccard: 'Jaccard', euclidean: 'Euclidean' };
/** Wines alike by few common guests say little. */
const COMMON_MIN = 10;
const NEIGHBOURS = 8;
const BEST = 10;

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

  /** All pairs of guests and of wines, by every measure, one run after the other. */
  async *runs({ signal, onProgress }) {
    const stages = Object.entries(MEASURES).flatMap(([measure, label]) =>
      SIDES.map((side) => ({ ...side, measure, label })),
    );
    for (const [at, stage] of stages.entries()) {
      const before = performance.now();
      const share = ({ done, total }) =>
        onProgress({ ...stage, part: done / total, all: (at + done / total) / stages.length });
      share({ done: 0, total: 1 });
      const best = await this.engine.calculateSimilarities(this.ratings, stage.measure, {
        by: stage.by,
        limit: BEST,
        minCommonItems: COMMON_MIN,
        signal,
        onProgress: share,
      });
      share({ done: 1, total: 1 });
      const rows = stage.by === 'item' ? this.ratings.itemIds.length : this.ratings.offsets.length - 1;
      yield { ...stage, best, pairs: (rows * (rows - 1)) / 2, ms: performance.now() - before };
    }
  }
}
