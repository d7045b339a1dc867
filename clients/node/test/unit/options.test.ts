import assert from "node:assert/strict";
import { after, test } from "node:test";
import { z } from "zod";
import { EventSystem, type EventSystemOptions, MemoryTransport, type PublishOptions } from "../../src/index.js";
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
  refused(system({ middlewares: [], observer: 1 }), /^an event system does not know middlewares, observer$/);
  refused(system({ settings: { call_ttl: 1 } }), /^settings does not know call_ttl$/);
  refused(() => events.subscribe("a.b", () => 1, { onGaps: 1 } as object), /^subscribe does not know onGaps$/);
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
