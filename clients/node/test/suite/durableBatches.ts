import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { type Event, InvalidPayloadError, type Item } from "../../src/index.js";
import { AT_ONCE, consumerOf, deliveryOf, Keys, newTopic, Seen } from "../support/durable.js";
import { logging } from "../support/logging.js";
import { gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const LONG = 3_600_000;
const SHORT = { settings: { lease: 600, leaseRefresh: 200 } };

function items(...keyed: [data: unknown, key?: string][]): Item[] {
  return keyed.map(([data, key]) => (key === undefined ? { data } : { data, key }));
}

function numbers(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, at) => from + at);
}

/** Batches of durable events: lists by size or time, in the order of each key, acknowledged or tried again together. */
export function durableBatchTests(world: World): void {
  test("a full batch comes at once, in the order of its keys", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<[number, number][]>()];
    const take = (batch: [number, number][]) => seen.push(batch);
    await system.subscribe<[number, number]>(topic, take, { durable: true, batch: { size: 50, ms: LONG } }).ready();
    await system.publishMany(topic, items(...numbers(60).map((n): [unknown, string] => [[n % 3, n], `k${n % 3}`])));
    await system.publishMany(topic, items(...numbers(40).map((n): [unknown] => [[9, n]])));
    await seen.stay(2);
    assert.deepEqual(
      seen.map(({ length }) => length),
      [50, 50],
    );
    const of = (key: number) => seen.flat().flatMap(([name, number]) => (name === key ? [number] : []));
    for (const key of [0, 1, 2]) assert.deepEqual(of(key), numbers(20).map((n) => 3 * n + key)); // biome-ignore format: short
    assert.deepEqual(
      of(9).sort((one, other) => one - other),
      numbers(40),
    );
  });

  test("a batch that does not fill comes when its time is up", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<number[]>()];
    const take = (batch: number[]) => seen.push(batch);
    await system.subscribe<number>(topic, take, { durable: true, batch: { size: 50, ms: 300 } }).ready();
    await system.publishMany(topic, items(...numbers(5).map((n): [unknown, string] => [n, `k${n}`]), [5]));
    await seen.stay(1);
    assert.deepEqual(seen[0]?.sort(), numbers(6));
    await system.publish(topic, 6, { key: "k1" });
    await seen.stay(2);
    assert.deepEqual(seen[1], [6]);
  });

  test("events of a key are never in two batches at a time", async () => {
    const [topic, keys, running, overlapped] = [newTopic(), new Keys(), new Set<string>(), new Seen()];
    const take = async (batch: [string, number][]) => {
      const names = new Set(batch.map(([name]) => name));
      for (const name of names) {
        if (running.has(name)) overlapped.push(name);
        running.add(name);
      }
      await sleep(5);
      for (const name of names) running.delete(name);
      for (const [name, number] of batch) keys.of(name).push(number);
    };
    for (let n = 0; n < 2; n++) {
      const options = { durable: true, batch: { size: 7, ms: 20 }, concurrency: 3 };
      await world.system().subscribe<[string, number]>(topic, take, options).ready();
    }
    const publisher = world.system();
    for (let start = 0; start < 600; start += 100) {
      const some = numbers(100, start).map((n): [unknown, string] => [[`k${n % 11}`, n], `k${n % 11}`]);
      await publisher.publishMany(topic, items(...some));
    }
    await keys.reach(600);
    assert.deepEqual([...overlapped], []);
    for (let key = 0; key < 11; key++) {
      assert.deepEqual(
        keys.of(`k${key}`),
        numbers(600).filter((n) => n % 11 === key),
      );
    }
  });

  test("a batch that fails comes again event by event", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<string[]>()];
    const take = (batch: string[]) => {
      seen.push(batch);
      if (batch.includes("b1")) throw new RangeError("no such thing");
    };
    const options = { durable: true, batch: { size: 6, ms: LONG }, retry: AT_ONCE, onPoison: "park" } as const;
    await system.subscribe<string>(topic, take, options).ready();
    const keys = ["a", "b", "c"];
    await system.publishMany(
      topic,
      items(...["1", "2"].flatMap((n) => keys.map((key): [string, string] => [key + n, key]))),
    );
    await seen.reach(5);
    assert.deepEqual([...(seen[0] ?? [])].sort(), ["a1", "a2", "b1", "b2", "c1", "c2"]);
    assert.deepEqual(seen.slice(1).map(String).sort(), ["a1", "b1", "b1", "c1"]);
    while ((await system.parked.list(topic)).length === 0) await sleep(5);
    await system.publishMany(topic, items(...numbers(4).map((n): [string, string] => [`d${n}`, "d"])));
    await seen.stay(6);
    assert.deepEqual(seen[5]?.sort(), ["a2", "c2", "d0", "d1", "d2", "d3"]);
  });

  test("what does not fit a handler that has several keys is found when each comes alone", async () => {
    const { told, logger } = logging();
    const [topic, system, seen] = [newTopic(), world.system({ logger }), new Seen()];
    const take = (batch: string[]) => {
      seen.push(String(batch));
      if (batch.includes("b")) throw new InvalidPayloadError("no such thing");
    };
    const options = { durable: true, batch: { size: 3, ms: LONG }, retry: { ...AT_ONCE, maxAttempts: 9 } };
    await system.subscribe<string>(topic, take, { ...options, onPoison: "dead_letter" }).ready();
    await system.publishMany(topic, items(["a", "a"], ["b", "b"], ["c", "c"]));
    await seen.stay(4);
    assert.deepEqual(seen.slice(1).sort(), ["a", "b", "c"]);
    const letters = await system.deadLetters.list(topic);
    assert.deepEqual(
      letters.map(({ event, attempts }) => [event.data, attempts]),
      [["b", 2]],
    );
    const raised = told.flatMap(([, message]) => message.split(" raised ")[1] ?? []);
    assert.deepEqual(raised, ["(attempt 1)", "(attempt 2)"]);
  });

  test("poison in batches becomes a dead letter, and its key goes on", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const take = (batch: string[]) => {
      if (batch.includes("a1")) throw new RangeError("no such thing");
      seen.push(...batch);
    };
    const options = { durable: true, batch: { size: 3, ms: 50 }, retry: AT_ONCE, onPoison: "dead_letter" } as const;
    await system.subscribe<string>(topic, take, options).ready();
    await system.publishMany(topic, items(["a1", "a"], ["a2", "a"], ["a3", "a"]));
    await seen.stay(2);
    assert.deepEqual([...seen], ["a2", "a3"]);
    const letters = await system.deadLetters.list(topic);
    assert.deepEqual(
      letters.map(({ event, attempts, error }) => [event.data, attempts, error.type]),
      [["a1", 3, "RangeError"]],
    );
  });

  test("what a filter refuses, is expired or does not fit is in no batch", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<number[]>()];
    await system.publish(topic, "old", { key: "k", ttl: 50 });
    await sleep(100);
    await system.publishMany(topic, items(...numbers(5).map((n): [number, string] => [n, "k"])));
    await system.publish(topic, "text", { key: "k" });
    await system.publishMany(topic, items(...numbers(4, 5).map((n): [number, string] => [n, "k"])));
    const filter = (data: number) => data !== 0 && data !== 3;
    const options = { durable: true, batch: { size: 4, ms: 50 }, retry: AT_ONCE, onPoison: "skip", filter } as const;
    const input = z.number().refine(async (n) => n < 9);
    await system.subscribe(topic, (batch: number[]) => seen.push(batch), { ...options, input }).ready();
    await until(() => seen.flat().length >= 7, "all are handled");
    assert.deepEqual(seen.flat(), [1, 2, 4, 5, 6, 7, 8]);
    await until(() => system.subscriptions.every((one) => consumerOf(one).held === 0), "nothing is held");
    assert.deepEqual(
      (await system.deadLetters.list(topic)).map(({ reason }) => reason),
      ["expired"],
    );
  });

  test("a batch that takes too long has failed", async () => {
    const [topic, system, seen, held] = [newTopic(), world.system(), new Seen<unknown[]>(), gate()];
    const events: Event[] = [];
    const take = async (batch: number[], event: Event) => {
      seen.push([event.delivery, batch]);
      if (events.push(event) === 1) await held.opened;
    };
    const options = { durable: true, batch: { size: 2, ms: LONG }, timeout: 300, retry: AT_ONCE };
    await system.subscribe<number>(topic, take, options).ready();
    await system.publishMany(topic, items([1, "k"], [2, "l"]));
    await seen.reach(3);
    assert.match(String(events[0]?.signal.reason), /the handler took longer than 300 ms/);
    held.open();
    await seen.stay(3);
    assert.deepEqual(
      seen.slice(1).sort((one, other) => Number(one[1]) - Number(other[1])),
      [
        [undefined, [1]],
        [undefined, [2]],
      ],
    );
  });

  test("a batch under way is finished and the rest given back when a system closes", async () => {
    const [topic, leaving, staying, begun, held] = [newTopic(), world.system(), new Keys(), new Seen(), gate()];
    const options = { durable: true, batch: { size: 3, ms: LONG }, concurrency: 1 };
    await leaving.subscribe(topic, (batch) => begun.after(batch, held.opened), options).ready();
    await leaving.publishMany(topic, items(...numbers(5).map((n): [number, string] => [n, "k"])));
    await begun.reach(1);
    await leaving.publish(topic, "other", { key: "l" });
    const closing = leaving.close(20_000);
    await world.system().subscribe(topic, staying.take, { durable: true }).ready();
    await until(() => staying.of("l").length === 1, "the other key is handled elsewhere");
    held.open();
    await closing;
    await staying.reach(3);
    assert.deepEqual([[...begun], staying.of("l"), staying.of("k")], [[[0, 1, 2]], ["other"], [3, 4]]);
  });

  test("a batch that is interrupted has not failed", async () => {
    const [topic, leaving, begun, seen] = [newTopic(), world.system(), new Seen<Event>(), new Seen()];
    const hang = (_: unknown, event: Event) => begun.after(event, new Promise(() => undefined));
    await leaving.subscribe(topic, hang, { durable: true, batch: { size: 2, ms: LONG } }).ready();
    await leaving.publishMany(topic, items([1, "k"], [2, "k"]));
    await begun.reach(1);
    await leaving.close(0);
    assert.equal(begun[0]?.signal.aborted, true);
    const take = (data: unknown, event: Event) => seen.push([data, deliveryOf(event).attempt]);
    await world.system().subscribe(topic, take, { durable: true }).ready();
    await seen.stay(2);
    assert.deepEqual(
      [...seen],
      [
        [1, 1],
        [2, 1],
      ],
    );
  });

  for (const what of ["system", "subscription"] as const) {
    test(`a handler of batches that ends its own ${what} waits for nobody`, async () => {
      const [topic, system, other, ended] = [newTopic(), world.system(), world.system(), new Seen()];
      const end = async (batch: number[]) => {
        const from = performance.now();
        await (what === "system" ? system.close(25_000) : subscription.unsubscribe());
        ended.push([batch.sort(), performance.now() - from < 10_000]);
      };
      const subscription = system.subscribe<number>(topic, end, { durable: true, batch: { size: 3, ms: LONG } });
      await subscription.ready();
      await other.publishMany(topic, items([0, "k0"], [1, "k1"], [2, "k0"]));
      await ended.stay(1);
      assert.deepEqual(ended[0], [[0, 1, 2], true]);
      await system.close();
      const groups = await other.groups.list(topic);
      assert.deepEqual(
        groups.map(({ waiting, pending }) => [waiting, pending]),
        [[0, 0]],
      );
    });
  }

  test("leases extend while a batch fills", async () => {
    const [topic, seen] = [newTopic(), new Seen<number[]>()];
    for (let n = 0; n < 2; n++) {
      const take = (batch: number[]) => seen.push(batch);
      await world
        .system(SHORT)
        .subscribe<number>(topic, take, { durable: true, batch: { size: 100, ms: 2000 } })
        .ready();
    }
    await world.system().publishMany(topic, items([0, "k0"], [1, "k1"], [2, "k2"]));
    await until(() => seen.flat().length >= 3, "all are handled");
    await sleep(100);
    assert.deepEqual(seen.flat().sort(), [0, 1, 2]);
  });
}
