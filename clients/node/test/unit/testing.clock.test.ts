import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { type TestContext, test } from "node:test";
import { type Event, type EventSystem, TielineError } from "../../src/index.js";
import * as testing from "../../src/testing/index.js";
import { fails } from "../support/waiting.js";
import { never, Watched } from "../support/watched.js";

const HOUR = 3_600_000;

async function system(t: TestContext, remote = false): Promise<testing.System> {
  const events = await testing.system("test", { remote });
  t.after(() => events.close());
  return events;
}

function call(events: EventSystem, topic: string, data?: unknown, options = {}): Watched<unknown> {
  return new Watched(events.publishAndWait(topic, data, options));
}

for (const remote of [false, true]) {
  const where = remote ? "elsewhere" : "here";

  test(`a call answered ${where} ends when its time has come and not before`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("slow", never);
    const waiting = call(events, "slow", 1, { ttl: 30_000 });
    await events.clock.advance(29_999);
    assert.equal(waiting.done, false);
    await events.clock.advance(1);
    assert.ok(waiting.done);
    await fails(waiting.value(), "TIMEOUT");
  });

  test(`a stream from ${where} ends when the next item does not come`, async (t) => {
    const events = await system(t, remote);
    events.subscribe("count", async function* () {
      for (let number = 0; number < 3; number++) {
        await events.clock.sleep(10_000 * number);
        yield number;
      }
    });
    const read: unknown[] = [];
    const reader = async () => {
      for await (const item of events.publishAndStream("count", 1, { ttl: 15_000 })) read.push(item);
    };
    const reading = new Watched(reader());
    await events.clock.advance(24_000);
    assert.deepEqual(read, [0, 1]);
    await events.clock.advance(1000);
    assert.ok(reading.done);
    await fails(reading.value(), "TIMEOUT");
  });
}

test("an hour takes no time and an hour of the wall does nothing", async (t) => {
  const events = await system(t);
  events.subscribe("slow", never);
  const waiting = call(events, "slow", 1, { ttl: HOUR });
  await events.clock.settle();
  const wall = Date.now();
  t.mock.method(Date, "now", () => wall + 10 * HOUR);
  await events.clock.advance(HOUR - 1);
  assert.equal(waiting.done, false);
  await events.clock.advance(1);
  assert.ok(waiting.done);
});

test("an event expires while it waits for its turn", async (t) => {
  const events = await system(t);
  const handled: number[] = [];
  const handle = async (number: number) => {
    handled.push(number);
    await events.clock.sleep(10_000);
  };
  events.subscribe<number>("t", handle, { concurrency: 1 });
  for (const [number, ttl] of [[1, 60_000] as const, [2, 10_000] as const, [3, 30_000] as const]) {
    await events.publish("t", number, { ttl });
  }
  await events.clock.advance(15_000);
  assert.deepEqual(handled, [1, 3]);
});

test("a retry waits for its pause", async (t) => {
  const events = await system(t);
  let tries = 0;
  events.subscribe("t", () => {
    if (++tries < 3) throw new Error("not yet");
    return "done";
  });
  const retry = { base: 8000, cap: 16_000, when: () => true };
  const trying = call(events, "t", 1, { retry, idempotent: true });
  await events.clock.settle();
  assert.equal(tries, 1);
  await events.clock.advance(24_000); // pauses are chosen at random: up to 8 s, then up to 16 s
  assert.equal(await trying.value(), "done");
});

test("a result is kept for as long as an idempotency key holds", async (t) => {
  const events = await system(t, true);
  const runs: unknown[] = [];
  events.subscribe("pay", (data) => runs.push(data));
  for (const [hours, count] of [[0, 1] as const, [23, 1] as const, [2, 2] as const]) {
    await events.clock.advance(hours * HOUR);
    await events.publishAndWait("pay", 1, { idempotencyKey: "k" });
    assert.equal(runs.length, count);
  }
});

test("a batch is handed over when it has waited long enough", async (t) => {
  const events = await system(t);
  const batches: number[][] = [];
  events.subscribe<number>("t", (numbers) => void batches.push(numbers), { batch: { size: 10, ms: 5000 } });
  await events.publish("t", 1);
  await events.clock.advance(4000);
  await events.publish("t", 2);
  assert.deepEqual(batches, []);
  await events.clock.advance(1000);
  assert.deepEqual(batches, [[1, 2]]);
});

test("a responder that has died is noticed by the clock", async (t) => {
  const events = await system(t, true);
  events.subscribe("t", never);
  const waiting = call(events, "t");
  await events.clock.settle();
  await events.faults.kill(events.far);
  assert.equal(waiting.done, false);
  await events.clock.advance(3000);
  assert.ok(waiting.done);
  await fails(waiting.value(), "RESPONDER_LOST");
});

test("what is due happens in order and with all it causes", async () => {
  const clock = new testing.Clock();
  const order: unknown[] = [];
  const chain = async () => {
    await clock.sleep(1000);
    order.push(1);
    await clock.sleep(1000);
    order.push(2);
  };
  const chained = new Watched(chain());
  clock.callLater(3000, () => order.push(3));
  clock.callLater(1500, () => order.push(1.5));
  clock.callLater(1600, () => order.push("never")).cancel();
  await clock.advance(3000);
  assert.deepEqual(order, [1, 1.5, 2, 3]);
  assert.ok(chained.done);
});

test("what happens later happens in the context that asked for it", async () => {
  const clock = new testing.Clock();
  const context = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  context.run("asked", () => clock.callLater(1000, () => seen.push(context.getStore())));
  await context.run("turned", () => clock.advance(1000));
  assert.deepEqual(seen, ["asked"]);
});

test("small steps add up", async (t) => {
  const events = await system(t);
  events.subscribe("slow", never);
  const waiting = call(events, "slow", 1, { ttl: 1 });
  for (let step = 0; step < 3; step++) {
    assert.equal(waiting.done, false);
    await events.clock.advance(step < 2 ? 0.3 : 0.4);
  }
  assert.ok(waiting.done);
  await fails(waiting.value(), "TIMEOUT");
});

test("handlers see the time of the test", async (t) => {
  const events = await system(t);
  const seen: Event[] = [];
  events.subscribe("t", (_, event) => void seen.push(event));
  await events.clock.advance(90_000);
  await events.publish("t", 1, { ttl: 60_000 });
  const [event] = seen;
  assert.equal(event?.time.toISOString(), "2030-01-01T00:01:30.000Z");
  assert.equal(event?.expiresAt?.toISOString(), "2030-01-01T00:02:30.000Z");
  await events.clock.advance(59_500);
  assert.equal(event?.remaining(), 500);
  await events.clock.advance(500);
  assert.ok(event?.expired);
  assert.equal(new testing.Clock(new Date(5)).now(), 5);
});

test("a handler keeps what it knows of its event while it sleeps by the clock", async (t) => {
  const events = await system(t);
  events.subscribe("outer", async () => {
    await events.clock.sleep(5000);
    await events.publish("inner");
  });
  const causes: string[] = [];
  events.subscribe("inner", (_, event) => void causes.push(event.causationId));
  const { id } = await events.publish("outer");
  await events.clock.advance(5000);
  assert.deepEqual(causes, [id]);
});

test("time does not go back", async () => {
  await fails(new testing.Clock().advance(-1), "INVALID_ARGUMENT");
});

test("who waits for a broker that is away waits by the clock", async (t) => {
  const events = await system(t);
  await events.faults.cut();
  const waiting = new Watched(Promise.resolve(events.publish("t", 1, { waitForConnection: 10_000 })));
  await events.clock.advance(9900);
  assert.equal(waiting.done, false);
  await events.clock.advance(100);
  assert.ok(waiting.done);
  await assert.rejects(waiting.value(), TielineError);
});

test("a result of an idempotency key is kept as long as the settings say", async () => {
  await using broker = new testing.Broker();
  const events = broker.system("shop", { settings: { idempotencyWindow: 1000 } });
  let runs = 0;
  events.subscribe("pay", () => ++runs);
  const pay = () => events.publishAndWait("pay", 1, { idempotencyKey: "k" });
  assert.deepStrictEqual([await pay(), await pay()], [1, 1]);
  await broker.clock.advance(999);
  assert.equal(await pay(), 1);
  await broker.clock.advance(1);
  assert.equal(await pay(), 2);
});

test("a moment of the clock is told as the time it shows", async () => {
  const clock = new testing.Clock();
  const before = clock.monotonic();
  await clock.advance(2500);
  assert.equal(clock.at(clock.monotonic()), clock.now());
  assert.equal(clock.at(clock.monotonic()) - clock.at(before), 2500);
});
