import assert from "node:assert/strict";
import { after, afterEach, describe, test } from "node:test";
import {
  EventSystem,
  type EventSystemOptions,
  InvalidArgumentError,
  type OutboxFigures,
  UnsupportedError,
} from "../src/index.js";
import { empty } from "./suite/durableOutbox.js";
import { Keys, newTopic } from "./support/durable.js";
import { newFile } from "./support/folder.js";
import { RedisServer } from "./support/server.js";
import { fails, sleep, until } from "./support/waiting.js";
import { silent } from "./support/world.js";

const QUICK = {
  pingInterval: 300,
  pongTimeout: 700,
  reconnectMax: 500,
  connectTimeout: 1000,
  lease: 3000,
  leaseRefresh: 800,
};

/** Reliable publishing on a Redis that comes and goes. */
describe("an outbox", async () => {
  const server = await RedisServer.start(["--appendonly", "yes", "--appendfsync", "always"]);
  const systems: EventSystem[] = [];
  const open = (options: EventSystemOptions = {}) => {
    const system = new EventSystem(server.url, { logger: silent, settings: QUICK, ...options });
    systems.push(system);
    return system;
  };
  afterEach(() => Promise.all(systems.splice(0).map((system) => system.close(0))));
  after(() => server.stop());

  test("the broker may come back while the publisher lives", async () => {
    const [topic, keys, system] = [newTopic(), new Keys(), open({ outbox: newFile() })];
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    for (let number = 1; number <= 30; number++) {
      if (number === 10 || number === 20) await server.kill();
      const { queued, stored } = await system.publish(topic, number, { key: `k${number % 3}` });
      assert.deepEqual([queued, stored], [true, undefined]);
      if (number !== 15) continue;
      await server.start();
      await until(() => keys.count >= 15, "what waited is handled");
    }
    await server.start();
    await until(() => keys.count >= 30, "all are handled");
    await empty(system);
    for (let key = 0; key < 3; key++) {
      const once = [...new Set(keys.of(`k${key}`))];
      assert.deepEqual(
        once,
        Array.from({ length: 10 }, (_, index) => 3 * index + (key || 3)),
      );
    }
  });

  test("it waits for a broker that is not there yet", async () => {
    const [topic, keys, path] = [newTopic(), new Keys(), newFile()];
    await server.kill();
    const system = open({ outbox: path });
    for (const number of [1, 2, 3]) assert.equal((await system.publish(topic, number, { key: "k" })).queued, true);
    assert.equal((await figures(system)).events, 3);
    await system.close();
    await server.start();
    const successor = open({ outbox: path });
    await successor.subscribe(topic, keys.take, { durable: true }).ready(); // it publishes nothing itself
    await until(() => keys.count === 3, "all are handled");
    assert.deepEqual(keys.of("k"), [1, 2, 3]);
  });

  test("it waits no longer when the broker is back", async (t) => {
    const [topic, keys, system] = [newTopic(), new Keys(), open({ outbox: newFile() })];
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    t.mock.method(Math, "random", () => 1); // pauses end after 0.1, 0.3, 0.7, 1.5, 3.1, 6.3 and 12.7 s
    await server.kill();
    await system.publish(topic, 1, { key: "k" });
    await sleep(7000);
    await server.start();
    await until(() => keys.count === 1, "it is stored at once", 4000);
  });

  test("an event waits until its key has room, and others do not", async (t) => {
    const [topic, keys, system] = [newTopic(), new Keys(), open({ outbox: newFile() })];
    t.mock.method(Math, "random", () => 1);
    for (let number = 0; number < 6; number++) await system.publish(topic, number, { key: "full", maxStored: 2 });
    await system.publish(topic, "free", { key: "free", maxStored: 2 });
    const both = ["free", "full"].map((key) => ({ data: "both", key }));
    await system.publishMany(topic, both, { maxStored: 2 });
    await system.publish(topic, "after", { key: "free", maxStored: 2 });
    await sleep(1700);
    assert.equal((await figures(system)).events, 7);
    await open().subscribe(topic, keys.take, { durable: true }).ready();
    await until(() => keys.count === 3, "what is stored is handled");
    await system.publish(topic, "later", { key: "full", maxStored: 2 }); // there would be room
    await until(() => keys.count >= 11, "all are handled");
    await empty(system);
    assert.deepEqual(
      [keys.of("full"), keys.of("free")],
      [
        [0, 1, 2, 3, 4, 5, "both", "later"],
        ["free", "both", "after"],
      ],
    );
  });

  test("an event without room waits although a later one is known", async () => {
    const [topic, keys, system] = [newTopic(), new Keys(), open({ outbox: newFile() })];
    await server.kill();
    for (const [number, dedupe] of ["known", "other", "third", "known"].entries()) {
      await system.publish(topic, number, { key: "k", dedupe, maxStored: 2 });
    }
    await server.start();
    while ((await figures(system)).events > 1) await sleep(20);
    await open().subscribe(topic, keys.take, { durable: true }).ready();
    await until(() => keys.count >= 3, "all are handled");
    await empty(system);
    assert.deepEqual(keys.of("k"), [0, 1, 2]);
  });

  test("what a short program publishes is stored before it ends", async () => {
    const [topic, keys, system] = [newTopic(), new Keys(), open({ outbox: newFile() })];
    const numbers = Array.from({ length: 2000 }, (_, number) => number);
    await Promise.all(numbers.map((number) => system.publish(topic, number, { key: "k" })));
    await system.close();
    await open().subscribe(topic, keys.take, { durable: true }).ready();
    await until(() => keys.count >= 2000, "all are handled");
    assert.deepEqual(keys.of("k"), numbers);
  });

  test("it belongs to one system at a time", async () => {
    const [topic, path, first] = [newTopic(), newFile(), open({ outbox: newFile() })];
    const [one, other] = [open({ outbox: path }), open({ outbox: path })];
    await one.publish(topic, 1, { key: "k" });
    const error = await fails(other.publish(topic, 1, { key: "k" }), "UNAVAILABLE");
    assert.match(error.message, /another process uses it: give each one a file of its own/);
    assert.equal(error.outcome, "NOT_DELIVERED");
    await first.publish(topic, 1, { key: "k" });
    await one.close();
    await other.publish(topic, 2, { key: "k" });
  });

  test("what is no path is refused, and so is a broker that keeps nothing", () => {
    for (const outbox of ["", 7, Buffer.from("x"), null, "a\0b"] as string[]) {
      assert.throws(() => new EventSystem(server.url, { outbox }), InvalidArgumentError);
    }
    assert.throws(() => new EventSystem("memory://", { outbox: newFile() }), UnsupportedError);
  });
});

async function figures({ outbox }: EventSystem): Promise<OutboxFigures> {
  assert.ok(outbox !== undefined);
  return outbox.figures();
}
