import assert from "node:assert/strict";
import { test } from "node:test";
import type { Step } from "../../src/index.js";
import { fails, sleep, timed, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

/** What a machine that is busy may take longer, milliseconds. It is less than a lease. */
const BUSY = 3000;

/** What needs processes of their own: death, freezing, cancelling from outside. */
export function lifeTests(world: World): void {
  test("a responder that is killed in the middle of a call ends it within 3 s with RESPONDER_LOST", async () => {
    const steps: Step[] = [];
    const a = world.system({ observe: (step) => steps.push(step) });
    const peer = await world.peer();
    const call = fails(a.publishAndWait("peer.slow", 20_000), "RESPONDER_LOST");
    await until(() => steps.some(({ name }) => name === "accepted"), "the caller knows that it runs");
    await peer.kill("SIGKILL");
    const [error, ms] = await timed(call);
    assert.equal(error.outcome, "MAY_HAVE_RUN");
    assert.equal(error.retryable, false);
    assert.equal(error.details.accepted, true);
    assert.ok(ms < 3000 + BUSY, `${ms} ms`);
  });

  test("a frozen responder ends the call within its lease and 2 s", async () => {
    const settings = world.shortLease;
    const a = world.system({ settings });
    const peer = await world.peer({ settings });
    const call = fails(a.publishAndWait("peer.slow", 25_000), "RESPONDER_LOST");
    await peer.says(/started/);
    peer.process.kill("SIGSTOP");
    const [, ms] = await timed(call);
    assert.ok(ms < world.lease + 2000 + BUSY, `${ms} ms`);
  });

  test("an idempotent call of a killed responder succeeds elsewhere", async () => {
    const a = world.system();
    const first = await world.peer();
    const call = a.publishAndWait("peer.slow", 60_000, { idempotent: true });
    await first.says(/started/);
    await world
      .system()
      .subscribe("peer.slow", () => "elsewhere")
      .ready();
    await first.kill("SIGKILL");
    assert.equal(await call, "elsewhere");
  });

  test("an idempotent call whose responder was killed and nobody else is there ends with RESPONDER_LOST", async () => {
    const a = world.system();
    const peer = await world.peer();
    const call = fails(a.publishAndWait("peer.slow", 60_000, { idempotent: true }), "RESPONDER_LOST");
    await peer.says(/started/);
    await peer.kill("SIGKILL");
    assert.equal((await call).retryable, true);
  });

  test("a caller that gives up cancels the handler in the other process", async () => {
    const a = world.system();
    const peer = await world.peer();
    const control = new AbortController();
    const call = fails(a.publishAndWait("peer.slow", 60_000, { signal: control.signal }), "CANCELLED");
    await peer.says(/started/);
    control.abort();
    await call;
    assert.equal(await peer.says(/aborted/), "aborted CANCELLED");
  });

  test("a process that unsubscribes or closes finishes what it runs", async () => {
    const a = world.system();
    for (const message of ["unsubscribe", "close"]) {
      const peer = await world.peer();
      const call = a.publishAndWait("peer.slow", 700);
      await peer.says(/started/);
      peer.tell(message);
      assert.equal(await call, peer.pid);
      await peer.says(new RegExp(`${message} done`));
      await fails(a.publishAndWait("peer.slow", 1), "NO_RESPONDERS");
    }
  });

  test("a killed process is passed over by the next calls at once, and by its group", async () => {
    const a = world.system();
    const [first, second] = [await world.peer(), await world.peer()];
    await first.kill("SIGKILL");
    for (let n = 0; n < 5; n++) assert.equal(await a.publishAndWait("peer.pid"), second.pid);
    for (let n = 0; n < 6; n++) await a.publish("peer.event", n);
    await until(() => second.said.filter((one) => one === "event").length === 6, "all six events at the other member");
  });

  test("a request that expired on its way is not run", async () => {
    const a = world.system();
    const peer = await world.peer();
    peer.process.kill("SIGSTOP");
    await fails(a.publishAndWait("peer.slow", 1, { ttl: 200 }), "TIMEOUT");
    peer.process.kill("SIGCONT");
    assert.equal(await a.publishAndWait("peer.pid"), peer.pid);
    await sleep(100);
    assert.ok(!peer.said.includes("started"));
  });
}
