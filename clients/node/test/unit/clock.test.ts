import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../src/clock.js";

/** A clock whose local time is turned by hand, in milliseconds. */
function made(): {
  clock: Clock;
  ask: (ahead: number, there: number, back: number) => void;
  off: (n: number) => number;
} {
  let now = 1_000_000;
  const clock = new Clock(() => now);
  return {
    clock,
    /** Asks a broker whose clock is so far ahead of the local one; each way takes so long. */
    ask: (ahead, there, back) => {
      const begun = now;
      now += there;
      const broker = now + ahead;
      now += back;
      clock.learn(broker, begun, now);
    },
    off: (ahead) => Math.abs(clock.now() - (now + ahead)),
  };
}

test("the first answer counts, whatever the wall clock says", () => {
  const { ask, off } = made();
  ask(7_200_000, 1, 1);
  assert.ok(off(7_200_000) <= 1);
});

test("an answer to a process that stood still does not count", () => {
  const { ask, off } = made();
  ask(50_000, 1, 1);
  ask(50_000, 1, 8_000);
  assert.ok(off(50_000) <= 1);
});

test("a better answer counts at once, and a worse one when the best is old", () => {
  const { ask, off } = made();
  ask(50_000, 0, 400);
  assert.ok(off(50_000) > 150);
  ask(50_000, 1, 1);
  assert.ok(off(50_000) <= 1);
  ask(50_004, 20, 20);
  assert.ok(off(50_000) <= 1);
  ask(50_004, 60_000, 60_000);
  ask(50_004, 20, 20);
  assert.ok(off(50_004) <= 1);
});

test("a broker whose clock was set is believed", () => {
  const { ask, off } = made();
  ask(50_000, 0.1, 0.1);
  ask(80_000, 10, 10);
  assert.ok(off(80_000) <= 1);
});

test("what shall happen later happens then, and only once", async () => {
  const clock = new Clock();
  clock.callLater(1, () => assert.fail("it was cancelled")).cancel();
  const begun = clock.monotonic();
  await new Promise<void>((resolve) => clock.callAt(begun + 20, resolve));
  assert.ok(clock.monotonic() >= begun + 19); // a timer of Node may be early by less than a millisecond
  await clock.sleep(20);
  assert.ok(clock.monotonic() >= begun + 40);
});
