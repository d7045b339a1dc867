import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { InvalidArgumentError, idempotencyStore, type PublishOptions, type SubscribeOptions } from "../../src/index.js";
import { deliveryOf, Keys, newTopic, Seen } from "../support/durable.js";
import { fails, gate, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Durable events: stored once, handled in the order of their key, at least once. */
export function durableTests(world: World): void {
  test("events of a key are handled in their order by one at a time, in two systems", async () => {
    const topic = newTopic();
    const [publisher, handlers] = [world.system(), [new Keys(1), new Keys(1)]];
    for (const { take } of handlers) await world.system().subscribe(topic, take, { durable: true }).ready();
    const order = new Map<string, number[]>();
    const publications: Promise<unknown>[] = [];
    for (let number = 0; number < 200; number++) {
      const key = `k${number % 7}`;
      order.set(key, [...(order.get(key) ?? []), number]);
      publications.push(publisher.publish(topic, number, { key }));
    }
    await Promise.all(publications);
    await until(() => handlers.reduce((sum, { count }) => sum + count, 0) >= 200, "all are handled");
    for (const [key, numbers] of order) {
      const seen = handlers.flatMap((keys) => keys.of(key)).sort((one, other) => Number(one) - Number(other));
      assert.deepEqual(seen, numbers);
      for (const keys of handlers)
        assert.deepEqual(
          keys.of(key),
          [...keys.of(key)].sort((a, b) => Number(a) - Number(b)),
        );
    }
    assert.ok(!handlers.some(({ overlapped }) => overlapped));
  });

  test("what is published while nobody runs waits", async () => {
    const topic = newTopic();
    const [system, seen] = [world.system(), new Seen()];
    for (const number of [1, 2, 3]) await system.publish(topic, number, { key: "k" });
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(3);
    assert.deepEqual([...seen], [1, 2, 3]);
  });

  test("the receipt says where it is stored", async () => {
    const topic = newTopic();
    const system = world.system();
    const { stored } = await system.publish(topic, 1, { key: "k" });
    assert.equal(stored?.stream, `event_stream:${topic}:k`);
    assert.match(stored?.entry ?? "", /^\d+-\d+$/);
    const lane = await system.publish(topic, 1, { durable: true, priority: 8 });
    assert.equal(lane.stored?.stream, `tl:{${topic}}:q:8`);
    assert.equal((await system.publish(topic, 1)).stored, undefined);
  });

  test("a live subscription gets nothing that is stored, and a durable one nothing live", async () => {
    const topic = newTopic();
    const [system, live, stored] = [world.system(), new Seen(), new Seen()];
    await system.subscribe(topic, (data) => live.push(data)).ready();
    await system.subscribe(topic, (data) => stored.push(data), { durable: true }).ready();
    await system.publish(topic, "live");
    await system.publish(topic, "stored", { key: "k" });
    await stored.stay(1);
    assert.deepEqual([[...live], [...stored]], [["live"], ["stored"]]);
  });

  test("events without a key are handled side by side, the highest priority first", async () => {
    const topic = newTopic();
    const [system, seen, held] = [world.system(), new Seen(), gate()];
    for (const priority of [1, 5, 10, 8, 1, 10]) await system.publish(topic, priority, { durable: true, priority });
    await system.subscribe(topic, (data) => seen.after(data, held.opened), { durable: true, concurrency: 6 }).ready();
    await seen.reach(6);
    held.open();
    assert.deepEqual([...seen].sort(), [1, 1, 10, 10, 5, 8]);
    const one = newTopic();
    for (const priority of [1, 5, 10, 8]) await system.publish(one, priority, { durable: true, priority });
    const order = new Seen();
    await system.subscribe(one, (data) => order.push(data), { durable: true, concurrency: 4 }).ready();
    await order.stay(4);
    if (order[0] !== 1) assert.deepEqual([...order], [10, 8, 5, 1]); // one claim in sixteen begins at the other end
  });

  test("no more than concurrency run at a time", async () => {
    const topic = newTopic();
    const [system, keys] = [world.system(), new Keys(5)];
    await Promise.all(Array.from({ length: 40 }, (_, n) => system.publish(topic, n, { key: `k${n}` })));
    await system.subscribe(topic, keys.take, { durable: true, concurrency: 3 }).ready();
    await until(() => keys.count === 40, "all are handled");
    assert.equal(keys.most, 3);
  });

  test("the handler knows the event and its delivery", async () => {
    const topic = newTopic();
    const [system, told] = [world.system(), new Seen<unknown[]>()];
    await system
      .subscribe(
        topic,
        (data, event) => {
          const { attempt, group, token, lost, said } = deliveryOf(event);
          told.push([data, event.key, event.expiresAt, attempt, group, typeof token, lost, said]);
        },
        { durable: true, group: "billing" },
      )
      .ready();
    await system.publish(topic, { n: 1 }, { key: "k" });
    await told.stay(1);
    assert.deepEqual(told[0], [{ n: 1 }, "k", undefined, 1, "billing", "bigint", false, false]);
  });

  test("an event with a known id is stored once", async () => {
    const topic = newTopic();
    const [system, seen] = [world.system(), new Seen()];
    const first = await system.publish(topic, 1, { key: "k", dedupe: "order-1" });
    const again = await system.publish(topic, 2, { key: "k", dedupe: "order-1" });
    assert.deepEqual(again.stored, { ...first.stored, duplicate: true });
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(1);
  });

  test("a full stream refuses the publisher", async () => {
    const topic = newTopic();
    const system = world.system();
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k", maxStored: 2 });
    const error = await fails(system.publish(topic, 3, { key: "k", maxStored: 2 }), "OVERLOADED");
    assert.match(error.message, /key "k" of "durable/);
    await system.publish(topic, 3, { key: "l", maxStored: 2 });
  });

  test("a filter acknowledges what it refuses, and upcasters lift older versions", async () => {
    const topic = newTopic();
    const [system, seen] = [world.system(), new Seen()];
    const options: SubscribeOptions = {
      durable: true,
      filter: (data) => (data as { n: number }).n % 2 === 0,
      schemaVersion: "2",
      upcasters: [["1", "2", (n) => ({ n })]],
    };
    await system.subscribe(topic, (data) => seen.push(data), options).ready();
    for (const n of [0, 1, 2]) await system.publish(topic, n, { key: "k", schemaVersion: "1" });
    await system.publish(topic, { n: 4 }, { key: "k", schemaVersion: "2" });
    await seen.stay(3);
    assert.deepEqual([...seen], [{ n: 0 }, { n: 2 }, { n: 4 }]);
  });

  test("a generator runs to its end, as for a live event", async () => {
    const topic = newTopic();
    const [system, seen] = [world.system(), new Seen()];
    async function* count(data: unknown) {
      yield data;
      seen.push(data);
    }
    await system.subscribe(topic, count, { durable: true }).ready();
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(1);
  });

  test("a quiet key leaves nothing behind and is claimed again when something comes", async () => {
    const topic = newTopic();
    const [system, seen] = [world.system(), new Seen()];
    const subscription = system.subscribe(topic, (data) => seen.push(data), { durable: true });
    await subscription.ready();
    for (const number of [1, 2, 3]) {
      await system.publish(topic, number, { key: "k" });
      await seen.reach(number);
      await until(() => subscription.consumer?.held === 0, "nothing is held");
    }
    await seen.stay(3);
  });

  describe("what makes no sense is refused", () => {
    const publishing: [PublishOptions, RegExp][] = [
      [{ key: "" }, /key is text of 1 to 255 bytes/],
      [{ key: "a\n" }, /key is text/],
      [{ key: 1 as never }, /key is text/],
      [{ key: "k", dedupe: "" }, /dedupe is text/],
      [
        { key: "k", priority: 3 },
        /priority of publish is 1 \(low\), 5 \(normal\), 8 \(high\) or 10 \(critical\), not 3/,
      ],
      [{ key: "k", maxStored: -1 }, /maxStored of publish is a whole number/],
      [{ key: "k", waitLocal: true }, /waitLocal is for live events/],
      [{ priority: 5 }, /priority is for what is stored: add key or durable: true/],
      [{ dedupe: "x" }, /dedupe is for what is stored/],
      [{ maxStored: 1 }, /maxStored is for what is stored/],
      [{ key: "k", waitReplicas: -1 }, /waitReplicas of publish is a whole number from 0 to 100/],
      [{ waitReplicas: 1 }, /waitReplicas is for what is stored/],
      [{ durable: 1 as never }, /durable of publish is true or false/],
    ];
    for (const [options, message] of publishing) {
      test(`publish ${JSON.stringify(options)}`, async () => {
        const error = await fails(world.system().publish("durable.refused", 1, options), "INVALID_ARGUMENT");
        assert.match(error.message, message);
      });
    }
    const subscribing: [SubscribeOptions, RegExp, string?][] = [
      [{ start: "latest" }, /start is for durable events: add durable: true/],
      [{ retry: {} }, /retry is for durable events/],
      [{ timeout: 1 }, /timeout is for durable events/],
      [{ durable: true, group: "" }, /group "": must not be empty/],
      [{ onPoison: "skip" }, /onPoison is for durable events/],
      [{ durable: true, observe: true }, /observe is for live events/],
      [{ durable: true, batch: { size: 0 } } as never, /size of batch is a whole number of at least 1/],
      [
        { durable: true, batch: {}, idempotency: idempotencyStore("memory://") } as never,
        /idempotency is for handlers of single events, and batch makes lists of them/,
      ],
      [{ durable: true, queue: 1 }, /queue is for live events/],
      [{ durable: true, onGap: () => undefined }, /onGap is for live events/],
      [{ durable: true, byReference: true }, /byReference is for live events/],
      [{ durable: true }, /on one topic, not on the pattern "durable.\*"/, "durable.*"],
      [{ durable: true, start: "now" as never }, /start of subscribe is "earliest" or "latest", not "now"/],
      [{ durable: true, retry: { maxAttempts: 0 } }, /maxAttempts of a retry policy/],
      [{ durable: true, retry: { backoff: 2, cap: 1 } }, /backoff of a retry policy is at most its cap/],
      [{ durable: true, timeout: 0 }, /timeout of subscribe is in milliseconds/],
      [{ durable: true, onPoison: "drop" as never }, /onPoison of subscribe is "park", "skip" or "dead_letter"/],
    ];
    for (const [options, message, topic = "durable.refused"] of subscribing) {
      test(`subscribe ${topic} ${JSON.stringify(options)}`, () => {
        const subscribe = () => world.system().subscribe(topic, () => undefined, options as SubscribeOptions);
        assert.throws(subscribe, (error) => error instanceof InvalidArgumentError && message.test(error.message));
      });
    }
  });
}
