import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryIdempotencyStore as Memory } from "../../src/durable/idempotency.js";
import {
  type Handling,
  type IdempotencyStore,
  InvalidArgumentError,
  idempotencyStore,
  type MemoryIdempotencyStore,
  type Standing,
  type SubscribeOptions,
  UnavailableError,
} from "../../src/index.js";
import { AT_ONCE, consumerOf, deliveryOf, newTopic, Seen } from "../support/durable.js";
import { ask } from "../support/redis.js";
import type { RedisServer } from "../support/server.js";
import { gate, sleep, until } from "../support/waiting.js";
import { silent, type World } from "../support/world.js";

const HOUR = 3_600_000;

function memory(): MemoryIdempotencyStore {
  return new Memory();
}

/** A store that is away at first. */
class Broken extends Memory {
  failures = 3;

  override async begin(handling: Handling, owner: string, leaseMs: number): Promise<Standing> {
    if (--this.failures >= 0) throw new UnavailableError("the store is away");
    return super.begin(handling, owner, leaseMs);
  }

  override async done(): Promise<void> {
    throw new UnavailableError("the store is away");
  }
}

/** Durable subscriptions with a store that remembers what was handled. */
export function durableOnceTests(world: World): void {
  test("an event that was done is acknowledged without its handler", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen()];
    const system = world.system();
    const done = await system.publish(topic, "done", { key: "k" });
    await system.publish(topic, "new", { key: "k" });
    await store.done({ group: "default", topic, id: done.id });
    const take = (data: unknown) => seen.push(data);
    const subscription = system.subscribe(topic, take, { durable: true, idempotency: store });
    await subscription.ready();
    await seen.stay(1);
    assert.deepEqual([...seen], ["new"]);
    await subscription.unsubscribe();
    await system.subscribe(topic, take, { durable: true }).ready();
    await seen.stay(1);
  });

  test("each group handles an event and remembers it", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen()];
    const system = world.system();
    for (const group of ["one", "other"]) {
      const options = { durable: true, group, idempotency: store };
      await system.subscribe(topic, (data) => seen.push(data), options).ready();
    }
    const { id } = await system.publish(topic, 1, { key: "k" });
    await seen.stay(2);
    const standings = ["one", "other", "third"].map((group) => store.begin({ group, topic, id }, "me", 1000));
    assert.deepEqual(await Promise.all(standings), ["done", "done", "begun"]);
  });

  test("an event that somebody else handles waits without failing", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen<[unknown, number]>()];
    const system = world.system();
    const { id } = await system.publish(topic, 1, { key: "k" });
    const other = { group: "default", topic, id };
    await store.begin(other, "somebody", HOUR);
    const options = { durable: true, idempotency: store, timeout: 300, retry: AT_ONCE };
    await system.subscribe(topic, (data, event) => seen.push([data, deliveryOf(event).attempt]), options).ready();
    await system.publish(topic, 2, { key: "k" });
    await system.publish(topic, 3, { key: "l" });
    await seen.reach(1);
    await sleep(1000);
    assert.deepEqual([...seen], [[3, 1]]);
    await store.giveUp(other, "somebody");
    await seen.stay(3);
    assert.deepEqual([...seen].slice(1), [
      [1, 1],
      [2, 1],
    ]);
  });

  test("who waits for somebody else does not hold up its end", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen()];
    const leaving = world.system();
    const { id } = await leaving.publish(topic, 1, { key: "k" });
    await store.begin({ group: "default", topic, id }, "somebody", HOUR);
    const options = { durable: true, idempotency: store };
    const subscription = leaving.subscribe(topic, (data) => seen.push(data), options);
    await subscription.ready();
    await until(() => consumerOf(subscription).held === 1, "it waits");
    await subscription.unsubscribe();
    assert.equal(consumerOf(subscription).held, 0);
    await world
      .system()
      .subscribe(topic, (data) => seen.push(data), { durable: true })
      .ready();
    await seen.stay(1);
  });

  test("a failure is not remembered as done", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen<[unknown, number]>()];
    const system = world.system();
    const options = { durable: true, idempotency: store, retry: AT_ONCE };
    await system
      .subscribe(
        topic,
        (data, event) => {
          const delivery = deliveryOf(event);
          seen.push([data, delivery.attempt]);
          if (delivery.attempt === 1) throw new RangeError("not yet");
          if (data === "ack") {
            delivery.ack();
            throw new RangeError("afterwards");
          }
          if (data === "reject") delivery.reject();
        },
        options,
      )
      .ready();
    const ids: string[] = [];
    for (const data of ["return", "ack", "reject"]) ids.push((await system.publish(topic, data, { key: "k" })).id);
    await seen.stay(6);
    assert.deepEqual(
      [...seen].map(([, attempt]) => attempt),
      [1, 2, 1, 2, 1, 2],
    );
    await until(() => store.size === 2, "what was rejected is given up");
    const standings = ids.map((id) => store.begin({ group: "default", topic, id }, "me", 1000));
    assert.deepEqual(await Promise.all(standings), ["done", "done", "begun"]);
  });

  test("what a handler that was interrupted began another may begin", async () => {
    const [topic, store, begun, seen] = [newTopic(), memory(), new Seen(), new Seen()];
    const leaving = world.system({ settings: { lease: 60_000 } });
    const options = { durable: true, idempotency: store };
    await leaving.subscribe(topic, (data) => begun.after(data, new Promise(() => undefined)), options).ready();
    await leaving.publish(topic, 1, { key: "k" });
    await begun.reach(1);
    await leaving.close(0);
    await world
      .system()
      .subscribe(topic, (data) => seen.push(data), options)
      .ready();
    await seen.stay(1);
  });

  test("what takes too long is given up, and tried again", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen<number>()];
    const options = { durable: true, idempotency: store, timeout: 200, retry: AT_ONCE };
    const system = world.system();
    await system
      .subscribe(
        topic,
        (_, event) => {
          const { attempt } = deliveryOf(event);
          seen.push(attempt);
          return attempt === 1 ? new Promise(() => undefined) : undefined;
        },
        options,
      )
      .ready();
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(2);
    assert.deepEqual([...seen], [1, 2]);
  });

  test("what a process that died began is handled when its lease is over", async () => {
    const [topic, store, seen] = [newTopic(), memory(), new Seen()];
    const system = world.system();
    const { id } = await system.publish(topic, 1, { key: "k" });
    await store.begin({ group: "default", topic, id }, "died", 500);
    const options = { durable: true, idempotency: store };
    await system.subscribe(topic, (data) => seen.push(data), options).ready();
    await seen.stay(1);
    assert.equal(await store.begin({ group: "default", topic, id }, "me", 1000), "done");
  });

  test("a handler at work keeps what it began", async () => {
    const [topic, store, begun, seen, release] = [newTopic(), memory(), new Seen(), new Seen(), gate()];
    const system = world.system({ settings: { lease: 1000, leaseRefresh: 200 } });
    const work = async (data: unknown) => {
      await begun.after(data, release.opened);
      seen.push(data);
    };
    await system.subscribe(topic, work, { durable: true, idempotency: store }).ready();
    const { id } = await system.publish(topic, 1, { key: "k" });
    await begun.reach(1);
    for (let look = 0; look < 8; look++) {
      await sleep(250);
      assert.equal(await store.begin({ group: "default", topic, id }, "me", 60_000), "busy");
    }
    release.open();
    await seen.stay(1);
    assert.equal(begun.length, 1);
  });

  test("an event waits for a store that is away", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system();
    const options = { durable: true, idempotency: new Broken(), retry: AT_ONCE };
    await system.subscribe(topic, (data) => seen.push(data), options).ready();
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(2);
    assert.deepEqual([...seen], [1, 2]);
  });

  test("a store that does not keep to its word does not end the consumer", async () => {
    const [topic, seen, told] = [newTopic(), new Seen(), [] as string[]];
    const error = (_: string, cause: unknown) => told.push(String(cause));
    const system = world.system({ logger: { ...silent, error } });
    let asked = 0;
    class Strange extends Memory {
      override async begin(handling: Handling, owner: string, leaseMs: number): Promise<Standing> {
        asked += 1;
        if (asked === 1) throw new RangeError("no error of ours");
        if (asked === 2) return "perhaps" as Standing;
        return super.begin(handling, owner, leaseMs);
      }
    }
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, idempotency: new Strange() }).ready();
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(1);
    assert.deepEqual(told, ["RangeError: no error of ours", "TypeError: an idempotency store said perhaps"]);
  });

  test("a store that makes no sense is refused", () => {
    const system = world.system();
    const strange = [
      { durable: true, idempotency: "redis://localhost" as unknown as IdempotencyStore },
      { idempotency: memory() },
      { durable: true, idempotency: memory(), batch: { size: 10 } } as unknown as SubscribeOptions,
    ];
    for (const options of strange) {
      assert.throws(() => system.subscribe(newTopic(), () => undefined, options), InvalidArgumentError);
    }
  });
}

/** The store is the broker. */
export function durableOnceRedisTests(world: World, redis: RedisServer): void {
  test("the broker may be the store, and keeps a key for each event as the contract says", async () => {
    const [topic, store, seen] = [newTopic(), idempotencyStore(redis.url), new Seen()];
    const system = world.system();
    const options = { durable: true, idempotency: store };
    await system.subscribe(topic, (data) => seen.push(data), options).ready();
    const receipts = [];
    for (let number = 0; number < 3; number++) receipts.push(await system.publish(topic, number, { key: "k" }));
    await seen.stay(3);
    for (const { id } of receipts) {
      assert.equal(await store.begin({ group: "default", topic, id }, "me", 1000), "done");
      assert.equal(String(await ask(redis, "GET", `tl:hd:{${topic}}:default:${id}`)), "done");
      const left = Number(await ask(redis, "PTTL", `tl:hd:{${topic}}:default:${id}`));
      assert.ok(left > 80_000_000 && left <= 86_400_000, String(left));
    }
    await store.close();
  });
}
