import { Emitter } from '../emitter.js';
import { SommosError, abortReason } from '../errors.js';
import { Drive, wait } from '../jobs/drive.js';
import { faultOf } from '../jobs/handlers.js';
import { type Claim, Queue, type Told, entropy } from '../jobs/queue.js';
import { integer, invalidOption } from '../options.js';
import { rowWise, runOperations } from './operations.js';
import { type EngineSettings, batchSettings, engineSettings } from './options.js';
import { ChunkResults } from './results.js';
import { type AnyProcessor, BatchRun, chunkOf } from './run.js';
import { itemsOf, sourceOf } from './source.js';
import { ProcessingStream, type ProcessingStreamOptions } from './stream.js';
import type {
  Batch,
  BatchData,
  BatchEvents,
  BatchMetrics,
  BatchOptions,
  BatchProcessingOptions,
  ChunkProcessor,
  DataOperation,
  EndedBatch,
} from './types.js';

/** Longest wait before a chunk is tried again, milliseconds. */
const RETRY_MAX_MS = 3_600_000;

/** What works on chunks: a function, or built-in operations on records. */
export type BatchProcessor<I, O> = ChunkProcessor<I, O> | DataOperation[];

/**
 * Works data sets off in chunks, `maxConcurrency` at once. A chunk that fails fails alone; the
 * event loop has its turn between chunks.
 */
export class BatchProcessingEngine extends Emitter<BatchEvents> {
  readonly #settings: EngineSettings;
  readonly #queue: Queue;
  readonly #batches = new Map<string, BatchRun>();
  readonly #streams = new Set<ProcessingStream<never, unknown>>();
  readonly #drive: Drive;
  #running = 0;

  /** @throws SommosError `INVALID_OPTION`, `NOT_INITIALIZED`. */
  constructor(options: BatchProcessingOptions = {}) {
    super();
    this.#settings = engineSettings(options);
    this.#queue = new Queue(new.target.name, this.#settings.maxQueuedChunks);
    this.#drive = new Drive(this.#queue, {
      room: () => this.#settings.maxActiveChunks - this.#running,
      begin: (claim) => this.#begin(claim),
      tell: (told) => this.#tell(told),
      settled: () => undefined,
      forget: () => this.#forget(),
    });
  }

  /**
   * Takes a data set; gives its id at once while the work goes on.
   *
   * Built-in operations that look at the whole data set (aggregate, sort, normalize) get an array
   * in one chunk.
   *
   * @throws SommosError `INVALID_OPTION`, `QUEUE_FULL`, `CLOSED`.
   */
  async processBatch<I, O>(
    data: BatchData<I>,
    processor: BatchProcessor<I, O>,
    options: BatchOptions = {},
  ): Promise<string> {
    this.#open();
    let settings = batchSettings(options ?? {}, this.#settings);
    if (settings.signal?.aborted) throw abortReason(settings.signal);
    const run = this.processorOf(processor as BatchProcessor<unknown, unknown>);
    if (Array.isArray(processor) && Array.isArray(data) && !rowWise(processor)) {
      settings = { ...settings, batchSize: Math.max(1, data.length) };
    }
    const source = sourceOf(data, settings.batchSize);
    const id = this.#queue.call((wasm) =>
      wasm.openBatch(
        Date.now(),
        entropy(),
        settings.priority,
        settings.maxConcurrency,
        settings.timeout,
        settings.retries + 1,
        new Float64Array([settings.retryDelay, RETRY_MAX_MS, 0]),
        settings.stopOnError,
      ),
    );
    const batch = new BatchRun(id, run, settings, source, this.resultsOf());
    this.#batches.set(id, batch);
    batch.listen(() => !this.#queue.closed && this.cancelBatch(id));
    this.#drive.announce();
    this.#fill(batch);
    return id;
  }

  /**
   * A stream that works on what is written to it and gives the processed items in order: an
   * emitter of `data`, `end` and `error`, a `{readable, writable}` pair and an async iterable.
   *
   * @throws SommosError `INVALID_OPTION`, `CLOSED`.
   */
  createProcessingStream<I, O>(
    processor: BatchProcessor<I, O>,
    options: ProcessingStreamOptions = {},
  ): ProcessingStream<I, O> {
    this.#open();
    const run = this.processorOf(processor as BatchProcessor<unknown, unknown>);
    const { batchSize, maxConcurrency, processingTimeout: timeout } = this.#settings;
    const defaults = { batchSize, maxConcurrency, timeout };
    const stream = new ProcessingStream<I, O>(run, { ...defaults, ...options }, () =>
      this.#streams.delete(stream as unknown as ProcessingStream<never, unknown>),
    );
    this.#streams.add(stream as unknown as ProcessingStream<never, unknown>);
    return stream;
  }

  /** A batch as it is now; null when it is unknown or forgotten. */
  getBatchStatus<O = unknown>(id: string): Batch<O> | null {
    this.#open();
    const batch = this.#batches.get(id);
    return (batch && (batch.view(this.#queue) as Batch<O> | undefined)) ?? null;
  }

  /**
   * Resolves with the batch once it has ended, well or not.
   *
   * @throws SommosError `NOT_FOUND`, `CLOSED`; the signal's reason when that aborts.
   */
  async waitForBatch<O = unknown>(
    id: string,
    options: { signal?: AbortSignal } = {},
  ): Promise<EndedBatch<O>> {
    const batch = this.#batch(id);
    const ended = batch.ended
      ? batch.view(this.#queue)
      : await wait(batch.waiters, this.#drive, options.signal);
    return ended as EndedBatch<O>;
  }

  /**
   * The results of a batch chunk by chunk, in the order of the input: of a large one not all need
   * be in memory at once. Waits for the batch to end.
   */
  async *results<O = unknown>(id: string): AsyncGenerator<O, void, undefined> {
    const batch = this.#batch(id);
    await this.waitForBatch(id);
    for (const chunk of batch.results.indices()) yield* batch.results.get(chunk) as O[];
  }

  /** Cancels a batch: its signals abort, its slots are free at once. False when it has ended. */
  cancelBatch(id: string): boolean {
    this.#open();
    const batch = this.#batches.get(id);
    if (!batch || batch.ended) return false;
    this.#queue.call((wasm) => wasm.cancelBatch(Date.now(), id));
    this.#drive.step();
    return true;
  }

  /** SommOS's counters. */
  getMetrics(): BatchMetrics {
    this.#open();
    return { ...this.#queue.batchMetrics(), activeChunks: this.#running };
  }

  /** Forgets batches that ended longer ago, with their results; gives how many. */
  clearCompletedBatches(olderThanMs = 0): number {
    this.#open();
    const age = integer('olderThanMs', olderThanMs, { min: 0, max: 2 ** 53, default: 0 });
    // Age 0 means all, those of this very millisecond too.
    const count = this.#sweep(age, age === 0 ? 0 : this.#settings.maxFinishedBatches);
    this.emit('batchesCleared', count);
    return count;
  }

  /** Ends the engine: open batches are cancelled, streams end with an error. */
  async shutdown(): Promise<void> {
    if (this.#queue.closed) return;
    for (const { id } of [...this.#batches.values()]) this.cancelBatch(id);
    const closed = new SommosError('CLOSED', 'the engine of this stream was shut down');
    for (const stream of [...this.#streams]) stream.destroy(closed);
    this.#drive.stop();
    this.#batches.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Where the results of a new batch are kept. */
  protected resultsOf(): ChunkResults {
    return new ChunkResults();
  }

  /** The results of every batch that is kept, the oldest first. */
  protected *keptResults(): Iterable<ChunkResults> {
    for (const { results } of this.#batches.values()) yield results;
  }

  /** Who works on the chunks. */
  protected processorOf(processor: BatchProcessor<unknown, unknown>): AnyProcessor {
    if (typeof processor === 'function') return processor as AnyProcessor;
    if (!Array.isArray(processor)) {
      throw invalidOption('processor', processor, 'a function or a list of operations');
    }
    return runOperations(processor);
  }

  /** Gives the queue the chunks of a batch: all of an array, of an iterable one after the other. */
  #fill(batch: BatchRun): void {
    const { known } = batch.source;
    if (!known) {
      void this.#feed(batch);
      return;
    }
    try {
      for (const place of known) this.#append(batch, place);
    } catch (error) {
      this.#queue.call((wasm) => wasm.cancelBatch(Date.now(), batch.id));
      this.#drive.announce();
      throw error;
    }
    this.#seal(batch);
  }

  async #feed(batch: BatchRun): Promise<void> {
    const { maxConcurrency, batchSize } = batch.settings;
    const ahead = Math.max(1, Math.floor(this.#settings.chunkSize / batchSize));
    const most = maxConcurrency + ahead;
    try {
      while (!batch.ended) {
        const place = await batch.source.draw();
        if (batch.ended) return;
        if (!place) {
          this.#seal(batch);
          return;
        }
        this.#append(batch, place);
        this.#drive.wake();
        while (!batch.ended && batch.places.length - batch.endedChunks >= most) {
          await new Promise<void>((resolve) => (batch.more = resolve));
        }
      }
    } catch (error) {
      if (batch.ended || this.#queue.closed) return;
      const message = `the data could not be read: ${faultOf(error).message}`;
      this.#queue.call((wasm) => wasm.failBatch(Date.now(), batch.id, message));
      this.#drive.announce();
    }
  }

  #append(batch: BatchRun, place: { offset: number; items: number }): void {
    this.#queue.call((wasm) => wasm.appendChunk(Date.now(), batch.id, place.items));
    batch.places.push(place);
  }

  #seal(batch: BatchRun): void {
    this.#queue.call((wasm) => wasm.sealBatch(Date.now(), batch.id));
    this.#drive.step();
  }

  #begin({ id, token, attempt }: Claim): () => void {
    const chunk = chunkOf(id);
    const batch = chunk && this.#batches.get(chunk.batch);
    if (!batch) return () => undefined;
    const controller = new AbortController();
    batch.active.set(token, controller);
    this.#running += 1;
    return () => {
      if (batch.active.has(token)) void this.#run(batch, id, token, attempt, controller.signal);
    };
  }

  async #run(
    batch: BatchRun,
    id: string,
    token: number,
    attempt: number,
    signal: AbortSignal,
  ): Promise<void> {
    const index = chunkOf(id)?.index ?? 0;
    const offset = batch.places[index]?.offset ?? 0;
    let settle: () => void;
    try {
      const context = { batchId: batch.id, index, offset, attempt, signal };
      const items = itemsOf(await batch.processor(batch.source.items(index), context));
      settle = () => {
        batch.results.put(index, items);
        this.#queue.call((wasm) => wasm.complete(Date.now(), id, token));
      };
    } catch (error) {
      const { message, code, retryable } = faultOf(error);
      settle = () =>
        this.#queue.call((wasm) =>
          wasm.fail(Date.now(), id, token, message, code, retryable),
        );
    }
    // What was cancelled or ran out of time meanwhile has no say any more.
    if (!batch.active.delete(token)) return;
    this.#running -= 1;
    settle();
    this.#drive.step();
  }

  #tell({ id, what, number, text }: Told): void {
    const chunk = chunkOf(id);
    const batch = this.#batches.get(chunk?.batch ?? id);
    if (!batch) return;
    switch (what) {
      case 'interrupt':
        this.#interrupt(batch, number, text);
        break;
      case 'completed':
      case 'failed':
      case 'cancelled':
        batch.source.drop(chunk?.index ?? 0);
        batch.endedChunks += 1;
        batch.more?.();
        break;
      case 'batchQueued':
      case 'batchStarted':
        this.#say(what, batch);
        break;
      case 'batchProgress':
        this.#progressed(batch);
        break;
      case 'batchEnded':
        this.#ended(batch);
        break;
    }
  }

  #interrupt(batch: BatchRun, token: number, why: string): void {
    const controller = batch.active.get(token);
    if (!controller) return;
    batch.active.delete(token);
    this.#running -= 1;
    const error = this.#queue.call((wasm) => wasm.batchError(batch.id)) ?? '';
    const late = why === 'TIMED_OUT' || error.startsWith('timed out');
    const message = late ? `timed out after ${batch.settings.timeout} ms` : `${batch.id} has ended`;
    controller.abort(new DOMException(message, late ? 'TimeoutError' : 'AbortError'));
  }

  #progressed(batch: BatchRun): void {
    const { onProgress } = batch.settings;
    if (onProgress) {
      const numbers = this.#queue.batch(batch.id);
      const progress = { done: numbers?.processedItems ?? 0, total: numbers?.totalItems ?? 0 };
      try {
        onProgress(progress);
      } catch (error) {
        if (!this.emit('error', error)) console.error('onProgress failed:', error);
      }
    }
    this.#say('batchProgress', batch);
  }

  #ended(batch: BatchRun): void {
    batch.ended = true;
    batch.source.close();
    batch.unlisten?.();
    batch.more?.();
    const view = batch.view(this.#queue) as EndedBatch | undefined;
    if (!view) return;
    if (view.status === 'failed') this.emit('batchFailed', view, view.error);
    else this.emit(view.status === 'completed' ? 'batchCompleted' : 'batchCancelled', view);
    for (const waiter of [...batch.waiters]) waiter.resolve(view);
  }

  #say(name: 'batchQueued' | 'batchStarted' | 'batchProgress', batch: BatchRun): void {
    if (this.listenerCount(name) === 0) return;
    this.emit(name, batch.view(this.#queue) as Batch);
  }

  #open(): void {
    if (this.#queue.closed) throw new SommosError('CLOSED', 'this batch engine was shut down');
  }

  #batch(id: string): BatchRun {
    this.#open();
    const batch = this.#batches.get(id);
    if (batch) return batch;
    throw new SommosError('NOT_FOUND', `no batch ${id}: it was never given or is forgotten`);
  }

  #sweep(ageMs: number, count: number): number {
    const swept = this.#queue.sweepBatches(ageMs, count);
    for (const id of swept) this.#batches.delete(id);
    return swept.length;
  }

  #forget(): number | undefined {
    const { finishedRetention, maxFinishedBatches } = this.#settings;
    this.#sweep(finishedRetention, maxFinishedBatches);
    return this.#batches.size > 0 ? Date.now() + finishedRetention + 1 : undefined;
  }
}
