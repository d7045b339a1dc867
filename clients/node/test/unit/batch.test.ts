import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../src/clock.js";
import { Event } from "../../src/context.js";
import { Delivery, type Outlet } from "../../src/delivery.js";
import { EVENT, newEnvelope } from "../../src/envelope.js";
import { ResponderLostError } from "../../src/errors.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import { type Owner, Subscription } from "../../src/subscription.js";
import { sleep } from "../support/waiting.js";

const owner: Owner = {
  settings: DEFAULT_SETTINGS,
  registered: async () => undefined,
  unsubscribe: async () => undefined,
  raised: () => undefined,
  overloaded: () => undefined,
};

test("a batch that is still being collected is interrupted with the rest", async () => {
  const told: string[] = [];
  const outlet: Outlet = {
    succeeded: () => told.push("succeeded"),
    failed: () => told.push("failed"),
    interrupted: () => told.push("interrupted"),
    item: () => told.push("item"),
    ended: () => told.push("ended"),
  };
  const subscription = new Subscription(owner, "a.b", () => told.push("handled"), { batch: { size: 3, ms: 20 } });
  for (let n = 0; n < 2; n++) {
    subscription.take(new Delivery(subscription, new Event(newEnvelope(EVENT), new Clock()), outlet));
  }
  subscription.interrupt(new ResponderLostError("stop"));
  await sleep(60);
  assert.deepStrictEqual(told, ["interrupted", "interrupted"]);
});
