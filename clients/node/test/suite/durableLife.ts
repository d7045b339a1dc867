import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../../src/index.js";
import { consumerOf, Keys, newTopic, Seen } from "../support/durable.js";
import { gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const SHORT = { settings: { lease: 600, leaseRefresh: 200 } };

/** Leases while handlers work, and what becomes of them when a system closes. */
export function durableLifeTests(world: World): void {
  test("leases extend while a handler works", async () => {
    const [topic, seen, held] = [newTopic(), new Seen(), gate()];
    for (let n = 0; n < 2; n++) {
      const handler = (data: unknown) => seen.after(data, held.opened);
      await world.system(SHORT).subscribe(topic, handler, { durable: true }).ready();
    }
    await world.system().publish(topic, 1, { key: "k" });
    await seen.reach(1);
    await sleep(2000);
    held.open();
    await seen.stay(1);
  });

  test("what has not begun goes to others when a system closes", async () => {
    const [topic, begun, staying, held] = [newTopic(), new Seen(), new Keys(), gate()];
    const leaving = world.system();
    const handler = (data: unknown) => begun.after(data, held.opened);
    for (let number = 0; number < 5; number++) {
      for (const key of ["k", "l"]) await leaving.publish(topic, number, { key });
    }
    const subscription = leaving.subscribe(topic, handler, { durable: true, concurrency: 1 });
    await subscription.ready();
    await begun.reach(1);
    assert.equal(subscription.underWay, 1, "what a stop tells that it waits for");
    await world.system().subscribe(topic, staying.take, { durable: true }).ready();
    const closing = leaving.close(20_000);
    await until(() => consumerOf(subscription).stopped, "nothing new is taken");
    await until(() => staying.of("l").length === 5, "the other key is handled elsewhere");
    held.open();
    await closing;
    await until(() => staying.count === 9, "so is the rest");
    assert.deepEqual([[...begun], staying.of("k")], [[0], [1, 2, 3, 4]]);
  });

  test("a system that closes in time interrupts its handlers and gives everything back", async () => {
    const [topic, begun, staying] = [newTopic(), new Seen<Event>(), new Keys()];
    const leaving = world.system();
    const handler = (_: unknown, event: Event) => begun.after(event, new Promise(() => undefined));
    await leaving.subscribe(topic, handler, { durable: true }).ready();
    for (const number of [1, 2]) await leaving.publish(topic, number, { key: "k" });
    await begun.reach(1);
    await leaving.close(50);
    assert.equal((begun[0] as Event).signal.aborted, true);
    await world.system().subscribe(topic, staying.take, { durable: true }).ready();
    await until(() => staying.count === 2, "both are handled elsewhere, before the lease would have ended", 10_000);
    assert.deepEqual(staying.of("k"), [1, 2]);
  });

  test("nothing more is handled once a handler closes its system", async () => {
    const [topic, system, seen, others] = [newTopic(), world.system(), new Seen(), new Seen()];
    for (const n of [0, 1, 2, 3]) {
      await system.publish(topic, n, { key: "k" });
      await system.publish(topic, n, { key: `k${n}` });
    }
    const close = async (data: unknown) => {
      seen.push(data);
      await system.close();
    };
    await system.subscribe(topic, close, { durable: true, concurrency: 1 }).ready();
    await until(() => seen.length > 0, "the first is handled");
    await world
      .system()
      .subscribe(topic, (data) => others.push(data), { durable: true })
      .ready();
    await others.stay(7);
    assert.equal(seen.length, 1);
  });

  test("a handler that closes its own system does not wait for itself", async () => {
    const [topic, closed] = [newTopic(), new Seen()];
    const system = world.system();
    await system.subscribe(topic, () => system.close().then(() => closed.push(true)), { durable: true }).ready();
    await system.publish(topic, 1, { key: "k" });
    await closed.reach(1);
    await system.close();
    const groups = await world.system().groups.list(topic);
    assert.deepEqual(
      groups.map(({ waiting, pending }) => [waiting, pending]),
      [[0, 0]],
    );
  });
}
