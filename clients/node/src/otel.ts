import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import { currentEvent, type Event } from "./context.js";
import { CallCancelledError, ExpiredError, NoRespondersError } from "./errors.js";
import type { EventSystem } from "./events.js";
import type { HandleNext, Message, Middleware, PublishNext } from "./middleware.js";
import type { Receipt } from "./publisher.js";
import { describe } from "./thrown.js";
import { fits, isTraceparent, TRACEPARENT, TRACESTATE } from "./tracing.js";
import { CLIENT } from "./version.js";

/** How spans are made. */
export interface TracingOptions {
  /** Makes the spans; the process's own unless given. */
  tracerProvider?: TracerProvider;
}

type Headers = Record<string, string>;

/**
 * Has an event system make spans of OpenTelemetry from now on, inside of the middleware it has; instrument it once. Names and
 * attributes are those of its conventions for messaging. The trace travels in the headers `traceparent` and `tracestate`,
 * across languages, beside whatever the process's propagators add.
 */
export function instrument(events: EventSystem, options: TracingOptions = {}): void {
  events.use(tracing(options));
}

/** Middleware that makes spans: `new EventSystem({ middleware: [tracing()] })`. */
export function tracing({ tracerProvider = trace.getTracerProvider() }: TracingOptions = {}): Middleware {
  return new Tracing(tracerProvider.getTracer("tieline", CLIENT.split("/")[1]));
}

/** `send` for what goes out, a CLIENT's if it waits for a reply; `process` for what is handled. */
class Tracing implements Middleware {
  readonly #tracer: Tracer;

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
  }

  /** See `Middleware.publish`. A `traceparent` that was given is the span's parent, and travels as it is. */
  async publish(message: Message, next: PublishNext): Promise<unknown> {
    const isGiven = message.headers[TRACEPARENT] !== undefined;
    const parent = isGiven ? extracted(message.headers, context.active()) : active();
    const kind = message.isRequest ? SpanKind.CLIENT : SpanKind.PRODUCER;
    const span = this.#tracer.startSpan(
      `send ${message.topic}`,
      { kind, attributes: attributesOf("send", message.topic) },
      parent,
    );
    const own = trace.setSpan(parent, span);
    if (!isGiven) inject(own, message.headers);
    return running(own, span, async () => {
      const result = await next(message);
      if (!message.isRequest && isReceipt(result)) span.setAttributes(identity(result));
      return result;
    });
  }

  /** See `Middleware.handle`. The span of a durable event is also linked to that of its publisher. */
  async handle(event: Event, next: HandleNext): Promise<unknown> {
    const { topic, delivery } = event;
    const attributes: Attributes = {
      ...attributesOf("process", topic),
      ...identity(event),
      "messaging.message.body.size": event.envelope.data.length,
    };
    if (delivery !== undefined) {
      attributes["messaging.consumer.group.name"] = delivery.group;
      attributes["tieline.attempt"] = delivery.attempt;
    }
    const kind = event.isRequest ? SpanKind.SERVER : SpanKind.CONSUMER;
    const links = delivery === undefined ? [] : linksTo([event]);
    const parent = extracted(event.headers);
    const span = this.#tracer.startSpan(`process ${topic}`, { kind, attributes, links }, parent);
    return running(trace.setSpan(parent, span), span, next, event);
  }

  /** See `Middleware.handleBatch`. The span is linked to those of all publishers. */
  async handleBatch(events: readonly Event[], next: HandleNext): Promise<unknown> {
    const topics = new Set(events.map(({ topic }) => topic));
    const topic = topics.size === 1 ? ([...topics][0] ?? "") : "";
    const attributes = { ...attributesOf("process", topic), "messaging.batch.message_count": events.length };
    const options = { kind: SpanKind.CONSUMER, attributes, links: linksTo(events) };
    const span = this.#tracer.startSpan(`process ${topic}`.trimEnd(), options, ROOT_CONTEXT);
    return running(trace.setSpan(ROOT_CONTEXT, span), span, next);
  }
}

/** Runs something inside of a span, which ends with it, or with the stream that it resolves to. */
async function running(within: Context, span: Span, run: () => Promise<unknown>, event?: Event): Promise<unknown> {
  let result: unknown;
  try {
    result = await context.with(within, run);
  } catch (error) {
    const isRefusal = error instanceof NoRespondersError || error instanceof ExpiredError;
    if (event === undefined || event.isRequest || !isRefusal) record(span, error);
    span.end();
    throw error;
  }
  const steps = stepsOf(result);
  if (steps !== undefined) return new Items(within, span, steps);
  if (event?.cancelled) record(span, event.signal.reason);
  span.end();
  return result;
}

type Steps = AsyncIterator<unknown> | Iterator<unknown>;

/** The steps of what is streamed; undefined for anything else. */
function stepsOf(result: unknown): Steps | undefined {
  if (typeof result !== "object" || result === null) return undefined;
  if (Symbol.asyncIterator in result) return (result as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  const isGenerator = Object.prototype.toString.call(result) === "[object Generator]";
  return isGenerator ? (result as Generator) : undefined;
}

/** What is streamed, read inside of a span that ends with it. */
class Items implements AsyncIterableIterator<unknown> {
  readonly #within: Context;
  readonly #span: Span;
  readonly #steps: Steps;
  #over = false;

  constructor(within: Context, span: Span, steps: Steps) {
    this.#within = within;
    this.#span = span;
    this.#steps = steps;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const step = await context.with(this.#within, () => this.#steps.next());
      if (step.done) this.#end();
      return step;
    } catch (error) {
      if (!this.#over) record(this.#span, error);
      this.#end();
      throw error;
    }
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    try {
      await context.with(this.#within, () => this.#steps.return?.(value));
    } finally {
      this.#end();
    }
    return { done: true, value };
  }

  #end(): void {
    if (!this.#over) this.#span.end();
    this.#over = true;
  }
}

function attributesOf(operation: string, topic: string): Attributes {
  return {
    "messaging.system": "tieline",
    "messaging.operation.name": operation,
    "messaging.operation.type": operation,
    ...(topic === "" ? {} : { "messaging.destination.name": topic }),
  };
}

function isReceipt(result: unknown): result is Receipt {
  return typeof result === "object" && result !== null && "id" in result && "correlationId" in result;
}

function identity({ id, correlationId }: { id: string; correlationId: string }): Attributes {
  return { "messaging.message.id": id, "messaging.message.conversation_id": correlationId };
}

function record(span: Span, error: unknown): void {
  if (error instanceof CallCancelledError || (error instanceof Error && error.name === "AbortError")) {
    span.setAttribute("error.type", "CANCELLED").setStatus({ code: SpanStatusCode.ERROR, message: "cancelled" });
    return;
  }
  const { message, type, ours } = describe(error);
  span.recordException(error instanceof Error ? error : { name: String(type), message });
  span.setAttribute("error.type", ours?.code ?? String(type)).setStatus({ code: SpanStatusCode.ERROR, message });
}

/** The active context; in a handler where nobody keeps one, that of the event it handles. */
function active(): Context {
  const here = context.active();
  const event = currentEvent();
  return event === undefined || trace.getSpan(here) !== undefined ? here : extracted(event.headers, here);
}

/** The context that travelled; nothing of this process, so that a local handler has the same as one elsewhere. */
function extracted(headers: Readonly<Headers>, onto: Context = ROOT_CONTEXT): Context {
  const found = propagation.extract(onto, headers);
  const { traceparent = "", tracestate } = headers;
  if (trace.getSpanContext(found) !== trace.getSpanContext(onto) || !isTraceparent(traceparent)) return found;
  const [, traceId = "", spanId = "", flags = "0"] = traceparent.split("-");
  const traceState = tracestate === undefined ? undefined : createTraceState(tracestate);
  const traceFlags = Number.parseInt(flags, 16) & 1;
  return trace.setSpanContext(found, {
    traceId,
    spanId,
    traceFlags,
    isRemote: true,
    ...(traceState === undefined ? {} : { traceState }),
  });
}

function linksTo(events: readonly Event[]): Link[] {
  return events.flatMap(({ headers }) => {
    const found = trace.getSpanContext(extracted(headers));
    return found !== undefined && trace.isSpanContextValid(found) ? [{ context: found }] : [];
  });
}

/** Adds a context to the headers, as far as it fits; what the publisher gave stays. */
function inject(within: Context, headers: Headers): void {
  const carrier: Headers = {};
  propagation.inject(within, carrier);
  const found = trace.getSpanContext(within);
  if (carrier[TRACEPARENT] === undefined && found !== undefined && trace.isSpanContextValid(found)) {
    const flags = (found.traceFlags & 0xff).toString(16).padStart(2, "0");
    carrier[TRACEPARENT] = `00-${found.traceId}-${found.spanId}-${flags}`;
    const state = found.traceState?.serialize();
    if (state) carrier[TRACESTATE] = state;
  }
  const isOfTrace = (name: string) => name === TRACEPARENT || name === TRACESTATE;
  for (const names of [Object.keys(carrier), Object.keys(carrier).filter(isOfTrace)]) {
    const added = Object.fromEntries(names.map((name) => [name, carrier[name] ?? ""]));
    if (fits({ ...added, ...headers })) {
      for (const [name, value] of Object.entries(added)) headers[name] ??= value;
      return;
    }
  }
}
