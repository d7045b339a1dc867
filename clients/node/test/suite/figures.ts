import assert from "node:assert/strict";
import { test } from "node:test";
import { fails, gate, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** What event systems count. */
export function figuresTests(world: World): void {
  test("calls are counted where they are made and where they are answered", async () => {
    const [shop, prices] = [world.system(), world.system()];
    const price = async (data: unknown) => {
      await sleep(20);
      return data;
    };
    await prices.subscribe("figures.price", price, { group: "g" }).ready();
    for (let number = 0; number < 3; number++) await shop.publishAndWait("figures.price", number);
    await fails(shop.publishAndWait("figures.nobody"), "NO_RESPONDERS");
    const [made, answered] = [shop.metrics(), prices.metrics()];
    assert.deepEqual([made.calls.publishedEvents, made.roundTrip.count, made.totalEvents], [4, 3, 0]);
    assert.deepEqual(made.errors, { NO_RESPONDERS: 1 });
    assert.deepEqual(
      answered.groups.map(({ topic, group, successEvents }) => [topic, group, successEvents]),
      [["figures.price", "g", 3]],
    );
    assert.ok(made.roundTrip.sum > answered.handleTime.sum, "the way there and back takes time, too");
    assert.ok(answered.handleTime.sum > 50);
    assert.equal(answered.queueTime.count, 3);
    assert.ok(answered.queueTime.max < 30_000);
  });

  test("each group counts its copy wherever it is handled", async () => {
    const [here, one, other] = [world.system(), world.system(), world.system()];
    let seen = 0;
    for (const system of [one, other]) {
      await system.subscribe("figures.copy", () => void seen++, { group: "g" }).ready();
      await system.subscribe("figures.copy", () => void seen++).ready();
    }
    for (let number = 0; number < 10; number++) await here.publish("figures.copy", number);
    await until(() => seen === 30, "all copies");
    const told = [one.metrics(), other.metrics()];
    assert.equal(here.metrics().live.publishedEvents, 10);
    assert.equal(
      told.map(({ live }) => live.deliveredEvents).reduce((sum, count) => sum + count),
      30,
    );
    const groups = told.flatMap((metrics) => metrics.groups.map(({ deliveredEvents }) => deliveredEvents));
    assert.equal(
      groups.reduce((sum, count) => sum + count),
      10,
    );
  });

  test("what waits in the process is pending", async () => {
    const [here, there] = [world.system(), world.system()];
    const { open, opened } = gate();
    await there.subscribe("figures.held", () => opened, { concurrency: 1 }).ready();
    for (let number = 0; number < 3; number++) await here.publish("figures.held", number);
    await until(() => there.metrics().pendingEvents === 3, "all have come");
    open();
    await until(() => there.metrics().live.successEvents === 3, "all are handled");
    assert.equal(there.metrics().pendingEvents, 0);
  });
}

/** What is counted of durable events. */
export function durableFiguresTests(world: World): void {
  test("stored events are counted, and Prometheus is told how far their groups are", async () => {
    const [here, there, topic] = [world.system(), world.system(), "figures.stored"];
    const subscription = there.subscribe(topic, () => undefined, { durable: true, group: "g" });
    await subscription.ready();
    await here.publish(topic, 1, { key: "k" });
    await until(() => there.metrics().durable.successEvents === 1, "it is handled");
    await subscription.unsubscribe();
    for (let number = 0; number < 2; number++) await here.publish(topic, number, { key: "k" });
    assert.equal(here.metrics().durable.publishedEvents, 3);
    assert.equal(there.metrics().durable.queueTime.count, 1);
    const told = (await there.prometheus({ groups: true })).split("\n");
    assert.ok(told.includes(`tieline_group_waiting{topic="${topic}",group="g"} 2`));
    assert.ok(told.includes(`tieline_group_keys{topic="${topic}",group="g"} 1`));
    assert.ok(told.includes(`tieline_events_delivered_total{topic="${topic}",group="g",kind="durable"} 1`));
    assert.ok(told.includes("tieline_connected 1"));
  });
}
