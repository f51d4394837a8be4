import { assert } from 'chai';
import { EventDrivenProcessor, IndexedDbJobStore, init } from '@sommos/performance';

describe('EventDrivenProcessor', () => {
  before(() => init());

  it('calls higher priorities first, equals in order, and waits for each', async () => {
    const processor = new EventDrivenProcessor();
    const calls = [];
    const handler = (name) => async (data, event) => {
      await Promise.resolve();
      calls.push(`${name}${data}`);
      assert.equal(event.type, 'wine');
    };
    processor.onEvent('wine', handler('low'), { priority: -1 });
    processor.onEvent('wine', handler('a'));
    processor.onEvent('wine', handler('high'), { priority: 9 });
    processor.onEvent('wine', handler('b'));
    const event = await processor.emitEvent('wine', 1);
    assert.deepEqual(calls, ['high1', 'a1', 'b1', 'low1']);
    assert.deepInclude(event, { type: 'wine', data: 1, handlers: 4, errors: [] });
    assert.deepEqual(processor.getStats(), { queueSize: 0, handlers: 4, types: ['wine'] });
  });

  it('tells when an event is queued and when it is processed', async () => {
    const processor = new EventDrivenProcessor();
    const seen = [];
    processor.on('eventQueued', (event) => seen.push(['queued', event.data, event.handlers]));
    processor.on('eventProcessed', (event) => seen.push(['processed', event.data, event.handlers]));
    processor.onEvent('x', () => seen.push(['handled']));
    await processor.emitEvent('x', 7);
    assert.deepEqual(seen, [['queued', 7, 0], ['handled'], ['processed', 7, 1]]);
  });

  it('a failing handler stops no other and is told', async () => {
    const processor = new EventDrivenProcessor();
    const errors = [];
    const calls = [];
    processor.on('handlerError', (error, event) => errors.push([error.message, event.type]));
    processor.onEvent('x', () => Promise.reject(new Error('one')));
    processor.onEvent('x', () => {
      throw new Error('two');
    });
    processor.onEvent('x', () => calls.push('three'));
    const event = await processor.emitEvent('x', null);
    assert.deepEqual(errors, [['one', 'x'], ['two', 'x']]);
    assert.deepEqual(event.errors.map((error) => error.message), ['one', 'two']);
    assert.deepEqual(calls, ['three']);
  });

  it('does not wait for a handler that is not async, but tells its error', async () => {
    const processor = new EventDrivenProcessor();
    let fail;
    processor.onEvent('x', () => new Promise((_resolve, reject) => (fail = reject)), { async: false });
    await processor.emitEvent('x', null);
    const told = new Promise((resolve) => processor.on('handlerError', resolve));
    fail(new Error('late'));
    assert.equal((await told).message, 'late');
  });

  it('a handler may emit and await further events', async () => {
    const processor = new EventDrivenProcessor();
    const calls = [];
    processor.onEvent('inner', (n) => calls.push(n));
    processor.onEvent('outer', () => processor.emitEvent('inner', 5));
    await processor.emitEvent('outer', null);
    assert.deepEqual(calls, [5]);
  });

  it('removes handlers', async () => {
    const processor = new EventDrivenProcessor();
    let calls = 0;
    const count = () => (calls += 1);
    const off = processor.onEvent('x', count);
    processor.onEvent('x', count);
    assert.isTrue(off());
    assert.isFalse(off());
    await processor.emitEvent('x', null);
    assert.equal(calls, 1);
    assert.isTrue(processor.offEvent('x', count));
    assert.isFalse(processor.offEvent('x'));
    assert.deepInclude(await processor.emitEvent('x', null), { handlers: 0 });
    assert.equal(calls, 1);
  });

  it('bounds events under way and handlers', async () => {
    const processor = new EventDrivenProcessor({ maxQueueSize: 2, maxHandlers: 1 });
    processor.onEvent('x', () => 1);
    assert.throws(() => processor.onEvent('x', () => 1), /maxHandlers/);
    const both = [processor.emitEvent('x', 1), processor.emitEvent('x', 2)];
    const error = await processor.emitEvent('x', 3).then(assert.fail, (thrown) => thrown);
    assert.equal(error.code, 'QUEUE_FULL');
    await Promise.all(both);
    await processor.emitEvent('x', 4);
  });

  it('names a wrong option', async () => {
    const processor = new EventDrivenProcessor();
    assert.throws(() => new EventDrivenProcessor({ maxQueueSize: 0 }), /maxQueueSize is 0/);
    assert.throws(() => processor.onEvent('x', 1), /the handler of x/);
    assert.throws(() => processor.onEvent('x', () => 1, { priority: 'a' }), /priority/);
    assert.throws(() => processor.onEvent('x', () => 1, { async: 1 }), /async/);
    const error = await processor.emitEvent('', 1).then(assert.fail, (thrown) => thrown);
    assert.equal(error.code, 'INVALID_OPTION');
  });
});

describe('IndexedDbJobStore', () => {
  it('keeps jobs, or says that there is no IndexedDB', async () => {
    if (typeof indexedDB === 'undefined') {
      assert.throws(() => new IndexedDbJobStore(), /no IndexedDB/);
      return;
    }
    const store = new IndexedDbJobStore('sommos-test-jobs');
    const options = { priority: 0, timeout: 1, retries: 0, delay: 0, retryDelay: 1 };
    const job = { id: 'job_1_00', type: 'x', data: { a: new Date(5) }, options, attempts: 0 };
    await store.put(job);
    assert.deepEqual(await store.load(), [job]);
    const error = await store.put({ ...job, data: () => 1 }).then(assert.fail, (thrown) => thrown);
    assert.equal(error.code, 'STORE_FAILED');
    await store.delete(job.id);
    await store.delete(job.id);
    assert.deepEqual(await store.load(), []);
    store.close();
    indexedDB.deleteDatabase('sommos-test-jobs');
  });
});
