import assert from "node:assert/strict";
import { after, test } from "node:test";
import { EventSystem, MemoryTransport } from "../../src/index.js";
import { Broker } from "../../src/testing/index.js";
import { failure } from "../support/waiting.js";
import { silent } from "../support/world.js";

const events = new EventSystem({ transport: new MemoryTransport(), logger: silent });
const around = new EventSystem({
  transport: new MemoryTransport(),
  middleware: [{ publish: (message, next) => next(message) }],
  logger: silent,
});
after(() => Promise.all([events.close(), around.close()]));

type Act = (system: EventSystem, options: object) => unknown;
const ACTS: Record<string, Act> = {
  publish: (system, options) => system.publish("o.t", 1, options),
  publishAndWait: (system, options) => system.publishAndWait("o.t", 1, options),
  publishAndStream: (system, options) => system.publishAndStream("o.t", 1, options).next(),
  publishAndGather: (system, options) => system.publishAndGather("o.t", 1, options),
  explain: (system, options) => system.explain("id", options),
  services: (system, options) => system.services(options),
};

async function refused(what: string, options: unknown, message: RegExp): Promise<void> {
  for (const system of [events, around]) {
    const error = await failure((async () => ACTS[what]?.(system, options as object))());
    assert.equal(error.code, "INVALID_ARGUMENT", error.message);
    assert.match(error.message, message);
  }
}

test("options that a method does not know are refused by name", async () => {
  for (const what of Object.keys(ACTS)) {
    await refused(what, { timeout: 5 }, new RegExp(`^${what} does not know timeout; it knows .*\\bttl\\b`));
    for (const none of [null, 5, "ttl", []]) {
      await refused(what, none, new RegExp(`^the options of ${what} are an object, not `));
    }
  }
  await refused("publishAndWait", { idempotencykey: "k" }, /idempotencykey; it knows .*, idempotencyKey, /);
  for (const what of ["publish", "publishAndStream", "publishAndGather"]) {
    await refused(what, { idempotencyKey: "k" }, /does not know idempotencyKey/);
    await refused(what, { retry: {} }, what === "publish" ? /retry is for what is planned/ : /does not know retry/);
  }
});

test("options of the wrong kind are refused, whatever they are", async () => {
  const strange = [Number.NaN, -1, {}, "500", 5n, Symbol("5"), null];
  for (const value of strange) {
    for (const what of Object.keys(ACTS))
      await refused(what, { ttl: value }, /^ttl of .* is in milliseconds, from 1 to /);
    await refused(
      "publishAndWait",
      { waitForResponders: value },
      /^waitForResponders is in milliseconds, from 0 to 86400000, not /,
    );
    await refused(
      "publish",
      { waitForConnection: value },
      /^waitForConnection is in milliseconds, from 0 to 86400000, not /,
    );
    await refused("publishAndStream", { total: value }, /^total is in milliseconds, from 1 to /);
    await refused("publishAndStream", { window: value }, /^window of .* is a whole number from 1 to /);
    await refused("publishAndGather", { maxReplies: value }, /^maxReplies of .* is a whole number of at least 0/);
  }
  for (const retry of [3, null, "yes", []])
    await refused("publishAndWait", { retry }, /^retry is a policy, as in retry: { attempts: 5 }, not /);
  for (const idempotencyKey of [42n, 42, Symbol("k"), null, "", {}]) {
    await refused("publishAndWait", { idempotencyKey }, /^idempotencyKey is text of 1 to 255 bytes/);
  }
  await refused("publishAndWait", { idempotent: "no" }, /^idempotent of publishAndWait is true or false, not "no"$/);
});

test("a signal is an AbortSignal and nothing else", async () => {
  for (const signal of [new AbortController(), {}, 5, "abort", null, () => true]) {
    for (const what of ["publish", "publishAndWait", "publishAndStream", "publishAndGather"]) {
      await refused(what, { signal }, /^signal of .* is an AbortSignal; give controller.signal, not /);
    }
  }
});

test("what is to be explained has an id", async () => {
  for (const id of [undefined, 5, "", null, {}, "\ud800"]) {
    const error = await failure(events.explain(id as string));
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.match(error.message, /^the correlation id is the text that a receipt or an event has, not /);
  }
});

test("what a toJSON method gives must end somewhere", async () => {
  class Self {
    toJSON(): unknown {
      return this;
    }
  }
  class Endless {
    toJSON(): unknown {
      return new Endless();
    }
  }
  class Nested {
    constructor(readonly depth: number) {}
    toJSON(): unknown {
      return this.depth === 0 ? 1 : { inner: new Nested(this.depth - 1) };
    }
  }
  for (const contentType of ["application/msgpack", "application/json"]) {
    for (const data of [new Self(), { a: [new Endless()] }]) {
      const error = await failure(events.publish("o.t", data, { contentType }));
      assert.equal(error.code, "INVALID_PAYLOAD", error.message);
      assert.match(error.message, /leads nowhere$/);
    }
    await events.publish(
      "o.t",
      Array.from({ length: 300 }, () => new Nested(50)),
      { contentType },
    );
  }
});

test("the faults of a test know what a rule can say", () => {
  const { faults } = new Broker();
  const wrong = { code: "INVALID_ARGUMENT", message: /^lose does not know kinds; it knows kind, share, times, to$/ };
  assert.throws(() => faults.lose(">", { kinds: ["reply"] } as object), wrong);
});
