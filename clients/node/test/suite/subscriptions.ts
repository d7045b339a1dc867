import assert from "node:assert/strict";
import { test } from "node:test";
import { currentEvent } from "../../src/index.js";
import { fails, gate, sleep, timed, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** How subscriptions come and go, and what waits for them. */
export function subscriptionTests(world: World): void {
  test("unsubscribing by object ends it, by name all of that name", async () => {
    const [a, b] = [world.system(), world.system()];
    const seen: unknown[] = [];
    const take = (data: unknown) => void seen.push(data);
    const one = b.subscribe("by.object", take);
    await one.ready();
    for (const topic of ["by.name", "by.names"]) await b.subscribe(topic, take, { name: "mine" }).ready();
    await b.subscribe("by.*", (data) => void seen.push(`other ${data}`)).ready();
    await one.unsubscribe();
    await b.unsubscribe("mine");
    await b.unsubscribe("nobody of that name");
    await one.unsubscribe();
    for (const topic of ["by.object", "by.name", "by.names"]) {
      await a.publish(topic, topic);
      await b.publish(topic, topic);
      await fails(a.publishAndWait(topic), "NO_RESPONDERS");
    }
    await until(() => seen.length >= 6, "the other one sees all");
    await sleep(50);
    const wanted = ["by.name", "by.names", "by.object"].flatMap((topic) => [`other ${topic}`, `other ${topic}`]);
    assert.deepStrictEqual(seen.sort(), wanted);
    assert.deepStrictEqual(
      b.subscriptions.map(({ topic }) => topic),
      ["by.*"],
    );
  });

  test("two subscriptions of one function are two", async () => {
    const [a, b] = [world.system(), world.system()];
    const seen: unknown[] = [];
    const take = (data: unknown) => void seen.push(data);
    const first = b.subscribe("of.one", take);
    await b.subscribe("of.one", take).ready();
    await a.publish("of.one", 1);
    await until(() => seen.length === 2, "both");
    await first.unsubscribe();
    await a.publish("of.one", 2);
    await until(() => seen.length >= 3, "the other one");
    await sleep(50);
    assert.deepStrictEqual(seen, [1, 1, 2]);
  });

  test("a subscription can come back on the same topic, and a system stays usable after many came and went", async () => {
    const [a, b] = [world.system(), world.system()];
    for (let n = 0; n < 5; n++) {
      const subscription = b.subscribe("come.back", () => n);
      await subscription.ready();
      assert.equal(await a.publishAndWait("come.back"), n);
      await subscription.unsubscribe();
      const other = world.system();
      await other.subscribe("come.back", () => "other").ready();
      assert.equal(await a.publishAndWait("come.back"), "other");
      await other.close();
      assert.deepStrictEqual([other.connected, other.closed], [false, true]);
    }
  });

  test("many subscriptions register and leave, also before they were registered", async () => {
    const [a, b] = [world.system(), world.system()];
    const seen: number[] = [];
    const all = Array.from({ length: 200 }, (_, n) =>
      b.subscribe<number>(`many.n${n}`, (data) => void seen.push(data)),
    );
    await all.at(-1)?.ready();
    for (let n = 0; n < 200; n++) await a.publish(`many.n${n}`, n);
    await until(() => seen.length === 200, "each its own");
    assert.deepStrictEqual(
      seen.sort((x, y) => x - y),
      all.map((_, n) => n),
    );
    for (let n = 0; n < 20; n++) await b.subscribe(`early.n${n}`, () => 1, { group: "g" }).unsubscribe();
    await Promise.all(all.map((subscription) => subscription.unsubscribe()));
    assert.deepStrictEqual(b.subscriptions, []);
    for (const topic of ["many.n7", "early.n7"]) await fails(a.publishAndWait(topic), "NO_RESPONDERS");
  });

  test("what handlers publish while their system closes still goes out; then nothing is handled", async () => {
    const [a, b] = [world.system(), world.system()];
    const [begun, free] = [gate(), gate()];
    const seen: unknown[] = [];
    await a.subscribe("last.words", (data) => void seen.push(data)).ready();
    await b
      .subscribe("last.work", async () => {
        begun.open();
        await free.opened;
        await b.publish("last.words", "words");
      })
      .ready();
    await a.publish("last.work");
    await begun.opened;
    const closing = b.close();
    assert.equal(b.closed, true);
    assert.throws(() => b.subscribe("last.late", () => 1), { code: "INVALID_ARGUMENT" });
    free.open();
    await closing;
    await until(() => seen.length === 1, "the last words");
    await fails(b.publish("last.words"), "INVALID_ARGUMENT");
    await fails(b.start(), "INVALID_ARGUMENT");
  });

  test("waitLocal waits for all handlers here, also when another one is overloaded or refuses", async () => {
    const a = world.system();
    const free = gate();
    const done: unknown[] = [];
    await a.subscribe("wait.here", () => free.opened, { concurrency: 1, queue: 0 }).ready();
    await a.publish("wait.here", 1);
    a.subscribe("wait.here", () => done.push("refused"), { filter: () => false });
    for (let n = 0; n < 2; n++) await a.subscribe("wait.here", () => sleep(100).then(() => done.push("slow"))).ready();
    const [, ms] = await timed(a.publish("wait.here", 2, { waitLocal: true }));
    assert.deepStrictEqual(done, ["slow", "slow"]);
    assert.ok(ms >= 99, `${ms} ms`);
    free.open();
  });

  test("the current event is the handler's own; handlers of events do not pass on their expiry", async () => {
    const a = world.system();
    const seen: unknown[] = [];
    const remaining: number[] = [];
    await a.subscribe("own.event", () => sleep(20).then(() => seen.push(currentEvent()?.data))).ready();
    await a.subscribe("own.inner", (_, event) => void remaining.push(event.remaining())).ready();
    await a.subscribe("own.outer", () => a.publishAndWait("own.inner", 1, { ttl: 20_000 })).ready();
    await Promise.all([0, 1, 2, 3].map((n) => a.publish("own.event", n, { waitLocal: true })));
    assert.equal(currentEvent(), undefined);
    assert.deepStrictEqual(seen.sort(), [0, 1, 2, 3]);
    await a.publish("own.outer", 1, { ttl: 2000, waitLocal: true });
    assert.ok((remaining[0] ?? 0) > 15_000, String(remaining));
  });
}
