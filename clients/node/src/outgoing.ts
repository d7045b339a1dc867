import type { Clock } from "./clock.js";
import { encode } from "./codec.js";
import { CURRENT, type Event } from "./context.js";
import { LIMIT_HEADERS, LIMIT_HEADERS_BYTES, LIMIT_HOPS, LIMIT_KEY_BYTES } from "./contract/contract.js";
import { type Envelope, newEnvelope, REQUEST } from "./envelope.js";
import { CallTimeoutError, InvalidArgumentError, LoopDetectedError, PayloadTooLargeError } from "./errors.js";
import { newId } from "./identity.js";
import { ANY, check, type Kinds, SIGNAL, shown, TTL, WAIT } from "./options.js";
import { checkPublishable, checkTopic } from "./topics.js";
import { inheritTrace } from "./tracing.js";
import { isText } from "./wellFormed.js";

const CONTROL = /\p{Cc}/u;

/** What every publish and call can say; times in milliseconds. */
export interface MessageOptions {
  /** Until it is no longer worth handling (1 … 86,400,000); 30,000 unless given. */
  ttl?: number;
  /** Text by name; at most 64, 8 KiB in all. */
  headers?: Readonly<Record<string, string>>;
  /** Media type of the payload; MessagePack unless given. A JSON request is answered in JSON. */
  contentType?: string;
  /** Version of the payload's schema. */
  schemaVersion?: string;
  /** Name of the chain; inherited, or the event's own id, unless given. */
  correlationId?: string;
  /** How long it may wait while the broker is away; not at all unless given. */
  waitForConnection?: number;
  /** Gives up when aborted. */
  signal?: AbortSignal;
}

/** What they must be; texts and headers are looked at when the envelope is composed. */
export const MESSAGE_KINDS: Kinds<MessageOptions> = {
  ttl: TTL,
  headers: ANY,
  contentType: ANY,
  schemaVersion: ANY,
  correlationId: ANY,
  waitForConnection: WAIT,
  signal: SIGNAL,
};

/**
 * An envelope: bounds checked, context inherited. Rules: SPEC.md, sections 2 and 6.
 * Throws InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError, LoopDetectedError, or
 * CallTimeoutError if the request being handled has no time left for another call.
 */
export function compose(
  kind: number,
  topic: string,
  data: unknown,
  options: MessageOptions,
  usualTtl: number,
  clock: Clock,
  source: string,
  bySystem = false,
): Envelope {
  if (bySystem) checkTopic(topic);
  else checkPublishable(topic);
  const parent = CURRENT.getStore();
  const now = clock.now();
  const envelope = newEnvelope(kind);
  envelope.id = newId();
  envelope.topic = topic;
  envelope.source = source;
  envelope.time = now;
  envelope.ttlMs = options.ttl === undefined ? usualTtl : checkTtl(options.ttl);
  envelope.contentType = text(options.contentType, "contentType");
  envelope.data = encode(data, envelope.contentType);
  envelope.schemaVersion = text(options.schemaVersion, "schemaVersion");
  envelope.correlationId = text(options.correlationId, "correlationId");
  if (options.headers !== undefined) envelope.headers = checkHeaders(options.headers);
  if (parent !== undefined) inherit(envelope, parent);
  envelope.expiresAt = envelope.ttlMs === 0 ? 0 : now + envelope.ttlMs;
  return envelope;
}

/** Takes over what the handled event hands on: time left, hops, correlation, cause, trace. */
function inherit(envelope: Envelope, parent: Event): void {
  if (envelope.kind === REQUEST && parent.isRequest) envelope.ttlMs = inheritedTtl(parent, envelope);
  envelope.hops = parent.hops + 1;
  if (envelope.hops > LIMIT_HOPS) {
    throw new LoopDetectedError(
      `${parent.hops} handlers led to this publish of "${envelope.topic}": ` +
        "a handler publishes, perhaps indirectly, what it handles",
      { details: { hops: envelope.hops } },
    );
  }
  envelope.causationId = parent.id;
  envelope.correlationId ||= parent.correlationId;
  inheritTrace(envelope.headers, parent.envelope.headers);
}

/** The key, if it can be one. Throws InvalidArgumentError. */
export function checkKey(key: string, name = "idempotencyKey"): string {
  const fits = isText(key) && !CONTROL.test(key) && key !== "" && Buffer.byteLength(key) <= LIMIT_KEY_BYTES;
  if (fits) return key;
  const bounds = `text of 1 to ${LIMIT_KEY_BYTES} bytes without control characters`;
  throw new InvalidArgumentError(`${name} is ${bounds}, not ${shown(key)}`);
}

/** What the request being handled leaves for whatever it causes, in milliseconds; Infinity outside of one. */
export function inheritedTime(): number {
  const parent = CURRENT.getStore();
  return parent?.isRequest ? parent.remaining() : Infinity;
}

function inheritedTtl(parent: Event, envelope: Envelope): number {
  const remaining = parent.remaining();
  if (remaining <= 0) {
    throw new CallTimeoutError(`the request being handled has expired, so "${envelope.topic}" was not called`, {
      outcome: "NOT_DELIVERED",
    });
  }
  return Math.max(1, Math.min(envelope.ttlMs, remaining));
}

/** A time in whole milliseconds. Throws InvalidArgumentError if it is none between 1 ms and 24 h. */
export function checkTtl(ttl: number): number {
  check(ttl, "ttl", TTL);
  return Math.floor(ttl);
}

function text(given: string | undefined, name: string): string {
  if (given === undefined) return "";
  if (isText(given)) return given;
  throw new InvalidArgumentError(`${name} is text, not ${typeof given}`);
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A copy of the headers. Throws InvalidArgumentError if they are no texts, PayloadTooLargeError beyond the bounds. */
export function checkHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  if (!isPlain(headers)) throw new InvalidArgumentError("headers are a plain object of texts");
  const entries = Object.entries(headers);
  let size = 0;
  for (const [name, value] of entries) {
    if (!isText(name) || !isText(value)) throw new InvalidArgumentError(`header "${name}" is not text`);
    size += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  if (entries.length > LIMIT_HEADERS || size > LIMIT_HEADERS_BYTES) {
    const bounds = `at most ${LIMIT_HEADERS}, ${LIMIT_HEADERS_BYTES} bytes in all`;
    throw new PayloadTooLargeError(`${entries.length} headers of ${size} bytes: ${bounds}`);
  }
  return Object.fromEntries(entries);
}
