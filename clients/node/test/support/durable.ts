import assert from "node:assert/strict";
import type { Consumer } from "../../src/durable/consumer.js";
import type { DurableDelivery, Event } from "../../src/index.js";
import type { Subscription } from "../../src/subscription.js";
import { sleep, until } from "./waiting.js";

/** Tries again at once, twice. */
export const AT_ONCE = { maxAttempts: 3, backoff: 0, cap: 0 };

const QUIET_MS = 100;
let topics = 0;

/** A topic that no other test has. */
export function newTopic(): string {
  return `durable.t${topics++}`;
}

/** What handlers saw, in order. */
export class Seen<T = unknown> extends Array<T> {
  static override get [Symbol.species](): ArrayConstructor {
    return Array;
  }

  /** Takes what a handler saw; resolves as that handler is to. */
  after<Result>(seen: T, held: Promise<Result>): Promise<Result> {
    this.push(seen);
    return held;
  }

  /** So many have come. */
  reach(count: number): Promise<void> {
    return until(() => this.length >= count, `${count} seen`);
  }

  /** So many have come, and then no more. */
  async stay(count: number): Promise<void> {
    await this.reach(count);
    await sleep(QUIET_MS);
    assert.equal(this.length, count, JSON.stringify(this));
  }
}

/** A handler that remembers what came for each key, and whether two of a key ran at a time. */
export class Keys {
  readonly seen = new Map<string, unknown[]>();
  overlapped = false;
  most = 0;
  readonly #running = new Set<string>();

  constructor(readonly ms = 0) {}

  readonly take = async (data: unknown, { key }: Event) => {
    this.overlapped ||= this.#running.has(key);
    this.#running.add(key);
    this.most = Math.max(this.most, this.#running.size);
    if (this.ms > 0) await sleep(this.ms);
    this.of(key).push(data);
    this.#running.delete(key);
  };

  of(key: string): unknown[] {
    const seen = this.seen.get(key) ?? [];
    this.seen.set(key, seen);
    return seen;
  }

  get count(): number {
    return [...this.seen.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** So many have come. */
  reach(count: number): Promise<void> {
    return until(() => this.count >= count, `${count} handled`);
  }
}

/** What the handler of a durable event has. */
export function deliveryOf({ delivery }: Event): DurableDelivery {
  assert.ok(delivery !== undefined);
  return delivery;
}

/** What claims for a subscription. */
export function consumerOf({ consumer }: Subscription): Consumer {
  assert.ok(consumer !== undefined);
  return consumer;
}
