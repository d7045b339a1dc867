import assert from "node:assert/strict";
import { after, test } from "node:test";
import { z } from "zod";
import {
  EventSystem,
  type EventSystemOptions,
  MemoryTransport,
  type Middleware,
  type PublishOptions,
} from "../../src/index.js";
import { fails } from "../support/waiting.js";
import { silent } from "../support/world.js";

const events = new EventSystem({ transport: new MemoryTransport(), logger: silent, service: "shop" });
after(() => events.close());

const refused = (make: () => unknown, message: RegExp) =>
  assert.throws(make, (error: Error & { code?: string }) => {
    assert.equal(error.code, "INVALID_ARGUMENT");
    assert.match(error.message, message);
    return true;
  });

test("options that nobody knows are refused by name", () => {
  const system = (options: object) => () => new EventSystem("memory://", options as EventSystemOptions);
  const unknown =
    /^an event system does not know middlewares, observer; it knows logger, middleware, namespace, .*, url$/;
  refused(system({ middlewares: [], observer: 1 }), unknown);
  refused(system({ settings: { call_ttl: 1 } }), /^settings does not know call_ttl; it knows acceptAfter, /);
  const subscribe = (options: object) => () => events.subscribe("a.b", () => 1, options);
  refused(subscribe({ onGaps: 1 }), /^subscribe does not know onGaps; it knows batch, byReference, /);
  refused(subscribe({ batch: { sise: 3 } }), /^batch does not know sise; it knows ms, size$/);
});

test("options of the wrong kind are refused", () => {
  const subscribe = (options: unknown) => () => events.subscribe("a.b", () => 1, options as object);
  for (const options of [null, 5, "x", []])
    refused(subscribe(options), /^the options of subscribe are an object, not /);
  refused(subscribe({ filter: 5 }), /^filter of subscribe is a function, not 5$/);
  refused(subscribe({ onGap: {} }), /^onGap is a function, called as f.since, until, reason., not an object$/);
  refused(subscribe({ observe: "yes" }), /^observe of subscribe is true or false, not "yes"$/);
  for (const number of [0, -1, 1.5, Number.NaN, Infinity, "3", 3n, Symbol("3"), null]) {
    refused(subscribe({ concurrency: number }), /^concurrency of subscribe is a whole number of at least 1, not /);
    refused(subscribe({ batch: { size: number } }), /^size of batch is a whole number of at least 1, not /);
  }
  for (const ms of [0, Number.NaN, "3", 3n, Symbol("3"), 3_600_001]) {
    refused(subscribe({ batch: { ms } }), /^ms of batch is in milliseconds, from 1 to 3600000, not /);
  }
  refused(subscribe({ queue: -1 }), /^queue of subscribe is a whole number of at least 0, not -1$/);
  refused(subscribe({ batch: null }), /^batch of subscribe is an object, not null$/);
  const system = (options: object) => () => new EventSystem(options as EventSystemOptions);
  for (const [name, value] of Object.entries({
    url: 5,
    service: 5,
    observe: {},
    onError: 1,
    logger: 1,
    middleware: {},
  })) {
    refused(system({ [name]: value }), new RegExp(`^${name} of an event system is .*, not `));
  }
  assert.deepStrictEqual(events.subscriptions, []);
});

test("a system takes a URL and options, or options alone, and drops nothing", async () => {
  const options = { service: "named", transport: new MemoryTransport() };
  for (const system of [new EventSystem(undefined, options), new EventSystem("memory:", options)]) {
    assert.equal(system.service, "named");
  }
  const wrong = [
    [options, { service: "other" }],
    ["memory:", { url: "memory:" }],
    [null, {}],
    [5],
    ["memory:", null],
    [{}, null],
  ] as [string, EventSystemOptions][];
  for (const [first, more] of wrong)
    refused(() => new EventSystem(first, more), /^(an event system takes|the options of)/);
});

test("middleware that would do nothing is refused", () => {
  for (const one of [null, 5, {}, () => 1, { Publish() {} }, { publish: 5 }, { handle: null, publish() {} }]) {
    refused(() => new EventSystem({ middleware: [one as Middleware] }), /^middleware is a list of objects that have a/);
  }
  class Inherited {
    handle(): void {}
  }
  new EventSystem({
    url: "memory:",
    middleware: [new Inherited(), { publish: undefined, handle() {} } as unknown as Middleware],
  });
});

test("a setting that is undefined is not set", () => {
  const settings = { drain: undefined, queue: 7 } as unknown as Partial<EventSystem["settings"]>;
  const system = new EventSystem("memory://", { settings });
  assert.deepStrictEqual([system.settings.drain, system.settings.queue], [10_000, 7]);
});

test("only a Standard Schema describes input and output, and an output only what is answered", () => {
  const strange: unknown[] = [null, 1, {}, { "~standard": { version: 2, validate: () => 1 } }, { "~standard": 1 }];
  for (const schema of strange) {
    const input = schema as z.ZodType;
    refused(() => events.subscribe("a.b", () => 1, { input }), /^input is no Standard Schema of version 1/);
    refused(() => events.subscribe("a.b", () => 1, { output: input }), /^output is no Standard Schema of version 1/);
  }
  const output = z.number();
  refused(() => events.subscribe("a.*", () => 1, { output }), /^"a.\*" is not answered .* it takes no output$/);
  refused(() => events.subscribe("a.b", () => 1, { output, observe: true }), /it takes no output$/);
  refused(() => events.subscribe("a.b", () => 1, { output, batch: {} } as object), /it takes no output$/);
  assert.deepStrictEqual(events.subscriptions, []);
});

test("upcasters that lead nowhere are refused", () => {
  const one = (data: unknown) => data;
  const wrong: [object, RegExp][] = [
    [{ upcasters: [["1", "2", one]] }, /^upcasters need schemaVersion/],
    [{ schemaVersion: "9", upcasters: [["1", "2", one]] }, /"1" do not lead to "9", the handler's own$/],
    [{ schemaVersion: "3", upcasters: [["1", "1", one]] }, /do not lead to "3"/],
    [{ schemaVersion: "3", upcasters: [["1", "2", one], ["2", "1", one]] }, /do not lead to "3"/], // biome-ignore format: one line
    [{ schemaVersion: "3", upcasters: [["1", "3", one], ["1", "2", one]] }, /^two upcasters begin at .* "1"$/], // biome-ignore format: one line
    ...[{}, "1", [["1", "2"]], [[1, 2, one]], [["", "2", one]], [null]].map((upcasters): [object, RegExp] => [
      { schemaVersion: "2", upcasters },
      /\[from, to, function\]/,
    ]),
    [{ schemaVersion: 2 }, /^schemaVersion is text$/],
  ];
  for (const [options, why] of wrong) refused(() => events.subscribe("a.b", () => 1, options), why);
  assert.deepStrictEqual(events.subscriptions, []);
});

test("only an object of what JSON can say is told as a JSON Schema, and is told as it was", async () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  let deep = {};
  for (let level = 0; level < 62; level++) deep = { not: deep };
  for (const inputSchema of [null, 1, true, [], circle, { maximum: 1n }, { pattern: "\ud800" }, deep] as object[]) {
    refused(() => events.subscribe("a.b", () => 1, { inputSchema } as object), /^inputSchema is no JSON Schema/);
  }
  const outputSchema = { type: "number" };
  refused(() => events.subscribe("a.*", () => 1, { outputSchema }), /it takes no output$/);
  const subscription = events.subscribe("a.b", () => 1, { outputSchema });
  outputSchema.type = "string";
  assert.deepStrictEqual([subscription.inputSchema, subscription.outputSchema], [undefined, { type: "number" }]);
  await subscription.unsubscribe();
});

test("headers and names that are no text are refused at the door, with middleware and without", async () => {
  const around = new EventSystem({
    transport: new MemoryTransport(),
    middleware: [{ publish: (message, next) => next(message) }],
    logger: silent,
  });
  const wrong = [
    ...[null, "abc", ["x"], new Map([["a", "b"]]), { a: 1 }, { a: "\ud800" }, { "\udc00": "a" }].map((headers) => ({
      headers,
    })),
    ...["contentType", "correlationId", "schemaVersion"].flatMap((name) => [{ [name]: 5 }, { [name]: "\ud800" }]),
  ];
  for (const options of wrong as PublishOptions[]) {
    for (const system of [events, around]) {
      await fails(system.publish("a.b", 1, options), "INVALID_ARGUMENT");
      await fails(system.publishAndWait("a.b", 1, options), "INVALID_ARGUMENT");
    }
  }
  await around.close();
});

test("what a system and its subscriptions say of themselves", async () => {
  assert.equal(await events.start(), events);
  assert.equal(events.service, "shop");
  const subscription = events.subscribe("own.topic", () => 1);
  await events.registered(subscription);
  assert.deepStrictEqual([events.subscriptions, subscription.closed], [[subscription], false]);
  await events.unsubscribe(subscription);
  assert.deepStrictEqual([events.subscriptions, subscription.closed], [[], true]);
});
