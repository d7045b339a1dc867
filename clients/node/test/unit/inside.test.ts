import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Caller } from "../../src/calls/caller.js";
import { Inside } from "../../src/inside.js";
import { Instance } from "../../src/instance.js";
import { Router } from "../../src/router.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { CLIENT } from "../../src/version.js";
import { silent } from "../support/world.js";

test("the client names the version of its package", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  assert.equal(CLIENT, `node/${version}`);
});

test("what cannot be asked for is refused", () => {
  const [instance, router] = [new Instance("shop", DEFAULT_SETTINGS, silent, undefined), new Router()];
  const inside = new Inside(instance, router, new Caller(instance, router));
  for (const question of [
    null,
    undefined,
    1,
    "subscriptions",
    ["subscriptions"],
    {},
    { secrets: true },
    { calls: 0 },
    { calls: "5" },
  ]) {
    assert.throws(() => inside.answer(question), { code: "INVALID_ARGUMENT" });
  }
});
