import { SommosError } from '../errors.js';
import { callable, flag, integer, invalidOption, oneOf } from '../options.js';
import { PeerChannel, type Operation } from './channel.js';
import { INTERVAL_MAX } from './config.js';
import { Endpoint } from './endpoint.js';
import type { CacheKey } from './key.js';
import { AdvancedCacheManager, type Beyond } from './manager.js';
import type { Origin } from './table.js';
import type { CacheEvents, CacheOptions, CacheStats } from './types.js';
import { isNewer, Tombstones, VersionClock } from './version.js';

/** Options of {@link DistributedCacheManager}. */
export interface DistributedCacheOptions extends CacheOptions {
  /** Name of this cache among its peers; of two writes at once the greater name wins. Default: random. */
  nodeId?: string;
  /** Milliseconds after which what could not be sent is sent again. Default 30000. */
  syncInterval?: number;
  /** Whether peers and endpoints are told and heard at all. Default true. */
  enableSync?: boolean;
  /** Name of the BroadcastChannel; caches of the same name share their entries. Default 'sommos-cache'. */
  channel?: string;
  /**
   * 'values': peers store what is set here (values are structured-cloned). 'invalidate': they drop
   * their value of the key, which is cheaper for large values. Default 'values'.
   */
  sync?: 'values' | 'invalidate';
  /** Ask peers for their entries at the start (needs 'values' at the peers). Default false. */
  askPeers?: boolean;
  /** Most keys waiting to be told. Default 10000. */
  maxQueue?: number;
  /** Most versions kept of keys that are gone, so that late messages are known as late. Default 10000. */
  maxTombstones?: number;
  /** Milliseconds until a request to an endpoint is given up. Default 2000. */
  endpointTimeout?: number;
  /** Headers of the requests to endpoints, for instance an authorization. */
  headers?: Record<string, string> | (() => Record<string, string>);
  /** Default: the global fetch. */
  fetch?: typeof fetch;
}

/** The events of a distributed cache. */
export type DistributedCacheEvents<V> = CacheEvents<V> & {
  nodeAdded: [id: string, endpoint: string];
  nodeRemoved: [id: string];
  /** What was told, and to whom: 'channel' or the id of a node. */
  syncSent: [operations: number, target: string];
};

/** `getStats` and the state of the synchronization. */
export interface DistributedStats extends CacheStats {
  nodeId: string;
  /** How many nodes were added. */
  remoteNodes: number;
  /** Keys waiting to be told. */
  syncQueueSize: number;
  enableSync: boolean;
}

/** Entries told to a peer that asks, at most. */
const ANSWER_MAX = 1000;

/**
 * A cache whose entries are shared with the tabs and workers of the same origin over a
 * BroadcastChannel, and with servers whose REST cache is a second level (`addNode`). Each write has
 * a version, so that a late message never overwrites a newer write. Counters and the order of use
 * are each cache's own; an eviction is not told. A server knows no tags: `deleteByTag` deletes
 * there the keys that this cache holds.
 */
export class DistributedCacheManager<V = unknown> extends AdvancedCacheManager<
  V,
  DistributedCacheEvents<V>
> {
  protected override readonly node: string;
  readonly #sync: boolean;
  readonly #mode: 'values' | 'invalidate';
  readonly #versions: VersionClock;
  readonly #tombstones: Tombstones;
  readonly #channel: PeerChannel | undefined;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #endpointOptions: ConstructorParameters<typeof Endpoint>[2];
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: DistributedCacheOptions = {}) {
    const limits = { min: 1, max: 1 << 20, default: 10_000 };
    const max = integer('maxQueue', options.maxQueue, limits);
    const tombstones = integer('maxTombstones', options.maxTombstones, limits);
    const interval = { min: 1, max: INTERVAL_MAX, default: 30_000 };
    const syncInterval = integer('syncInterval', options.syncInterval, interval);
    const timeout = integer('endpointTimeout', options.endpointTimeout, { ...interval, default: 2000 });
    const channel = text('channel', options.channel ?? 'sommos-cache');
    const node = text('nodeId', options.nodeId ?? crypto.randomUUID());
    const sync = flag('enableSync', options.enableSync, true);
    const mode = oneOf('sync', options.sync, ['values', 'invalidate'], 'values');
    const ask = flag('askPeers', options.askPeers, false);
    const request = callable('fetch', options.fetch ?? globalThis.fetch);
    super(options);
    const { headers = {} } = options;
    this.node = node;
    this.#sync = sync;
    this.#mode = mode;
    this.#tombstones = new Tombstones(tombstones);
    this.#versions = new VersionClock(() => this.clock.now());
    const failed = (error: SommosError): void => void this.emit('error', error);
    const sent = (count: number, target: string): void => void this.emit('syncSent', count, target);
    this.#endpointOptions = {
      fetch: (...args) => request(...args),
      timeout,
      headers: typeof headers === 'function' ? headers : () => headers,
      max,
      now: () => this.clock.now(),
      sent: (...args) => this.closed || sent(...args),
      failed,
    };
    if (!sync) return;
    this.#timer = setInterval(() => this.#flush(), syncInterval);
    (this.#timer as { unref?: () => void }).unref?.();
    if (typeof BroadcastChannel === 'undefined') return;
    this.#channel = new PeerChannel(channel, node, max, {
      received: (operation) => this.#receive(operation),
      sent: (count) => sent(count, 'channel'),
      failed,
    });
    if (ask) this.#channel.push({ kind: 'ask' });
  }

  /** The name of this cache among its peers. */
  get nodeId(): string {
    return this.node;
  }

  /**
   * Makes the REST cache at `endpoint` ("https://host/api/performance") a second level: reads that
   * miss ask it (`getAsync`, `getOrSet`), writes are sent to it. Replaces a node of the same id.
   */
  addNode(id: string, endpoint: string): void {
    this.table();
    text('id', id);
    const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
    if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
      throw invalidOption('endpoint', endpoint, 'an address such as https://host/api/performance');
    }
    this.#endpoints.get(id)?.close();
    this.#endpoints.set(id, new Endpoint(id, endpoint, this.#endpointOptions));
    this.emit('nodeAdded', id, endpoint);
  }

  /** Ends the use of a node; what waits to be sent to it is forgotten. False when there is none. */
  removeNode(id: string): boolean {
    this.table();
    const endpoint = this.#endpoints.get(id);
    if (!endpoint) return false;
    endpoint.close();
    this.#endpoints.delete(id);
    this.emit('nodeRemoved', id);
    return true;
  }

  /** The nodes and their endpoints. */
  nodes(): [id: string, endpoint: string][] {
    return Array.from(this.#endpoints, ([id, { url }]) => [id, url]);
  }

  /**
   * The value of a key here or, failing that, at the first endpoint that has it, or null. A server
   * does not tell how long a value will live: here it lives for defaultTTL.
   */
  async getAsync(key: CacheKey): Promise<V | null> {
    const stored = this.keyOf(key);
    const value = this.get(key);
    if (value !== null || this.#endpoints.size === 0 || this.has(key)) return value;
    return this.fetch(key, stored);
  }

  /** The figures now. */
  getDistributedStats(): DistributedStats {
    const stats = this.getStats();
    let syncQueueSize = this.#channel?.queued ?? 0;
    for (const endpoint of this.#endpoints.values()) syncQueueSize += endpoint.queued;
    const remoteNodes = this.#endpoints.size;
    return { ...stats, nodeId: this.node, remoteNodes, syncQueueSize, enableSync: this.#sync };
  }

  /** Ends timers, loaders and requests and gives the memory back; tells peers what is queued. */
  override destroy(): void {
    if (this.closed) return;
    clearInterval(this.#timer);
    this.#channel?.flush();
    this.#channel?.close();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
    this.#endpoints.clear();
    super.destroy();
  }

  protected override nextStamp(): number {
    return this.#versions.next();
  }

  protected override beyond(stored: string, signal: AbortSignal): Promise<Beyond<V>> | undefined {
    if (!this.#sync || this.#endpoints.size === 0) return undefined;
    return this.#ask([...this.#endpoints.values()], stored, signal);
  }

  protected override onWrite(
    key: string,
    value: V,
    expiresAt: number,
    grace: number,
    origin: Origin | undefined,
  ): void {
    if (!origin) return;
    this.#tombstones.lift(key);
    if (!this.#sync) return;
    const { stamp, node, tags } = origin;
    if (this.#mode === 'values') {
      this.#channel?.push({ kind: 'set', key, value, expiresAt, grace, stamp, node, tags });
    } else {
      this.#channel?.push({ kind: 'drop', key, stamp, node });
    }
    for (const endpoint of this.#endpoints.values()) endpoint.set(key, value, expiresAt);
  }

  protected override onDelete(key: string, stamp: number): void {
    const { node } = this;
    this.#tombstones.bury(key, { stamp, node });
    if (!this.#sync) return;
    this.#channel?.push({ kind: 'drop', key, stamp, node });
    for (const endpoint of this.#endpoints.values()) endpoint.delete(key);
  }

  protected override onClear(stamp: number): void {
    this.#tombstones.raise(stamp);
    if (!this.#sync) return;
    this.#channel?.push({ kind: 'clear', stamp, node: this.node });
    for (const endpoint of this.#endpoints.values()) endpoint.clear();
  }

  protected override onTag(tag: string, stamp: number): void {
    if (!this.#sync) return;
    this.#channel?.push({ kind: 'tag', tag, stamp, node: this.node });
    if (this.#endpoints.size === 0) return;
    for (const { key, origin } of this.table().all()) {
      if (!origin?.tags?.includes(tag)) continue;
      for (const endpoint of this.#endpoints.values()) endpoint.delete(key);
    }
  }

  protected override onEvicted(key: string, origin: Origin | undefined): void {
    if (origin) this.#tombstones.bury(key, origin);
  }

  async #ask(endpoints: Endpoint[], stored: string, signal: AbortSignal): Promise<Beyond<V>> {
    for (const endpoint of endpoints) {
      const found = await endpoint.get(stored, signal);
      if (found) return found as { value: V };
    }
    return undefined;
  }

  #flush(): void {
    this.#channel?.flush();
    for (const endpoint of this.#endpoints.values()) void endpoint.flush();
  }

  #receive(operation: Operation): void {
    if (this.closed) return;
    if (operation.kind === 'ask') return this.#answer();
    this.#versions.see(operation.stamp);
    switch (operation.kind) {
      case 'set':
        return this.#receiveSet(operation);
      case 'drop':
        return this.#receiveDrop(operation.key, operation);
      case 'clear':
        return this.#receiveClear(operation.stamp);
      case 'tag':
        this.barriers.delete(operation.tag, operation.stamp);
    }
  }

  #receiveSet(operation: Operation & { kind: 'set' }): void {
    const { key, value, expiresAt, grace, stamp, node, tags } = operation;
    const origin = { stamp, node, tags };
    const entry = this.table().entry(key);
    const late = entry?.origin && !isNewer(origin, entry.origin);
    if (late || this.#tombstones.covers(key, origin) || this.barriers.bars(origin)) return;
    this.#tombstones.lift(key);
    this.adopt(key, value as V, expiresAt, grace, origin);
  }

  #receiveDrop(key: string, { stamp, node }: { stamp: number; node: string }): void {
    const entry = this.table().entry(key);
    if (entry?.origin && !isNewer({ stamp, node }, entry.origin)) return;
    this.#tombstones.bury(key, { stamp, node });
    this.drop(key);
  }

  #receiveClear(stamp: number): void {
    this.#tombstones.raise(stamp);
    this.dropAll((entry) => (entry.origin?.stamp ?? 0) <= stamp);
  }

  #answer(): void {
    if (this.#mode !== 'values') return;
    const table = this.table();
    // The least recently used first, so that the peer has the same order.
    for (const entry of table.list(this.clock.now()).slice(0, ANSWER_MAX).reverse()) {
      const { key, value, origin } = entry;
      if (!origin || this.barriers.bars(origin)) continue;
      const expiresAt = table.staleAt(entry);
      const grace = expiresAt === Infinity ? 0 : table.goneAt(entry) - expiresAt;
      this.#channel?.push({ kind: 'set', key, value, expiresAt, grace, ...origin });
    }
  }
}

function text(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length > 0 && value.length <= 256) return value;
  throw invalidOption(name, value, 'a string of 1 to 256 characters');
}
