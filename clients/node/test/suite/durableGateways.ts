import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../../src/index.js";
import { consumerOf, deliveryOf, newTopic, Seen } from "../support/durable.js";
import type { Gateway } from "../support/gateway.js";
import { fails, gate, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const LARGE = Buffer.alloc(700_000, 120);
const QUICK = { settings: { reconnectMin: 20, reconnectMax: 100 } };

/** Durable events over a Link: it breaks, and what it carries is large. */
export function durableGatewayTests(world: World, gateway: Gateway): void {
  test("what is larger than a frame is claimed, given up and listed", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const numbers = [...Array(9).keys()];
    for (const n of numbers) await system.publish(topic, { n, LARGE }, { key: `k${n}` });
    const reject = (data: unknown, event: Event) => {
      seen.push((data as { n: number }).n);
      deliveryOf(event).reject("no");
    };
    const subscription = system.subscribe(topic, reject, { durable: true });
    await subscription.ready();
    await seen.stay(9);
    await subscription.unsubscribe();
    const letters = (await system.deadLetters.list(topic)).map(
      ({ event }) => event.data as { n: number; LARGE: Buffer },
    );
    for (const found of [[...seen], letters.map(({ n }) => n)]) assert.deepEqual(found.map(Number).sort(), numbers);
    for (const letter of letters) assert.equal(letter.LARGE.length, LARGE.length);
    assert.equal(await system.deadLetters.redrive(topic), 9);
  });

  if (gateway.keeps) {
    test("what a handler had when the gateway died is settled over the next Link", async () => {
      const [topic, here, there] = [newTopic(), world.system(QUICK), world.system(QUICK)];
      const [seen, held] = [new Seen(), gate()];
      const take = (data: unknown, event: Event) => seen.after([data, deliveryOf(event).attempt], held.opened);
      const subscription = there.subscribe(topic, take, { durable: true });
      await subscription.ready();
      for (const number of [1, 2]) await here.publish(topic, number, { key: "k" });
      await seen.reach(1);
      await gateway.stop();
      await until(() => !here.connected && !there.connected, "both know");
      const refused = await fails(here.publish(topic, 3, { key: "k" }), "UNAVAILABLE");
      assert.equal(refused.outcome, "NOT_DELIVERED");
      await gateway.start();
      await here.publish(topic, 3, { key: "k", waitForConnection: 20_000 });
      held.open();
      await seen.stay(3);
      assert.deepEqual(
        [...seen],
        [1, 2, 3].map((number) => [number, 1]),
      );
      await until(() => consumerOf(subscription).held === 0, "nothing is held");
      const [group] = await there.groups.list(topic);
      assert.deepEqual([group?.waiting, group?.pending], [0, 0]);
    });

    test("who sleeps is woken over the next Link", async () => {
      const [topic, system, seen] = [newTopic(), world.system(QUICK), new Seen()];
      const subscription = system.subscribe(topic, (data) => seen.push(data), { durable: true });
      await subscription.ready();
      await gateway.stop();
      await until(() => !system.connected, "it knows");
      await gateway.start();
      for (const number of [1, 2]) {
        await system.publish(topic, number, { key: "k", waitForConnection: 20_000 });
        await seen.reach(number);
        await until(() => consumerOf(subscription).held === 0, "nothing is held");
      }
      await seen.stay(2);
    });
  }
}
