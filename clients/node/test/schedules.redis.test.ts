import assert from "node:assert/strict";
import { after, test } from "node:test";
import { EventSystem, InvalidArgumentError, PayloadTooLargeError } from "../src/index.js";
import { newTopic } from "./support/durable.js";
import { Lossy } from "./support/lossy.js";
import { ask } from "./support/redis.js";
import { sleep } from "./support/waiting.js";
import { RedisWorld } from "./support/world.js";

const HOUR = 3_600_000;
const world = await RedisWorld.start();
after(async () => {
  await world.clean();
  await world.stop();
});

async function scriptsRun(): Promise<number> {
  const [, calls] = /cmdstat_evalsha:calls=(\d+)/.exec(String(await ask(world.redis, "INFO", "commandstats"))) ?? [];
  return Number(calls ?? 0);
}

async function started(): Promise<EventSystem> {
  const system = world.system();
  await system.start();
  return system;
}

/** What is planned on a topic: ids, moments and payloads. */
async function planned(system: EventSystem, topic: string): Promise<[string, Date, unknown][]> {
  const { items } = await system.schedules.list({ limit: 1000 });
  return items.filter((each) => each.topic === topic).map(({ id, due, event }) => [id, due, event.data]);
}

test("what is planned in one turn is one run of a script", async () => {
  const system = await started();
  const topic = newTopic();
  const before = await scriptsRun();
  const numbers = Array.from({ length: 60 }, (_, n) => n);
  const receipts = await Promise.all(numbers.map((n) => system.publish(topic, n, { delay: HOUR + n * 1000 })));
  assert.ok((await scriptsRun()) - before < 20);
  const expected = receipts.map(({ id, due }, n) => [id, due, n]);
  assert.deepEqual(await planned(system, topic), expected);
});

test("one run is bounded by bytes", async () => {
  const system = await started();
  const topic = newTopic();
  const before = await scriptsRun();
  const data = "x".repeat(200_000);
  await Promise.all(Array.from({ length: 10 }, () => system.publish(topic, data, { delay: HOUR })));
  assert.ok((await scriptsRun()) - before >= 5);
  assert.equal((await planned(system, topic)).length, 10);
});

test("a bad plan fails alone", async () => {
  const system = await started();
  const topic = newTopic();
  const before = (await system.schedules.figures()).planned;
  const planning = [
    system.publish(topic, 1, { delay: HOUR }),
    system.publish(topic, 2, { delay: HOUR, key: 7 as unknown as string }),
    system.publish(topic, "x".repeat(1_048_577), { delay: HOUR }),
    system.publish(topic, 3, { at: new Date(Date.now() - 60_000) }),
    system.publish(topic, 4, { delay: HOUR, key: "k" }),
  ];
  const told = await Promise.allSettled(planning);
  const reasons = told.map((one) => (one.status === "rejected" ? one.reason : undefined));
  assert.ok(reasons[1] instanceof InvalidArgumentError);
  assert.ok(reasons[2] instanceof PayloadTooLargeError);
  const receipts = told.flatMap((one) => (one.status === "fulfilled" ? [one.value.overdue] : []));
  assert.deepEqual(receipts, [false, true, false]);
  assert.equal((await system.schedules.figures()).planned - before, 3);
});

test("a server that forgot its scripts plans all the same", async () => {
  const system = await started();
  const topic = newTopic();
  await ask(world.redis, "SCRIPT", "FLUSH");
  await Promise.all(Array.from({ length: 100 }, () => system.publish(topic, 1, { delay: HOUR })));
  assert.equal((await planned(system, topic)).length, 100);
});

for (const lost of ["deaf", "mute"] as const) {
  test(`what is planned while the link breaks is planned once (${lost})`, async () => {
    const watcher = await started();
    const topic = newTopic();
    const before = (await watcher.schedules.figures()).planned;
    const lossy = await Lossy.before(world.redis.port);
    const system = new EventSystem({ url: lossy.url });
    try {
      await system.start();
      lossy[lost] = true;
      const planning = Promise.all(Array.from({ length: 5 }, (_, n) => system.publish(topic, n, { delay: HOUR })));
      if (lost === "mute") await sleep(100);
      else while ((await planned(watcher, topic)).length < 5) await sleep(10);
      lossy.cut();
      const ids = (await planning).map(({ id }) => id);
      const there = (await planned(watcher, topic)).map(([id]) => id);
      assert.deepEqual(there.sort(), ids.sort());
      assert.equal((await watcher.schedules.figures()).planned - before, 5);
    } finally {
      await system.close();
      lossy.stop();
    }
  });
}
