import assert from "node:assert/strict";
import { test } from "node:test";
import { duePrefixKey, LIMIT_STREAM_ALONE_MS, laneKey, lanesKey, streamKey } from "../../src/contract/contract.js";
import { READY, readyNames } from "../../src/contract/scripts.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { RedisTransport } from "../../src/transports/redis.js";
import { newTopic, Seen } from "../support/durable.js";
import { ask } from "../support/redis.js";
import type { RedisServer } from "../support/server.js";
import type { World } from "../support/world.js";

const DAY_MS = 86_400_000;

/** What was stored for topics that nobody subscribes to goes after a week, and nothing else does. */
export function durableRetentionTests(world: World, redis: RedisServer): void {
  /** Entries of so many days ago. */
  const addOld = async (stream: string, count: number, days = 8) => {
    const ms = Date.now() - days * DAY_MS;
    for (let n = 1; n <= count; n++) await ask(redis, "XADD", stream, `${ms}-${n}`, "n", String(n));
  };

  test("week-old entries of a topic without a group go, and a later group gets the rest", async () => {
    const [topic, seen, warnings] = [newTopic(), new Seen(), new Seen<string>()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: DEFAULT_SETTINGS });
    const logger = { debug: () => {}, info: () => {}, warn: (text: string) => warnings.push(text), error: () => {} };
    const system = world.system({ transport, logger });
    const stream = (key: string) => streamKey("tl:", topic, key);
    for (const name of [stream("a"), stream("b"), laneKey("tl:", topic, "8")]) await addOld(name, 3);
    await addOld(stream("c"), 2, 6);
    await ask(redis, "SADD", lanesKey("tl:", topic), "8");
    await system.publish(topic, "new", { key: "a" });
    const link = transport.require();
    const source = [READY.source, String(READY.names), ...readyNames("tl:", topic)];
    await link.call("EVAL", ...source, "b", "c");
    await transport.retention.sweep(LIMIT_STREAM_ALONE_MS);
    assert.deepEqual(
      warnings.filter((text) => text.includes(topic)),
      [`9 events of "${topic}" were deleted: nobody subscribed to it for 7 days`],
    );
    assert.equal(await link.call("EXISTS", stream("b"), laneKey("tl:", topic, "8")), 0);
    assert.equal(await link.call("ZCARD", duePrefixKey("tl:", topic)), 2);
    await system.subscribe(topic, (data, event) => seen.push([event.key, data]), { durable: true }).ready();
    await seen.stay(3);
    assert.deepEqual(seen.map((one) => (one as string[])[0]).sort(), ["a", "c", "c"]);
  });

  test("nothing goes from a topic with a group", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const transport = new RedisTransport(redis.url, { namespace: "", settings: DEFAULT_SETTINGS });
    const system = world.system({ transport });
    await addOld(streamKey("tl:", topic, "k"), 3);
    await system.start();
    await transport.mail.enroll(topic, "other");
    await system.publish(topic, 1, { key: "k" });
    await transport.retention.sweep(LIMIT_STREAM_ALONE_MS);
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(4);
  });
}
