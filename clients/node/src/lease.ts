import type { Consumer } from "./consumer.js";
import { CURRENT, Event } from "./context.js";
import { DeadLetter } from "./contract/durable.js";
import { handlerError, passes } from "./delivery.js";
import type { Entry, Member, Settlement, Verdict } from "./durable.js";
import { DurableDelivery } from "./durableDelivery.js";
import { type Envelope, errorToWire, parse } from "./envelope.js";
import {
  CallTimeoutError,
  ConflictError,
  ExpiredError,
  HandlerError,
  InvalidPayloadError,
  ResponderLostError,
  type TielineError,
} from "./errors.js";
import { pauseOf } from "./retryPolicy.js";
import { fitted, MISFIT } from "./schema.js";
import { isStream } from "./streaming.js";

/** Why an event became a dead letter. */
export type Reason = "failed" | "rejected" | "expired";

/** How a lease ends. */
export interface End {
  readonly verdict: Verdict;
  readonly argument: Buffer;
}

/** How a handling ended: it threw something, or nobody waits for it any more. */
export interface Outcome {
  readonly raised?: unknown;
  readonly failed: boolean;
}

/** Whether it is to be handled again in any case, and after how many milliseconds. */
type Nack = Pick<DurableDelivery, "nacked"> & { readonly delay?: number | undefined };

/**
 * So often the processes that handled an event must be lost before it is taken for the cause; from the second time on
 * the broker leases one such member at a time, so that the innocent are not lost with it.
 */
const LOST_AT_LEAST = 5;
const NOTHING = Buffer.alloc(0);
/** All of it is handled. */
export const DONE: End = { verdict: "done", argument: NOTHING };
/** Others may have it. */
export const FREE: End = { verdict: "free", argument: NOTHING };
/** A defect of ours must not keep a key from being handled. */
export const DEFECT: End = { verdict: "retry", argument: Buffer.from("1000") };
/** Nothing has failed. */
export const INTERRUPTED: Outcome = { failed: false };

/**
 * A lease on a key, or on one event without key: its events are handled in order. Rules: SPEC.md, section 14. It ends in
 * exactly one settlement that is not "keep" or "dead".
 *
 * A handler that returns acknowledges its event, one that throws does not; through `event.delivery` it may say otherwise.
 */
export class Lease {
  readonly consumer: Consumer;
  readonly member: Buffer;
  readonly key: string;
  readonly token: Buffer;
  /** What the handler has now, as it sees it. */
  delivery: DurableDelivery | undefined;
  /** What the handler has now. */
  event: Event | undefined;
  /** When it was claimed, or the handler was given what it has, local monotonic ms. */
  begun: number;
  /** Somebody else has it now. */
  lost = false;
  /** It ends after what is being handled. */
  stopping = false;
  /** How often the handling of its first entry failed before. */
  failures: number;
  /** What is not handled, in order. */
  readonly waiting: Entry[];
  /** Ends now what the handler has together with other leases, if it has; nothing has failed. */
  interruptBatch: ((reason: TielineError) => void) | undefined;
  #handled: Buffer[] = [];
  #abandon: ((outcome: Outcome) => void) | undefined;

  constructor(consumer: Consumer, member: Member, token: Buffer, claimedAt: number) {
    this.consumer = consumer;
    this.member = member.name;
    this.key = member.key;
    this.token = token;
    this.begun = claimedAt;
    this.failures = member.failures;
    this.waiting = [...member.entries];
  }

  /** Whether something was handled that is not settled. */
  get hasHandled(): boolean {
    return this.#handled.length > 0;
  }

  /** Handles what is here, in order, until something fails. Never rejects. */
  async run(): Promise<void> {
    let end = DEFECT;
    try {
      end = await this.#handleAll();
    } catch (error) {
      this.consumer.log.error(`handling "${this.key}" of "${this.consumer.topic}" failed`, error);
    }
    this.delivery = this.event = undefined;
    this.consumer.ended(this, end);
  }

  async #handleAll(): Promise<End> {
    if (this.failures > 0 && !(await this.consumer.begins(this))) return FREE;
    for (let entry = this.waiting[0]; entry !== undefined && !this.stopping; entry = this.waiting[0]) {
      const end = await this.#handle(entry);
      if (end !== undefined) return end;
      this.next();
    }
    return this.waiting.length === 0 ? DONE : FREE;
  }

  /** The first entry is handled. */
  acknowledge(): undefined {
    const entry = this.waiting[0];
    if (entry !== undefined) this.#handled.push(entry.id);
    this.consumer.flushSoon();
    return undefined;
  }

  /** What is to become of the first entry is known; the one behind it is the first now. */
  next(): void {
    this.waiting.shift();
    this.failures = 0;
  }

  /** What was handled since the last one, and what is to become of the rest. */
  settlement(verdict: Verdict, argument: Buffer = NOTHING): Settlement {
    const entries = this.#handled;
    this.#handled = [];
    return { member: this.member, token: this.token, verdict, argument, entries };
  }

  /** Ends after the event that is being handled. */
  stop(): void {
    this.stopping = true;
  }

  /** Ends now; nothing has failed. The handler is told, and whatever it does then is ignored. */
  interrupt(reason: TielineError): void {
    this.stopping = true;
    this.event?.cancel(reason);
    this.#abandon?.(INTERRUPTED);
    this.interruptBatch?.(reason);
  }

  /** Somebody else has it now. */
  lose(): void {
    this.lost = true;
    this.interrupt(new ConflictError("the lease of this event was lost; somebody else handles it"));
  }

  /** The handler has taken too long. */
  timeOut(): void {
    const ms = this.consumer.policy.timeout;
    const raised = new CallTimeoutError(`the handler took longer than ${ms} ms`, { outcome: "MAY_HAVE_RUN" });
    this.event?.cancel(raised);
    this.#abandon?.({ failed: true, raised });
  }

  // --- one event -----------------------------------------------------------------------------------------------------

  /** Handles one event; nothing is returned when the next one may be handled. */
  async #handle(entry: Entry): Promise<End | undefined> {
    if (this.isForOthers(entry)) return this.acknowledge();
    let envelope: Envelope;
    try {
      envelope = this.envelopeOf(entry);
    } catch (error) {
      return this.refuse(entry, error);
    }
    return this.#deliver(entry, envelope);
  }

  /** Whether an entry is for another group only. */
  isForOthers({ group }: Entry): boolean {
    return group !== "" && group !== this.consumer.policy.group;
  }

  /** The next event. Throws ResponderLostError, InvalidPayloadError or ExpiredError: why it is not to be handled. */
  envelopeOf({ id, envelope: stored }: Entry): Envelope {
    const { policy, clock, subscription } = this.consumer;
    if (this.failures >= Math.max(policy.retry.maxAttempts, LOST_AT_LEAST)) {
      throw new ResponderLostError("the processes that handled it did not live to tell; it may be what ends them");
    }
    const envelope = parse(stored);
    if (envelope === undefined) throw new InvalidPayloadError(`entry ${String(id)} is no event of ours`);
    if (envelope.expiresAt > 0 && envelope.expiresAt <= clock.now()) {
      throw new ExpiredError(`it expired before "${subscription.name}" could handle it`);
    }
    return envelope;
  }

  /** What becomes of the first event, which cannot be handled. */
  refuse(entry: Entry, error: unknown): End | undefined {
    if (error instanceof ExpiredError) return this.#bury(entry, "expired", error, this.failures);
    if (error instanceof ResponderLostError) return this.#poisoned(entry, error, this.failures);
    return this.fail(entry, errorOf(error));
  }

  async #deliver(entry: Entry, envelope: Envelope): Promise<End | undefined> {
    const event = new Event(envelope, this.consumer.clock);
    const delivery = new DurableDelivery(this, this.failures + 1);
    event.delivery = delivery;
    this.event = event;
    this.delivery = delivery;
    this.begun = this.consumer.clock.monotonic();
    const outcome = await this.#attempt(event);
    this.delivery = this.event = this.#abandon = undefined;
    if (outcome === INTERRUPTED) return FREE;
    if (outcome.failed || delivery.said) return this.#conclude(entry, delivery, outcome);
    return this.acknowledge();
  }

  /** Runs the handler; resolves when it has ended, or when nobody waits for it any more. */
  #attempt(event: Event): Promise<Outcome> {
    const { subscription } = this.consumer;
    return new Promise((resolve) => {
      this.#abandon = resolve;
      const run = () => this.#runHandler(event);
      const { around } = subscription;
      CURRENT.run(event, () => (around === undefined ? run() : around(event, run))).then(
        () => resolve({ failed: false }),
        (raised) => {
          if (!event.cancelled) subscription.raised(event.topic, raised);
          resolve({ failed: true, raised });
        },
      );
    });
  }

  async #runHandler(event: Event): Promise<void> {
    const { subscription } = this.consumer;
    const { versions, input, handler, streams } = subscription;
    let data = versions === undefined ? event.data : versions.lift(event);
    if (!passes(subscription, data)) return;
    if (input !== undefined) data = await fitted(input, data, MISFIT);
    if (event.cancelled) return;
    const result: unknown = await handler(data, event);
    if (!isStream(result, streams)) return;
    for await (const _ of result) if (event.cancelled) return; // nobody reads the items
  }

  /** What becomes of an event whose handler threw, or said something itself. */
  #conclude(entry: Entry, delivery: DurableDelivery, { raised, failed }: Outcome): End | undefined {
    if (delivery.acked) return undefined;
    if (delivery.rejected !== undefined) {
      const error = new HandlerError(delivery.rejected, { outcome: "RAN", type: "Rejected" });
      return this.#bury(entry, "rejected", error, delivery.attempt);
    }
    return this.fail(entry, failed ? errorOf(raised) : wantedAgain(), delivery);
  }

  /** What becomes of the first event, whose handler failed. */
  fail(entry: Entry, error: TielineError, { nacked, delay }: Nack = { nacked: false }): End | undefined {
    const attempt = this.failures + 1;
    const unfit = error instanceof InvalidPayloadError && !nacked; // it will not get better
    const { retry } = this.consumer.policy;
    if (unfit || attempt >= retry.maxAttempts) return this.#poisoned(entry, error, attempt);
    const pause = Math.floor(delay ?? pauseOf(retry, attempt));
    this.consumer.failed(error, pause);
    return { verdict: "retry", argument: Buffer.from(String(pause)) };
  }

  /** It failed for the last time. */
  #poisoned(entry: Entry, error: TielineError, attempts: number): End | undefined {
    const onPoison = this.consumer.policy.onPoison ?? (this.key === "" ? "dead_letter" : "park");
    if (onPoison === "park" && this.key !== "") {
      this.consumer.gaveUp(this, "its key is parked", error);
      return { verdict: "park", argument: this.#letter(entry, "failed", error, attempts) };
    }
    if (onPoison !== "skip") return this.#bury(entry, "failed", error, attempts);
    this.consumer.gaveUp(this, "it is skipped", error);
    return this.acknowledge();
  }

  /** Keeps it as a dead letter, and goes on. */
  #bury(entry: Entry, reason: Reason, error: TielineError, attempts: number): undefined {
    this.consumer.gaveUp(this, `it is a dead letter (${reason})`, error);
    this.#handled.push(entry.id);
    this.consumer.tell(this.settlement("dead", this.#letter(entry, reason, error, attempts)));
  }

  #letter(entry: Entry, reason: Reason, error: TielineError, attempts: number): Buffer {
    const { topic, policy, clock } = this.consumer;
    const { envelope } = entry;
    const about = { topic, group: policy.group, reason, attempts, time: clock.now(), entry: String(entry.id) };
    return Buffer.from(DeadLetter.encode({ envelope, ...about, error: errorToWire(error) }).finish());
  }
}

function wantedAgain(): TielineError {
  return new HandlerError("the handler asked for another attempt", { outcome: "RAN", type: "Nacked" });
}

/** What is told of what a handler threw. */
export function errorOf(raised: unknown): TielineError {
  if (raised instanceof InvalidPayloadError || raised instanceof CallTimeoutError) return raised;
  return handlerError(raised);
}
