import { Emitter } from '../emitter.js';
import { SommosError, abortReason } from '../errors.js';
import { Slice, soon } from '../jobs/time.js';
import { integer } from '../options.js';
import type { AnyProcessor } from './run.js';
import { itemsOf } from './source.js';

/** How a {@link ProcessingStream} works. */
export interface ProcessingStreamOptions {
  /** Items of a chunk. Default: the engine's batchSize. */
  batchSize?: number;
  /** Chunks at work at once. Default: the engine's maxConcurrency. */
  maxConcurrency?: number;
  /** Longest run of one chunk, milliseconds. Default: the engine's processingTimeout. */
  timeout?: number;
  /** Items in the stream at which `write` says stop. Default: twice the chunks at work. */
  highWaterMark?: number;
  /** Ends the stream with its reason when it aborts. */
  signal?: AbortSignal;
}

/** What a {@link ProcessingStream} emits. */
export type ProcessingStreamEvents<O> = {
  data: [item: O];
  drain: [];
  finish: [];
  end: [];
  error: [error: unknown];
  close: [];
};

/** A chunk in the order of the input; its items once it is done. */
interface Lane {
  items: unknown[] | undefined;
}

/** Who takes the output: listeners of `data`, or a reader. Not both: each would miss items. */
type Consumer = 'none' | 'listeners' | 'reader';

/**
 * Works on what is written, chunk by chunk, and gives the processed items in order.
 *
 * As in Node: `write`, `end`, `on('data')`, `pause`, `resume`, `destroy`. As on the web: `readable`
 * and `writable`, so it fits `pipeThrough`; and `for await`. When nobody takes the output, work
 * stops and `write` gives false until `drain`.
 */
export class ProcessingStream<I = unknown, O = unknown>
  extends Emitter<ProcessingStreamEvents<O>>
  implements AsyncIterable<O>
{
  readonly #processor: AnyProcessor;
  readonly #size: number;
  readonly #concurrency: number;
  readonly #timeout: number;
  readonly #mark: number;
  readonly #left: () => void;
  readonly #abort = new AbortController();
  #input: unknown[] = [];
  #lanes: Lane[] = [];
  #output: unknown[] = [];
  #taken = 0;
  #running = 0;
  #inFlight = 0;
  #chunks = 0;
  #offset = 0;
  #ending = false;
  #finished = false;
  #closed = false;
  #error: unknown;
  #consumer: Consumer = 'none';
  #paused = false;
  #flowing = false;
  #full = false;
  #readers: { resolve(result: IteratorResult<O>): void; reject(reason: unknown): void }[] = [];
  #room: (() => void)[] = [];
  #readable: ReadableStream<O> | undefined;
  #writable: WritableStream<I> | undefined;

  /** Made by `BatchProcessingEngine.createProcessingStream`. */
  constructor(processor: AnyProcessor, options: ProcessingStreamOptions, left: () => void) {
    super();
    const { signal } = options;
    const range = { min: 1, max: 1_000_000 };
    this.#processor = processor;
    this.#size = integer('batchSize', options.batchSize, { ...range, default: 1000 });
    this.#concurrency = integer('maxConcurrency', options.maxConcurrency, { ...range, default: 5 });
    this.#timeout = integer('timeout', options.timeout, {
      min: 1,
      max: 86_400_000,
      default: 1_800_000,
    });
    this.#mark = integer('highWaterMark', options.highWaterMark, {
      min: 1,
      max: 1e9,
      default: 2 * this.#size * this.#concurrency,
    });
    const aborted = (): void => void this.destroy(abortReason(signal as AbortSignal));
    this.#left = () => {
      signal?.removeEventListener('abort', aborted);
      left();
    };
    if (signal?.aborted) throw abortReason(signal);
    signal?.addEventListener('abort', aborted);
  }

  /** Whether it has ended, well or not. */
  get destroyed(): boolean {
    return this.#closed;
  }

  /** Items in it: written, at work, and processed but not taken. */
  get length(): number {
    return this.#input.length + this.#inFlight + this.#output.length - this.#taken;
  }

  /**
   * Takes an item. False: it is full; write on after `drain`.
   *
   * @throws SommosError `CLOSED` after `end` or `destroy`.
   */
  write(item: I): boolean {
    if (this.#ending || this.#closed) {
      throw new SommosError('CLOSED', 'this stream takes no more items: it was ended');
    }
    this.#input.push(item);
    this.#work();
    this.#full = this.length >= this.#mark;
    return !this.#full;
  }

  /** Says that this was all, perhaps with a last item; what is there is still processed. */
  end(item?: I): this {
    if (item !== undefined) this.write(item);
    if (this.#ending || this.#closed) return this;
    this.#ending = true;
    this.#work();
    this.#settle();
    return this;
  }

  /** Ends it at once: work is aborted, what was not taken is dropped. */
  destroy(error?: unknown): this {
    if (this.#closed) return this;
    this.#closed = true;
    this.#error = error;
    this.#abort.abort(error ?? new DOMException('the stream was destroyed', 'AbortError'));
    this.#input = [];
    this.#output = [];
    this.#lanes = [];
    this.#taken = 0;
    this.#inFlight = 0;
    for (const reader of this.#readers.splice(0)) {
      if (error === undefined) reader.resolve({ value: undefined, done: true });
      else reader.reject(error);
    }
    for (const free of this.#room.splice(0)) free();
    this.#left();
    if (error !== undefined && !this.emit('error', error) && this.#consumer !== 'reader') {
      console.error('a processing stream failed:', error);
    }
    this.emit('close');
    return this;
  }

  /** Stops `data` events; the stream fills up and stops working. */
  pause(): this {
    this.#paused = true;
    return this;
  }

  /** Lets `data` events go on. */
  resume(): this {
    this.#paused = false;
    this.#flow();
    return this;
  }

  override on<K extends keyof ProcessingStreamEvents<O>>(
    event: K,
    listener: (...args: ProcessingStreamEvents<O>[K]) => void,
  ): this {
    if (event === 'data') this.#claim('listeners');
    super.on(event, listener);
    if (event === 'data') this.#flow();
    return this;
  }

  override once<K extends keyof ProcessingStreamEvents<O>>(
    event: K,
    listener: (...args: ProcessingStreamEvents<O>[K]) => void,
  ): this {
    if (event === 'data') this.#claim('listeners');
    super.once(event, listener);
    if (event === 'data') this.#flow();
    return this;
  }

  /** The output as a web stream. */
  get readable(): ReadableStream<O> {
    return (this.#readable ??= new ReadableStream<O>(
      {
        pull: async (controller) => {
          const { done, value } = await this.#next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: (reason) => {
          this.destroy(reason);
        },
      },
      { highWaterMark: 0 },
    ));
  }

  /** The input as a web stream; its writer waits while the stream is full. */
  get writable(): WritableStream<I> {
    return (this.#writable ??= new WritableStream<I>(
      {
        write: async (item) => {
          this.#check();
          if (!this.write(item)) await new Promise<void>((resolve) => this.#room.push(resolve));
          this.#check();
        },
        close: async () => {
          this.end();
          while (!this.#finished && !this.#closed) {
            await new Promise<void>((resolve) => this.#room.push(resolve));
          }
          this.#check();
        },
        abort: (reason) => {
          this.destroy(reason ?? new DOMException('the input was aborted', 'AbortError'));
        },
      },
      { highWaterMark: 1 },
    ));
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<O> {
    const iterator: AsyncIterableIterator<O> = {
      next: () => this.#next(),
      return: () => {
        this.destroy();
        return Promise.resolve({ value: undefined, done: true });
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    this.#claim('reader');
    return iterator;
  }

  #check(): void {
    if (this.#closed && this.#error !== undefined) throw this.#error;
  }

  #claim(consumer: Consumer): void {
    if (this.#consumer !== 'none' && this.#consumer !== consumer) {
      const message = "this stream is read by 'data' listeners or by one reader, not by both";
      throw new SommosError('INVALID_STATE', message);
    }
    this.#consumer = consumer;
  }

  async #next(): Promise<IteratorResult<O>> {
    this.#claim('reader');
    this.#check();
    if (this.#output.length > this.#taken) return { value: this.#take(), done: false };
    if (this.#closed) return { value: undefined, done: true };
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#settle();
    });
  }

  #take(): O {
    const item = this.#output[this.#taken] as O;
    this.#taken += 1;
    // In one go when half is taken: shifting each would move the rest each time.
    if (this.#taken * 2 >= this.#output.length) {
      this.#output = this.#output.slice(this.#taken);
      this.#taken = 0;
    }
    this.#work();
    this.#settle();
    return item;
  }

  /** Starts chunks while there are items, slots, and room for what they give. */
  #work(): void {
    const enough = (): boolean =>
      this.#input.length >= this.#size || (this.#ending && this.#input.length > 0);
    while (
      !this.#closed &&
      this.#running < this.#concurrency &&
      enough() &&
      this.#output.length - this.#taken < this.#mark
    ) {
      const chunk = this.#input.splice(0, this.#size);
      const lane: Lane = { items: undefined };
      this.#lanes.push(lane);
      this.#running += 1;
      this.#inFlight += chunk.length;
      void this.#run(chunk, lane);
    }
  }

  async #run(chunk: unknown[], lane: Lane): Promise<void> {
    const index = this.#chunks;
    const offset = this.#offset;
    const items = chunk.length;
    this.#chunks += 1;
    this.#offset += items;
    const late = new DOMException(`a chunk timed out after ${this.#timeout} ms`, 'TimeoutError');
    const timer = setTimeout(() => this.destroy(late), this.#timeout);
    try {
      // After a turn: a producer that writes in a loop is not held up by the work.
      await new Promise<void>((resolve) => soon(resolve));
      if (this.#closed) return;
      const { signal } = this.#abort;
      const context = { batchId: 'stream', index, offset, attempt: 1, signal };
      const given = itemsOf(await this.#processor(chunk, context));
      if (this.#closed) return;
      lane.items = given;
      this.#inFlight -= items;
    } catch (error) {
      this.destroy(error);
      return;
    } finally {
      clearTimeout(timer);
      this.#running -= 1;
    }
    while (this.#lanes[0]?.items) {
      const done = this.#lanes.shift()?.items ?? [];
      for (const item of done) this.#output.push(item);
    }
    this.#work();
    this.#settle();
  }

  /** Hands out what is there, lets writers go on, ends when all is done. */
  #settle(): void {
    if (this.#closed) return;
    while (this.#readers.length > 0 && this.#output.length > this.#taken) {
      const reader = this.#readers.shift();
      reader?.resolve({ value: this.#take(), done: false });
    }
    this.#flow();
    const idle = this.#input.length === 0 && this.#lanes.length === 0;
    if (this.length < this.#mark || (this.#ending && idle)) {
      for (const free of this.#room.splice(0)) free();
      if (this.#full) {
        this.#full = false;
        this.emit('drain');
      }
    }
    if (!this.#ending || !idle || this.#closed) return;
    if (!this.#finished) {
      this.#finished = true;
      this.emit('finish');
      for (const free of this.#room.splice(0)) free();
    }
    if (this.#output.length > this.#taken || this.#consumer === 'none') return;
    this.#closed = true;
    for (const reader of this.#readers.splice(0)) reader.resolve({ value: undefined, done: true });
    this.#left();
    this.emit('end');
    this.emit('close');
  }

  /** Emits `data` while there is some, with a turn of the event loop now and then. */
  #flow(): void {
    if (this.#flowing || this.#paused || this.#closed || this.#consumer !== 'listeners') return;
    if (this.#output.length <= this.#taken && !this.#ending) return;
    this.#flowing = true;
    soon(() => {
      const slice = new Slice();
      while (!this.#closed && !this.#paused && this.#output.length > this.#taken && !slice.over()) {
        this.emit('data', this.#take());
      }
      this.#flowing = false;
      if (this.#output.length > this.#taken) this.#flow();
      else this.#settleEnd();
    });
  }

  #settleEnd(): void {
    const idle = this.#input.length === 0 && this.#lanes.length === 0;
    if (this.#ending && idle && !this.#closed) this.#settle();
  }
}
