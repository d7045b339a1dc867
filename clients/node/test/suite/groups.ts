import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep, until } from "../support/waiting.js";
import { inStep, type World } from "../support/world.js";

export function groupTests(world: World): void {
  test("a group of 3 shares 1,000 events of a non-member evenly, one copy each", async () => {
    const publisher = world.system();
    const members = [world.system(), world.system(), world.system()];
    const counts = [0, 0, 0];
    for (const [at, member] of members.entries()) {
      await member
        .subscribe("work.item", () => counts.splice(at, 1, (counts[at] ?? 0) + 1), { group: "workers" })
        .ready();
    }
    await Promise.all(Array.from({ length: 1000 }, (_, n) => publisher.publish("work.item", n)));
    await until(() => counts.reduce((sum, count) => sum + count) >= 1000, "1,000 copies");
    await sleep(50);
    assert.equal(
      counts.reduce((sum, count) => sum + count),
      1000,
    );
    for (const count of counts) assert.ok(Math.abs(count - 1000 / 3) <= 0.2 * (1000 / 3), String(counts));
  });

  test("one copy for each group, also with wildcards and local members", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const got: string[] = [];
    await a.subscribe("order.placed", () => got.push("billing"), { group: "billing" }).ready();
    await b.subscribe("order.*", () => got.push("billing"), { group: "billing" }).ready();
    await b.subscribe("order.>", () => got.push("audit"), { group: "audit" }).ready();
    await c.subscribe("order.>", () => got.push("audit"), { group: "audit" }).ready();
    await c.subscribe("order.placed", () => got.push("mail"), { group: "mail" }).ready();
    await c.subscribe("order.placed", () => got.push("everyone")).ready();
    await inStep(a, b, c);
    for (const [at, publisher] of [a, b, c].entries()) {
      got.length = 0;
      await publisher.publish("order.placed", at);
      await until(() => got.length >= 4, `four copies from publisher ${at}`);
      await sleep(40);
      assert.deepStrictEqual(got.sort(), ["audit", "billing", "everyone", "mail"], `publisher ${at}`);
    }
  });

  test("a group with a local member that has room is served there", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: string[] = [];
    await a.subscribe("near.first", () => got.push("near"), { group: "g" }).ready();
    await b.subscribe("near.first", () => got.push("far"), { group: "g" }).ready();
    for (let n = 0; n < 10; n++) await a.publish("near.first", n);
    await until(() => got.length >= 10, "ten copies");
    await sleep(40);
    assert.deepStrictEqual(got, new Array(10).fill("near"));
  });

  test("a member that leaves gets no more, the others get all", async () => {
    const [a, b, c] = [world.system(), world.system(), world.system()];
    const got = { b: 0, c: 0 };
    await b.subscribe("leave.group", () => void got.b++, { group: "g" }).ready();
    const leaving = c.subscribe("leave.group", () => void got.c++, { group: "g" });
    await leaving.ready();
    for (let n = 0; n < 10; n++) await a.publish("leave.group", n);
    await until(() => got.b + got.c === 10, "the first ten");
    assert.equal(got.c, 5);
    await leaving.unsubscribe();
    for (let n = 0; n < 10; n++) await a.publish("leave.group", n);
    await until(() => got.b + got.c === 20, "the next ten");
    assert.equal(got.c, 5);
  });

  test("two members in one process take turns", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: string[] = [];
    await b.subscribe("turns.here", () => got.push("one"), { group: "g" }).ready();
    await b.subscribe("turns.here", () => got.push("two"), { group: "g" }).ready();
    for (let n = 0; n < 10; n++) await a.publish("turns.here", n);
    await until(() => got.length === 10, "ten copies");
    assert.equal(got.filter((name) => name === "one").length, 5);
  });
}
