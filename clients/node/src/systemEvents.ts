import type { Clock, Timer } from "./clock.js";
import { CURRENT, Event } from "./context.js";
import {
  DEFAULT_SYSTEM_EVENT_MS,
  SYSTEM_ERROR,
  SYSTEM_SHUTDOWN,
  SYSTEM_STARTUP,
  SYSTEM_WARNING,
  TOPICS_APART,
} from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { ExpiredError, NoRespondersError, PermissionDeniedError, said, type TielineError } from "./errors.js";
import { harmless } from "./harmless.js";
import type { Log } from "./log.js";
import type { Gap, Port } from "./transport.js";
import { CLIENT } from "./version.js";
import { wellFormed } from "./wellFormed.js";

const MOST_KINDS = 1000;
const MOST_TEXT = 1000;
const ENDS: Readonly<Record<string, string>> = {
  retried: "handler",
  parked: "parked",
  dead_letter: "dead_letter",
  dropped: "skipped",
};

type Payload = Readonly<Record<string, unknown>>;
type Publish = (topic: string, payload: Payload) => Promise<unknown>;
type AnyHandler = (data: never, event: never) => unknown;

/** Whose events they are. */
export interface SystemHouse {
  readonly service: string;
  readonly port: Port | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** A handling of a durable event, and what became of it. */
export interface DurableFailure {
  readonly subscription: string;
  readonly group: string;
  readonly attempt: number;
  /** `retried`, `parked`, `dead_letter` or `dropped`. */
  readonly step: string;
  readonly reason: unknown;
}

/** A kind of event about one topic: when the next one may be told, and what waits for that. */
class Told {
  until = 0;
  leftOut = 0;
  latest: Payload = {};
  cause: Envelope | undefined;
  timer: Timer | undefined;
}

/**
 * What an instance says of itself: `system.startup`, `shutdown`, `error`, `warning` (SPEC.md, section 13). They are told at
 * their best: never waited for, never a reason for anything else to fail, and nothing that concerns a topic of the system
 * itself is told, so that they cannot feed themselves.
 */
export class SystemEvents {
  readonly #house: SystemHouse;
  readonly #told = new Map<string, Told>();
  #publish: Publish | undefined;
  #refused = false;
  #inHandlers = 0;
  #handledAt = -Infinity;

  constructor(house: SystemHouse) {
    this.#house = house;
  }

  /** Has them published; until then, and without this, none are. */
  publishBy(publish: Publish): void {
    this.#publish = publish;
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /** The instance has its place. */
  started(): void {
    this.#refused = false;
    this.#say(SYSTEM_STARTUP, { client: CLIENT });
  }

  /** The instance begins to close; nothing that waits to be told is told any more. */
  stopping(reason: "closed" | "signal", underWay: number): void {
    for (const { timer } of this.#told.values()) timer?.cancel();
    this.#told.clear();
    this.#say(SYSTEM_SHUTDOWN, { reason, under_way: underWay });
  }

  // --- errors --------------------------------------------------------------------------------------------------------

  /** The handler of a live event threw, or the event does not fit it. */
  failed(subscription: string, event: Envelope, error: TielineError): void {
    if (this.#publish === undefined || error instanceof NoRespondersError || error instanceof ExpiredError) return;
    this.#limited(SYSTEM_ERROR, "handler", event.topic, failureOf(subscription, event, error), event);
  }

  /** A durable event was not handled. */
  durableFailed(event: Envelope, error: TielineError, failure: DurableFailure): void {
    const { subscription, group, attempt, step, reason } = failure;
    const isDeliberate = step === "retried" && error.type === "Nacked";
    const kind = ENDS[step];
    if (this.#publish === undefined || isDeliberate || kind === undefined) return;
    const payload: Record<string, unknown> = { ...failureOf(subscription, event, error), group, attempt };
    if (event.key !== "") payload.key = event.key;
    if (step === "dead_letter") payload.reason = reason;
    this.#limited(SYSTEM_ERROR, kind, event.topic, payload, event);
  }

  // --- warnings ------------------------------------------------------------------------------------------------------

  /** An event of a topic found the queue of a subscription full, and another one gave way. */
  slowConsumer(subscription: string, dropped: number, topic: string, event: Envelope | undefined): void {
    this.#limited(SYSTEM_WARNING, "slow_consumer", topic, { topic, subscription, dropped }, event);
  }

  /** A request found no room here. */
  overload(request: Envelope): void {
    this.#limited(SYSTEM_WARNING, "overload", request.topic, { topic: request.topic }, request);
  }

  /** The broker was away. */
  gap({ since, until, reason }: Gap): void {
    const payload = { since: new Date(since), until: new Date(until), reason: wellFormed(reason, MOST_TEXT) };
    this.#limited(SYSTEM_WARNING, "gap", "", payload);
  }

  /** The loop stood still for so many milliseconds; not told if a handler of system events may have done that. */
  loopBlocked(ms: number): void {
    const handled = this.#house.clock.monotonic() - this.#handledAt;
    if (this.#inHandlers > 0 || handled <= ms + DEFAULT_SYSTEM_EVENT_MS) return;
    this.#limited(SYSTEM_WARNING, "loop_blocked", "", { seconds: ms / 1000 });
  }

  /** A handler, noticed when it runs if it is one of system events. */
  noticed<H extends AnyHandler>(topic: string, handler: H): H {
    if (this.#publish === undefined || typeof topic !== "string" || !topic.startsWith(TOPICS_APART)) return handler;
    if (typeof handler !== "function") return handler;
    const watched = async (data: never, event: never): Promise<unknown> => {
      this.#inHandlers += 1;
      try {
        return await handler(data, event);
      } finally {
        this.#inHandlers -= 1;
        this.#handledAt = this.#house.clock.monotonic();
      }
    };
    return Object.defineProperty(watched, "name", { value: handler.name }) as AnyHandler as H;
  }

  // --- publishing ----------------------------------------------------------------------------------------------------

  /** Tells it now; or what came last, with how many were left out, when the pause is over. */
  #limited(topic: string, kind: string, about: string, fields: Payload, cause?: Envelope): void {
    if (this.#publish === undefined || about.startsWith(TOPICS_APART)) return;
    const now = this.#house.clock.monotonic();
    const told = this.#told.get(`${kind} ${about}`) ?? this.#new(`${kind} ${about}`, now);
    if (told === undefined) return;
    const payload = { kind, ...fields };
    if (told.timer === undefined && now >= told.until) {
      told.until = now + DEFAULT_SYSTEM_EVENT_MS;
      return this.#say(topic, { ...payload, left_out: 0 }, cause);
    }
    told.leftOut += 1;
    [told.latest, told.cause] = [payload, cause];
    if (told.timer !== undefined) return;
    told.timer = this.#house.clock.callLater(Math.max(0, told.until - now), () => this.#catchUp(topic, told));
    told.timer.unref();
  }

  #catchUp(topic: string, told: Told): void {
    const { latest, cause, leftOut } = told;
    told.timer = told.cause = undefined;
    told.latest = {};
    told.leftOut = 0;
    told.until = this.#house.clock.monotonic() + DEFAULT_SYSTEM_EVENT_MS;
    this.#say(topic, { ...latest, left_out: leftOut - 1 }, cause);
  }

  #new(name: string, now: number): Told | undefined {
    if (this.#told.size >= MOST_KINDS) {
      for (const [old, { timer, until }] of this.#told) {
        if (timer === undefined && until <= now) this.#told.delete(old);
      }
    }
    if (this.#told.size >= MOST_KINDS) return undefined;
    const told = new Told();
    this.#told.set(name, told);
    return told;
  }

  #say(topic: string, fields: Payload, cause?: Envelope): void {
    const { service, port, clock } = this.#house;
    const publish = this.#publish;
    if (publish === undefined || this.#refused || !port?.connected) return;
    const payload = { ...fields, service, instance: port.instance };
    const send = () => void publish(topic, payload).catch((error) => this.#notSent(topic, error));
    harmless(
      // So hops end what a handler of system events may cause.
      () => (cause === undefined ? CURRENT.exit(send) : CURRENT.run(new Event(cause, clock), send)),
      (error) => this.#notSent(topic, error),
    );
  }

  #notSent(topic: string, error: unknown): void {
    const { log } = this.#house;
    if (error instanceof PermissionDeniedError) {
      this.#refused = true;
      log.info(`the broker does not let this instance publish system events: ${said(error)}`);
    } else {
      log.debug(`"${topic}" was not published: ${error}`);
    }
  }
}

function failureOf(subscription: string, event: Envelope, error: TielineError): Payload {
  const { code, type } = error;
  const message = wellFormed(error.message, MOST_TEXT);
  return { topic: event.topic, id: event.id, subscription, code, type: wellFormed(type), message };
}
