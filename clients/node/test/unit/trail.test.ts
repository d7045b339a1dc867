import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../src/clock.js";
import { LIMIT_PAYLOAD_BYTES, LIMIT_TRAIL_BYTES } from "../../src/contract/contract.js";
import { Trail as WireTrail } from "../../src/contract/envelope.js";
import { EVENT, newEnvelope } from "../../src/envelope.js";
import { Trail } from "../../src/explain/trail.js";
import { MemoryBroker, MemoryPort } from "../../src/transports/memory.js";
import { Raw } from "../support/raw.js";

const clock = new Clock();

function eventOf(correlationId: string) {
  return { ...newEnvelope(EVENT), id: "1", topic: "a.b", correlationId };
}

function namesOf(trail: Trail, correlationId: string): string[] {
  return WireTrail.decode(trail.of(correlationId, "s/i", clock)).steps.map(({ name, time }) => `${name} ${time}`);
}

test("so many records are remembered and no more, in their order", () => {
  let now = 0;
  const trail = new Trail(3, () => ++now);
  for (let n = 0; n < 10; n++) trail.step("dropped", eventOf("c"));
  const expected = [8, 9, 10].map((moment) => `dropped ${clock.at(moment)}`);
  assert.deepStrictEqual(namesOf(trail, "c"), expected);
  assert.deepStrictEqual(namesOf(trail, "other"), []);
});

test("there is room for so many usual steps in a second", () => {
  const trail = new Trail(2, () => 0);
  for (const room of [1, 0, 0]) {
    trail.published(eventOf("c"));
    assert.equal(trail.room, room);
  }
  trail.refill();
  assert.equal(trail.room, 2);
});

test("not more than 50 trails a second are stored, and none by who remembers nothing", async () => {
  const port = new MemoryPort(new MemoryBroker(), "s", new Raw());
  const trail = new Trail(100, () => 0);
  const stored = async () => {
    for (let n = 0; n < 60; n++) {
      trail.step("dropped", eventOf(`c${n}`));
      trail.store(eventOf(`c${n}`), "s/i", port);
    }
    const found = await Promise.all(Array.from({ length: 60 }, (_, n) => port.findTrail(`c${n}`)));
    return found.filter((bytes) => bytes.length > 0).length;
  };
  assert.equal(await stored(), 50);
  trail.refill();
  assert.equal(await stored(), 50, "the same ones again");
  new Trail(0, () => 0).store(eventOf("none"), "s/i", port);
  assert.equal((await port.findTrail("none")).length, 0);
});

test("each step is stored once, and those of the failing call first of all", async () => {
  const port = new MemoryPort(new MemoryBroker(), "s", new Raw());
  const trail = new Trail(1000, () => 0);
  for (const failures of [1, 2]) {
    for (let n = 0; n < 300; n++) trail.step("retried", eventOf("c"), { after: n });
    trail.step("dropped", { ...eventOf("c"), callId: Buffer.from("own") });
    for (let n = 0; n < 200; n++) trail.step("retried", eventOf("c"), { after: n });
    trail.step("failed", { ...eventOf("c"), callId: Buffer.from("own") });
    trail.store(eventOf("c"), "s/i", port);
    const stored = await port.findTrail("c");
    const names = WireTrail.decode(stored).steps.map(({ name }) => name);
    assert.ok(stored.length <= LIMIT_TRAIL_BYTES && names.length > 100, `${names.length} steps`);
    assert.deepStrictEqual([names.at(-1), names.includes("dropped")], ["failed", true]);
    assert.ok(names.filter((name) => name === "failed").length <= failures);
  }
  for (let n = 0; n < 2; n++) {
    trail.step("dropped", eventOf("few"), { why: String(n) });
    trail.store(eventOf("few"), "s/i", port);
  }
  assert.equal(WireTrail.decode(await port.findTrail("few")).steps.length, 2);
});

test("of what is too long to be told the last steps are", () => {
  const trail = new Trail(1000, () => 0);
  for (let n = 0; n < 1000; n++) trail.step("dropped", eventOf("c"), { why: "x".repeat(2000), n });
  const told = trail.of("c", "s/i", clock);
  assert.ok(told.length < LIMIT_PAYLOAD_BYTES && told.length > LIMIT_PAYLOAD_BYTES / 2, String(told.length));
});
