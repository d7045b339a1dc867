import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { type Code, TielineError } from "../../src/index.js";

export { sleep };

/** Resolves when the condition holds; fails after `ms`, which are many: the machine may be busy. */
export async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  for (const deadline = Date.now() + ms; !condition(); await sleep(5)) {
    if (Date.now() > deadline) assert.fail(`not within ${ms} ms: ${what}`);
  }
}

/** How long instances have to tell of themselves where all of them must; a client waits 2 s unless it is told to. */
export const PATIENT = { ttl: 30_000 } as const;

/** A promise that is kept when somebody says so: what holds a handler for as long as a test needs it. */
export function gate(): { open: () => void; opened: Promise<void> } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** The error that a call ends with; it must be ours. */
export async function failure(call: Promise<unknown>): Promise<TielineError> {
  const outcome = await call.then(
    (value) => assert.fail(`the call succeeded with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  assert.ok(outcome instanceof TielineError, String(outcome));
  return outcome;
}

/** The error that a call ends with has this code. */
export async function fails(call: Promise<unknown>, code: Code): Promise<TielineError> {
  const error = await failure(call);
  assert.equal(error.code, code, error.message);
  return error;
}

/** What a promise takes, in milliseconds. */
export async function timed<T>(promise: Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  return [await promise, performance.now() - start];
}
