import assert from "node:assert/strict";
import { test } from "node:test";
import { errorToWire } from "../../src/envelope.js";
import { currentEvent, OverloadedError, type Retry, type Step } from "../../src/index.js";
import { fails, failure, sleep, timed, until } from "../support/waiting.js";
import type { World } from "../support/world.js";

const QUICK: Retry = { attempts: 4, base: 10, cap: 20 };

/** Retry policies: what is tried again, what is not, and never past the deadline. */
export function retryTests(world: World): void {
  test("who is not there yet is asked again, under the same id", async () => {
    const steps: Step[] = [];
    const [caller, responder] = [world.system({ observe: (step) => steps.push(step) }), world.system()];
    await responder.start();
    const retry = { attempts: 200, base: 50, cap: 50 };
    const call = caller.publishAndWait("retry.later", 1, { retry });
    await until(() => steps.some((step) => step.name === "retried"), "it was tried again");
    await responder.subscribe<number>("retry.later", (data) => data + 1).ready();
    assert.equal(await call, 2);
    const own = steps.filter((step) => step.topic === "retry.later");
    const codes = own.filter((step) => step.name === "retried").map((step) => step.detail.code);
    assert.deepStrictEqual([...new Set(codes)], ["NO_RESPONDERS"]);
    assert.equal(new Set(own.map((step) => step.correlationId)).size, 1);
  });

  test("so many tries and no more", async () => {
    const steps: Step[] = [];
    const caller = world.system({ observe: (step) => steps.push(step) });
    await fails(caller.publishAndWait("retry.nobody", 1, { retry: QUICK }), "NO_RESPONDERS");
    assert.equal(steps.filter((step) => step.name === "retried").length, 3);
  });

  test("what a handler threw is tried again only for an idempotent call whose policy says so", async () => {
    const [a, b] = [world.system(), world.system()];
    let [runs, failures] = [0, 0];
    await b
      .subscribe("retry.flaky", () => {
        if (++runs <= failures) throw new RangeError("again");
        return runs;
      })
      .ready();
    const when: Retry = { ...QUICK, when: (error) => error.type === "RangeError" };
    for (const caller of [a, b]) {
      for (const [options, tries] of [
        [{ retry: QUICK }, 1],
        [{ retry: QUICK, idempotent: true }, 1],
        [{ retry: when }, 1],
      ] as const) {
        [runs, failures] = [0, 1];
        await fails(caller.publishAndWait("retry.flaky", 1, options), "HANDLER_ERROR");
        assert.equal(runs, tries);
      }
      [runs, failures] = [0, 2];
      assert.equal(await caller.publishAndWait("retry.flaky", 1, { retry: when, idempotent: true }), 3);
    }
  });

  test("what was refused is tried again", async () => {
    const raw = await world.raw();
    await raw.answersTo("retry.full");
    const call = world.system().publishAndWait("retry.full", 1, { retry: QUICK });
    for (let count = 1; count < 4; count++) {
      await until(() => raw.requests.length === count, "it is asked");
      const request = raw.requests[count - 1];
      assert.ok(request !== undefined);
      raw.reply(request, null, { error: errorToWire(new OverloadedError("full", { retryAfter: 10 })) });
    }
    await until(() => raw.requests.length === 4, "it is asked again");
    const last = raw.requests[3];
    assert.ok(last !== undefined);
    raw.reply(last, "at last");
    assert.equal(await call, "at last");
  });

  test("no try is made that would begin after the deadline", async () => {
    const retry = { attempts: 1000, base: 100, cap: 100 };
    const call = world.system().publishAndWait("retry.nobody", 1, { ttl: 500, retry });
    const [error, ms] = await timed(failure(call));
    assert.ok(["NO_RESPONDERS", "TIMEOUT"].includes(error.code), error.message); // the last try may have but a moment left
    assert.ok(ms < 5000, `${ms} ms`);
  });

  test("all tries share one deadline", async () => {
    const remaining: number[] = [];
    const caller = world.system();
    const slow = async () => {
      remaining.push(currentEvent()?.remaining() ?? Infinity);
      await sleep(800);
      throw new RangeError("slow");
    };
    await world.system().subscribe("retry.slow", slow).ready();
    const retry = { attempts: 100, base: 0, cap: 0, when: () => true };
    const call = caller.publishAndWait("retry.slow", 1, { ttl: 3000, retry, idempotent: true });
    const [error, ms] = await timed(failure(call));
    assert.ok(["HANDLER_ERROR", "TIMEOUT", "EXPIRED"].includes(error.code), error.code);
    assert.ok(ms < 10_000, `${ms} ms`);
    assert.ok(remaining.length >= 2 && remaining.length <= 4, String(remaining));
    const falling = [...remaining].sort((a, b) => b - a);
    assert.deepStrictEqual(remaining, falling);
  });

  test("a try ends at the deadline of all", async () => {
    let tries = 0;
    const handler = () =>
      ++tries === 1
        ? sleep(500).then(() => Promise.reject(new RangeError("once")))
        : sleep(30_000, undefined, { ref: false });
    await world.system().subscribe("retry.hangs", handler).ready();
    const retry = { base: 0, cap: 0, when: () => true };
    const call = world.system().publishAndWait("retry.hangs", 1, { ttl: 2500, retry, idempotent: true });
    const [, ms] = await timed(fails(call, "TIMEOUT"));
    assert.ok(ms < 10_000, `${ms} ms`);
    assert.equal(tries, 2);
  });

  test("who gives up during a pause is told at once", async () => {
    const caller = world.system();
    await caller.start();
    const controller = new AbortController();
    const retry = { attempts: 9, base: 20_000, cap: 20_000 };
    const call = caller.publishAndWait("retry.nobody", 1, { retry, signal: controller.signal });
    setTimeout(() => controller.abort(), 100);
    const [, ms] = await timed(failure(call));
    assert.ok(ms < 10_000, `${ms} ms`);
  });
}
