import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "./clock.js";
import { decode, MSGPACK } from "./codec.js";
import type { DurableDelivery } from "./durable/delivery.js";
import { type Envelope, REQUEST } from "./envelope.js";
import type { TielineError } from "./errors.js";
import { newId } from "./identity.js";

/** An event or request, as its handler sees it. */
export class Event {
  /** What travelled. It belongs to everyone who got it: read it, do not change it. */
  readonly envelope: Envelope;
  /** The broker's; a handler that sleeps by it, `await event.clock.sleep(5_000)`, can be hurried in a test. */
  readonly clock: Clock;
  /** What the handler of a durable event may say of it; undefined for a live one. */
  delivery: DurableDelivery | undefined;
  #controller: AbortController | undefined;
  #reason: TielineError | undefined;
  #dependents: Set<(reason: TielineError) => void> | undefined;
  #data: unknown;
  #decoded = false;

  constructor(envelope: Envelope, clock: Clock) {
    this.envelope = envelope;
    this.clock = clock;
  }

  /** Concrete topic it was published on. */
  get topic(): string {
    return this.envelope.topic;
  }

  /** UUIDv7 text. */
  get id(): string {
    if (this.envelope.id === "") this.envelope.id = newId();
    return this.envelope.id;
  }

  /** Whether somebody waits for the reply. */
  get isRequest(): boolean {
    return this.envelope.kind === REQUEST;
  }

  /** `service/instance` of the publisher. */
  get source(): string {
    return this.envelope.source;
  }

  /** Names the chain of everything one act caused. */
  get correlationId(): string {
    return this.envelope.correlationId || this.id;
  }

  /** Id of the event whose handler published this one; empty at the root. */
  get causationId(): string {
    return this.envelope.causationId;
  }

  /** The publisher's headers. */
  get headers(): Readonly<Record<string, string>> {
    return Object.freeze(this.envelope.headers);
  }

  /** Media type of the payload as it travelled. */
  get contentType(): string {
    return this.envelope.contentType || MSGPACK;
  }

  /** Version of the payload's schema, as the publisher said it. */
  get schemaVersion(): string {
    return this.envelope.schemaVersion;
  }

  /** Ordering key; empty for none. */
  get key(): string {
    return this.envelope.key;
  }

  /** 1 low, 5 normal, 8 high, 10 critical. */
  get priority(): number {
    return this.envelope.priority || 5;
  }

  /** How many handlers led here. */
  get hops(): number {
    return this.envelope.hops;
  }

  /** When it was published, by the broker's clock. */
  get time(): Date {
    return new Date(this.envelope.time);
  }

  /** When it was planned to be published, by the broker's clock; undefined if it was published at once. */
  get scheduled(): Date | undefined {
    return this.envelope.scheduled === 0 ? undefined : new Date(this.envelope.scheduled);
  }

  /** Id of the replay that delivers it again; empty otherwise. */
  get replay(): string {
    return this.envelope.replay;
  }

  /** When it expires, by the broker's clock; undefined for never. */
  get expiresAt(): Date | undefined {
    return this.envelope.expiresAt === 0 ? undefined : new Date(this.envelope.expiresAt);
  }

  /** The payload, decoded. Throws InvalidPayloadError if it cannot be read. */
  get data(): unknown {
    if (!this.#decoded) this.setData(decode(this.envelope.data, this.envelope.contentType));
    return this.#data;
  }

  /** Aborted when the caller gave up or the request expired; its reason is a TielineError. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== undefined && !this.#controller.signal.aborted) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Whether nobody waits for the handler any more. */
  get cancelled(): boolean {
    return this.#reason !== undefined;
  }

  /** Whether the caller reads a stream of replies. */
  get streams(): boolean {
    return this.envelope.stream !== undefined;
  }

  /** Whether it is too late to begin handling it. */
  get expired(): boolean {
    return this.envelope.expiresAt > 0 && this.envelope.expiresAt <= this.clock.now();
  }

  /** Milliseconds until it expires; Infinity for never, negative when it has. What streams does not expire. */
  remaining(): number {
    if (this.envelope.expiresAt === 0 || this.streams) return Infinity;
    return this.envelope.expiresAt - this.clock.now();
  }

  /** Replaces the payload that filters and the handler will see. */
  setData(data: unknown): void {
    this.#data = data;
    this.#decoded = true;
  }

  /** Tells the handler, and what it waits for, that nobody waits for it any more. */
  cancel(reason: TielineError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    for (const tell of this.#dependents ?? []) tell(reason);
    this.#dependents = undefined;
  }

  /** Has something told when nobody waits for the handler any more; returns how to take that back. */
  onCancel(tell: (reason: TielineError) => void): () => void {
    this.#dependents ??= new Set();
    const dependents = this.#dependents;
    dependents.add(tell);
    return () => dependents.delete(tell);
  }
}

/** The event that is being handled, in the handler and all it calls. */
export const CURRENT = new AsyncLocalStorage<Event>();

/** The event that the running handler handles; undefined outside handlers. */
export function currentEvent(): Event | undefined {
  return CURRENT.getStore();
}
