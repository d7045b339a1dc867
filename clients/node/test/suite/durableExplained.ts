import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, EventSystem, Step, SubscribeOptions, TrailStep } from "../../src/index.js";
import { AT_ONCE, deliveryOf, newTopic, Seen } from "../support/durable.js";
import { gate, PATIENT, sleep, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const TWICE = { maxAttempts: 2, backoff: 100, cap: 100, jitter: false };
const ONCE = { maxAttempts: 1 };

/** Where a stored event went: who stored it, who had it and how often, and what became of it. */
export function durableExplainedTests(world: World): void {
  const of = (service: string) => world.system({ service });

  test("a stored event is explained by who stored it and who handled it", async () => {
    const topic = newTopic();
    const [web, shop, other] = [of("web"), of("shop"), of("other")];
    const options: SubscribeOptions = { durable: true, name: "bill", group: "shop" };
    await shop.subscribe(topic, () => {}, options).ready();
    const { id, stored } = await web.publish(topic, 1, { key: "k", correlationId: `c-${topic}` });
    const steps = await stepsOf(other, `c-${topic}`, "handled");
    assert.deepEqual(toldOf(steps), { web: ["stored"], shop: ["claimed", "handled"] });
    assert.deepEqual(detailOf(steps, "stored"), { id, stream: stored?.stream, entry: stored?.entry });
    const claimed = { subscription: "bill", group: "shop", entry: stored?.entry, attempt: 1 };
    assert.deepEqual(detailOf(steps, "claimed"), claimed);
    assert.deepEqual(detailOf(steps, "handled"), { subscription: "bill", how: "handled" });
    assert.ok(steps.every((step) => step.topic === topic && step.callId === ""));
  });

  test("events that were stored together and handled in a batch are explained each", async () => {
    const topic = newTopic();
    const [web, shop, other] = [of("web"), of("shop"), of("other")];
    await shop.subscribe(topic, () => {}, { durable: true, name: "bill", batch: { size: 2, ms: 60_000 } }).ready();
    const receipts = await web.publishMany(topic, [
      { data: 1, key: "k" },
      { data: 2, key: "k" },
    ]);
    for (const { correlationId, stored } of receipts) {
      const steps = await stepsOf(other, correlationId, "handled");
      assert.deepEqual(toldOf(steps), { web: ["stored"], shop: ["claimed", "handled"] });
      assert.equal(detailOf(steps, "stored").entry, stored?.entry);
      assert.equal(detailOf(steps, "claimed").entry, stored?.entry);
    }
  });

  test("an event that fails tells each attempt, and that its key is parked", async () => {
    const topic = newTopic();
    const [web, shop] = [of("web"), of("shop")];
    await shop.subscribe(topic, fail, { durable: true, retry: TWICE }).ready();
    const { correlationId } = await web.publish(topic, 1, { key: "k" });
    const steps = await stepsOf(web, correlationId, "parked");
    const tries = ["claimed", "failed", "retried", "claimed", "failed", "parked"];
    assert.deepEqual(toldOf(steps), { web: ["stored"], shop: tries });
    const attempts = steps.filter(({ name }) => name === "claimed").map(({ detail }) => detail.attempt);
    assert.deepEqual(attempts, [1, 2]);
    const { code, outcome, message } = detailOf(steps, "failed");
    assert.deepEqual([code, outcome, message], ["HANDLER_ERROR", "RAN", "not yet"]);
    assert.deepEqual(detailOf(steps, "retried"), { after_ms: 100, code: "HANDLER_ERROR", attempt: 1 });
    assert.deepEqual(detailOf(steps, "parked"), { group: "default", key: "k" });
  });

  test("a dead letter that was put back is one chain", async () => {
    const topic = newTopic();
    const [web, shop, desk] = [of("web"), of("shop"), of("desk")];
    let mended = false;
    const take = () => {
      if (!mended) throw new RangeError("not yet");
    };
    await shop.subscribe(topic, take, { durable: true, retry: ONCE }).ready();
    const { correlationId } = await web.publish(topic, 1, { durable: true });
    await stepsOf(web, correlationId, "dead_letter");
    const [letter] = await desk.deadLetters.list(topic);
    mended = true;
    assert.equal(await desk.deadLetters.redrive(topic, { ids: [letter?.id ?? ""] }), 1);
    const steps = await stepsOf(web, correlationId, "handled");
    const tries = ["claimed", "failed", "dead_letter", "claimed", "handled"];
    assert.deepEqual(toldOf(steps), { web: ["stored"], shop: tries, desk: ["redriven"] });
    assert.deepEqual(detailOf(steps, "dead_letter"), { group: "default", reason: "failed" });
    const [, again] = steps.filter(({ name }) => name === "claimed");
    const redriven = { group: "default", letter: letter?.id, entry: again?.detail.entry };
    assert.deepEqual(detailOf(steps, "redriven"), redriven);
  });

  test("what was rejected, or skipped, or had expired is told", async () => {
    const [topic, system] = [newTopic(), world.system()];
    const take = (data: unknown, event: Event) => {
      if (data === "reject") deliveryOf(event).reject("no such card");
      throw new RangeError("never");
    };
    const late = await system.publish(topic, "late", { durable: true, ttl: 50 });
    await sleep(200);
    await system.subscribe(topic, take, { durable: true, retry: ONCE, onPoison: "skip" }).ready();
    const rejected = await system.publish(topic, "reject", { durable: true });
    const skipped = await system.publish(topic, "fail", { durable: true });
    const endings = [];
    for (const [{ correlationId }, last] of [
      [rejected, "dead_letter"],
      [late, "dead_letter"],
      [skipped, "dropped"],
    ] as const) {
      const steps = await stepsOf(system, correlationId, last);
      assert.deepEqual(
        steps.map(({ name }) => name),
        ["stored", "claimed", "failed", last],
      );
      endings.push([detailOf(steps, "failed").code, detailOf(steps, last)]);
    }
    assert.deepEqual(endings, [
      ["HANDLER_ERROR", { group: "default", reason: "rejected" }],
      ["EXPIRED", { group: "default", reason: "expired" }],
      ["HANDLER_ERROR", { group: "default", why: "skip" }],
    ]);
  });

  test("an event under way is told", async () => {
    const [topic, held] = [newTopic(), gate()];
    const [web, shop] = [of("web"), of("shop")];
    await shop.subscribe(topic, () => held.opened, { durable: true, name: "slow" }).ready();
    const { correlationId } = await web.publish(topic, 1, { key: "k" });
    const steps = await stepsOf(web, correlationId, "running");
    assert.deepEqual(toldOf(steps), { web: ["stored"], shop: ["claimed", "running"] });
    assert.equal(detailOf(steps, "running").subscription, "slow");
    held.open();
    const after = await stepsOf(web, correlationId, "handled");
    assert.deepEqual(toldOf(after), { web: ["stored"], shop: ["claimed", "handled"] });
  });

  test("what was given up is told when its process has ended", async () => {
    const topic = newTopic();
    const [web, shop] = [of("web"), of("shop")];
    await shop.subscribe(topic, fail, { durable: true, retry: AT_ONCE }).ready();
    const { correlationId } = await web.publish(topic, 1, { key: "k" });
    await stepsOf(web, correlationId, "parked");
    await shop.close();
    const told = toldOf(await stepsOf(web, correlationId, "parked")).shop ?? [];
    for (const name of ["claimed", "failed"]) assert.equal(told.filter((one) => one === name).length, 3, name);
  });

  test("a process that remembers nothing tells nothing", async () => {
    const [topic, seen] = [newTopic(), new Seen()];
    const quiet = world.system({ settings: { explainCalls: 0 } });
    const take = (data: unknown) => {
      seen.push(data);
      if (data === 1) throw new RangeError("never");
    };
    await quiet.subscribe(topic, take, { durable: true, retry: AT_ONCE, onPoison: "dead_letter" }).ready();
    const receipts = [];
    for (const number of [0, 1, 2]) receipts.push(await quiet.publish(topic, number, { key: "k" }));
    await seen.reach(5);
    for (const { correlationId } of receipts) assert.deepEqual((await quiet.explain(correlationId)).steps, []);
  });

  test("an observer is told what becomes of stored events", async () => {
    const [topic, steps] = [newTopic(), [] as Step[]];
    const system = world.system({ observe: (step) => steps.push(step) });
    const take = (data: unknown) => {
      if (data === 1) throw new RangeError("never");
    };
    await system.subscribe(topic, take, { durable: true, retry: AT_ONCE }).ready();
    await system.publish(topic, 1, { key: "k" });
    await system.publish(topic, 2, { key: "l" });
    const names = ["stored", "handled", "retried", "parked"];
    const counts = () => names.map((name) => steps.filter((step) => step.topic === topic && step.name === name).length);
    await until(() => counts().every((count) => count > 0), "all are told");
    assert.deepEqual(counts(), [2, 1, 2, 1]);
  });
}

function fail(): never {
  throw new RangeError("not yet");
}

/** The steps of a chain, when one of this name is among them. */
async function stepsOf(system: EventSystem, correlationId: string, last: string): Promise<readonly TrailStep[]> {
  for (;;) {
    const { steps } = await system.explain(correlationId, PATIENT);
    if (steps.some(({ name }) => name === last)) return steps;
    await sleep(10);
  }
}

/** What each process told, in its order; clocks of different ones may part by some milliseconds. */
function toldOf(steps: readonly TrailStep[]): Record<string, string[]> {
  const told: Record<string, string[]> = {};
  for (const { source, name } of steps) {
    const service = source.split("/")[0] ?? "";
    told[service] = [...(told[service] ?? []), name];
  }
  return told;
}

function detailOf(steps: readonly TrailStep[], name: string): TrailStep["detail"] {
  return steps.find((step) => step.name === name)?.detail ?? {};
}
