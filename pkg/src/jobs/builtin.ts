/** The kinds of work that the package computes itself. */
export const BUILTIN_TYPES = [
  'similarity_calculation',
  'matrix_multiplication',
  'matrix_similarity',
  'feature_extraction',
  'data_processing',
  'model_training',
] as const;

/** One of them. */
export type BuiltinType = (typeof BUILTIN_TYPES)[number];

/** How a built-in run is stopped and watched. */
export interface BuiltinContext {
  signal: AbortSignal;
  onProgress: (progress: { done: number; total: number }) => void;
}

/** Computes a built-in type of work. */
export type BuiltinRunner = (
  type: BuiltinType,
  data: unknown,
  context: BuiltinContext,
) => Promise<unknown>;

let runner: BuiltinRunner | undefined;

/** Says who computes the built-in types; undefined: nobody. */
export function setBuiltinRunner(run: BuiltinRunner | undefined): void {
  runner = run;
}

/** Who computes the built-in types. */
export function builtinRunner(): BuiltinRunner | undefined {
  return runner;
}

/** Whether the package has this type of work built in. */
export function isBuiltin(type: string): type is BuiltinType {
  return (BUILTIN_TYPES as readonly string[]).includes(type);
}
