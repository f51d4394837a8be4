/** Measures of similarity between entities, in the order of the module's numbers. */
export const ALGORITHMS = [
  'pearson',
  'cosine',
  'cosine_zero_filled',
  'jaccard',
  'euclidean',
  'euclidean_distance',
] as const;

/** How alike two entities are, over the items that both rated. */
export type SimilarityAlgorithm = (typeof ALGORITHMS)[number];

/** Measures of similarity between the rows of a matrix, in the order of the module's numbers. */
export const ROW_ALGORITHMS = ['cosine', 'pearson', 'euclidean'] as const;

/** How alike two rows of a matrix are. */
export type RowAlgorithm = (typeof ROW_ALGORITHMS)[number];
