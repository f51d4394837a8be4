import { assert } from 'chai';
import { DistributedCacheManager, init } from '@sommos/performance';

const START = 1_700_000_000_000;
const thrown = (call) => {
  try {
    call();
  } catch (error) {
    return error;
  }
  return assert.fail('did not throw');
};

/** Waits until a condition holds; the runner's timeout ends it. */
async function until(condition) {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('DistributedCacheManager', () => {
  let open = [];
  let channel;
  let round = 0;
  const now = () => now.time;
  const make = (options) => {
    const cache = new DistributedCacheManager({ cleanupInterval: 0, channel, now, ...options });
    cache.errors = [];
    cache.on('error', (error) => cache.errors.push(error));
    open.push(cache);
    return cache;
  };
  /** A peer in the raw, to send late or malformed messages. */
  const raw = () => {
    const peer = new BroadcastChannel(channel);
    open.push({ destroy: () => peer.close() });
    const send = (...operations) => peer.postMessage({ sommosCache: 1, from: 'raw', operations });
    peer.onmessage = ({ data }) => raw.seen.push(...data.operations);
    raw.seen = [];
    return { peer, send };
  };
  /** After this every message sent before has arrived at `cache`. */
  let marks = 0;
  const delivered = async (from, to) => {
    const key = `mark ${marks++}`;
    from.set(key, 1);
    await until(() => to.has(key));
    from.delete(key);
    await until(() => !to.has(key));
  };

  before(() => init());
  beforeEach(() => {
    channel = `test ${round++} ${Math.random()}`;
    now.time = START;
  });
  afterEach(() => {
    for (const cache of open) cache.destroy();
    open = [];
  });

  it('tells peers of sets, deletes, tags and clears', async () => {
    const [a, b] = [make(), make()];
    const log = [];
    for (const event of ['set', 'delete', 'clear']) b.on(event, (...args) => log.push([event, ...args]));
    a.set('wine', { name: 'Cava' }, 500);
    a.set({ k: 1 }, 2, { tags: ['t'] });
    await until(() => b.has({ k: 1 }));
    assert.deepEqual(b.get('wine'), { name: 'Cava' });
    assert.deepEqual(log[0], ['set', 'wine', { name: 'Cava' }, START + 500]);
    now.time += 500;
    assert.isNull(b.get('wine'));
    a.deleteByTag('t');
    await until(() => !b.has({ k: 1 }));
    b.set('x', 1);
    await until(() => a.has('x'));
    a.delete('x');
    await until(() => !b.has('x'));
    a.set('y', 1);
    await until(() => b.has('y'));
    a.clear();
    await until(() => b.size() === 0);
    assert.deepEqual(log.filter(([event]) => event !== 'set'), [['delete', 'x'], ['clear', 1]]);
    assert.deepEqual([...a.errors, ...b.errors], []);
  });

  it('invalidates only, when asked to', async () => {
    // Of two writes at once the one of the greater name wins.
    const [a, b] = [make({ sync: 'invalidate', nodeId: 'z' }), make({ sync: 'invalidate', nodeId: 'y' })];
    b.set('k', 'old');
    a.set('k', 'new');
    await until(() => !b.has('k'));
    assert.equal(a.get('k'), 'new');
  });

  it('a late message never overwrites a newer write', async () => {
    const a = make({ nodeId: 'm' });
    const { send } = raw();
    const stamp = START * 1024;
    const set = (key, value, version, node) =>
      send({ kind: 'set', key, value, expiresAt: START + 1e6, grace: 0, tags: ['t'], stamp: version, node });
    a.set('mine', 'new');
    set('mine', 'late', stamp - 1, 'z');
    set('tie', 'of b', stamp + 50, 'b');
    set('tie', 'of a', stamp + 50, 'a');
    await until(() => a.has('tie'));
    send({ kind: 'drop', key: 'tie', stamp: stamp + 49, node: 'z' });
    set('deleted', 'x', stamp + 51, 'b');
    await until(() => a.has('deleted'));
    a.delete('deleted');
    set('deleted', 'late', stamp + 51, 'c');
    send({ kind: 'tag', tag: 't', stamp: stamp + 40, node: 'z' });
    set('barred', 'late', stamp + 39, 'z');
    set('last', 1, stamp + 60, 'b');
    await until(() => a.has('last'));
    assert.equal(a.get('mine'), 'new');
    assert.equal(a.get('tie'), 'of b');
    assert.isFalse(a.has('deleted'));
    assert.isFalse(a.has('barred'));
    send({ kind: 'clear', stamp: stamp + 59, node: 'z' });
    set('cleared', 'late', stamp + 58, 'z');
    set('after', 1, stamp + 61, 'b');
    await until(() => a.has('after'));
    assert.sameMembers(a.keys(), ['last', 'after']);
    assert.deepEqual(a.errors, []);
  });

  it('two who write at once end with the same value', async () => {
    const [a, b, c] = [make(), make(), make()];
    for (let i = 0; i < 20; i++) {
      a.set('k', `a${i}`);
      b.set('k', `b${i}`);
      if (i % 5 === 0) c.delete('k');
    }
    await delivered(a, b);
    await delivered(b, c);
    await delivered(c, a);
    assert.isNotNull(a.get('k'));
    assert.equal(a.get('k'), b.get('k'));
    assert.equal(b.get('k'), c.get('k'));
  });

  it('tells of what was sent and of its state', async () => {
    const a = make({ nodeId: 'one' });
    const sent = [];
    a.on('syncSent', (...args) => sent.push(args));
    a.set('a', 1);
    a.set('b', 1);
    a.set('b', 2);
    const { nodeId, remoteNodes, syncQueueSize, enableSync, sets } = a.getDistributedStats();
    assert.deepEqual({ nodeId, remoteNodes, syncQueueSize, enableSync, sets }, {
      nodeId: 'one', remoteNodes: 0, syncQueueSize: 2, enableSync: true, sets: 3,
    });
    await until(() => sent.length > 0);
    assert.deepEqual(sent, [[2, 'channel']]);
    assert.equal(a.getDistributedStats().syncQueueSize, 0);
  });

  it('does nothing of it without enableSync', async () => {
    const [a, b, c] = [make({ enableSync: false }), make(), make()];
    a.set('k', 1);
    await delivered(b, c);
    assert.isFalse(b.has('k'));
    assert.isFalse(a.getDistributedStats().enableSync);
  });

  it('a bounded queue drops values, then everything, at the peers', async () => {
    const a = make({ maxQueue: 10, maxSize: 100 });
    const b = make();
    raw();
    b.set('k0', 'old');
    await until(() => a.has('k0'));
    for (let i = 0; i < 15; i++) a.set(`k${i}`, i);
    assert.isAtMost(a.getDistributedStats().syncQueueSize, 21);
    await until(() => b.has('k14'));
    assert.isFalse(b.has('k0'));
    assert.isTrue(b.has('k5'));
    for (let i = 0; i < 40; i++) a.set(`n${i}`, i);
    assert.isAtMost(a.getDistributedStats().syncQueueSize, 21);
    await until(() => b.has('n39'));
    assert.isFalse(b.has('k14'));
    assert.equal(a.size(), 55);
    await until(() => raw.seen.some(({ kind }) => kind === 'clear'));
  });

  it('a value that cannot be cloned is dropped at the peers and told', async () => {
    const [a, b] = [make(), make()];
    a.set('f', 1);
    await until(() => b.has('f'));
    a.set('f', () => 1);
    a.set('good', 2);
    await until(() => b.has('good'));
    assert.isFalse(b.has('f'));
    assert.equal(a.errors[0].code, 'NOT_CLONEABLE');
    assert.include(a.errors[0].message, '"f"');
  });

  it('refuses what is no message and a clock far ahead', async () => {
    const a = make();
    const { peer, send } = raw();
    peer.postMessage('hello');
    send({ kind: 'drop', key: 'k', stamp: (START + 1e9) * 1024, node: 'z' });
    await until(() => a.errors.length === 2);
    assert.deepEqual(a.errors.map(({ code }) => code), ['INVALID_MESSAGE', 'INVALID_MESSAGE']);
    assert.include(a.errors[1].message, 'clock');
  });

  it('a new node may ask its peers', async () => {
    const a = make();
    for (let i = 0; i < 5; i++) a.set(i, i);
    a.get(0);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const b = make({ askPeers: true });
    await until(() => b.size() === 5);
    assert.deepEqual(b.keys(), a.keys());
    const { peer } = raw();
    assert.isOk(peer);
  });

  it('adds and removes nodes', () => {
    const a = make();
    const log = [];
    a.on('nodeAdded', (...args) => log.push(['added', ...args]));
    a.on('nodeRemoved', (...args) => log.push(['removed', ...args]));
    a.addNode('n', 'http://localhost:1/api/performance');
    assert.deepEqual(a.nodes(), [['n', 'http://localhost:1/api/performance']]);
    assert.equal(a.getDistributedStats().remoteNodes, 1);
    assert.isTrue(a.removeNode('n'));
    assert.isFalse(a.removeNode('n'));
    assert.deepEqual(log, [['added', 'n', 'http://localhost:1/api/performance'], ['removed', 'n']]);
    for (const endpoint of ['ftp://x', 'nothing', 7]) {
      assert.equal(thrown(() => a.addNode('x', endpoint)).code, 'INVALID_OPTION');
    }
  });

  it('is closed by destroy', () => {
    const a = make();
    a.set('a', 1);
    a.destroy();
    a.destroy();
    for (const call of [() => a.get('a'), () => a.addNode('n', 'http://h'), () => a.removeNode('n'), () => a.getDistributedStats()]) {
      assert.equal(thrown(call).code, 'CLOSED');
    }
  });

  it('refuses options out of range by their name', () => {
    for (const options of [{ nodeId: '' }, { syncInterval: 0 }, { enableSync: 'no' }, { sync: 'all' }, { maxQueue: 0 }, { fetch: 1 }, { channel: 5 }]) {
      const error = thrown(() => new DistributedCacheManager(options));
      assert.equal(error.code, 'INVALID_OPTION');
      assert.include(error.message, Object.keys(options)[0]);
    }
  });
});
