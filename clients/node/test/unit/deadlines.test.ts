import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Deadlines, type Waiting } from "../../src/calls/deadlines.js";

class Waiter implements Waiting {
  done = false;
  told: number[] = [];

  due(now: number): void {
    this.told.push(now);
    this.done = true;
  }
}

test("everybody is told once, when the moment has come and not before, in the order of the moments", () => {
  const moments = fc.array(fc.tuple(fc.nat(1000), fc.boolean()), { maxLength: 2000 });
  fc.assert(
    fc.property(moments, fc.array(fc.nat(1000), { maxLength: 10 }), (list, looks) => {
      const deadlines = new Deadlines();
      const waiters = list.map(([moment, gone]) => ({ moment, gone, waiter: new Waiter() }));
      for (const { moment, waiter } of waiters) {
        const earliest = deadlines.next() ?? Infinity;
        assert.equal(deadlines.add(moment, waiter), moment < earliest);
      }
      for (const { gone, waiter } of waiters) {
        if (!gone) continue;
        waiter.done = true;
        deadlines.finished();
      }
      for (const now of [...looks.sort((a, b) => a - b), 1000]) {
        deadlines.advance(now);
        for (const { moment, gone, waiter } of waiters) {
          assert.equal(waiter.told.length, !gone && moment <= now ? 1 : 0);
        }
      }
      assert.equal(deadlines.size, 0);
    }),
    { numRuns: 300 },
  );
});

test("what is done does not pile up", () => {
  const deadlines = new Deadlines();
  for (let n = 0; n < 100_000; n++) {
    const waiter = new Waiter();
    deadlines.add(30_000 + n, waiter);
    waiter.done = true;
    deadlines.finished();
  }
  assert.ok(deadlines.size < 1000, String(deadlines.size));
});

test("a waiter may wait again when it is told", () => {
  const deadlines = new Deadlines();
  const told: number[] = [];
  const again: Waiting = {
    done: false,
    due(now) {
      told.push(now);
      if (told.length < 3) deadlines.add(now + 10, again);
    },
  };
  deadlines.add(10, again);
  deadlines.advance(100);
  deadlines.advance(110);
  deadlines.advance(120);
  assert.deepStrictEqual(told, [100, 110, 120]);
});
