// A service in Node whose spans the test asks for: told(topic) is called, calls Python, and handles what that stores.

import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { EventSystem } from "tieline";
import { instrument } from "tieline/otel";

const { url, topic } = JSON.parse(process.argv[2]);
const require = createRequire(realpathSync(fileURLToPath(import.meta.resolve("tieline"))));
const { context } = require("@opentelemetry/api");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });

const events = new EventSystem(url, { service: "node" });
instrument(events, { tracerProvider });
const ready = [
  events.subscribe(`${topic}.node`, (data) => events.publishAndWait(`${topic}.python`, data)),
  events.subscribe(`${topic}.stored`, () => events.publish(`${topic}.done`), { durable: true }),
  events.subscribe(`${topic}.spans`, () =>
    exporter.getFinishedSpans().map((span) => ({
      name: span.name,
      kind: span.kind,
      trace: span.spanContext().traceId,
      span: span.spanContext().spanId,
      parent: span.parentSpanContext?.spanId ?? "",
      links: span.links.map((link) => link.context.spanId),
    })),
  ),
].map((subscription) => subscription.ready());
await Promise.all(ready);
console.log("READY");
await events.serve();
