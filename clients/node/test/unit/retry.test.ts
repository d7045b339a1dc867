import assert from "node:assert/strict";
import { test } from "node:test";
import { checkRetry, pauseAfter, type Retry } from "../../src/calls/retry.js";
import { HandlerError, NoRespondersError, OverloadedError } from "../../src/errors.js";

const QUICK: Retry = { attempts: 4, base: 10, cap: 20 };

test("the pause is at least what the other side asked for, and else chosen at random below a bound", () => {
  assert.equal(pauseAfter(QUICK, 1, new OverloadedError("full", { retryAfter: 3000 })), 3000);
  const policy = { base: 1000, cap: 4000, attempts: 99 };
  const pauses = Array.from(
    { length: 60 },
    (_, at) => pauseAfter(policy, at + 1, new NoRespondersError("nobody")) ?? -1,
  );
  assert.ok(pauses.every((pause, at) => pause >= 0 && pause <= Math.min(4000, 1000 * 2 ** at)));
  assert.ok(new Set(pauses).size > 50, "full jitter");
});

test("no more tries than allowed, and none where it may do harm", () => {
  assert.equal(pauseAfter(QUICK, 4, new NoRespondersError("nobody")), undefined);
  const failed = new HandlerError("failed");
  const willing: Retry = { ...QUICK, when: () => true };
  assert.equal(pauseAfter(willing, 1, failed), undefined);
  failed.idempotent = true;
  assert.equal(pauseAfter(QUICK, 1, failed), undefined);
  assert.notEqual(pauseAfter(willing, 1, failed), undefined);
});

test("a policy that makes no sense is refused", () => {
  const policies: object[] = [
    { attempts: 0 },
    { base: -1 },
    { base: 2, cap: 1 },
    { attempts: 1.5 },
    { cap: Infinity },
    { tries: 1 },
    { base: "5" },
    { cap: 500n },
    { when: "always" },
  ];
  for (const retry of policies) {
    assert.throws(() => checkRetry(retry), { code: "INVALID_ARGUMENT", message: /retry policy/ });
  }
  checkRetry({});
});
