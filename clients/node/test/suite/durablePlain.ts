import assert from "node:assert/strict";
import { test } from "node:test";
import { streamKey } from "../../src/contract/contract.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { RedisTransport } from "../../src/transports/redis.js";
import { newTopic, Seen } from "../support/durable.js";
import { ask, killLinks } from "../support/redis.js";
import type { RedisServer } from "../support/server.js";
import { sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Plain producers: any Redis client adds to the stream of a key, and its events are handled as others are. */
export function durablePlainTests(world: World, redis: RedisServer): void {
  const add = (topic: string, key: string, n: number) => {
    return ask(redis, "XADD", streamKey("tl:", topic, key), "*", "n", String(n));
  };
  const tell = (notice: string) => ask(redis, "PUBLISH", "group_change", notice);

  test("what was added and announced is handled, also where there are several groups", async () => {
    const topic = newTopic();
    const [one, two] = [new Seen(), new Seen()];
    await world
      .system()
      .subscribe(topic, (data) => one.push(data), { durable: true })
      .ready();
    await world
      .system()
      .subscribe(topic, (data) => two.push(data), { durable: true, group: "two" })
      .ready();
    for (const n of [1, 2]) await add(topic, "card:7", n);
    await tell(`register:${topic}:card:7`);
    await Promise.all([one.stay(2), two.stay(2)]);
    await add(topic, "card:7", 3);
    await tell(`unregister:${topic}:card:7`);
    await one.stay(3);
    assert.deepEqual([...one], [{ n: "1" }, { n: "2" }, { n: "3" }]);
  });

  test("a notice that makes no sense is ignored", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    await world
      .system()
      .subscribe(topic, (data) => seen.push(data), { durable: true })
      .ready();
    const texts = ["", ":", "register", "register:", `register:${topic}`, `register:${topic}:`, `forget:${topic}:k`];
    for (const notice of [...texts, "register:other.topic:k", `register:${topic}:nothing`]) await tell(notice);
    await add(topic, "k", 1);
    await tell(`register:${topic}:k`);
    await seen.stay(1);
  });

  test("what was added before anybody listened is found at once", async () => {
    const [topic, seen, system] = [newTopic(), new Seen(), world.system()];
    await add(topic, "k", 1);
    await tell(`register:${topic}:k`);
    for (const count of [1, 2]) {
      const subscription = system.subscribe(topic, (data) => seen.push(data), { durable: true });
      await seen.stay(count);
      await subscription.unsubscribe();
      await add(topic, "k", 2);
    }
  });

  test("a key that is no text can be let go", async () => {
    const [topic, seen, system] = [newTopic(), new Seen(), world.system()];
    const take = (data: unknown) => {
      seen.push((data as { n: string }).n);
      if (seen.length === 1) throw new Error("no");
    };
    await system.subscribe(topic, take, { durable: true, retry: { maxAttempts: 1 } }).ready();
    const key = Buffer.from([0x6b, 0xff]);
    const stream = Buffer.concat([Buffer.from(streamKey("tl:", topic, "")), key]);
    for (const n of ["1", "2"]) await ask(redis, "XADD", stream, "*", "n", n);
    await ask(redis, "PUBLISH", "group_change", Buffer.concat([Buffer.from(`register:${topic}:`), key]));
    let parked = await system.parked.list(topic);
    for (; parked.length === 0; parked = await system.parked.list(topic)) await sleep(10);
    assert.equal(parked[0]?.event.key, "k\ufffd");
    await system.parked.skip(topic, "k\ufffd");
    await seen.stay(2);
    assert.deepEqual([...seen], ["1", "2"]);
    assert.deepEqual(await system.parked.list(topic), []);
  });

  test("streams that nobody announced are found by a look through the keys, those of the topics that were asked for", async () => {
    const [topic, other, seen] = [newTopic(), newTopic(), new Seen()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: DEFAULT_SETTINGS });
    const system = world.system({ transport });
    for (const one of [topic, other]) {
      await system.subscribe(one, (data, event) => seen.push([event.topic, data]), { durable: true }).ready();
    }
    await transport.plain.looking;
    for (let n = 0; n < 20; n++) await add(n < 10 ? topic : other, `k${n}`, n);
    await transport.plain.sweep(new Set([topic]));
    await seen.stay(10);
    assert.ok(seen.every((one) => (one as string[])[0] === topic));
  });

  test("streams that nobody announced are found after a gap", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system({ service: "sweeping" });
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await ask(redis, "SET", "event_stream:of:nobody", "x");
    await add(topic, "k:l", 1);
    await sleep(100);
    assert.equal(seen.length, 0);
    await killLinks(redis, /^tieline:sweeping:[^:]*$/);
    await seen.stay(1);
    await until(() => system.connected, "the link is back");
  });
}
