import type { Clock } from "../clock.js";
import {
  DEFAULT_DEDUPE_MS,
  DEFAULT_PLAN_ATTEMPTS,
  DEFAULT_PLAN_BACKOFF_CAP_MS,
  DEFAULT_PLAN_BACKOFF_MS,
  LIMIT_PLAN_LONGEST_MS,
  PRIORITY_NORMAL,
} from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { checkRetryPolicy, type RetryPolicy } from "../durable/retryPolicy.js";
import { EVENT, serialize } from "../envelope.js";
import { InvalidArgumentError } from "../errors.js";
import type { Instance } from "../instance.js";
import type { LinkWait } from "../linkWait.js";
import { shown } from "../options.js";
import { compose } from "../outgoing.js";
import type { Receipt } from "../publisher.js";
import type { PublishOptions } from "../publishOptions.js";
import type { Plan, Way } from "./agenda.js";

/** A planned event does not expire unless it is told to. */
const NEVER = 0;

/** How often a planned event that is to be stored is tried if it finds no room. */
const DEFAULT_RETRY: Required<RetryPolicy> = checkRetryPolicy({
  maxAttempts: DEFAULT_PLAN_ATTEMPTS,
  backoff: DEFAULT_PLAN_BACKOFF_MS,
  cap: DEFAULT_PLAN_BACKOFF_CAP_MS,
  jitter: false,
});

/** Years 2001 to 5138 told in seconds; in milliseconds nobody means them: they are 1970 to 1973. */
const SECONDS_FROM = 1e9;
const SECONDS_TO = 1e11;

/** When an event is to be published: milliseconds from now, or a moment; exactly one of them. */
export interface When {
  /** Milliseconds from now, up to ten years. */
  readonly delay?: number | null;
  /** A moment: a Date, or milliseconds since 1970. */
  readonly at?: Date | number | null;
}

/** Whether it says when; null says nothing. */
export function saysWhen({ delay, at }: When): boolean {
  return (delay ?? undefined) !== undefined || (at ?? undefined) !== undefined;
}

/**
 * The moment that is meant (ms since 1970, broker clock), which may have passed. Throws InvalidArgumentError: it is none,
 * or too far ahead.
 */
export function dueOf(when: When, now: number): number {
  const { delay, at } = when;
  const isMoment = (at ?? undefined) !== undefined;
  if ((delay ?? undefined) !== undefined && isMoment) {
    throw new InvalidArgumentError("delay and at are two ways to say when: give one of them");
  }
  if (!saysWhen(when)) throw new InvalidArgumentError("say when: delay or at");
  if (!isMoment) return now + Math.ceil(checkDelay(delay));
  const due = Math.ceil(at instanceof Date ? at.getTime() : typeof at === "number" ? at : Number.NaN);
  if (!Number.isSafeInteger(due)) {
    throw new InvalidArgumentError(`at is a Date, or milliseconds since 1970, not ${shown(at)}`);
  }
  if (typeof at === "number" && at >= SECONDS_FROM && at < SECONDS_TO) {
    throw new InvalidArgumentError(`at is in milliseconds since 1970; ${at} looks like seconds: multiply by 1000`);
  }
  if (due - now > LIMIT_PLAN_LONGEST_MS) {
    throw new InvalidArgumentError(`at is ${saidMoment(due)}, more than ten years ahead`);
  }
  return due;
}

function checkDelay(delay: unknown): number {
  if (typeof delay === "number" && delay >= 0 && delay <= LIMIT_PLAN_LONGEST_MS) return delay;
  const bounds = `in milliseconds, from 0 to ${LIMIT_PLAN_LONGEST_MS} (ten years)`;
  throw new InvalidArgumentError(`delay is ${bounds}, not ${shown(delay)}`);
}

function saidMoment(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}

/** Has an event be one of the moment at which it is published (ms since 1970); its TTL (ms) begins then. */
export function putOff(event: Envelope, due: number, ttlMs: number): void {
  event.time = event.scheduled = due;
  event.ttlMs = ttlMs;
  event.expiresAt = ttlMs === 0 ? 0 : due + ttlMs;
}

/** Plans events for one instance, without middleware. */
export class Planner {
  readonly #instance: Instance;
  readonly #linkWait: LinkWait;

  constructor(instance: Instance, linkWait: LinkWait) {
    this.#instance = instance;
    this.#linkWait = linkWait;
  }

  /** See `EventSystem.publish`: with `delay` or `at`. */
  async plan(topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    const retry = options.retry === undefined ? DEFAULT_RETRY : checkRetryPolicy(options.retry);
    if (options.retry !== undefined && wayOf(options) === "live") {
      throw new InvalidArgumentError(
        "retry is for a planned event that is to be stored, and may find no room: add key or durable: true",
      );
    }
    dueOf(options, this.#instance.clock.now()); // what cannot be meant is told before anything starts
    if (!this.#instance.up) await this.#instance.start();
    const { clock, source, place, log } = this.#instance;
    const event = this.#compose(topic, data, options, clock, source);
    const now = clock.now();
    const asked = dueOf(options, now);
    const due = Math.max(asked, now);
    putOff(event, due, event.ttlMs);
    if (!place.connected || options.signal?.aborted) {
      await this.#linkWait.wait(event.data.length, options.waitForConnection ?? 0, options.signal);
    }
    const { trail } = this.#instance;
    const began = this.#instance.now();
    await place.agenda.plan(planOf(event, due, options, retry));
    if (trail.room > 0) trail.planned(event, due, began);
    this.#instance.tally.count("schedulesPlanned");
    const overdue = asked < now;
    if (overdue)
      log.warn(`"${topic}" was to be published ${((now - asked) / 1000).toFixed(1)} s ago: it is published now`);
    return { id: event.id, correlationId: event.correlationId || event.id, due: new Date(due), overdue };
  }

  #compose(topic: string, data: unknown, options: PublishOptions, clock: Clock, source: string): Envelope {
    const event = compose(EVENT, topic, data, options, NEVER, clock, source);
    event.key = options.key ?? "";
    event.priority = options.priority ?? PRIORITY_NORMAL;
    return event;
  }
}

function wayOf({ key, durable }: PublishOptions): Way {
  if (key !== undefined) return "key";
  return durable ? "lane" : "live";
}

/** A composed event, ready to be planned. */
function planOf(event: Envelope, due: number, options: PublishOptions, retry: Required<RetryPolicy>): Plan {
  const { dedupe: knownAs = "", maxStored: most = 0 } = options;
  return {
    id: event.id,
    topic: event.topic,
    way: wayOf(options),
    key: event.key,
    due,
    priority: event.priority,
    expires: event.expiresAt,
    attempts: retry.maxAttempts,
    backoff: Math.floor(retry.backoff),
    cap: Math.floor(retry.cap),
    knownAs,
    window: knownAs === "" ? 0 : DEFAULT_DEDUPE_MS,
    most,
    envelope: serialize(event),
  };
}
