import assert from "node:assert/strict";
import { test } from "node:test";
import { NoMail } from "../../src/durable/mail.js";
import { EventSystem, type TielineError } from "../../src/index.js";
import { fails, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const WHAT = "durable events cannot be kept here; use redis:// or grpc://";

test("within a process there are no durable events: it is told what to use", async () => {
  const events = new EventSystem("memory://", { logger: silent });
  assert.equal((await fails(events.publish("a.b", 1, { key: "k" }), "UNSUPPORTED")).message, WHAT);
  assert.equal((await fails(events.publish("a.b", 1, { key: "k", waitReplicas: 1 }), "UNSUPPORTED")).message, WHAT);
  assert.equal((await fails(events.publishMany("a.b", [{ data: 1 }]), "UNSUPPORTED")).message, WHAT);
  const subscription = events.subscribe("a.b", () => undefined, { durable: true });
  assert.equal((await fails(subscription.ready(), "UNSUPPORTED")).message, WHAT);
  assert.deepEqual(await events.publish("a.b", 1).then(({ stored }) => stored), undefined);
  await events.close();
});

test("a publish of many that nobody awaits is reported, and ends no process", async () => {
  const told: unknown[] = [];
  const events = new EventSystem("memory://", { logger: silent, onError: (error) => told.push(error) });
  events.publishMany("a.b", [{ data: 1 }]);
  events.publishMany("a.b", 7 as never);
  await until(() => told.length === 2, "both are told");
  assert.deepEqual(told.map((error) => (error as TielineError).code).sort(), ["INVALID_ARGUMENT", "UNSUPPORTED"]);
  await events.close();
});

test("a system that cannot keep what was declared durable does not start", async () => {
  const events = new EventSystem("memory://", { logger: silent });
  events.subscribe("a.b", () => undefined, { durable: true });
  assert.equal((await fails(events.start(), "UNSUPPORTED")).message, WHAT);
  await events.close();
});

test("nothing of durable events works where there are none", async () => {
  const mail = new NoMail("use something else");
  const methods = Object.values(mail) as (() => Promise<unknown>)[];
  assert.equal(methods.length, 14);
  for (const method of methods) {
    assert.match((await fails(method.call(mail), "UNSUPPORTED")).message, /use something else$/);
  }
});
