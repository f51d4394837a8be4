import { SommosError } from '../errors.js';
import { shown, plainKey } from './key.js';
import type { Version } from './version.js';

/** What one node tells the others. Operations may arrive in any order: versions decide. */
export type Operation =
  | ({
      kind: 'set';
      key: string;
      value: unknown;
      /** Milliseconds since 1970. */
      expiresAt: number;
      grace: number;
      tags: readonly string[] | undefined;
    } & Version)
  | ({ kind: 'drop'; key: string } & Version)
  | ({ kind: 'clear' } & Version)
  | ({ kind: 'tag'; tag: string } & Version)
  | { kind: 'ask' };

type KeyOperation = Extract<Operation, { key: string }>;

interface Message {
  readonly sommosCache: 1;
  readonly from: string;
  readonly operations: readonly Operation[];
}

/** Operations of one message at most. */
const MESSAGE_MAX = 500;

/** What the cache hears from its channel. */
export interface ChannelEvents {
  received(operation: Operation): void;
  sent(count: number): void;
  failed(error: SommosError): void;
}

/**
 * Tells the tabs and workers of this origin (in Node: the threads of this process) over a
 * BroadcastChannel. What is queued leaves with the next microtask, one operation a key. Beyond
 * `max` values the oldest are told without their value, so that peers drop theirs; beyond `max` of
 * those, peers clear what is as old.
 */
export class PeerChannel {
  readonly #channel: BroadcastChannel;
  readonly #node: string;
  readonly #max: number;
  readonly #events: ChannelEvents;
  readonly #keys = new Map<string, KeyOperation>();
  readonly #drops = new Map<string, KeyOperation>();
  readonly #tags = new Map<string, Operation>();
  #clear: (Operation & { kind: 'clear' }) | undefined;
  #flushDue = false;

  constructor(name: string, node: string, max: number, events: ChannelEvents) {
    this.#channel = new BroadcastChannel(name);
    this.#node = node;
    this.#max = max;
    this.#events = events;
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => this.#receive(data);
    this.#channel.onmessageerror = () =>
      events.failed(new SommosError('INVALID_MESSAGE', 'a message of a peer could not be read'));
    // In Node an open channel would keep the process alive.
    (this.#channel as { unref?: () => void }).unref?.();
  }

  get queued(): number {
    return this.#keys.size + this.#drops.size + this.#tags.size + (this.#clear ? 1 : 0);
  }

  push(operation: Operation): void {
    if (operation.kind === 'ask') return this.#post([operation]);
    if (operation.kind === 'clear') {
      this.#keys.clear();
      this.#drops.clear();
      this.#clear = operation;
    } else if (operation.kind === 'tag') {
      this.#tags.set(operation.tag, operation);
      if (this.#tags.size > this.#max) this.flush();
    } else {
      this.#keys.delete(operation.key);
      this.#drops.delete(operation.key);
      this.#keys.set(operation.key, operation);
      if (this.#keys.size > this.#max) this.#collapse();
    }
    if (this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => this.flush());
  }

  /** Sends what is queued. */
  flush(): void {
    this.#flushDue = false;
    const all: Operation[] = this.#clear ? [this.#clear] : [];
    all.push(...this.#tags.values(), ...this.#drops.values(), ...this.#keys.values());
    this.#clear = undefined;
    this.#tags.clear();
    this.#drops.clear();
    this.#keys.clear();
    for (let at = 0; at < all.length; at += MESSAGE_MAX) {
      this.#post(all.slice(at, at + MESSAGE_MAX));
    }
  }

  close(): void {
    this.#channel.onmessage = null;
    this.#channel.close();
  }

  #collapse(): void {
    const oldest = this.#keys.values().next();
    if (oldest.done) return;
    const { key, stamp, node } = oldest.value;
    this.#keys.delete(key);
    this.#drops.set(key, { kind: 'drop', key, stamp, node });
    if (this.#drops.size <= this.#max) return;
    const latest = Math.max(...Array.from(this.#drops.values(), (drop) => drop.stamp));
    this.#drops.clear();
    this.#clear = { kind: 'clear', stamp: Math.max(latest, this.#clear?.stamp ?? 0), node };
  }

  #post(operations: Operation[]): void {
    const message: Message = { sommosCache: 1, from: this.#node, operations };
    try {
      this.#channel.postMessage(message);
    } catch {
      // A value that cannot be cloned: peers are told to drop theirs.
      this.#channel.postMessage({ ...message, operations: operations.map((o) => this.#sendable(o)) });
    }
    this.#events.sent(operations.length);
  }

  #sendable(operation: Operation): Operation {
    if (operation.kind !== 'set') return operation;
    try {
      structuredClone(operation.value);
      return operation;
    } catch (cause) {
      const { key, stamp, node } = operation;
      const message = `the value of ${shown(plainKey(key))} cannot be cloned for other tabs, which drop theirs: ${String(cause)}`;
      this.#events.failed(new SommosError('NOT_CLONEABLE', message, { cause }));
      return { kind: 'drop', key, stamp, node };
    }
  }

  #receive(data: unknown): void {
    const message = data as Partial<Message> | null;
    if (message?.sommosCache !== 1 || !Array.isArray(message.operations)) {
      const text = 'a message on the channel is not of a cache; give the option channel a name of its own';
      return this.#events.failed(new SommosError('INVALID_MESSAGE', text));
    }
    for (const operation of message.operations) {
      try {
        this.#events.received(operation);
      } catch (error) {
        this.#events.failed(SommosError.from(error, 'INVALID_MESSAGE'));
      }
    }
  }
}
