import assert from "node:assert/strict";
import { test } from "node:test";
import { Step, Trail } from "../../src/contract/envelope.js";
import { explanationOf } from "../../src/explain/explain.js";
import { joined } from "../../src/explain/trailBytes.js";

const AT = 1_700_000_000_000;

function step(name: string, time = AT): Step {
  return Step.create({ name, time, source: "shop/1", topic: "order", callId: Buffer.from("c") });
}

function told(...steps: Step[]): Buffer {
  return Buffer.from(Trail.encode({ steps }).finish());
}

function names(...trails: Uint8Array[]): string[] {
  return explanationOf("c", Buffer.alloc(0), trails, []).steps.map(({ name }) => name);
}

test("what cannot be read of a trail hides nothing else of it", () => {
  for (const bytes of [[0xff, 0xff], [0x0a], [0x0a, 0x7f], [0x12, 0x7f], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]]) {
    const garbage = Buffer.from(bytes);
    const stored = [garbage, told(step("received")), garbage, told(step("replied", AT + 5)), garbage];
    assert.deepStrictEqual(names(Buffer.concat(stored)), ["received", "replied"], garbage.toString("hex"));
  }
});

test("a step at a moment that cannot be is left out", () => {
  for (const time of [-1, 253_402_300_800_000, Number.MAX_SAFE_INTEGER]) {
    const explained = explanationOf("c", told(step("received", time), step("replied")), [], []);
    assert.deepStrictEqual(String(explained).split("\n").length, 2);
  }
  const beyond = Buffer.from([
    0x0a, 0x0d, 0x0a, 0x01, 0x78, 0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40,
  ]);
  assert.deepStrictEqual(names(Buffer.concat([beyond, told(step("replied"))])), ["replied"]);
});

test("joined trails keep their last steps", () => {
  const one = told(step("received"));
  const times = (count: number) => Buffer.concat(Array.from({ length: count }, () => one));
  assert.deepStrictEqual(joined(times(3), one, one.length * 3), times(3));
  assert.deepStrictEqual(joined(times(3), one, one.length * 3 - 1), times(2));
  assert.deepStrictEqual(joined(times(0), one, one.length - 1), times(0));
  assert.deepStrictEqual(joined(Buffer.concat([Buffer.from([0xff]), one]), one, one.length * 2), one);
  assert.deepStrictEqual(joined(Buffer.concat([Buffer.from([0x0a, 0x7f]), one]), one, one.length + 2), one);
});

test("a stored step that its process still tells is shown once, also if its clock was set a little meanwhile", () => {
  const steps = (stored: Step[], ...trails: Step[][]) =>
    explanationOf(
      "c",
      told(...stored),
      trails.map((trail) => told(...trail)),
      [],
    ).steps.map(({ name, time }) => {
      return `${name} ${Number(time) - AT}`;
    });
  assert.deepStrictEqual(steps([step("received", AT + 50)], [step("received")]), ["received 0"]);
  assert.deepStrictEqual(steps([step("received", AT + 51)], [step("received")]), ["received 0", "received 51"]);
  assert.deepStrictEqual(steps([step("received")], [], [step("replied")]), ["received 0", "replied 0"]);
  const other = Step.create({ ...step("received"), source: "shop/2" });
  assert.deepStrictEqual(steps([step("received")], [other]), ["received 0", "received 0"]);
});
