import assert from "node:assert/strict";
import { test } from "node:test";
import { currentEvent, type EventSystem, type Step, Timestamp } from "../../src/index.js";
import { fails, gate, sleep, until } from "../support/waiting.js";
import { inStep, type World } from "../support/world.js";

/** What a system's events about itself say of it. */
async function whoIs(system: EventSystem): Promise<{ service: string; instance: string }> {
  await system.start();
  return { service: system.service, instance: system.instance };
}

export function broadcastTests(world: World): void {
  test("an event reaches every subscription in every system, once", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const got: string[] = [];
    for (const [name, system] of Object.entries({ a, b, c })) {
      await system.subscribe("data.update", (data) => got.push(`${name}1 ${JSON.stringify(data)}`)).ready();
      await system.subscribe("data.update", (data) => got.push(`${name}2 ${JSON.stringify(data)}`)).ready();
    }
    await a.publish("data.update", { id: 1 });
    await until(() => got.length >= 6, "six copies");
    await sleep(50);
    const wanted = ["a1", "a2", "b1", "b2", "c1", "c2"].map((name) => `${name} {"id":1}`);
    assert.deepStrictEqual(got.sort(), wanted);
  });

  test("the exact topic and wildcards that overlap get one copy each", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: string[] = [];
    for (const pattern of ["user.created", "user.*", "*.created", "user.>", ">"]) {
      await b.subscribe(pattern, () => got.push(pattern)).ready();
    }
    await b.subscribe("user.*.more", () => got.push("wrong")).ready();
    await a.publish("user.created", 1);
    await until(() => got.length >= 5, "five copies");
    await sleep(50);
    assert.deepStrictEqual(got.sort(), ["*.created", ">", "user.*", "user.>", "user.created"]);
  });

  test("a publisher's events arrive in order", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: number[] = [];
    await b.subscribe<number>("count.up", (n) => got.push(n)).ready();
    await Promise.all(Array.from({ length: 500 }, (_, n) => a.publish("count.up", n)));
    await until(() => got.length === 500, "500 events");
    assert.deepStrictEqual(
      got,
      Array.from({ length: 500 }, (_, n) => n),
    );
  });

  test("what a handler is told of an event, and what its own events inherit", async () => {
    const [a, b] = [world.system({ service: "shop" }), world.system()];
    const seen: Record<string, unknown>[] = [];
    await a.subscribe("order.packed", (_, event) => void seen.push({ ...event.envelope })).ready();
    await b
      .subscribe("order.placed", async (data, event) => {
        assert.equal(currentEvent(), event);
        seen.push({ ...event.envelope, data, correlationId: event.correlationId });
        assert.ok(event.remaining() > 30_000 && event.remaining() <= 61_000);
        await b.publish("order.packed");
      })
      .ready();
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const headers = { traceparent, mine: "x" };
    const receipt = await a.publish("order.placed", { n: 1 }, { headers, ttl: 60_000, schemaVersion: "2" });
    await until(() => seen.length === 2, "both events");
    const [placed = {}, packed = {}] = seen;
    assert.equal(placed.id, receipt.id);
    assert.equal(placed.correlationId, receipt.correlationId);
    assert.equal(placed.source, `shop/${a.instance}`);
    assert.equal(placed.schemaVersion, "2");
    assert.equal(placed.hops, 0);
    assert.deepStrictEqual({ ...(placed.headers as object) }, headers);
    assert.equal(packed.correlationId, receipt.correlationId);
    assert.equal(packed.causationId, receipt.id);
    assert.equal(packed.hops, 1);
    assert.deepStrictEqual({ ...(packed.headers as object) }, { traceparent });
  });

  test("a payload arrives as what it was, here and elsewhere", async () => {
    const [a, b] = [world.system(), world.system()];
    const payload = {
      big: 2n ** 63n,
      when: new Date(1_700_000_000_123),
      fine: new Timestamp(1, 5),
      bytes: new Uint8Array([1, 2, 255]),
      list: [null, true, -0, 0.5, "grüße"],
    };
    const got: unknown[] = [];
    await a.subscribe("payload.any", (data) => got.push(data)).ready();
    await b.subscribe("payload.any", (data) => got.push(data)).ready();
    await a.publish("payload.any", payload);
    await until(() => got.length === 2, "both copies");
    for (const copy of got) assert.deepStrictEqual(copy, payload);
    assert.notEqual(got[0], payload);
  });

  test("what breaks the rules is refused at the door, also for local subscribers, and reaches nobody", async () => {
    const a = world.system();
    const got: unknown[] = [];
    await a.subscribe(">", (data) => got.push(data)).ready();
    await fails(a.publish("", 1), "INVALID_TOPIC");
    await fails(a.publish("a..b", 1), "INVALID_TOPIC");
    await fails(a.publish("a.*", 1), "INVALID_TOPIC");
    await fails(a.publish("system.startup", 1), "INVALID_TOPIC");
    await fails(a.publish("a", { f: () => 1 }), "INVALID_PAYLOAD");
    await fails(a.publish("a", new Set()), "INVALID_PAYLOAD");
    await fails(a.publish("a", "x".repeat(1_048_577)), "PAYLOAD_TOO_LARGE");
    await fails(a.publish("a", 1, { ttl: 0 }), "INVALID_ARGUMENT");
    await fails(a.publish("a", 1, { ttl: Number.NaN }), "INVALID_ARGUMENT");
    await fails(a.publish("a", 1, { headers: { a: "x".repeat(9000) } }), "PAYLOAD_TOO_LARGE");
    await sleep(30);
    assert.deepStrictEqual(got, []);
  });

  test("observers see events and requests, also those served locally, and never answer", async () => {
    const [a, b] = [world.system(), world.system()];
    const seen: string[] = [];
    await b.subscribe("watched.>", (_, event) => void seen.push(`far ${event.topic}`), { observe: true }).ready();
    await a.subscribe("watched.>", (_, event) => void seen.push(`near ${event.topic}`), { observe: true }).ready();
    await inStep(a);
    await fails(a.publishAndWait("watched.nobody"), "NO_RESPONDERS");
    await b.subscribe("watched.far", () => "far").ready();
    assert.equal(await a.publishAndWait("watched.far"), "far");
    await a.subscribe("watched.call", () => "answer").ready();
    assert.equal(await a.publishAndWait("watched.call"), "answer");
    await a.publish("watched.event");
    await until(() => seen.length >= 8, "all at both observers");
    await sleep(30);
    const topics = ["watched.call", "watched.event", "watched.far", "watched.nobody"];
    const wanted = [...topics.map((topic) => `far ${topic}`), ...topics.map((topic) => `near ${topic}`)];
    assert.deepStrictEqual(seen.sort(), wanted);
  });

  test("an expired event is not handled", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: unknown[] = [];
    const held = gate();
    await b
      .subscribe(
        "late.event",
        async (data) => {
          got.push(data);
          await held.opened;
        },
        { concurrency: 1 },
      )
      .ready();
    await a.publish("late.event", 1);
    await until(() => got.length === 1, "the first event");
    await a.publish("late.event", 2, { ttl: 40 });
    await a.publish("late.event", 3);
    await sleep(500);
    held.open();
    await until(() => got.includes(3), "the third event");
    assert.deepStrictEqual(got, [1, 3]);
  });

  test("filters, batches and bounded queues", async () => {
    const [a, b] = [world.system(), world.system()];
    const small: number[] = [];
    const batches: number[][] = [];
    await b.subscribe<number>("numbers.all", (n) => void small.push(n), { filter: (n) => n < 3 }).ready();
    await b
      .subscribe<number>("numbers.all", (list) => void batches.push(list), { batch: { size: 4, ms: 1000 } })
      .ready();
    await Promise.all([0, 1, 2, 3, 4, 5].map((n) => a.publish("numbers.all", n)));
    await until(() => batches.length === 2, "a full batch and the rest");
    assert.deepStrictEqual(small, [0, 1, 2]);
    assert.deepStrictEqual(batches, [
      [0, 1, 2, 3],
      [4, 5],
    ]);
  });

  test("a subscription that is too slow drops the oldest waiting event, and says so", async () => {
    const steps: Step[] = [];
    const [a, b] = [world.system(), world.system({ observe: (step) => steps.push(step) })];
    const got: number[] = [];
    const warnings: unknown[] = [];
    await a.subscribe("system.warning", (data) => void warnings.push(data)).ready();
    const whose = await whoIs(b);
    const held = gate();
    const slow = (n: number) => {
      got.push(n);
      return held.opened;
    };
    await b.subscribe("flood.in", slow, { concurrency: 1, queue: 2, name: "slow" }).ready();
    const flood = Promise.all([1, 2, 3, 4, 5, 6].map((n) => a.publish("flood.in", n)));
    const dropped = () => steps.filter(({ name }) => name === "dropped");
    await until(() => dropped().length === 3 && warnings.length === 1, "three are dropped, and a warning");
    held.open();
    await until(() => got.length === 3, "the first and the last two");
    await sleep(100);
    assert.deepStrictEqual(got, [1, 5, 6]);
    assert.deepStrictEqual(warnings, [
      { kind: "slow_consumer", topic: "flood.in", subscription: "slow", dropped: 1, left_out: 0, ...whose },
    ]);
    const receipts = await flood;
    assert.deepStrictEqual(
      dropped().map(({ correlationId, detail }) => [correlationId, detail]),
      [1, 2, 3].map((at) => [receipts[at]?.id, { why: "OVERLOADED", subscription: "slow" }]),
    );
  });

  test("a warning names the topic that flowed over, and never causes another", async () => {
    const a = world.system();
    const warnings: unknown[] = [];
    const held = gate();
    const [full, whose] = [{ concurrency: 1, queue: 0, name: "slow" }, await whoIs(a)];
    const slow = a.subscribe("*.all", () => held.opened, full);
    await slow.ready();
    await a.subscribe("system.*", () => held.opened, full).ready(); // it is full of the first warning
    await a
      .subscribe("system.warning", (data) => {
        warnings.push(data);
        if (warnings.length < 3) slow.warnedAt = -Infinity; // as if it were long ago
      })
      .ready();
    await a.publish("flood.all", 1);
    await a.publish("flood.all", 2);
    await a.publish("flood.all", 3);
    await until(() => warnings.length > 1, "two warnings");
    await sleep(50);
    held.open();
    const about = { kind: "slow_consumer", topic: "flood.all", subscription: "slow", left_out: 0, ...whose };
    assert.deepStrictEqual(warnings, [
      { ...about, dropped: 1 },
      { ...about, dropped: 2 },
    ]);
  });

  test("waitLocal resolves when the handlers here are done", async () => {
    const a = world.system();
    let done = 0;
    for (let n = 0; n < 3; n++) await a.subscribe("local.wait", () => sleep(40).then(() => done++)).ready();
    await a.publish("local.wait", 1, { waitLocal: true });
    assert.equal(done, 3);
  });

  test("a handler that publishes what it handles is stopped after 16 hops", async () => {
    const a = world.system();
    const hops: number[] = [];
    const errors: string[] = [];
    await a
      .subscribe("loop.on", async (_, event) => {
        hops.push(event.hops);
        await a.publish("loop.on").catch((error) => errors.push(error.code));
      })
      .ready();
    await a.publish("loop.on");
    await until(() => errors.length === 1, "the loop's end");
    assert.deepStrictEqual(
      hops,
      Array.from({ length: 17 }, (_, n) => n),
    );
    assert.deepStrictEqual(errors, ["LOOP_DETECTED"]);
  });
}
