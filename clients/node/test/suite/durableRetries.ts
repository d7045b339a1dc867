import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseOf } from "../../src/durable/retryPolicy.js";
import { CallTimeoutError, type Event, type SubscribeOptions } from "../../src/index.js";
import { AT_ONCE, deliveryOf, newTopic, Seen } from "../support/durable.js";
import { logging } from "../support/logging.js";
import { gate } from "../support/waiting.js";
import type { World } from "../support/world.js";

type Attempt = [data: unknown, attempt: number];

/** Remembers, and throws so many times for one payload. */
function failing(seen: Seen<Attempt>, bad: unknown, times = Infinity) {
  return (data: unknown, event: Event) => {
    const { attempt } = deliveryOf(event);
    seen.push([data, attempt]);
    if (data === bad && attempt <= times) throw new RangeError("not yet");
  };
}

/** Durable events that fail: tried again in their place, given up in the end, and kept. */
export function durableRetryTests(world: World): void {
  const subscribed = async (
    topic: string,
    handler: (data: unknown, event: Event) => unknown,
    options: SubscribeOptions,
  ) => {
    const system = world.system();
    await system.subscribe(topic, handler, { durable: true, ...options }).ready();
    return system;
  };

  test("a key waits for the retry of its head, and others do not", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const retry = { backoff: 1000, cap: 1000, jitter: false };
    const system = await subscribed(topic, failing(seen, "a1", 1), { retry });
    for (const data of ["a1", "a2", "b1", "b2"]) await system.publish(topic, data, { key: data.slice(0, 1) });
    await seen.reach(5);
    const order = seen.map(([data]) => data);
    assert.deepEqual(
      order.filter((data) => String(data)[0] === "a"),
      ["a1", "a1", "a2"],
    );
    assert.ok(order.indexOf("b2") < order.length - 2, "the other key did not wait");
  });

  test("a retry is told with its key, its pause and its attempt, and so is what its handler threw", async () => {
    const [topic, seen, { told, logger }] = [newTopic(), new Seen<Attempt>(), logging()];
    const take = (data: unknown, event: Event) => {
      const delivery = deliveryOf(event);
      seen.push([data, delivery.attempt]);
      if (data === "slow" && delivery.attempt === 2) delivery.nack(1500);
      else if (delivery.attempt < 3) throw new RangeError("not yet");
    };
    const system = world.system({ logger });
    const retry = { maxAttempts: 3, backoff: 50, cap: 50, jitter: false };
    await system.subscribe(topic, take, { durable: true, retry, name: "taker" }).ready();
    await system.publish(topic, "slow", { key: "k" });
    await system.publish(topic, "quick", { durable: true });
    await seen.stay(6);
    const what = `an event of "${topic}"`;
    const lines = told.map(([, message]) => message);
    assert.deepEqual(lines.flatMap((line) => (line.includes(" tried again ") ? line.split(": ")[0] : [])).sort(), [
      `${what} is tried again in 50 ms, after attempt 1 of 3`,
      `${what} is tried again in 50 ms, after attempt 2 of 3`,
      `${what} with key "k" is tried again in 1.5 s, after attempt 2 of 3`,
      `${what} with key "k" is tried again in 50 ms, after attempt 1 of 3`,
    ]);
    assert.deepEqual(
      lines.filter((line) => line.includes(" raised")).sort(),
      [1, 1, 2].map((attempt) => `handler "taker" of "${topic}" raised (attempt ${attempt})`),
    );
  });

  test("what was claimed together with a head that failed is handled after it", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const system = world.system();
    for (let number = 1; number <= 6; number++) await system.publish(topic, number, { key: "k" });
    await system.subscribe(topic, failing(seen, 2, 2), { durable: true, retry: AT_ONCE }).ready();
    await seen.stay(8);
    assert.deepEqual(
      [...seen],
      [
        [1, 1],
        [2, 1],
        [2, 2],
        [2, 3],
        [3, 1],
        [4, 1],
        [5, 1],
        [6, 1],
      ],
    );
  });

  test("a head that fails right after a rejected one is tried again", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const system = world.system();
    for (let number = 1; number <= 4; number++) await system.publish(topic, number, { key: "k" });
    const handler = (data: unknown, event: Event) => {
      if (data === 1) deliveryOf(event).reject();
      failing(seen, 2, 1)(data, event);
    };
    await system.subscribe(topic, handler, { durable: true, retry: AT_ONCE }).ready();
    await seen.stay(5);
    assert.deepEqual(
      [...seen],
      [
        [1, 1],
        [2, 1],
        [2, 2],
        [3, 1],
        [4, 1],
      ],
    );
  });

  test("a handler may ask for another attempt later", async () => {
    const [topic, seen] = [newTopic(), new Seen<[number, number]>()];
    const system = await subscribed(
      topic,
      (_, event) => {
        const delivery = deliveryOf(event);
        seen.push([performance.now(), delivery.attempt]);
        if (delivery.attempt === 1) delivery.nack(700);
      },
      {},
    );
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(2);
    const [[first], [second, attempt]] = seen as unknown as [[number, number], [number, number]];
    assert.equal(attempt, 2);
    assert.ok(second - first >= 650, `${second - first} ms`);
  });

  test("a rejected event becomes a dead letter, and its key goes on", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const handler = (data: unknown, event: Event) => {
      seen.push([data, deliveryOf(event).attempt]);
      if (data === 1) deliveryOf(event).reject("no such card");
    };
    const system = await subscribed(topic, handler, {});
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(2);
    const [letter] = await system.deadLetters.list(topic);
    assert.deepEqual([letter?.reason, letter?.group, letter?.attempts], ["rejected", "default", 1]);
    assert.deepEqual([letter?.error.type, letter?.error.message], ["Rejected", "no such card"]);
  });

  test("after the last attempt the key is parked, and others flow", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const system = await subscribed(topic, failing(seen, "a1"), { retry: AT_ONCE });
    for (const data of ["a1", "a2", "b1"]) await system.publish(topic, data, { key: data.slice(0, 1) });
    await seen.stay(4);
    await system.publish(topic, "a3", { key: "a" });
    await system.publish(topic, "b2", { key: "b" });
    await seen.stay(5);
    assert.deepEqual([...seen].sort(), [
      ["a1", 1],
      ["a1", 2],
      ["a1", 3],
      ["b1", 1],
      ["b2", 1],
    ]);
    assert.deepEqual(
      (await system.parked.list(topic)).map(({ event, attempts }) => [event.key, attempts]),
      [["a", 3]],
    );
  });

  for (const [onPoison, letters] of [
    ["dead_letter", 1],
    ["skip", 0],
  ] as const) {
    test(`onPoison "${onPoison}" lets the key go on`, async () => {
      const [topic, seen] = [newTopic(), new Seen<Attempt>()];
      const system = await subscribed(topic, failing(seen, 1), { retry: AT_ONCE, onPoison });
      for (const number of [1, 2, 3]) await system.publish(topic, number, { key: "k" });
      await seen.stay(5);
      assert.deepEqual(
        [...seen],
        [
          [1, 1],
          [1, 2],
          [1, 3],
          [2, 1],
          [3, 1],
        ],
      );
      const found = await system.deadLetters.list(topic);
      assert.deepEqual(
        found.map(({ reason, attempts }) => [reason, attempts]),
        Array(letters).fill(["failed", 3]),
      );
    });
  }

  test("an event without key is tried again while others go on, and becomes a dead letter in the end", async () => {
    const [topic, seen] = [newTopic(), new Seen<Attempt>()];
    const system = await subscribed(topic, failing(seen, 0), { retry: { ...AT_ONCE, backoff: 100, cap: 100 } });
    for (const number of [0, 1, 2]) await system.publish(topic, number, { durable: true });
    await seen.stay(5);
    assert.deepEqual([...seen].sort(), [
      [0, 1],
      [0, 2],
      [0, 3],
      [1, 1],
      [2, 1],
    ]);
    assert.equal((await system.deadLetters.list(topic)).length, 1);
  });

  test("why a handler asked for another attempt is told by the dead letter", async () => {
    const topic = newTopic();
    const seen = new Seen();
    const handler = (data: unknown, event: Event) => {
      deliveryOf(event).nack(0, `${data} is closed`);
      seen.push(data);
    };
    const system = await subscribed(topic, handler, { retry: { maxAttempts: 2, backoff: 0, cap: 0 } });
    await system.publish(topic, "the shop", { durable: true });
    await seen.stay(2);
    const [letter] = await system.deadLetters.list(topic);
    assert.deepEqual(
      [letter?.error.type, letter?.error.message, letter?.attempts],
      ["Nacked", "the shop is closed", 2],
    );
  });

  test("a handler that takes too long is told and abandoned, and its event is tried again", async () => {
    const [topic, seen, aborted] = [newTopic(), new Seen<Attempt>(), new Seen()];
    const handler = async (data: unknown, event: Event) => {
      const delivery = deliveryOf(event);
      seen.push([data, delivery.attempt]);
      if (data !== 1 || delivery.attempt > 1) return;
      event.signal.addEventListener("abort", () => aborted.push(event.signal.reason));
      await new Promise(() => undefined);
    };
    const system = await subscribed(topic, handler, { timeout: 200, retry: AT_ONCE });
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(3);
    assert.deepEqual(
      [...seen],
      [
        [1, 1],
        [1, 2],
        [2, 1],
      ],
    );
    assert.ok(aborted[0] instanceof CallTimeoutError);
    assert.match(aborted[0].message, /the handler took longer than 200 ms/);
  });

  test("a handler that says so may take longer", async () => {
    const [topic, seen, held] = [newTopic(), new Seen<Attempt>(), gate()];
    const handler = async (data: unknown, event: Event) => {
      seen.push([data, deliveryOf(event).attempt]);
      const saying = setInterval(() => deliveryOf(event).extend(), 20);
      setTimeout(held.open, 1500);
      await held.opened;
      clearInterval(saying);
    };
    const system = await subscribed(topic, handler, { timeout: 700, retry: AT_ONCE });
    await system.publish(topic, 1, { key: "k" });
    await held.opened;
    await seen.stay(1);
  });

  test("what was acknowledged early is not handled again, although the handler throws; nor can it be taken back", async () => {
    const [topic, seen, codes] = [newTopic(), new Seen(), new Seen()];
    const system = await subscribed(
      topic,
      (data, event) => {
        const delivery = deliveryOf(event);
        seen.push(data);
        delivery.ack();
        for (const say of [() => delivery.nack(), () => delivery.reject()]) codes.push(codeOf(say));
        throw new RangeError("all the same");
      },
      { retry: AT_ONCE },
    );
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(1);
    assert.deepEqual([...codes], ["CONFLICT", "CONFLICT"]);
  });

  test("a delivery that is over refuses, and so does a delay that is none", async () => {
    const [topic, events, codes] = [newTopic(), new Seen<Event>(), new Seen()];
    const handler = (_: unknown, event: Event) => {
      for (const delay of [-1, NaN, "1" as never, 1e12]) codes.push(codeOf(() => deliveryOf(event).nack(delay)));
      events.push(event);
    };
    const system = await subscribed(topic, handler, {});
    await system.publish(topic, 1, { key: "k" });
    await events.stay(1);
    const over = deliveryOf(events[0] as Event);
    for (const say of [() => over.ack(), () => over.nack(), () => over.reject(), () => over.extend()]) {
      assert.equal(codeOf(say), "CONFLICT");
    }
    assert.deepEqual([...codes], Array(4).fill("INVALID_ARGUMENT"));
  });

  test("a payload that does not fit is not tried again", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const validate = (value: unknown) => (value === 1 ? { issues: [{ message: "not one" }] } : { value });
    const input = { "~standard": { version: 1, vendor: "test", validate } } as const;
    const system = await subscribed(topic, (data) => seen.push(data), { input, onPoison: "dead_letter" });
    for (const number of [1, 2]) await system.publish(topic, number, { key: "k" });
    await seen.stay(1);
    const [letter] = await system.deadLetters.list(topic);
    assert.deepEqual([letter?.reason, letter?.attempts], ["failed", 1]);
    assert.match(letter?.error.message ?? "", /not one/);
  });

  test("an expired event is not handled but kept", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system();
    await system.publish(topic, "old", { key: "k", ttl: 1 });
    await system.publish(topic, "new", { key: "k" });
    await system.clock.sleep(20);
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(1);
    assert.deepEqual(
      [[...seen], (await system.deadLetters.list(topic)).map(({ reason }) => reason)],
      [["new"], ["expired"]],
    );
  });

  test("pauses double up to the cap", () => {
    const policy = { maxAttempts: 9, backoff: 100, cap: 1000, jitter: false };
    assert.deepEqual(
      [1, 2, 3, 4, 5, 99].map((failures) => pauseOf(policy, failures)),
      [100, 200, 400, 800, 1000, 1000],
    );
    for (let n = 0; n < 100; n++) assert.ok(pauseOf({ ...policy, jitter: true }, 2) <= 200);
  });
}

function codeOf(say: () => void): string {
  try {
    say();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "";
}
