import assert from "node:assert/strict";
import { test } from "node:test";
import { guardedLogger } from "../../src/log.js";
import { Trouble } from "../../src/trouble.js";

test("what fails again and again is told twice, until it is over", () => {
  const told: string[] = [];
  const tell = (level: string) => (message: string) => void told.push(`${level} ${message}`);
  const logger = guardedLogger({
    debug: () => undefined,
    info: tell("info"),
    warn: tell("warn"),
    error: tell("error"),
  });
  const trouble = new Trouble("it failed", logger);
  for (let n = 1; n <= 30; n++) trouble.told(`no ${n}`);
  trouble.over();
  trouble.told("anew");
  assert.deepEqual(told, ["info it failed: no 1", "warn it failed, 10 times by now: no 10", "info it failed: anew"]);
});
