import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Inflow, Outflow } from "../../src/calls/streams.js";
import { newEnvelope, STREAM_ITEM } from "../../src/envelope.js";

function itemOf(sequence: number, bytes = 1) {
  return { ...newEnvelope(STREAM_ITEM), data: Buffer.alloc(bytes), stream: { sequence, consumed: 0, window: 0 } };
}

/** Both ends, with nothing between them. */
class Pair {
  readonly inflow: Inflow;
  readonly outflow: Outflow;

  constructor(most?: number) {
    this.inflow = new Inflow(most);
    this.outflow = new Outflow(this.inflow.window, 0);
  }

  /** Sends what there is room for, up to `count`; returns how many that were. */
  send(count: number, bytes = 1): number {
    let sent = 0;
    for (; sent < count && this.outflow.open; sent++) {
      assert.equal(this.inflow.add(itemOf(this.outflow.next(), bytes)), "new");
    }
    return sent;
  }

  /** Takes so many items, if they are there, and grants credit when it is due. */
  read(count: number): void {
    for (let n = 0; n < count && this.inflow.take() !== undefined; n++) {
      if (this.inflow.creditDue) this.outflow.credited(this.inflow.grant(), 0);
    }
  }
}

test("small items flow with the largest window, large ones with two at a time", () => {
  for (const [bytes, window] of [
    [10, 1024],
    [10_000, 104],
    [900_000, 2],
  ] as const) {
    const pair = new Pair();
    for (let n = 0; n < 50; n++) {
      pair.send(2000, bytes);
      pair.read(2000);
    }
    assert.equal(pair.inflow.window, window);
  }
});

test("the window is never larger than what was asked for", () => {
  const pair = new Pair(5);
  for (let n = 0; n < 50; n++) {
    assert.ok(pair.send(2000) <= 5);
    pair.read(2000);
  }
  assert.ok(pair.inflow.received > 100);
});

test("whatever the reader and the responder do, all arrives in order, and there is always room for more", () => {
  const ops = fc.array(fc.tuple(fc.boolean(), fc.nat(40), fc.nat(200_000)), { maxLength: 100, size: "max" });
  fc.assert(
    fc.property(ops, fc.option(fc.integer({ min: 1, max: 1024 }), { nil: undefined }), (schedule, most) => {
      const pair = new Pair(most);
      for (const [sends, count, bytes] of schedule) {
        if (sends) pair.send(count, bytes);
        else pair.read(count);
        assert.equal(pair.inflow.consumed + pair.inflow.waiting, pair.inflow.received);
        if (pair.inflow.waiting === 0) assert.ok(pair.outflow.open, "the reader has all and gets no more");
      }
    }),
    { numRuns: 2000 },
  );
});

test("a credit that is old, or for items never sent, changes nothing; one that is too large counts as the largest", () => {
  const flow = new Outflow(3, 0);
  for (let n = 0; n < 3; n++) flow.next();
  flow.credited({ sequence: 0, consumed: 900, window: 100 }, 5);
  assert.deepStrictEqual([flow.open, flow.heard], [false, 0]);
  flow.credited({ sequence: 0, consumed: 3, window: 4_000_000_000 }, 6);
  while (flow.open) flow.next();
  assert.deepStrictEqual([flow.sent, flow.heard], [3 + 1024, 6]);
  flow.credited({ sequence: 0, consumed: 2, window: 1024 }, 7);
  assert.deepStrictEqual([flow.open, flow.heard], [false, 6]);
});

test("whoever waits for room is told when there is some", async () => {
  const flow = new Outflow(1, 0);
  flow.next();
  const room = flow.room();
  flow.credited({ sequence: 0, consumed: 0, window: 1 }, 1);
  assert.equal(flow.open, false);
  flow.credited({ sequence: 0, consumed: 1, window: 1 }, 2);
  await room;
  assert.ok(flow.open);
});
