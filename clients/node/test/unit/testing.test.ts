import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Event, EventSystem, getEventSystem, publishEvent, publishEventAndWait } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";
import { fails } from "../support/waiting.js";
import { never } from "../support/watched.js";

async function system(t: TestContext, ...options: Parameters<typeof testing.system>): Promise<testing.System> {
  const events = await testing.system(...options);
  t.after(() => events.close());
  return events;
}

function broker(t: TestContext): testing.Broker {
  const made = new testing.Broker();
  t.after(() => made.close());
  return made;
}

test("handlers are called and their events arrive", async (t) => {
  const events = await system(t, "shop");
  const sent: unknown[] = [];
  events.subscribe<{ id: number }>("order.placed", async ({ id }) => {
    await events.publish("invoice.sent", { order: id });
    return "billed";
  });
  events.subscribe("invoice.sent", (data) => void sent.push(data));
  assert.equal(await events.publishAndWait("order.placed", { id: 7 }), "billed");
  await events.clock.settle();
  assert.deepEqual(sent, [{ order: 7 }]);
  await fails(events.publishAndWait("order.cancelled"), "NO_RESPONDERS");
});

test("several systems share one broker and need not wait for each other", async (t) => {
  const shared = broker(t);
  const [shop, stock, other] = [shared.system("shop"), shared.system("stock"), shared.system("stock")];
  const taken: string[] = [];
  const take = (_: unknown, event: Event) => {
    taken.push(event.source.split("/")[0] ?? "");
    return "reserved";
  };
  for (const responder of [stock, other]) responder.subscribe("stock.reserve", take, { group: "stock" });
  for (let order = 0; order < 4; order++) {
    assert.equal(await shop.publishAndWait("stock.reserve", order), "reserved");
  }
  assert.deepEqual(taken, ["shop", "shop", "shop", "shop"]);
});

test("what one test does is nothing to another", async (t) => {
  const [one, two] = [await system(t), await system(t)];
  one.subscribe("t", () => "one");
  await fails(two.publishAndWait("t"), "NO_RESPONDERS");
  await one.publish("e", 1);
  two.recorder.assertNotPublished();
});

test("everything has ended when the broker is closed", async () => {
  const shared = new testing.Broker();
  const [shop, stock] = [shared.system("shop"), shared.system("stock", { remote: true })];
  const finished: unknown[] = [];
  let cancelled = false;
  stock.subscribe("t", (_, event) => {
    event.onCancel(() => {
      cancelled = true;
    });
    return never();
  });
  stock.subscribe("quick", async (data) => finished.push(await data));
  shop.subscribe("late", () => undefined, { batch: { size: 10, ms: 60_000 } });
  for (const topic of ["t", "quick", "late"]) await shop.publish(topic, 1);
  await shared.close();
  assert.deepEqual(finished, [1]);
  assert.ok(cancelled);
  assert.ok(shop.closed && stock.closed && stock.far.closed);
  await fails(shop.publish("t"), "INVALID_ARGUMENT");
});

test("a system that is closed finishes what needs no time", async () => {
  const events = await testing.system();
  const finished: unknown[] = [];
  events.subscribe("t", async (data) => {
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    finished.push(data);
  });
  await events.publish("t", 1);
  await events.close();
  assert.deepEqual(finished, [1]);
});

test("the default system of a program can be replaced", async (t) => {
  const before = getEventSystem();
  const events = await system(t);
  events.subscribe("stock.reserve", (order) => `reserved ${order}`);
  const restore = testing.use(events);
  assert.equal(getEventSystem(), events);
  await publishEvent("order.placed", { id: 7 });
  assert.equal(await publishEventAndWait("stock.reserve", 7), "reserved 7");
  restore();
  events.recorder.assertPublished("order.placed", { id: 7 });
  assert.equal(getEventSystem(), before);
});

test("with remote a call crosses the wire", async (t) => {
  for (const remote of [false, true]) {
    const events = await system(t, "test", { remote });
    const seen: Event[] = [];
    events.subscribe("t", (_, event) => void seen.push(event));
    await events.publishAndWait("t", 1);
    assert.equal(events.far === events, !remote);
    assert.equal(seen[0]?.envelope.callId.length, remote ? 16 : 0);
    const [subscription] = events.subscriptions;
    assert.equal(subscription?.topic, "t");
    await events.unsubscribe("t");
    await subscription?.unsubscribe();
    await fails(events.publishAndWait("t"), "NO_RESPONDERS");
  }
});

test("a system that the program makes can join the broker", async (t) => {
  const shared = broker(t);
  const own = new EventSystem({ transport: shared.transport() });
  t.after(() => own.close());
  await own.subscribe("t", () => "own").ready();
  assert.equal(await shared.system().publishAndWait("t"), "own");
});

test("with real time the clock runs by itself", async (t) => {
  const events = await system(t, "test", { realTime: true });
  const begun = performance.now();
  events.subscribe("t", never);
  await fails(events.publishAndWait("t", 1, { ttl: 50 }), "TIMEOUT");
  assert.ok(performance.now() - begun >= 50);
  await fails(events.clock.advance(1), "INVALID_ARGUMENT");
});
