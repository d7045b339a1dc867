// Handlers that do what a case says, and tell the runner of it.
import { isDeepStrictEqual } from "node:util";
import { type DurableDelivery, ERROR_CLASSES, type Event, type Handler } from "tieline";
import { answer, failure } from "./answers.js";
import {
  type Action,
  type Answer,
  type Call,
  type Facts,
  type Filter,
  How,
  type Nack,
  type Publish,
  type Raise,
  type Report,
  type Stream,
  Streaming,
  type Subscribe,
  type Upcaster,
} from "./contract/peer.js";
import type { Value } from "./contract/value.js";
import { fromNative, toNative } from "./values.js";

/** What a handler publishes, calls or reads. */
export type Sent =
  | { $case: "publish"; value: Publish }
  | { $case: "call"; value: Call }
  | { $case: "stream"; value: Stream };
/** What a handler says of a stored event. */
type Settling = Extract<NonNullable<Action["do"]>, { $case: "ack" | "nack" | "reject" | "extend" }>;
/** Sends it; resolves to what the program gets and what the runner is told. */
export type Do = (sent: Sent) => Promise<[unknown, Answer]>;
/** Sends a report. */
export type Tell = (report: NonNullable<Report["report"]>) => void;

let runs = 0;

/** An exception of the program's own. */
class ShopIsClosedError extends Error {
  override readonly name = "ShopIsClosedError";
  declare details?: unknown;

  constructor(message: string, details: unknown) {
    super(message);
    if (details !== undefined) this.details = details;
  }
}

/** Lets one through for each time it is opened, in the order of their coming. */
class Gate {
  #open = 0;
  readonly #waiting: (() => void)[] = [];

  open(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#open++;
    else next();
  }

  pass(signal?: AbortSignal): Promise<void> {
    if (this.#open > 0) {
      this.#open--;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve);
      signal?.addEventListener("abort", () => {
        const at = this.#waiting.indexOf(resolve);
        if (at >= 0) this.#waiting.splice(at, 1);
        reject(signal.reason);
      });
    });
  }
}

/** The handler of one subscription. */
export class Handling {
  readonly gate = new Gate();
  readonly #wanted: Subscribe;
  readonly #do: Do;
  readonly #tell: Tell;
  #raised = 0;
  #nacked = 0;

  constructor(wanted: Subscribe, send: Do, tell: Tell) {
    this.#wanted = wanted;
    this.#do = send;
    this.#tell = tell;
  }

  /** What to subscribe. */
  get function(): Handler {
    const handling = this;
    switch (this.#wanted.streaming) {
      case Streaming.STREAMING_GENERATOR:
        return async function* handler(data, event) {
          yield* handling.#generate(data, event);
        };
      case Streaming.STREAMING_RETURNED:
        return (data, event) => handling.#generate(data, event);
      case Streaming.STREAMING_SYNCHRONOUS:
        return function* handler(data, event) {
          yield* handling.#generateSynchronously(data, event);
        };
      default:
        return (data, event) => handling.#handle(data, event);
    }
  }

  async #handle(data: unknown, event: Event): Promise<unknown> {
    const run = this.#begin(data, event);
    try {
      let result: unknown;
      for (const action of this.#wanted.handler) result = await this.#one(action, run, data, event, result);
      this.#end(run, How.HOW_RETURNED);
      return result;
    } catch (error) {
      this.#end(run, event.cancelled ? How.HOW_CANCELLED : How.HOW_RAISED);
      throw error;
    }
  }

  async *#generate(data: unknown, event: Event): AsyncGenerator<unknown> {
    const run = this.#begin(data, event);
    let how = How.HOW_CANCELLED; // unless it goes on after its last item, or throws
    let count = 0;
    try {
      let result: unknown;
      for (const action of this.#wanted.handler) {
        for (const item of items(action, result)) {
          count++;
          yield item;
        }
        result = await this.#one(action, run, data, event, result);
      }
      how = How.HOW_RETURNED;
    } catch (error) {
      if (!event.cancelled) how = How.HOW_RAISED;
      throw error;
    } finally {
      this.#end(run, how, count);
    }
  }

  *#generateSynchronously(data: unknown, event: Event): Generator<unknown> {
    const run = this.#begin(data, event);
    let how = How.HOW_CANCELLED;
    let count = 0;
    try {
      for (const action of this.#wanted.handler) {
        for (const item of items(action, data)) {
          count++;
          yield item;
        }
        if (action.do?.$case === "raise") this.#raise(action.do.value);
      }
      how = How.HOW_RETURNED;
    } catch (error) {
      how = How.HOW_RAISED;
      throw error;
    } finally {
      this.#end(run, how, count);
    }
  }

  /** Says that it begins. */
  #begin(data: unknown, event: Event): number {
    const run = ++runs;
    const values = (this.#wanted.batch === undefined ? [data] : (data as unknown[])).map((value) => fromNative(value));
    const subscription = this.#wanted.id;
    this.#tell({ $case: "delivered", value: { run, subscription, values, facts: facts(event), at: now() } });
    return run;
  }

  /** Says how it ended. */
  #end(run: number, how: How, count = 0): void {
    this.#tell({ $case: "ended", value: { run, subscription: this.#wanted.id, how, items: count, at: now() } });
  }

  #raise(wanted: Raise): void {
    if (wanted.runs > 0 && this.#raised >= wanted.runs) return;
    this.#raised++;
    throw errorOf(wanted);
  }

  async #one(action: Action, run: number, data: unknown, event: Event, result: unknown): Promise<unknown> {
    const { do: wanted, when } = action;
    if (when !== undefined && !isDeepStrictEqual(data, toNative(when))) return result;
    switch (wanted?.$case) {
      case "ack":
      case "nack":
      case "reject":
      case "extend":
        await this.#inner(run, async () => this.#settle(wanted, event));
        return result;
      case "echo":
        return data;
      case "reply":
        return toNative(wanted.value);
      case "raise":
        this.#raise(wanted.value);
        return result;
      case "hold":
        await this.gate.pass(wanted.value.stubborn ? undefined : event.signal);
        return result;
      case "remaining":
        return event.remaining();
      case "publish":
        await this.#inner(run, () => this.#do(wanted));
        return result;
      case "call":
      case "stream":
        return await this.#inner(run, () => this.#do(wanted));
      default:
        return result;
    }
  }

  #settle(wanted: Settling, { delivery }: Event): [undefined, Answer] {
    if (delivery === undefined) throw new TypeError("it is no stored event");
    if (wanted.$case === "nack") this.#nack(wanted.value, delivery);
    else if (wanted.$case === "reject") delivery.reject(wanted.value);
    else delivery[wanted.$case]();
    return [undefined, DONE];
  }

  #nack({ delayMs, runs }: Nack, delivery: DurableDelivery): void {
    if (runs > 0 && this.#nacked >= runs) return;
    this.#nacked++;
    if (delayMs === undefined) delivery.nack();
    else delivery.nack(delayMs);
  }

  async #inner(run: number, done: () => Promise<[unknown, Answer]>): Promise<unknown> {
    const subscription = this.#wanted.id;
    try {
      const [result, answered] = await done();
      this.#tell({ $case: "inner", value: { run, subscription, answer: answered } });
      return result;
    } catch (error) {
      this.#tell({ $case: "inner", value: { run, subscription, answer: failure(error) } });
      throw error;
    }
  }
}

/** What an action hands on. */
function* items({ do: wanted }: Action, result: unknown): Generator<unknown> {
  if (wanted?.$case === "item") yield toNative(wanted.value);
  if (wanted?.$case === "numbers") for (let n = 1; n <= wanted.value; n++) yield n;
  if (wanted?.$case === "pass") yield result;
}

/** The upcaster that a case describes. */
export function upcasterOf({ since, to, entry, raises }: Upcaster): [string, string, (data: unknown) => unknown] {
  return [
    since,
    to,
    (data) => {
      if (raises) throw new ShopIsClosedError("the upcaster is broken", undefined);
      return { ...(data as object), ...(entry && { [entry.key]: toNative(entry) }) };
    },
  ];
}

/** The filter that a case describes. */
export function filterOf(wanted: Filter): (data: unknown) => boolean {
  const equal = wanted.equals && toNative(wanted.equals as Value);
  return (data) => {
    if (wanted.raises) throw new ShopIsClosedError("the filter is broken", undefined);
    return isDeepStrictEqual(data, equal);
  };
}

/** Nothing to say but that it is done. */
export const DONE = answer({ $case: "done", value: true });

function errorOf(wanted: Raise): Error {
  const details = wanted.details && (toNative(wanted.details) as Record<string, unknown>);
  if (wanted.code === "") return new ShopIsClosedError(wanted.message, details);
  const Class = ERROR_CLASSES[wanted.code as keyof typeof ERROR_CLASSES];
  return new Class(wanted.message, details === undefined ? {} : { details });
}

function facts(event: Event): Facts {
  const remaining = event.remaining();
  return {
    id: event.id,
    topic: event.topic,
    isRequest: event.isRequest,
    source: event.source,
    correlationId: event.correlationId,
    causationId: event.causationId,
    headers: { ...event.headers },
    contentType: event.contentType,
    schemaVersion: event.schemaVersion,
    key: event.key,
    priority: event.priority,
    hops: event.hops,
    data: Buffer.from(event.envelope.data).toString("hex"),
    remainingMs: remaining === Infinity ? undefined : remaining,
    attempt: event.delivery?.attempt,
    group: event.delivery?.group,
    replay: event.replay,
  };
}

/** Microseconds of the clock that all processes of the machine share. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
