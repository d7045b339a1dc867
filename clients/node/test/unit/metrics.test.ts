import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { LIMIT_METRIC_GROUPS, LIMIT_METRIC_TOPICS, METRICS, type MetricName } from "../../src/contract/contract.js";
import { OTHER, Tally } from "../../src/figures/tally.js";
import { type Event, EventSystem, type Figures, type Metrics } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";
import { fails, gate } from "../support/waiting.js";
import { never } from "../support/watched.js";
import { silent } from "../support/world.js";

async function system(t: TestContext, remote = false): Promise<testing.System> {
  const events = await testing.system("test", { remote, logger: silent });
  t.after(() => events.close());
  return events;
}

/** Pending, success, failed, expired, cancelled. */
function handled(figures: Figures | undefined): (number | undefined)[] {
  return [
    figures?.pendingEvents,
    figures?.successEvents,
    figures?.failedEvents,
    figures?.expiredEvents,
    figures?.cancelledEvents,
  ];
}

function groupsOf({ groups }: Metrics): [string, string, number][] {
  return groups.map(({ topic, group, deliveredEvents }) => [topic, group, deliveredEvents]);
}

for (const remote of [false, true]) {
  const where = remote ? "elsewhere" : "here";

  test(`a handler ${where} takes as long as it takes`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("slow", (_: unknown, event: Event) => event.clock.sleep(2500));
    const call = events.publishAndWait("slow");
    await events.clock.advance(1000);
    assert.deepEqual(handled(events.far.metrics().topics.get("slow")), [1, 0, 0, 0, 0]);
    await events.clock.advance(1500);
    await call;
    const told = events.far.metrics();
    assert.deepEqual(handled(told.topics.get("slow")), [0, 1, 0, 0, 0]);
    assert.deepEqual([told.handleTime.sum, told.averageLatency, told.calls.averageLatency], [2500, 2500, 2500]);
    const { roundTrip } = events.metrics();
    assert.deepEqual([roundTrip.count, roundTrip.sum], [1, 2500]);
  });

  test(`what waits for a handler ${where} is queued`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("one", (_: unknown, event: Event) => event.clock.sleep(2000), { concurrency: 1 });
    for (let number = 0; number < 3; number++) await events.publish("one");
    await events.clock.advance(1000);
    assert.deepEqual(handled(events.far.metrics().live), [3, 0, 0, 0, 0]);
    await events.clock.advance(5000);
    const told = events.far.metrics().topics.get("one") as Figures;
    assert.deepEqual([told.queueTime.count, told.queueTime.sum, told.queueTime.max], [3, 6000, 4000]);
    assert.deepEqual([told.handleTime.count, told.handleTime.sum, told.totalEvents], [3, 6000, 3]);
    assert.equal(events.metrics().live.publishedEvents, 3);
  });

  test(`what expires in the queue ${where} was not delivered`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("one", (_: unknown, event: Event) => event.clock.sleep(10_000), { concurrency: 1 });
    await events.publish("one");
    await events.publish("one", null, { ttl: 5000 });
    await events.clock.advance(20_000);
    assert.deepEqual(handled(events.far.metrics().topics.get("one")), [0, 1, 0, 1, 0]);
  });

  test(`a call that times out is an error here and stopped ${where}`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("slow", never);
    const refused = fails(events.publishAndWait("slow", 1, { ttl: 5000 }), "TIMEOUT");
    await events.clock.advance(6000);
    await refused;
    await events.clock.advance(1000);
    assert.deepEqual(events.metrics().errors, { TIMEOUT: 1 });
    assert.equal(events.metrics().roundTrip.count, 0);
    assert.deepEqual(handled(events.far.metrics().topics.get("slow")), [0, 0, 0, 0, 1]);
  });

  test(`a call that is given up is counted ${where}`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("slow", never);
    const giveUp = new AbortController();
    const refused = fails(events.publishAndWait("slow", 1, { signal: giveUp.signal }), "CANCELLED");
    await events.clock.settle();
    giveUp.abort();
    await refused;
    await events.clock.advance(1000);
    assert.deepEqual(events.metrics().errors, { CANCELLED: 1 });
    assert.deepEqual(handled(events.far.metrics().topics.get("slow")), [0, 0, 0, 0, 1]);
  });

  test(`failures of every kind are counted once ${where}`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("number", async (data: number) => {
      if (data === 1) throw new Error("no");
      return data === 2 ? Symbol("cannot travel") : data;
    });
    for (const data of [1, 2, 3]) await events.publishAndWait("number", data).catch(() => undefined);
    assert.deepEqual(handled(events.far.metrics().topics.get("number")), [0, 1, 2, 0, 0]);
    assert.deepEqual(events.metrics().errors, { HANDLER_ERROR: 2 });
    assert.equal(events.metrics().calls.publishedEvents, 3);
  });

  test(`events of a pattern ${where} count under their own topics, and observers do not count`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("user.*", () => undefined, { group: "mail" });
    events.subscribe("user.>", () => undefined, { observe: true });
    await events.publish("user.a");
    await events.publish("user.b");
    await events.clock.settle();
    assert.deepEqual(groupsOf(events.far.metrics()), [
      ["user.a", "mail", 1],
      ["user.b", "mail", 1],
    ]);
    assert.equal(events.far.metrics().deliveredEvents, 2);
  });

  test(`collected events ${where} are pending until their batch is full`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("many", () => undefined, { batch: { size: 10, ms: 5000 } });
    for (let number = 0; number < 3; number++) await events.publish("many");
    await events.clock.advance(1000);
    assert.equal(events.far.metrics().topics.get("many")?.pendingEvents, 3);
    await events.clock.advance(5000);
    assert.deepEqual(handled(events.far.metrics().topics.get("many")), [0, 3, 0, 0, 0]);
    assert.equal(events.far.metrics().queueTime.sum, 15_000);
  });

  test(`the system's own questions are not counted ${where}`, async (t) => {
    const events = await system(t, remote);
    await events.services();
    await events.explain("nothing");
    for (const each of [events, events.far]) {
      assert.deepEqual(each.metrics().series, []);
      assert.deepEqual(each.metrics().errors, {});
    }
  });
}

for (const remote of [false, true]) {
  const where = remote ? "elsewhere" : "here";

  test(`what a filter refuses is not counted for its handler ${where}`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("mine", (data) => data, { filter: (data) => data === "mine" });
    await fails(events.publishAndWait("mine", "yours"), "NO_RESPONDERS");
    await events.publish("mine", "yours");
    await events.clock.settle();
    assert.equal(events.far.metrics().totalEvents, 0);
    assert.equal(events.metrics().topics.get("mine")?.publishedEvents, 2);
    assert.deepEqual(events.metrics().errors, { NO_RESPONDERS: 1 });
  });

  test(`what an observer has ${where} is not pending`, async (t) => {
    const events = await system(t, remote);
    const { opened, open } = gate();
    events.subscribe("seen", () => opened, { observe: true });
    await events.publish("seen");
    await events.clock.settle();
    assert.equal(events.far.metrics().pendingEvents, 0);
    open();
  });
}

test("the way to another process is queue time", async (t) => {
  const events = await system(t, true);
  events.subscribe("far", (data) => data);
  events.faults.delay(3000, "far", { kind: "event" });
  events.faults.delay(4000, "far", { kind: "request" });
  await events.publish("far");
  const call = events.publishAndWait("far");
  await events.clock.advance(5000);
  await call;
  const told = events.far.metrics();
  assert.deepEqual(
    [told.live.queueTime.sum, told.calls.queueTime.sum, events.metrics().roundTrip.sum],
    [3000, 4000, 4000],
  );
});

test("what has to give way was dropped", async (t) => {
  const events = await system(t);
  const { opened, open } = gate();
  events.subscribe("full", () => opened, { concurrency: 1, queue: 1 });
  for (let number = 0; number < 4; number++) await events.publish("full");
  assert.equal(events.metrics().topics.get("full")?.droppedEvents, 2);
  await fails(events.publishAndWait("full"), "OVERLOADED");
  assert.equal(events.metrics().counters.overloads, 1);
  open();
});

test("totals are the sum of topics and of kinds", async (t) => {
  const events = await system(t);
  for (const topic of ["a", "b"]) {
    events.subscribe(topic, (data) => data);
    await events.publish(topic);
    await events.publishAndWait(topic);
  }
  const told = events.metrics();
  for (const figures of [[...told.topics.values()], [told.live, told.calls, told.durable], told.series]) {
    assert.equal(
      figures.reduce((sum, one) => sum + one.totalEvents, 0),
      4,
    );
    assert.equal(
      figures.reduce((sum, one) => sum + one.handleTime.count, 0),
      4,
    );
  }
  assert.deepEqual([told.totalEvents, told.handleTime.count, told.publishedEvents], [4, 4, 4]);
});

test("figures do not change any more", async (t) => {
  const events = await system(t);
  events.subscribe("a", (data) => data);
  await events.publishAndWait("a");
  const told = events.metrics();
  await events.publishAndWait("a");
  assert.equal(told.topics.get("a")?.totalEvents, 1);
  for (const value of [told, told.live, told.counters, told.errors]) assert.ok(Object.isFrozen(value));
});

test("a gap is counted where the link broke", async (t) => {
  const events = await system(t);
  await events.faults.cut(events);
  assert.deepEqual([events.metrics().counters.disconnects, events.metrics().gauges.connected], [1, 0]);
  await events.faults.restore(events);
  assert.deepEqual([events.metrics().counters.gaps, events.metrics().gauges.connected], [1, 1]);
});

test("a system that was not started has figures, and every counter from the beginning", () => {
  const told = new EventSystem("memory://").metrics();
  assert.deepEqual([told.totalEvents, told.gauges.connected, told.averageLatency], [0, 0, 0]);
  assert.equal(told.since.getTime() / 1000, told.gauges.startTimeSeconds);
  const names = (type: string) =>
    (Object.keys(METRICS) as MetricName[]).filter((n) => METRICS[n].type === type && METRICS[n].labels.length === 0);
  assert.deepEqual(Object.keys(told.counters).sort(), names("counter").sort());
  const here = names("gauge").filter((name) => !name.startsWith("recorder")); // recorders are Python's
  assert.deepEqual(Object.keys(told.gauges).sort(), here.sort());
});

test("beyond the bounds topics and groups are counted together", () => {
  const topics = new Tally(0);
  for (let number = 0; number < LIMIT_METRIC_TOPICS + 5; number++) {
    topics.live(`t${number}`).published += 1;
    topics.live(`t${number}`).published += 1;
  }
  assert.equal(topics.all().length, LIMIT_METRIC_TOPICS + 1);
  assert.equal(topics.series(OTHER, "", "live").published, 10);
  const groups = new Tally(0);
  for (let number = 0; number < LIMIT_METRIC_GROUPS + 5; number++) groups.series("a", `g${number}`, "call").failed += 1;
  assert.equal(groups.all().length, LIMIT_METRIC_GROUPS + 1);
  assert.equal(groups.series("a", OTHER, "call").failed, 5);
});
