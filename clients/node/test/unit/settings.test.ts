import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SETTINGS, EventSystem, type Settings } from "../../src/index.js";

const COUNTS = ["concurrency", "pendingCalls", "attempts", "queue", "offlineBuffer", "explainCalls"];
const TIMES = ["acceptAfter", "probeAfter", "probeConfirm", "respondersGrace", "retryAfter", "reconnectMin", "drain"];
const SWITCHES = ["systemEvents"];
const MAYBE_NONE = ["queue", "offlineBuffer", "explainCalls", ...TIMES];

function system(settings: object): EventSystem {
  return new EventSystem("memory:", { settings });
}

test("every setting is a number within bounds", () => {
  for (const name of Object.keys(DEFAULT_SETTINGS).filter((each) => !SWITCHES.includes(each))) {
    const wrong = [Number.NaN, Infinity, -1, "2s", 5n, Symbol("5"), null, {}, [], true];
    if (COUNTS.includes(name)) wrong.push(1.5);
    if (!MAYBE_NONE.includes(name)) wrong.push(0);
    for (const value of wrong) {
      const message = new RegExp(`^${name} of settings is `);
      assert.throws(() => system({ [name]: value }), { code: "INVALID_ARGUMENT", message }, `${name} ${String(value)}`);
    }
    assert.equal(system({ [name]: 1 }).settings[name as keyof Settings], 1);
  }
});

test("a switch is true or false", () => {
  for (const value of [1, "yes", null]) {
    const message = /^systemEvents of settings is true or false/;
    assert.throws(() => system({ systemEvents: value }), { code: "INVALID_ARGUMENT", message });
  }
});

test("a deadline is whole, and no longer than one may be", () => {
  assert.equal(system({ callTtl: 1500.7 }).settings.callTtl, 1500);
  assert.throws(() => system({ eventTtl: 86_400_001 }), { code: "INVALID_ARGUMENT" });
});
