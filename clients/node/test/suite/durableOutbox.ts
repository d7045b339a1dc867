import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventSystem } from "../../src/index.js";
import { Keys, newTopic, Seen } from "../support/durable.js";
import { newFile } from "../support/folder.js";
import { fails, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Durable events by way of an outbox; what happens when processes are killed is in tests/faults/test_outbox.py. */
export function durableOutboxTests(world: World): void {
  test("what goes by an outbox is stored in the order of its keys", async () => {
    const [topic, keys, system] = [newTopic(), new Keys(), world.system({ outbox: newFile() })];
    await world.system().subscribe(topic, keys.take, { durable: true }).ready();
    for (let number = 0; number < 200; number++) {
      const { queued, stored } = await system.publish(topic, number, { key: `k${number % 3}` });
      assert.deepEqual([queued, stored], [true, undefined]);
    }
    const numbers = Array.from({ length: 350 }, (_, index) => 200 + index);
    await Promise.all(numbers.map((number) => system.publish(topic, number, { key: `k${number % 3}` })));
    const rest = numbers.map((number) => ({ data: number + 350, key: `k${(number + 350) % 3}` }));
    assert.ok((await system.publishMany(topic, rest)).every(({ queued }) => queued));
    await until(() => keys.count >= 900, "all are handled");
    for (let key = 0; key < 3; key++) {
      const order = Array.from({ length: 300 }, (_, index) => 3 * index + key);
      assert.deepEqual(keys.of(`k${key}`), order);
    }
    await empty(system);
  });

  test("an event from an outbox is as it was published", async () => {
    const [topic, seen, system] = [newTopic(), new Seen<unknown[]>(), world.system({ outbox: newFile() })];
    await system
      .subscribe(
        topic,
        (data, { id, key, headers, envelope }) => seen.push([data, id, key, envelope.priority, headers.a]),
        { durable: true },
      )
      .ready();
    const { id, correlationId } = await system.publish(
      topic,
      { n: 1 },
      { durable: true, priority: 8, headers: { a: "b" } },
    );
    assert.equal(correlationId, id);
    await system.publish(topic, 2, { key: "k", dedupe: "id" });
    await system.publish(topic, 3, { key: "k", dedupe: "id" });
    await seen.stay(2);
    assert.deepEqual(
      seen.find(([, , key]) => key === ""),
      [{ n: 1 }, id, "", 8, "b"],
    );
    assert.equal(seen.find(([, , key]) => key === "k")?.[0], 2);
  });

  test("what cannot be published does not enter an outbox", async () => {
    const [topic, system] = [newTopic(), world.system({ outbox: newFile() })];
    await fails(system.publish(topic, Symbol("none"), { durable: true }), "INVALID_PAYLOAD");
    await fails(system.publish(topic, 1, { durable: true, priority: 3 }), "INVALID_ARGUMENT");
    await fails(system.publish(topic, 1, { key: "k", signal: AbortSignal.abort() }), "CANCELLED");
    assert.equal((await system.publish(topic, "live")).queued, undefined);
    assert.deepEqual(await system.outbox?.figures(), { events: 0, bytes: 0 });
    assert.equal(world.system().outbox, undefined);
  });

  test("what handlers publish while their system closes goes by the outbox, too", async () => {
    const [topic, other, keys, begun] = [newTopic(), newTopic(), new Keys(), new Seen()];
    const system = world.system({ outbox: newFile() });
    const handler = async (data: unknown) => {
      begun.push(data);
      await new Promise((resolve) => setTimeout(resolve, 300));
      await system.publish(other, data, { key: "k" });
    };
    await system.subscribe(topic, handler, { durable: true }).ready();
    await system.publish(topic, 1, { key: "k" });
    await begun.reach(1);
    await system.close();
    await world.system().subscribe(other, keys.take, { durable: true }).ready();
    await until(() => keys.count === 1, "it was stored");
  });

  test("a closed system publishes nothing by its outbox", async () => {
    const system = world.system({ outbox: newFile() });
    await system.close();
    await fails(system.publish(newTopic(), 1, { key: "k" }), "INVALID_ARGUMENT");
  });
}

/** All of its outbox is stored. */
export async function empty(system: EventSystem): Promise<void> {
  for (let left = 1; left > 0; ) {
    left = (await system.outbox?.figures())?.events ?? 0;
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
