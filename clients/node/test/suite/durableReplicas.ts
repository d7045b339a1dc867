import assert from "node:assert/strict";
import { test } from "node:test";
import { streamKey } from "../../src/contract/contract.js";
import { newTopic, Seen } from "../support/durable.js";
import { ask } from "../support/redis.js";
import { RedisServer } from "../support/server.js";
import { fails, sleep } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Events that are to be on replicas before they count as stored. */
export function durableReplicaTests(world: World): void {
  const { redis } = world;
  if (redis === undefined) {
    test("nobody can wait for replicas that the client does not see", async () => {
      const many = world.system().publish(newTopic(), 1, { key: "k", waitReplicas: 1 });
      assert.match((await fails(many, "UNSUPPORTED")).message, /waitReplicas .*: use redis:\/\//);
    });
    return;
  }

  test("a publish waits for replicas and says so if there are too few", async (context) => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
    const replica = await RedisServer.start(["--replicaof", "127.0.0.1", String(redis.port)]);
    context.after(() => replica.stop());
    while (!/slave0:.*state=online/.test(String(await ask(redis, "INFO", "replication")))) await sleep(20);
    const { stored } = await system.publish(topic, 1, { key: "k", waitReplicas: 1 });
    assert.match(stored?.entry ?? "", /^\d+-\d+$/);
    assert.equal(stored?.stream, `event_stream:${topic}:k`);
    const error = await fails(system.publish(topic, 2, { key: "k", waitReplicas: 2 }), "UNAVAILABLE");
    assert.deepEqual([error.outcome, error.details], ["MAY_HAVE_RUN", { replicas: 1 }]);
    assert.equal(error.message, "it is stored, but 1 replicas have it instead of 2");
    assert.ok((await system.groups.topics()).includes(topic), "its topic is known although nobody subscribes");
    await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
    await seen.stay(2);
    assert.deepEqual([...seen], [1, 2], "what was stored is handled, replicated or not");
  });

  test("what cannot be stored is refused also if one waits for replicas", async () => {
    const [topic, system] = [newTopic(), world.system()];
    await system.publish(topic, 1, { key: "k" });
    await fails(system.publish(topic, 2, { key: "k", maxStored: 1, waitReplicas: 1 }), "OVERLOADED");
    await ask(redis, "SET", streamKey("tl:", topic, "l"), "no stream");
    await fails(system.publish(topic, 3, { key: "l", waitReplicas: 1 }), "CONFLICT");
    await fails(
      system.publishMany(topic, [
        { data: 3, key: "k" },
        { data: 3, key: "l" },
      ]),
      "CONFLICT",
    );
    assert.equal(await ask(redis, "XLEN", streamKey("tl:", topic, "k")), 1);
  });
}
