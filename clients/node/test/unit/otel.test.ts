import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { type Event, EventSystem } from "../../src/index.js";
import { instrument, tracing } from "../../src/otel.js";
import { Broker } from "../../src/testing/index.js";
import { failure, sleep, until } from "../support/waiting.js";
import { silent } from "../support/world.js";

const GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = tracerProvider.getTracer("test");
const middleware = [tracing({ tracerProvider })];
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
afterEach(() => exporter.reset());
after(() => context.disable());

const named = (name: string) => exporter.getFinishedSpans().filter((span) => span.name === name);
const isChild = (span: ReadableSpan, parent: ReadableSpan) =>
  span.parentSpanContext?.spanId === parent.spanContext().spanId &&
  span.spanContext().traceId === parent.spanContext().traceId;

async function one(name: string): Promise<ReadableSpan> {
  await until(() => named(name).length > 0, `${name} among ${exporter.getFinishedSpans().map((span) => span.name)}`);
  const [span, ...others] = named(name);
  assert.deepStrictEqual(others, []);
  return span ?? assert.fail();
}

/** A test that holds here, and where every event and call crosses the wire. */
function everywhere(what: string, run: (shop: EventSystem) => Promise<void>): void {
  for (const remote of [false, true]) {
    test(`${what}, ${remote ? "elsewhere" : "here"}`, async () => {
      const broker = new Broker({ realTime: true });
      try {
        await run(broker.system("shop", { remote, middleware, logger: silent }));
      } finally {
        await broker.close();
      }
    });
  }
}

everywhere("an event and what its handler does are one trace", async (shop) => {
  void shop.subscribe("order.packed", () => undefined);
  void shop.subscribe("order.placed", (data) =>
    tracer.startActiveSpan("pack", async (span) => {
      await sleep(1);
      await shop.publish("order.packed", data);
      span.end();
    }),
  );
  const receipt = await tracer.startActiveSpan("click", async (span) => {
    const published = await shop.publish("order.placed", { id: 1 });
    span.end();
    return published;
  });
  const chain: ReadableSpan[] = [];
  for (const name of ["click", "send order.placed", "process order.placed", "pack", "send order.packed"]) {
    chain.push(await one(name));
  }
  chain.push(await one("process order.packed"));
  for (const [at, span] of chain.slice(1).entries()) assert.ok(isChild(span, chain[at] ?? span), span.name);
  const [, send, process] = chain;
  assert.deepStrictEqual([send?.kind, process?.kind], [SpanKind.PRODUCER, SpanKind.CONSUMER]);
  const expected = {
    "messaging.system": "tieline",
    "messaging.destination.name": "order.placed",
    "messaging.message.id": receipt.id,
    "messaging.message.conversation_id": receipt.correlationId,
  };
  for (const [span, operation] of [
    [send, "send"],
    [process, "process"],
  ] as const) {
    const { "messaging.message.body.size": _, ...attributes } = span?.attributes ?? {};
    const named = { "messaging.operation.name": operation, "messaging.operation.type": operation };
    assert.deepStrictEqual(attributes, { ...expected, ...named });
  }
});

everywhere("a call is a client and a server, and errors are recorded on both sides", async (shop) => {
  void shop.subscribe<number[]>("sum", (data) => data.reduce((sum, n) => sum + n, 0));
  void shop.subscribe("order.find", () => {
    throw new RangeError("no such order");
  });
  assert.equal(await shop.publishAndWait("sum", [1, 2]), 3);
  const [client, server] = [await one("send sum"), await one("process sum")];
  assert.deepStrictEqual([client.kind, server.kind], [SpanKind.CLIENT, SpanKind.SERVER]);
  assert.ok(isChild(server, client));
  assert.equal(server.status.code, SpanStatusCode.UNSET);
  await failure(shop.publishAndWait("order.find"));
  for (const [name, type] of [
    ["send order.find", "HANDLER_ERROR"],
    ["process order.find", "RangeError"],
  ] as const) {
    const span = await one(name);
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.equal(span.attributes["error.type"], type);
    assert.deepStrictEqual(
      span.events.map((event) => event.name),
      ["exception"],
    );
  }
});

everywhere("a traceparent that was given travels as it is", async (shop) => {
  const seen: unknown[] = [];
  void shop.subscribe("order.placed", (_, event) => void seen.push({ ...event.headers }));
  await shop.publish("order.placed", 1, { headers: { traceparent: GIVEN, own: "x" } });
  for (const name of ["send order.placed", "process order.placed"]) {
    const { parentSpanContext: parent } = await one(name);
    assert.equal(`00-${parent?.traceId}-${parent?.spanId}-01`, GIVEN);
  }
  assert.deepStrictEqual(seen, [{ traceparent: GIVEN, own: "x" }]);
});

everywhere("a stream is a span until its end on both sides, also where it is left early", async (shop) => {
  void shop.subscribe<number>("count", async function* count(data) {
    for (let n = 0; n < data; n++) {
      await sleep(1);
      tracer.startSpan("step").end();
      yield n;
    }
  });
  const items: unknown[] = [];
  for await (const item of shop.publishAndStream("count", 3)) {
    assert.deepStrictEqual(named("send count"), []);
    items.push(item);
  }
  assert.deepStrictEqual(items, [0, 1, 2]);
  const [client, server] = [await one("send count"), await one("process count")];
  assert.ok(isChild(server, client));
  assert.deepStrictEqual(
    named("step").map((span) => isChild(span, server)),
    [true, true, true],
  );
  exporter.reset();
  for await (const _ of shop.publishAndStream("count", 1_000_000)) break;
  await one("send count");
  await one("process count");
});

test("a batch is linked to all who published", async () => {
  const broker = new Broker({ realTime: true });
  const shop = broker.system("shop", { middleware });
  const take = async (data: unknown[]) => {
    await sleep(1);
    await shop.publish("order.counted", data.length);
  };
  void shop.subscribe("order.placed", take, { batch: { size: 3, ms: 5000 } });
  for (const n of [1, 2, 3]) await shop.publish("order.placed", n);
  const span = await one("process order.placed");
  const linked = span.links.map((link) => link.context.spanId);
  assert.deepStrictEqual(
    linked.sort(),
    named("send order.placed")
      .map((send) => send.spanContext().spanId)
      .sort(),
  );
  assert.equal(span.attributes["messaging.batch.message_count"], 3);
  assert.equal(span.parentSpanContext, undefined);
  assert.ok(isChild(await one("send order.counted"), span));
  await broker.close();
});

test("one question to many is one trace", async () => {
  const broker = new Broker({ realTime: true });
  const systems = ["a", "b", "c"].map((name) => broker.system(name, { middleware }));
  for (const system of systems) void system.subscribe("price", () => 1);
  const gathered = await systems[0]?.publishAndGather("price");
  assert.equal(gathered?.values.length, 3);
  const client = await one("send price");
  assert.deepStrictEqual(
    named("process price").map((span) => isChild(span, client)),
    [true, true, true],
  );
  await broker.close();
});

test("a running system can be instrumented, and headers that do not fit are left out", async () => {
  const events = new EventSystem("memory://");
  const seen: string[][] = [];
  void events.subscribe("order.placed", (_, { headers }: Event) => void seen.push(Object.keys(headers).sort()));
  await events.publish("order.placed", 1, { waitLocal: true });
  instrument(events, { tracerProvider });
  await events.publish("order.placed", 1, { waitLocal: true });
  assert.deepStrictEqual([named("send order.placed").length, named("process order.placed").length], [1, 1]);
  const many = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`h${n}`, ""]));
  await events.publish("order.placed", 1, { waitLocal: true, headers: many });
  assert.deepStrictEqual([seen[0], seen[1], seen[2]?.includes("traceparent")], [[], ["traceparent"], false]);
  await events.close();
});

test("where nobody keeps the context, and where nobody makes spans, the trace goes on", async () => {
  context.disable();
  try {
    for (const chain of [middleware, [tracing({ tracerProvider: trace.getTracerProvider() })]]) {
      const events = new EventSystem({ url: "memory://", middleware: chain });
      const seen: string[] = [];
      void events.subscribe("order.packed", (_, { headers }) => void seen.push(headers.traceparent ?? ""));
      void events.subscribe("order.placed", async () => {
        await sleep(1);
        await events.publish("order.packed", 1, { waitLocal: true });
      });
      await events.publish("order.placed", 1, { headers: { traceparent: GIVEN }, waitLocal: true });
      assert.equal(seen[0]?.slice(0, 35), GIVEN.slice(0, 35));
      await events.close();
    }
  } finally {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  }
});
