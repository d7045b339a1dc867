import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../../src/index.js";
import { AT_ONCE, newTopic } from "../support/durable.js";
import { Told } from "../support/systemEvents.js";
import { gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

let services = 0;

/** Who hears, and a system that has not started, of which is heard. */
async function heard(world: World, settings = {}) {
  const service = `told${services++}`;
  const watcher = world.system({ service: "watcher", settings: { systemEvents: false } });
  return { told: await Told.of(service, watcher), system: world.system({ service, settings }) };
}

const failing = (data: unknown) => {
  throw new RangeError(`no ${data}`);
};

/** What instances say of themselves, and that it feeds nothing. */
export function systemEventTests(world: World): void {
  test("an instance says that it starts and closes", async () => {
    const { told, system } = await heard(world);
    await system.start();
    const { instance } = system;
    const startup = await told.one({ of: "startup" });
    assert.equal(startup.instance, instance);
    assert.match(String(startup.client), /^node\//);
    await system.close();
    await told.one({ of: "shutdown", instance, reason: "closed", under_way: 0 });
    assert.equal(told.all.length, 2);
  });

  test("its own subscriptions hear it too, and wildcards at the front do not", async () => {
    const service = `told${services++}`;
    const [own, others] = [new Told(service), [] as string[]];
    const system = world.system({ service });
    const listener = world.system();
    const note = (_: unknown, event: Event) => {
      if (event.source.startsWith(service)) others.push(event.topic);
    };
    for (const pattern of [">", "*.startup", "*.*"]) {
      await listener.subscribe(pattern, note).ready();
      await listener.subscribe(pattern, note, { observe: true }).ready();
    }
    void system.subscribe("system.*", own.take);
    void system.subscribe(">", note);
    await own.one({ of: "startup" });
    await system.publish("order.placed");
    await until(() => others.length >= 5, "five copies");
    await sleep(50);
    await system.close();
    await own.one({ of: "shutdown" });
    assert.deepStrictEqual(others, Array(5).fill("order.placed"));
  });

  test("a live handler that throws is told of once a second, and the others are counted", async () => {
    const { told, system } = await heard(world);
    await system.subscribe("order.shaky", failing, { name: "shaky" }).ready();
    const begun = performance.now();
    const first = await system.publish("order.shaky", 0);
    for (const n of [1, 2, 3, 4]) await system.publish("order.shaky", n, { waitLocal: true });
    const error = await told.one({ of: "error", kind: "handler", left_out: 0 });
    assert.deepStrictEqual([error.topic, error.id, error.subscription], ["order.shaky", first.id, "shaky"]);
    assert.deepStrictEqual([error.code, error.type, error.message], ["HANDLER_ERROR", "RangeError", "no 0"]);
    await told.one({ of: "error", message: "no 4" });
    const errors = told.all.filter(({ of }) => of === "error");
    assert.equal(
      errors.reduce((sum, { left_out }) => sum + 1 + Number(left_out), 0),
      5,
    );
    assert.ok(errors.length <= 2 + (performance.now() - begun) / 1000);
  });

  test("the handler of an error may throw, and one that causes others comes to an end", async () => {
    const { told, system } = await heard(world);
    const depths: number[] = [];
    const escalate = async (data: unknown, event: Event) => {
      if ((data as { service: string }).service !== system.service) return;
      depths.push(event.hops);
      await system.publish(`again.n${event.hops}`, "again");
      throw new Error("worse");
    };
    await system.subscribe("system.error", escalate).ready();
    await system.subscribe("again.*", failing).ready();
    await system.publish("again.first", "once");
    await until(() => depths.at(-1) === 15, "the last one");
    await sleep(1300); // longer than the pause between two of them
    assert.deepStrictEqual(depths, [1, 3, 5, 7, 9, 11, 13, 15]);
    assert.equal(told.count("error"), 8);
  });

  test("a refused request is told of", async () => {
    const { told, system } = await heard(world);
    const [caller, held] = [world.system(), gate()];
    await system.subscribe("order.full", () => held.opened, { concurrency: 1, queue: 0 }).ready();
    const calls = Promise.allSettled([1, 2].map((n) => caller.publishAndWait("order.full", n)));
    await told.one({ of: "warning", kind: "overload", topic: "order.full" });
    held.open();
    await calls;
  });

  test("a switch turns it off", async () => {
    const { told, system } = await heard(world, { systemEvents: false });
    await system.subscribe("order.shaky", failing).ready();
    await system.publish("order.shaky", 1, { waitLocal: true });
    await system.close();
    await world.system({ service: system.service }).start();
    await told.one({ of: "startup" });
    assert.equal(told.all.length, 1);
  });
}

/** What is told of durable events that fail. */
export function durableSystemEventTests(world: World): void {
  for (const [onPoison, kind] of [
    ["park", "parked"],
    ["dead_letter", "dead_letter"],
    ["skip", "skipped"],
  ] as const) {
    test(`a durable event that fails is told of: ${kind}`, async () => {
      const { told, system } = await heard(world);
      const topic = newTopic();
      const options = { durable: true, group: "g", retry: { ...AT_ONCE, maxAttempts: 2 }, onPoison, name: "shaky" };
      await system.subscribe(topic, failing, options).ready();
      const { id } = await system.publish(topic, 7, { key: "k" });
      const about = { of: "error", topic, id, subscription: "shaky", group: "g", key: "k" };
      const thrown = { code: "HANDLER_ERROR", type: "RangeError", message: "no 7" };
      await told.one({ ...about, ...thrown, kind: "handler", attempt: 1 });
      const last = await told.one({ ...about, ...thrown, kind, attempt: 2 });
      assert.equal(last.reason, kind === "dead_letter" ? "failed" : undefined);
    });
  }

  test("a handler that only wants an event later has not failed", async () => {
    const { told, system } = await heard(world);
    const [topic, runs] = [newTopic(), [] as unknown[]];
    const later = (data: unknown, event: Event) => {
      if (runs.push(data) === 1) event.delivery?.nack(1);
    };
    await system.subscribe(topic, later, { durable: true }).ready();
    await system.publish(topic, 1, { durable: true });
    await until(() => runs.length === 2, "both attempts");
    await sleep(50);
    assert.equal(told.count("error"), 0);
  });
}
