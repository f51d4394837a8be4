import { assert } from 'chai';
import { BatchProcessingEngine, StreamingDataProcessor, init } from '@sommos/performance';

const range = (n) => Array.from({ length: n }, (_, i) => i);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const until = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

describe('createProcessingStream', () => {
  let engine;

  before(async () => {
    await init();
    engine = new BatchProcessingEngine({ batchSize: 4, maxConcurrency: 3 });
  });
  after(() => engine.shutdown());

  it('emits processed items in order, then finish, end and close', async () => {
    const contexts = [];
    const stream = engine.createProcessingStream(async (chunk, { index, offset }) => {
      contexts.push([index, offset, chunk.length]);
      await sleep(6 - 2 * index);
      return chunk.map((n) => n + 100);
    });
    const items = [];
    const ends = [];
    for (const event of ['finish', 'end', 'close']) stream.on(event, () => ends.push(event));
    stream.on('data', (item) => items.push(item));
    for (const n of range(9)) stream.write(n);
    stream.end(9);
    await until(stream, 'close');
    assert.deepEqual(items, range(10).map((n) => n + 100));
    assert.deepEqual(ends, ['finish', 'end', 'close']);
    assert.deepEqual(contexts, [[0, 0, 4], [1, 4, 4], [2, 8, 2]]);
    assert.isTrue(stream.destroyed);
    assert.throws(() => stream.write(1), /was ended/);
  });

  it('runs at most maxConcurrency chunks', async () => {
    let active = 0;
    let most = 0;
    const stream = engine.createProcessingStream(
      async (chunk) => {
        active += 1;
        most = Math.max(most, active);
        await sleep(1);
        active -= 1;
        return chunk;
      },
      { batchSize: 1, maxConcurrency: 2 },
    );
    stream.on('data', () => undefined);
    for (const n of range(10)) stream.write(n);
    stream.end();
    await until(stream, 'end');
    assert.equal(most, 2);
  });

  it('is read by for await, and ends when that breaks off', async () => {
    const stream = engine.createProcessingStream((chunk) => chunk.map((n) => n * 2));
    for (const n of range(10)) stream.write(n);
    stream.end();
    const items = [];
    for await (const item of stream) items.push(item);
    assert.deepEqual(items, range(10).map((n) => n * 2));

    const cut = engine.createProcessingStream((chunk) => chunk);
    for (const n of range(10)) cut.write(n);
    for await (const item of cut) if (item === 2) break;
    assert.isTrue(cut.destroyed);
  });

  it('fits pipeThrough, with backpressure from end to end', async () => {
    let produced = 0;
    const source = new ReadableStream(
      {
        pull(controller) {
          if (produced === 1000) controller.close();
          else controller.enqueue(produced++);
        },
      },
      { highWaterMark: 0 },
    );
    const stream = engine.createProcessingStream((chunk) => chunk.map(String), { highWaterMark: 12 });
    const reader = source.pipeThrough(stream).getReader();
    assert.deepEqual(await reader.read(), { done: false, value: '0' });
    await sleep(5);
    assert.isBelow(produced, 60);
    let count = 1;
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      assert.equal(step.value, String(count));
      count += 1;
    }
    assert.equal(count, 1000);
  });

  it('write gives false when full; drain tells when to go on', async () => {
    const stream = engine.createProcessingStream((chunk) => chunk, { batchSize: 2, highWaterMark: 4 });
    const accepted = range(4).map((n) => stream.write(n));
    assert.deepEqual(accepted, [true, true, true, false]);
    assert.equal(stream.length, 4);
    // Nobody takes the output: it does not drain by itself.
    let drained = false;
    const drain = until(stream, 'drain').then(() => (drained = true));
    await sleep(5);
    assert.isFalse(drained);
    const items = [];
    stream.on('data', (item) => items.push(item));
    await drain;
    assert.isTrue(stream.write(4));
    stream.end();
    await until(stream, 'end');
    assert.deepEqual(items, range(5));
  });

  it('pause holds items back, resume lets them go', async () => {
    const stream = engine.createProcessingStream((chunk) => chunk, { batchSize: 1 });
    const items = [];
    stream.on('data', (item) => items.push(item));
    stream.pause();
    stream.write(1);
    await sleep(5);
    assert.deepEqual(items, []);
    stream.resume();
    stream.end();
    await until(stream, 'end');
    assert.deepEqual(items, [1]);
  });

  it('an error of the processor ends it: error, rejected readers and writers', async () => {
    const bad = () => {
      throw new Error('no such wine');
    };
    const emitting = engine.createProcessingStream(bad, { batchSize: 1 });
    const error = until(emitting, 'error');
    const closed = until(emitting, 'close');
    emitting.write(1);
    assert.equal((await error).message, 'no such wine');
    await closed;

    const piped = engine.createProcessingStream(bad, { batchSize: 1 });
    piped.on('error', () => undefined);
    const source = new ReadableStream({
      start(controller) {
        for (const n of range(3)) controller.enqueue(n);
      },
    });
    const reader = source.pipeThrough(piped).getReader();
    const failed = await reader.read().then(assert.fail, (thrown) => thrown);
    assert.equal(failed.message, 'no such wine');
  });

  it('aborts by signal, timeout, and with its engine', async () => {
    const controller = new AbortController();
    let begin;
    const begun = new Promise((resolve) => (begin = resolve));
    const hang = (_chunk, context) => {
      begin(context.signal);
      return new Promise(() => {});
    };
    const aborted = engine.createProcessingStream(hang, { batchSize: 1, signal: controller.signal });
    const error = until(aborted, 'error');
    aborted.write(1);
    // A chunk starts a turn after it is written, whenever that turn comes.
    const signal = await begun;
    controller.abort();
    assert.equal((await error).name, 'AbortError');
    assert.isTrue(signal.aborted);

    const late = engine.createProcessingStream(hang, { batchSize: 1, timeout: 5 });
    const timedOut = until(late, 'error');
    late.write(1);
    assert.equal((await timedOut).name, 'TimeoutError');

    const other = new BatchProcessingEngine();
    const orphan = other.createProcessingStream(hang, { batchSize: 1 });
    const closed = until(orphan, 'error');
    await other.shutdown();
    assert.equal((await closed).code, 'CLOSED');
  });

  it('has one kind of consumer', async () => {
    const stream = engine.createProcessingStream((chunk) => chunk);
    stream.on('data', () => undefined);
    assert.throws(() => stream[Symbol.asyncIterator](), /not by both/);
    stream.destroy();
    const read = engine.createProcessingStream((chunk) => chunk);
    read[Symbol.asyncIterator]();
    assert.throws(() => read.on('data', () => undefined), /not by both/);
    read.destroy();
    assert.throws(() => engine.createProcessingStream(7), /processor/);
    assert.throws(() => engine.createProcessingStream((c) => c, { batchSize: 0 }), /batchSize/);
  });
});

describe('StreamingDataProcessor', () => {
  it('emits an array when bufferSize items are there, and the rest on flush', () => {
    const processor = new StreamingDataProcessor({ bufferSize: 3 });
    const arrays = [];
    processor.on('data', (items) => arrays.push(items));
    for (const n of range(7)) assert.isTrue(processor.addData(n));
    assert.deepEqual(arrays, [[0, 1, 2], [3, 4, 5]]);
    assert.equal(processor.length, 1);
    assert.equal(processor.flush(), 1);
    assert.equal(processor.flush(), 0);
    assert.deepEqual(arrays[2], [6]);
    processor.stop();
  });

  it('flushes after flushInterval', async () => {
    const processor = new StreamingDataProcessor({ flushInterval: 5 });
    const flushed = until(processor, 'data');
    processor.addData('a');
    processor.addData('b');
    // In Node its timer does not keep the process alive.
    const alive = setInterval(() => undefined, 5);
    assert.deepEqual(await flushed, ['a', 'b']);
    clearInterval(alive);
    processor.stop();
  });

  it('keeps items while nobody listens, and refuses those beyond maxBufferSize', () => {
    const processor = new StreamingDataProcessor({ bufferSize: 2, maxBufferSize: 4 });
    const overflows = [];
    processor.on('bufferOverflow', (length) => overflows.push(length));
    assert.deepEqual(range(6).map((n) => processor.addData(n)), [true, true, true, true, false, false]);
    assert.deepEqual(overflows, [4, 4]);
    const arrays = [];
    processor.on('data', (items) => arrays.push(items));
    assert.isTrue(processor.addData(9));
    assert.deepEqual(arrays, [[0, 1, 2, 3]]);
    assert.deepEqual(processor.stop(), []);
    assert.deepEqual(arrays[1], [9]);
    assert.throws(() => processor.addData(1), /was stopped/);
  });

  it('gives back on stop what nobody listened for; names wrong options', () => {
    const processor = new StreamingDataProcessor();
    processor.addData(1);
    assert.deepEqual(processor.stop(), [1]);
    assert.throws(() => new StreamingDataProcessor({ bufferSize: 0 }), /bufferSize/);
    assert.throws(() => new StreamingDataProcessor({ flushInterval: 0 }), /flushInterval/);
    assert.throws(() => new StreamingDataProcessor({ bufferSize: 9, maxBufferSize: 8 }), /maxBufferSize/);
  });
});
