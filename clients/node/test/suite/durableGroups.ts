import assert from "node:assert/strict";
import { test } from "node:test";
import { streamKey } from "../../src/contract/contract.js";
import { AT_ONCE, newTopic, Seen } from "../support/durable.js";
import { ask } from "../support/redis.js";
import { sleep, until } from "../support/waiting.js";
import { silent, type World } from "../support/world.js";

/** Groups of durable subscriptions: each gets a copy, its members share it, and it remembers where it was. */
export function durableGroupTests(world: World): void {
  test("each group gets a copy, its members share it, and what all have is deleted", async () => {
    const topic = newTopic();
    const [first, second, other] = [new Seen(), new Seen(), new Seen()];
    for (const seen of [first, second]) {
      await world
        .system()
        .subscribe(topic, (data) => seen.push(data), { durable: true })
        .ready();
    }
    await world
      .system()
      .subscribe(topic, (data) => other.push(data), { durable: true, group: "other" })
      .ready();
    const publisher = world.system();
    for (let number = 0; number < 10; number++) await publisher.publish(topic, number, { key: `k${number}` });
    for (let number = 10; number < 20; number++) await publisher.publish(topic, number, { durable: true });
    await other.stay(20);
    await until(() => first.length + second.length === 20, "the members of the other group have theirs");
    const numbers = Array.from({ length: 20 }, (_, number) => number);
    for (const seen of [other, [...first, ...second]])
      assert.deepEqual(
        [...seen].map(Number).sort((a, b) => a - b),
        numbers,
      );
    const { redis } = world;
    for (let gone = redis === undefined; redis !== undefined && !gone; ) {
      gone = (await ask(redis, "EXISTS", streamKey("tl:", topic, "k0"))) === 0;
    }
  });

  test("a group that fails does not hold up another", async () => {
    const topic = newTopic();
    const [system, seen, attempts] = [world.system(), new Seen(), new Seen()];
    const bad = (data: unknown) => {
      attempts.push(data);
      throw new RangeError("never");
    };
    await system.subscribe(topic, bad, { durable: true, group: "bad", retry: AT_ONCE }).ready();
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, group: "good" }).ready();
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(2);
    await attempts.stay(3);
  });

  test("a later group gets what is still stored, or only what comes", async () => {
    const topic = newTopic();
    const [system, all, late] = [world.system(), new Seen(), new Seen()];
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await sleep(5); // what is stored in the millisecond of its registration is for a group
    await system.subscribe(topic, (data) => late.push(data), { durable: true, group: "late", start: "latest" }).ready();
    await system.subscribe(topic, (data) => all.push(data), { durable: true, group: "all", start: "earliest" }).ready();
    await system.publish(topic, 3, { key: "k" });
    await all.stay(3);
    await late.stay(1);
    assert.deepEqual([[...all], [...late]], [[1, 2, 3], [3]]);
  });

  test("a group remembers where it was", async () => {
    const topic = newTopic();
    const [first, seen, publisher] = [world.system(), new Seen(), world.system()];
    const subscription = first.subscribe(topic, (data) => seen.push(data), { durable: true });
    await subscription.ready();
    await publisher.publish(topic, 1, { key: "k" });
    await seen.reach(1);
    await first.close();
    for (const number of [2, 3]) await publisher.publish(topic, number, { key: "k" });
    await world
      .system()
      .subscribe(topic, (data) => seen.push(data), { durable: true, start: "latest" })
      .ready();
    await seen.stay(3);
    assert.deepEqual([...seen], [1, 2, 3]);
  });

  test("what a process holds but cannot begin soon is for others", async () => {
    const [topic, publisher, one, two] = [newTopic(), world.system(), new Seen(), new Seen()];
    const join = async (seen: Seen) => {
      const take = async (ms: unknown) => {
        if (ms !== 0) await sleep(Number(ms));
        seen.push(ms);
      };
      await world.system().subscribe(topic, take, { durable: true, concurrency: 1 }).ready();
    };
    await join(one);
    const quick = Array.from({ length: 2_000 }, (_, n) => publisher.publish(topic, 0, { key: `quick${n}` }));
    await Promise.all(quick);
    await one.reach(2_000);
    await join(two);
    const slow = Array.from({ length: 16 }, (_, n) => publisher.publish(topic, 300, { key: `slow${n}` }));
    await Promise.all(slow);
    await until(() => one.length + two.length === 2_016, "all are handled");
    assert.ok(two.length >= 4 && two.length <= 12, `the second one handled ${two.length} of 16`);
  });

  test("services that share the default group are warned, once each", async () => {
    const topic = newTopic();
    const warnings: string[] = [];
    const logger = { ...silent, warn: (message: string) => warnings.push(message) };
    const subscribe = async (service: string, group?: string) => {
      const system = world.system({ service, logger });
      await system.subscribe(topic, () => undefined, { durable: true, ...(group && { group }) }).ready();
    };
    for (const service of ["shipping", "shipping"]) await subscribe(service);
    for (const service of ["shipping", "search"]) await subscribe(service, "ours");
    await sleep(2500); // each has registered its group again
    assert.equal(warnings.join(), "");
    await subscribe("search");
    assert.match(
      warnings.join(),
      /^the service "shipping" has subscribed durably to ".*as this one \("search"\) does: each/,
    );
    assert.match(warnings.join(), /one of the two services only; group: "..." gives a service a copy of its own$/);
    await until(() => warnings.length === 3, "the others are warned, too");
    await sleep(4500); // each has registered its group twice more
    assert.equal(warnings.filter((told) => told.startsWith('the service "search"')).length, 2);
    assert.equal(warnings.length, 3);
  });
}
