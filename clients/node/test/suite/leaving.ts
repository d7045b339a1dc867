import assert from "node:assert/strict";
import { test } from "node:test";
import type { Subscription, TielineError } from "../../src/index.js";
import { fails, gate, sleep, until } from "../support/waiting.js";
import { inStep, type World } from "../support/world.js";

/** How subscriptions and systems go: what they were given is finished, nothing new comes. */
export function leavingTests(world: World): void {
  test("a system that closes finishes what was given to it before the broker knew", async () => {
    const [a, b] = [world.system(), world.system()];
    let begun = 0;
    await b
      .subscribe("given.late", () => {
        begun += 1;
        return sleep(150).then(() => "done");
      })
      .ready();
    const call = () => a.publishAndWait("given.late").catch((error: TielineError) => error.code);
    const calls = Array.from({ length: 25 }, call);
    await until(() => begun > 0, "the first call has begun");
    calls.push(...Array.from({ length: 25 }, call));
    await b.close();
    const outcomes = new Set(await Promise.all(calls));
    outcomes.delete("NO_RESPONDERS"); // the broker knew
    assert.deepStrictEqual([...outcomes], ["done"]);
  });

  test("a handler can end its own subscription, or its system, and wait for that", async () => {
    const [a, b] = [world.system(), world.system()];
    const once: Subscription = b.subscribe("only.once", () => once.unsubscribe().then(() => "gone"));
    await once.ready();
    assert.equal(await a.publishAndWait("only.once"), "gone");
    await fails(a.publishAndWait("only.once"), "NO_RESPONDERS");
    assert.deepStrictEqual(b.subscriptions, []);
    const ended: string[] = [];
    await b
      .subscribe("batch.once", () => b.unsubscribe("batcher").then(() => ended.push("batch")), {
        batch: { size: 2 },
        name: "batcher",
      })
      .ready();
    await b.subscribe("close.yourself", () => b.close().then(() => ended.push("closed"))).ready();
    await Promise.all([a.publish("batch.once"), a.publish("batch.once")]);
    await until(() => ended.length === 1, "the batch ended its subscription");
    await a.publish("close.yourself");
    await until(() => ended.length === 2, "the handler closed its system");
  });

  test("who calls a handler that closes its system gets the reply", async () => {
    for (const where of ["here", "elsewhere"]) {
      const system = world.system();
      const closing = async () => {
        await system.close();
        await sleep(30);
        return "the last word";
      };
      await system.subscribe(`close.reply.${where}`, closing).ready();
      const caller = where === "here" ? system : world.system();
      assert.equal(await caller.publishAndWait(`close.reply.${where}`), "the last word");
      await system.close();
      assert.equal(system.connected, false);
    }
  });

  test("whoever ends a subscription waits for what it runs, also if its handler asked for the end", async () => {
    const [a, b] = [world.system(), world.system()];
    let done = false;
    let asked = false;
    const subscription = b.subscribe("end.twice", async () => {
      await subscription.unsubscribe();
      asked = true;
      await sleep(150);
      done = true;
    });
    await subscription.ready();
    await a.publish("end.twice");
    await until(() => asked, "the handler asked for the end");
    await subscription.unsubscribe();
    assert.ok(done);
  });

  test("whoever ends a subscription waits for the batch it was collecting", async () => {
    const [a, b] = [world.system(), world.system()];
    let begun = false;
    let done = false;
    const handler = async () => {
      begun = true;
      await sleep(150);
      done = true;
    };
    const subscription = b.subscribe("end.batch", handler, { batch: { size: 10, ms: 60_000 } });
    await subscription.ready();
    let arrived = 0;
    await b.subscribe("end.batch", () => void arrived++).ready();
    await a.publish("end.batch");
    await until(() => arrived === 1, "the event is collected");
    const first = subscription.unsubscribe();
    await until(() => begun, "the batch is handled");
    await subscription.unsubscribe();
    assert.ok(done);
    await first;
  });

  test("a subscription that has left gets nothing more while its last handler runs", async () => {
    const [a, b] = [world.system(), world.system()];
    const got: string[] = [];
    const held = gate();
    const slow = (name: string) => (data: unknown) => {
      got.push(`${name} ${data}`);
      return held.opened;
    };
    const leaving = [
      b.subscribe("left.topic", slow("event")),
      b.subscribe("left.topic", slow("observer"), { observe: true }),
    ];
    await b.subscribe("left.topic", (data) => void got.push(`stays ${data}`)).ready();
    await b.subscribe("left.topic", (data) => void got.push(`watches ${data}`), { observe: true }).ready();
    for (const subscription of leaving) await subscription.ready();
    await inStep(a, b);
    await a.publish("left.topic", 1);
    await until(() => got.length === 4, "all four got the first");
    const left = Promise.all(leaving.map((subscription) => subscription.unsubscribe()));
    await b.subscribe("left.last", () => undefined).ready(); // what is registered later comes after what has left
    got.length = 0;
    await a.publish("left.topic", "far");
    await b.publish("left.topic", "near");
    await until(() => got.length >= 4, "the other two got both");
    await sleep(50);
    assert.deepStrictEqual(got.sort(), ["stays far", "stays near", "watches far", "watches near"]);
    held.open();
    await left;
  });
}
