export {
  ParallelProcessingEngine,
  type ParallelEvents,
  type ParallelMetrics,
  type ParallelProcessingOptions,
  type Task,
  type TaskHandler,
  type TaskOptions,
  type TaskRequest,
  type TaskResults,
} from './engine.js';
export {
  MatrixProcessingEngine,
  SimilarityCalculationEngine,
  type MatrixCallOptions,
  type SimilarityEngineOptions,
} from './engines.js';
export { WorkerPoolManager, type WorkerPoolOptions, type WorkerPoolStats } from './pool.js';
export type { RowAlgorithm, SimilarityAlgorithm } from './algorithms.js';
export type { MatrixInput, Rows } from './matrix.js';
export type { CsrRatings, RatedEntity, Rating, RatingsInput, TripletRatings } from './ratings.js';
export {
  SimilarityTable,
  type NeighbourOptions,
  type SimilarityNeighbours,
  type SimilarityOptions,
  type SimilarityPair,
} from './similarity.js';
export type {
  FeatureType,
  TaskType,
  TaskTypes,
  TrainedModel,
} from './tasks.js';
