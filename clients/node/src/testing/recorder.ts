import { AssertionError } from "node:assert";
import { isDeepStrictEqual } from "node:util";
import { Stream } from "../calls/stream.js";
import { decode, encode } from "../codec.js";
import { TielineError } from "../errors.js";
import type { Message, Middleware, PublishNext } from "../middleware.js";
import { checkPattern, checkTopic, matches } from "../topics.js";
import { disordered, shown, unmet, waited } from "./report.js";

const UNSENT = new Set(["CANCELLED", "UNAVAILABLE"]);
const REFUSED = new Set(["INVALID_ARGUMENT", "INVALID_PAYLOAD", "INVALID_TOPIC", "LOOP_DETECTED", "PAYLOAD_TOO_LARGE"]);

/** One publish or request: its topic, its payload as subscribers get it, its headers. */
export interface Recorded {
  readonly kind: "event" | "request";
  readonly topic: string;
  readonly data: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

/** What an assertion expects. */
export interface Expected {
  /** Exactly so often; at least once unless given. */
  times?: number;
  /** Headers it has, perhaps among others. */
  headers?: Readonly<Record<string, string>>;
}

/** How long, and for how much, one waits. */
export interface WaitOptions {
  /** So many at least; 1 unless given. */
  times?: number;
  /** Real milliseconds, whatever the clock of the test says; 5,000 unless given. */
  timeout?: number;
}

/**
 * What was published and requested, in order, and assertions about it. It listens to a test's systems; or to one over a
 * real broker: `new EventSystem(url, { middleware: [recorder] })`.
 *
 * A recorder is the innermost middleware of the systems it listens to: so it is told everything before the first handler
 * has it, whether it is handled in the process, elsewhere or nowhere, and the order is that of the program. An observer's
 * subscription would be told of an event after the handlers of the same process, and of what it causes before the cause;
 * a wrapper round the transport would not be told of what never leaves the process.
 */
export class Recorder implements Middleware {
  /** Everything, in order. What was refused at the door, or never left, is not in it. */
  records: Recorded[] = [];
  readonly #waiting = new Set<() => void>();

  /** See `Middleware.publish`. */
  async publish(message: Message, next: PublishNext): Promise<unknown> {
    const record = recordOf(message);
    if (record === undefined) return next(message);
    this.records.push(record);
    for (const look of [...this.#waiting]) look();
    const failed = (error: unknown): never => {
      if (neverLeft(record, error)) this.records = this.records.filter((other) => other !== record);
      throw error;
    };
    const result = await next(message).catch(failed);
    return result instanceof Stream ? watched(result, failed) : result;
  }

  /** Forgets what was recorded. */
  clear(): void {
    this.records = [];
  }

  // --- what was recorded ---------------------------------------------------------------------------------------------

  /** The events of a topic or pattern, in order. */
  published(topic = ">"): Recorded[] {
    return this.#matching(topic).filter((record) => record.kind === "event");
  }

  /** The requests of a topic or pattern, in order: calls, streams and gathers. */
  requested(topic = ">"): Recorded[] {
    return this.#matching(topic).filter((record) => record.kind === "request");
  }

  /**
   * Resolves to what was published or requested on a topic or pattern, as soon as there is so much of it.
   * Rejects with AssertionError when the time is up; the message tells what there was.
   */
  waitFor(topic: string, { times = 1, timeout = 5000 }: WaitOptions = {}): Promise<Recorded[]> {
    checkPattern(topic);
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.#matching(topic);
        if (found.length < times) return;
        end();
        resolve(found);
      };
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        end();
        reject(new AssertionError({ message: waited(topic, times, timeout, this.records) }));
      }, timeout);
      this.#waiting.add(look);
      look();
    });
  }

  // --- assertions ----------------------------------------------------------------------------------------------------

  /**
   * Fails unless an event was published so: on this topic or pattern, with this payload (a value, as it was given or as
   * subscribers get it, or a function that is true for it; any unless given).
   */
  assertPublished(topic: string, data?: unknown, expected: Expected = {}): void {
    this.#expect("event", topic, data, expected);
  }

  /** Fails unless a request was made so; see `assertPublished`. */
  assertRequested(topic: string, data?: unknown, expected: Expected = {}): void {
    this.#expect("request", topic, data, expected);
  }

  /** Fails if an event was published so. */
  assertNotPublished(topic = ">", data?: unknown): void {
    this.#expect("event", topic, data, { times: 0 });
  }

  /** Fails if a request was made so. */
  assertNotRequested(topic = ">", data?: unknown): void {
    this.#expect("request", topic, data, { times: 0 });
  }

  /** Fails unless events or requests of these topics or patterns came in this order, perhaps among others. */
  assertOrder(...expected: string[]): void {
    let at = 0;
    for (const record of this.records) {
      const wanted = expected[at];
      if (wanted !== undefined && matches(wanted, record.topic)) at += 1;
    }
    if (at < expected.length) throw new AssertionError({ message: disordered(expected, at, this.records) });
  }

  #expect(kind: Recorded["kind"], topic: string, data: unknown, { times, headers }: Expected): void {
    const there = this.#matching(topic).filter((record) => record.kind === kind);
    const count = there.filter((record) => fits(record, data, headers)).length;
    if (times === undefined ? count > 0 : count === times) return;
    const wanted = { kind, topic, data: data === undefined ? "" : shown(data), times, headers };
    throw new AssertionError({ message: unmet(wanted, count, there, this.records) });
  }

  #matching(topic: string): Recorded[] {
    checkPattern(topic);
    return this.records.filter((record) => matches(topic, record.topic));
  }
}

/** What is about to be published; nothing if its topic will be refused. */
function recordOf({ topic, data, headers, isRequest }: Message): Recorded | undefined {
  try {
    checkTopic(topic);
  } catch {
    return undefined;
  }
  return { kind: isRequest ? "request" : "event", topic, data: asReceived(data), headers: { ...headers } };
}

/** What a subscriber gets; the value itself where it cannot travel as MessagePack. */
function asReceived(data: unknown): unknown {
  try {
    return decode(encode(data, ""), "");
  } catch (error) {
    if (error instanceof TielineError) return data;
    throw error;
  }
}

function neverLeft(record: Recorded, error: unknown): boolean {
  if (!(error instanceof TielineError) || error.fromWire || error.outcome !== "NOT_DELIVERED") return false;
  return record.kind === "event" || REFUSED.has(error.code) || UNSENT.has(error.code);
}

/** A stream whose failure is heard: its request is made with the first item that is asked for. */
function watched(stream: Stream, failed: (error: unknown) => never): AsyncIterableIterator<unknown> & AsyncDisposable {
  return {
    next: () => stream.next().catch(failed),
    return: (value) => stream.return(value),
    throw: (error) => stream.throw(error),
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

function fits(record: Recorded, data: unknown, headers: Readonly<Record<string, string>> | undefined): boolean {
  for (const [name, value] of Object.entries(headers ?? {})) if (record.headers[name] !== value) return false;
  if (data === undefined) return true;
  if (typeof data === "function") return Boolean(data(record.data));
  return isDeepStrictEqual(data, record.data) || isDeepStrictEqual(asReceived(data), record.data);
}
