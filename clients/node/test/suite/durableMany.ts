import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Event, Item, ManyOptions, Message, PublishNext } from "../../src/index.js";
import { Keys, newTopic, Seen } from "../support/durable.js";
import { fails, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** Durable events that are published many at once: all of them are stored, or none. */
export function durableManyTests(world: World): void {
  test("many are stored in the order of their keys", async () => {
    const [topic, keys] = [newTopic(), new Keys()];
    const numbers = Array.from({ length: 2_000 }, (_, number) => number);
    const items = numbers.map((number) => ({ data: number, key: `k${number % 7}` }));
    const receipts = await world.system().publishMany(topic, items);
    assert.equal(new Set(receipts.map(({ id }) => id)).size, 2_000);
    for (const { stored } of receipts) assert.ok(stored?.stream.includes(topic) && stored.entry !== "");
    await world.system().subscribe(topic, keys.take, { durable: true }).ready();
    await keys.reach(2_000);
    for (let key = 0; key < 7; key++) {
      assert.deepEqual(
        keys.of(`k${key}`),
        numbers.filter((number) => number % 7 === key),
      );
    }
  });

  test("each of many has its key, priority and headers", async () => {
    const [topic, system, seen] = [newTopic(), world.system(), new Seen<unknown[]>()];
    const take = (data: unknown, { key, priority, headers, schemaVersion, id }: Event) =>
      seen.push([data, key, priority, { ...headers }, schemaVersion, id]);
    await system.subscribe(topic, take, { durable: true, concurrency: 1 }).ready();
    function* items(): Iterable<Item> {
      yield { data: "a", key: "k", headers: { x: "1" } };
      yield { data: "b" };
      yield { data: "c", priority: 10 };
    }
    const receipts = await system.publishMany(topic, items(), { schemaVersion: "3" });
    await seen.stay(3);
    const [a, b, c] = receipts.map(({ id }) => id);
    assert.deepEqual([...seen].sort(), [
      ["a", "k", 5, { x: "1" }, "3", a],
      ["b", "", 5, {}, "3", b],
      ["c", "", 10, {}, "3", c],
    ]);
  });

  test("none is stored if one finds no room", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    await system.publish(topic, "before", { key: "full" });
    const items = [{ data: "free", key: "free" }, ...[0, 1, 2].map((data) => ({ data, key: "full" }))];
    const error = await fails(system.publishMany(topic, items, { maxStored: 3 }), "OVERLOADED");
    assert.equal(error.outcome, "NOT_DELIVERED");
    assert.match(error.message, /has no room for its part of these 4 events, so none of them was stored/);
    await system.publishMany(topic, items.slice(0, 3), { maxStored: 3 });
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    await keys.reach(4);
    assert.deepEqual([keys.of("free"), keys.of("full")], [["free"], ["before", 0, 1]]);
  });

  const strange: [Item, "INVALID_PAYLOAD" | "INVALID_ARGUMENT" | "PAYLOAD_TOO_LARGE", RegExp][] = [
    [{ data: () => 1, key: "k" }, "INVALID_PAYLOAD", /function/],
    [{ data: 1, key: "" }, "INVALID_ARGUMENT", /key is text of 1 to 255 bytes/],
    [{ data: 1, priority: 3 }, "INVALID_ARGUMENT", /priority of an item is 1 \(low\), 5 .* not 3/],
    [{ data: 1, dedupe: "\n" }, "INVALID_ARGUMENT", /dedupe is text/],
    [{ data: 1, headers: { a: 1 } as never }, "INVALID_ARGUMENT", /header "a" is not text/],
    [{ data: 1, ttl: 1 } as never, "INVALID_ARGUMENT", /an item does not know ttl/],
    [[1, "k"] as never, "INVALID_ARGUMENT", /items are a list of objects \{ data, key, … \}, and a list is none/],
    [7 as never, "INVALID_ARGUMENT", /and 7 is none/],
    [{ data: Buffer.alloc(900_000) }, "PAYLOAD_TOO_LARGE", /11 events of \d+ bytes: at most 8257536 at once; publish/],
  ];
  describe("none is stored if one is refused", () => {
    for (const [item, code, message] of strange) {
      test(`${code} ${message}`, async () => {
        const [topic, system, seen] = [newTopic(), world.system(), new Seen()];
        const large = code === "PAYLOAD_TOO_LARGE" ? Array<Item>(9).fill(item) : [];
        const error = await fails(system.publishMany(topic, [{ data: 1, key: "k" }, item, ...large]), code);
        assert.match(error.message, message);
        await system.subscribe(topic, (data) => seen.push(data), { durable: true }).ready();
        await system.publish(topic, "last", { key: "k" });
        await seen.stay(1);
      });
    }
  });

  test("what is no list, more than can be stored at once, or has strange options is refused; an empty one is not", async () => {
    const [topic, system] = [newTopic(), world.system()];
    const refused: [unknown, object, RegExp][] = [
      [7, {}, /items are a list of objects \{ data, key, … \}, not 7/],
      ["ab", {}, /not "ab"/],
      [Array(10_001).fill({ data: 1 }), {}, /10001 events are more than the 10000 .* publish them in parts/],
      [[], { key: "k" }, /publishMany does not know key/],
      [[], { maxStored: -1 }, /maxStored of publishMany is a whole number/],
    ];
    for (const [items, options, message] of refused) {
      const many = system.publishMany(topic, items as Item[], options as ManyOptions);
      assert.match((await fails(many, "INVALID_ARGUMENT")).message, message);
    }
    assert.deepEqual(await system.publishMany(topic, []), []);
  });

  test("of many, those that are known are not stored again", async () => {
    const [topic, system, keys] = [newTopic(), world.system(), new Keys()];
    await system.publish(topic, "first", { key: "k", dedupe: "id 1" });
    const items = [1, 2, 2].map((id, at) => ({ data: at + 1, key: "k", dedupe: `id ${id}` }));
    const receipts = await system.publishMany(topic, items);
    assert.deepEqual(
      receipts.map(({ stored }) => stored?.duplicate),
      [true, false, true],
    );
    await system.subscribe(topic, keys.take, { durable: true }).ready();
    await keys.reach(2);
    assert.deepEqual(keys.of("k"), ["first", 2]);
  });

  test("by way of an outbox, many are queued and stored in their order; nobody waits for replicas", async (context) => {
    const [topic, keys, folder] = [newTopic(), new Keys(), mkdtempSync(join(tmpdir(), "tieline-many-"))];
    const system = world.system({ outbox: join(folder, "outbox") });
    context.after(async () => {
      await system.close(0);
      rmSync(folder, { recursive: true });
    });
    await world.system().subscribe(topic, keys.take, { durable: true }).ready();
    const items = Array.from({ length: 300 }, (_, number) => ({ data: number, key: `k${number % 3}` }));
    const receipts = await system.publishMany(topic, items);
    assert.ok(receipts.every(({ queued, stored }) => queued && stored === undefined));
    assert.equal(new Set(receipts.map(({ id }) => id)).size, 300);
    await keys.reach(300);
    for (const key of [0, 1, 2]) {
      const own = items.filter((_, number) => number % 3 === key).map(({ data }) => data);
      assert.deepEqual(keys.of(`k${key}`), own);
    }
    const refused = await fails(system.publish(topic, 1, { key: "k", waitReplicas: 1 }), "INVALID_ARGUMENT");
    assert.equal(refused.message, "waitReplicas waits for Redis, and with an outbox a publish does not");
    const large = Array<Item>(10).fill({ data: Buffer.alloc(900_000) });
    await fails(system.publishMany(topic, large), "PAYLOAD_TOO_LARGE");
  });

  test("each of many passes the middleware", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    let open = 0;
    const count = (message: Message, next: PublishNext) => {
      open += 1;
      return next(message).finally(() => {
        open -= 1;
      });
    };
    const system = world.system({ middleware: [{ publish: rename }, { publish: count }] });
    const take = (data: unknown, { headers }: Event) => seen.push([data, headers.seen]);
    await system.subscribe(topic, take, { durable: true }).ready();
    const many = (...data: string[]) => data.map((one) => ({ data: one, key: "k" }));
    const [a, kept, b] = await system.publishMany(topic, many("a", "keep", "b"));
    await seen.stay(2);
    assert.deepEqual(
      [...seen],
      [
        ["a!", "yes"],
        ["b!", "yes"],
      ],
    );
    assert.equal(kept, "kept");
    assert.notEqual(a?.id, b?.id);
    await assert.rejects(system.publishMany(topic, many("c", "throw", "d")), /refused/);
    await until(() => open === 0, "nobody waits for a receipt that never comes");
    await fails(system.publishMany(topic, many("c", "elsewhere", "d")), "INVALID_ARGUMENT");
    await fails(system.publishMany(topic, many("c", "d"), { maxStored: 1 }), "OVERLOADED");
    assert.deepEqual(await system.publishMany(topic, many("keep", "keep")), ["kept", "kept"]);
    await seen.stay(2);
  });
}

/** Adds to each payload, keeps some to itself, throws for others. */
async function rename(message: Message, next: PublishNext): Promise<unknown> {
  await null;
  if (message.data === "throw") throw new RangeError("refused");
  if (message.data === "keep") return "kept";
  if (message.data === "elsewhere") return next({ ...message, topic: "elsewhere" });
  message.data += "!";
  message.headers.seen = "yes";
  return next(message);
}
