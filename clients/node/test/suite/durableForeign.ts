import assert from "node:assert/strict";
import { test } from "node:test";
import { mailGroupsKey, streamKey } from "../../src/contract/contract.js";
import type { Event } from "../../src/index.js";
import { newTopic, Seen } from "../support/durable.js";
import { ask } from "../support/redis.js";
import type { RedisServer } from "../support/server.js";
import { sleep } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** What other programs write into the streams of keys at this Redis. */
export function durableForeignTests(world: World, redis: RedisServer): void {
  test("what is no event is given up at once", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const system = world.system();
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, onPoison: "dead_letter" }).ready();
    await ask(redis, "XADD", streamKey("tl:", topic, "k"), "*", "tl", "rubbish");
    await system.publish(topic, 1, { key: "k" });
    await seen.stay(1);
    assert.equal((await system.deadLetters.list(topic)).length, 1);
  });

  test("a key that is stopped by what is no event has its name", async () => {
    const [topic, seen, system] = [newTopic(), new Seen(), world.system()];
    await ask(redis, "XADD", streamKey("tl:", topic, "k"), "*", "tl", "rubbish");
    await system.publish(topic, 1, { key: "k" });
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    while ((await system.parked.list(topic)).length === 0) await sleep(10);
    const [stopped] = await system.parked.list(topic);
    await system.parked.skip(topic, String(stopped?.event.key));
    await seen.stay(1);
  });

  test("what a plain program added is a map; what is too large of it is given up at once", async () => {
    const [topic, seen] = [newTopic(), new Seen<[unknown, string]>()];
    const system = world.system();
    const handler = (data: unknown, { id }: Event) => seen.push([data, id]);
    await system.subscribe(topic, handler, { durable: true, onPoison: "dead_letter" }).ready();
    const add = (...fields: (string | Buffer)[]) => ask(redis, "XADD", streamKey("tl:", topic, "k"), "*", ...fields);
    await add("large", Buffer.alloc(1_100_000, 120));
    const entry = String(await add("text", "clé", "bytes", Buffer.from([0xff]), "__proto__", "p"));
    await system.publish(topic, "ours", { key: "k" });
    await seen.stay(2);
    const map = { text: "clé", bytes: new Uint8Array([0xff]), ["__proto__"]: "p" };
    assert.deepEqual(
      [...seen],
      [
        [map, `${topic}:k:${entry}`],
        ["ours", seen[1]?.[1]],
      ],
    );
    assert.deepEqual(
      (await system.deadLetters.list(topic)).map(({ reason, attempts, error }) => [reason, attempts, error.code]),
      [["failed", 1, "INVALID_PAYLOAD"]],
    );
  });

  test("what is stored in the millisecond in which a group is registered is for it", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    await system.subscribe(topic, (data) => seen.push(data), { durable: true, start: "latest" }).ready();
    const since = String(await ask(redis, "HGET", mailGroupsKey("tl:", topic), "default"));
    await ask(redis, "XADD", streamKey("tl:", topic, "k"), `${since}-0`, "n", "1");
    await system.publish(topic, 2, { key: "k" });
    await seen.stay(2);
    assert.deepEqual([...seen], [{ n: "1" }, 2]);
  });
}
