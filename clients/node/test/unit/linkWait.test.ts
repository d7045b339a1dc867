import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../src/clock.js";
import { LinkWait } from "../../src/linkWait.js";
import { fails, sleep } from "../support/waiting.js";

test("what waits for the link is bounded, envelopes included; beyond that it is OVERLOADED", async () => {
  const wait = new LinkWait(1000, { clock: new Clock() });
  wait.down();
  await fails(wait.wait(10, 0, undefined), "UNAVAILABLE");
  const first = wait.wait(600, 10_000, undefined);
  const error = await fails(wait.wait(200, 10_000, undefined), "OVERLOADED");
  assert.equal(error.outcome, "NOT_DELIVERED");
  wait.up();
  await first;
  wait.down();
  await fails(wait.wait(700, 1, undefined), "UNAVAILABLE");
});

test("who may wait for ever waits", async () => {
  for (const ms of [Infinity, 2 ** 40]) {
    const wait = new LinkWait(1000, { clock: new Clock() });
    wait.down();
    let ended = "";
    const waited = wait.wait(1, ms, undefined).then(
      () => (ended = "up"),
      () => (ended = "late"),
    );
    await sleep(30);
    assert.equal(ended, "");
    wait.up();
    await waited;
    assert.equal(ended, "up");
  }
});
