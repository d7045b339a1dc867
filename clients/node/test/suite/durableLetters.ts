import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type DeadLetter, type Event, type EventSystem, HandlerError, type SubscribeOptions } from "../../src/index.js";
import { AT_ONCE, deliveryOf, Keys, newTopic, Seen } from "../support/durable.js";
import { fails, gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Dead letters and parked keys: found, put back, let go on. */
export function durableLetterTests(world: World): void {
  test("a dead letter tells what happened", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const options: SubscribeOptions = { durable: true, retry: AT_ONCE, onPoison: "dead_letter" };
    await system.subscribe(topic, failing(seen, 1), options).ready();
    const receipt = await system.publish(topic, 1, { key: "k", headers: { a: "b" } });
    const [letter] = (await lettersOf(system, topic, 1)) as [DeadLetter];
    const { id, error, time, event, ...rest } = letter;
    assert.deepEqual(rest, { topic, group: "default", reason: "failed", attempts: 3, redriven: 0 });
    assert.ok(error instanceof HandlerError);
    assert.deepEqual([error.type, error.message], ["RangeError", "not yet"]);
    assert.deepEqual([event.id, event.data, event.key, event.headers.a], [receipt.id, 1, "k", "b"]);
    assert.ok(Math.abs(time.getTime() - event.time.getTime()) < 60_000);
    assert.equal((await system.deadLetters.get(topic, id)).event.id, receipt.id);
  });

  test("dead letters are listed page by page, and filtered", async () => {
    const [topic, system] = [newTopic(), world.system()];
    await dead(system, topic, 7);
    const first = await system.deadLetters.list(topic, { limit: 3 });
    const rest = await system.deadLetters.list(topic, { after: first.at(-1)?.id ?? "" });
    assert.equal(first.length, 3);
    assert.equal(new Set([...first, ...rest].map(({ id }) => id)).size, 7);
    assert.equal((await system.deadLetters.list(topic, { key: "k0" })).length, 3);
    assert.deepEqual(await system.deadLetters.list(topic, { reason: "failed" }), []);
    assert.equal((await system.deadLetters.list(topic, { reason: "rejected", group: "default" })).length, 7);
  });

  test("a letter that is put back is handled", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    await dead(system, topic, 3);
    const [{ id }] = (await system.deadLetters.list(topic)) as [DeadLetter];
    assert.equal(await system.deadLetters.redrive(topic, { ids: [] }), 0);
    assert.equal(await system.deadLetters.redrive(topic, { ids: [id] }), 1);
    assert.equal(await system.deadLetters.redrive(topic, { ids: [id] }), 0);
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    await until(() => keys.count === 1, "one is handled");
    assert.equal(await system.deadLetters.redrive(topic), 2);
    await until(() => keys.count === 3, "all are handled");
    assert.deepEqual(await system.deadLetters.list(topic), []);
  });

  test("each letter moves once, however many ask", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    await dead(system, topic, 60);
    const moved = await Promise.all([1, 2, 3].map(() => world.system().deadLetters.redrive(topic)));
    assert.equal(
      moved.reduce((sum, count) => sum + count, 0),
      60,
    );
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    await until(() => keys.count === 60, "all are handled");
    assert.equal(new Set([...keys.seen.values()].flat()).size, 60);
  });

  test("a letter goes back to its own group only", async () => {
    const [topic, system, good, bad] = [newTopic(), world.system(), new Seen(), new Seen()];
    await system.subscribe(topic, (data) => good.push(data), { durable: true, group: "good" }).ready();
    await dead(system, topic, 2, { group: "bad" });
    await good.reach(2);
    await system.subscribe(topic, (data) => bad.push(data), { durable: true, group: "bad" }).ready();
    assert.equal(await system.deadLetters.redrive(topic, { group: "bad" }), 2);
    await bad.stay(2);
    await good.stay(2);
  });

  test("a letter can be put back with another payload, and other headers", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    await dead(system, topic, 1);
    const [{ id }] = (await system.deadLetters.list(topic)) as [DeadLetter];
    await system.deadLetters.edit(topic, id, { mended: true }, { headers: { by: "hand" } });
    await fails(system.deadLetters.edit(topic, id, 2), "NOT_FOUND");
    await system.subscribe(topic, (data, event) => seen.push([data, event.headers]), { durable: true }).ready();
    await seen.stay(1);
    assert.deepEqual([...seen], [[{ mended: true }, { by: "hand" }]]);
  });

  test("letters can be deleted", async () => {
    const [topic, system] = [newTopic(), world.system()];
    await dead(system, topic, 6);
    const [{ id }] = (await system.deadLetters.list(topic)) as [DeadLetter];
    assert.equal(await system.deadLetters.purge(topic, { ids: [] }), 0);
    assert.equal(await system.deadLetters.purge(topic, { ids: [id, id, "1-1"] }), 1);
    assert.equal(await system.deadLetters.purge(topic, { key: "k1" }), 2);
    assert.equal(await system.deadLetters.purge(topic), 3);
    assert.deepEqual(await system.deadLetters.list(topic), []);
  });

  test("a letter that is not there is not found", async () => {
    const [topic, system] = [newTopic(), world.system()];
    for (const wrong of ["", "x", "1-1", "1-0", "0-0"]) await fails(system.deadLetters.get(topic, wrong), "NOT_FOUND");
    const { message } = await fails(system.deadLetters.list(topic, { after: "x" }), "NOT_FOUND");
    assert.equal(message, '"x" is no id of a dead letter');
  });

  test("a choice of letters that makes no sense is refused", async () => {
    const [topic, { deadLetters }] = [newTopic(), world.system()];
    for (const ids of [[5], ["1-1", null]]) {
      const { message } = await fails(deadLetters.purge(topic, { ids: ids as string[] }), "INVALID_ARGUMENT");
      assert.match(message, /^ids are texts, those of the dead letters that are listed/);
    }
    const choice = { reason: "poison" };
    for (const choose of ["list", "redrive", "purge"] as const) {
      const { message } = await fails(deadLetters[choose](topic, choice), "INVALID_ARGUMENT");
      assert.match(message, /is "failed", "rejected" or "expired", not "poison"$/);
    }
  });

  test("an expired event is a dead letter, and can be wanted all the same", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const { id } = await system.publish(topic, "late", { key: "k", ttl: 50 });
    await sleep(200);
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    const [letter] = await lettersOf(system, topic, 1);
    assert.deepEqual([letter?.reason, letter?.event.id], ["expired", id]);
    assert.equal(await system.deadLetters.redrive(topic), 1);
    await seen.stay(1);
  });

  test("a parked key goes on when it is let", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    let mended = false;
    const take = (data: unknown) => {
      seen.push(data);
      if (data === 1 && !mended) throw new RangeError("not yet");
    };
    await system.subscribe(topic, take, { durable: true, retry: AT_ONCE }).ready();
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(3);
    const [stopped, ...others] = await system.parked.list(topic);
    assert.deepEqual([stopped?.event.key, stopped?.event.data, stopped?.error.type], ["k", 1, "RangeError"]);
    assert.equal(others.length, 0);
    mended = true;
    await system.parked.unpark(topic, "k");
    await seen.stay(5);
    assert.deepEqual([...seen], [1, 1, 1, 1, 2]);
    assert.deepEqual(await system.parked.list(topic), []);
    const error = await fails(system.parked.unpark(topic, "k"), "NOT_FOUND");
    assert.match(error.message, /the key "k" of .* is not parked in the group "default"/);
  });

  for (const groups of [["default"], ["default", "other"]]) {
    test(`a parked key goes on past what stopped it, in ${groups.join(" and ")}`, async () => {
      const [topic, system] = [newTopic(), world.system()];
      const seen = new Map(groups.map((group) => [group, new Seen()]));
      for (const [group, own] of seen) {
        await system.subscribe(topic, failing(own, 1), { durable: true, retry: AT_ONCE, group }).ready();
      }
      for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
      for (const [group, own] of seen) {
        await own.stay(3);
        await system.parked.skip(topic, "k", { group });
        await own.stay(4);
        assert.deepEqual(own.at(-1), [2, 1]);
      }
      const letters = await system.deadLetters.list(topic);
      assert.deepEqual(
        letters.map(({ group, event }) => [group, event.data]),
        groups.map((group) => [group, 1]),
      );
    });
  }

  test("a group says how far it is", async () => {
    const [topic, system, begun, held] = [newTopic(), world.system(), new Seen(), gate()];
    assert.deepEqual(await system.groups.list(topic), []);
    const take = (data: unknown) => begun.after(data, held.opened);
    await system.subscribe(topic, take, { durable: true, concurrency: 1 }).ready();
    for (const number of [0, 1, 2]) await system.publish(topic, number, { key: "k" });
    await system.publish(topic, 3, { durable: true });
    await begun.reach(1);
    const [group] = await system.groups.list(topic);
    assert.ok(group !== undefined);
    const { pending, oldest = -1, ...rest } = group;
    assert.deepEqual(rest, { topic, name: "default", since: undefined, keys: 1, waiting: 4, parked: 0 });
    assert.ok(pending >= 1 && pending <= 4);
    assert.ok(oldest >= 0 && oldest < 60_000);
    assert.ok((await system.groups.topics()).includes(topic));
    held.open();
    for (let waits = true; waits; ) waits = (await system.groups.list(topic)).some(({ waiting }) => waiting > 0);
    const [idle] = await system.groups.list(topic);
    assert.deepEqual([idle?.keys, idle?.waiting, idle?.pending, idle?.oldest], [0, 0, 0, undefined]);
  });

  test("a group can be removed", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    const subscription = system.subscribe(topic, keys.take, { durable: true, group: "stays" });
    await subscription.ready();
    const left = world.system().subscribe(topic, keys.take, { durable: true, group: "left" });
    await left.ready();
    await left.unsubscribe();
    await system.groups.remove(topic, "left");
    const error = await fails(system.groups.remove(topic, "left"), "NOT_FOUND");
    assert.match(error.message, /has no subscription group "left"/);
    await system.publish(topic, 1, { key: "k" });
    await until(() => keys.count === 1, "the other group has it");
    assert.deepEqual(
      (await system.groups.list(topic)).map(({ name }) => name),
      ["stays"],
    );
  });

  test("who subscribes to a group that is removed is told, and does not bring it back", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    const subscription = system.subscribe(topic, keys.take, { durable: true, group: "g" });
    await subscription.ready();
    await system.groups.remove(topic, "g");
    await until(() => subscription.closed, "its subscription ends");
    assert.deepEqual(await system.groups.list(topic), []);
    await system.publish(topic, 1, { key: "k" });
    await system.subscribe(topic, keys.take, { durable: true, group: "g" }).ready();
    await until(() => keys.count === 1, "it waited for a group");
  });

  describe("what makes no sense is refused", () => {
    const asked: [string, (system: EventSystem) => Promise<unknown>, RegExp][] = [
      [
        "a limit",
        (system) => system.deadLetters.list("t", { limit: 0 }),
        /limit of deadLetters.list is a whole number/,
      ],
      ["ids that are text", (system) => system.deadLetters.purge("t", { ids: "1-1" as never }), /ids .* is a list/],
      ["an id for a choice", (system) => system.deadLetters.redrive("t", "1-1" as never), /options .* are an object/],
      ["an empty key", (system) => system.parked.unpark("t", ""), /key is text of 1 to 255 bytes/],
      ["a strange option", (system) => system.parked.list("t", { key: "k" } as never), /does not know key/],
    ];
    for (const [what, ask, message] of asked) {
      test(what, async () => {
        const error = await fails(ask(world.system()), "INVALID_ARGUMENT");
        assert.match(error.message, message);
      });
    }
  });
}

/** Remembers, and throws for one payload. */
function failing(seen: Seen, bad: unknown) {
  return (data: unknown, event: Event) => {
    seen.push([data, deliveryOf(event).attempt]);
    if (data === bad) throw new RangeError("not yet");
  };
}

/** Has so many events, numbered, become dead letters. */
async function dead(system: EventSystem, topic: string, count: number, options: SubscribeOptions = {}): Promise<void> {
  const reject = (data: unknown, event: Event) => deliveryOf(event).reject(`no ${data}`);
  const subscription = system.subscribe(topic, reject, { durable: true, ...options });
  await subscription.ready();
  for (let number = 0; number < count; number++) await system.publish(topic, number, { key: `k${number % 3}` });
  await lettersOf(system, topic, count);
  await subscription.unsubscribe();
}

/** The dead letters of a topic, when there are so many. */
async function lettersOf(system: EventSystem, topic: string, count: number): Promise<DeadLetter[]> {
  for (;;) {
    const letters = await system.deadLetters.list(topic, { limit: 1_000 });
    if (letters.length >= count) return letters;
    await sleep(5);
  }
}
