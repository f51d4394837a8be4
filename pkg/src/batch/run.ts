import type { Waiter } from '../jobs/drive.js';
import type { Queue } from '../jobs/queue.js';
import type { BatchSettings } from './options.js';
import type { ChunkResults } from './results.js';
import type { ChunkPlace, ChunkSource } from './source.js';
import type { Batch, ChunkContext, ChunkFailure, EndedBatch } from './types.js';

/** A processor whose types are its caller's affair. */
export type AnyProcessor = (chunk: unknown[], context: ChunkContext) => unknown;

/** What the JavaScript side keeps of a batch. */
export class BatchRun {
  readonly id: string;
  readonly processor: AnyProcessor;
  readonly settings: BatchSettings;
  readonly source: ChunkSource;
  readonly results: ChunkResults;
  readonly places: ChunkPlace[] = [];
  /** The chunks at work: their signals by token. */
  readonly active = new Map<number, AbortController>();
  readonly waiters = new Set<Waiter<EndedBatch>>();
  ended = false;
  /** Chunks that have ended, however. */
  endedChunks = 0;
  /** Lets an iterable be drawn from further. */
  more: (() => void) | undefined;
  /** Takes the listener off the caller's signal. */
  unlisten: (() => void) | undefined;

  constructor(
    id: string,
    processor: AnyProcessor,
    settings: BatchSettings,
    source: ChunkSource,
    results: ChunkResults,
  ) {
    this.id = id;
    this.processor = processor;
    this.settings = settings;
    this.source = source;
    this.results = results;
  }

  /** Cancels it when the caller's signal aborts. */
  listen(cancel: () => void): void {
    const { signal } = this.settings;
    if (!signal) return;
    signal.addEventListener('abort', cancel);
    this.unlisten = () => signal.removeEventListener('abort', cancel);
  }

  /** The batch as it is now; undefined once the queue has forgotten it. */
  view(queue: Queue): Batch | undefined {
    const numbers = queue.batch(this.id);
    if (!numbers) return undefined;
    const flat = queue.call((wasm) => wasm.batchErrors(this.id)) as (string | number)[];
    const errors: ChunkFailure[] = [];
    for (let at = 0; at < flat.length; at += 2) {
      errors.push({ chunk: flat[at] as number, error: flat[at + 1] as string });
    }
    const kept = this.results;
    let results: unknown[] | undefined;
    const { cancelledChunks: _, ...shown } = numbers;
    return {
      id: this.id,
      ...shown,
      get results() {
        return (results ??= kept.all());
      },
      errors,
      error: queue.call((wasm) => wasm.batchError(this.id)) ?? null,
    } as Batch;
  }
}

/** The batch and the place in it that a chunk's id names. */
export function chunkOf(id: string): { batch: string; index: number } | undefined {
  const dot = id.lastIndexOf('.');
  return dot < 0 ? undefined : { batch: id.slice(0, dot), index: Number(id.slice(dot + 1)) };
}
