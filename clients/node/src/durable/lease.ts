import type { Event } from "../context.js";
import { DeadLetter } from "../contract/durable.js";
import { handlerError } from "../delivery.js";
import { type Envelope, errorToWire, parse } from "../envelope.js";
import {
  CallTimeoutError,
  ConflictError,
  ExpiredError,
  HandlerError,
  InvalidPayloadError,
  ResponderLostError,
  type TielineError,
} from "../errors.js";
import type { Recorded } from "../explain/trail.js";
import type { Consumer } from "./consumer.js";
import type { DurableDelivery } from "./delivery.js";
import type { Entry, Member, Settlement, Verdict } from "./mail.js";
import { pauseOf } from "./retryPolicy.js";
import type { Ending, Handling } from "./steps.js";

/** Why an event became a dead letter. */
export type Reason = "failed" | "rejected" | "expired";

/** How a lease ends. */
export interface End {
  readonly verdict: Verdict;
  readonly argument: Buffer;
}

/** Who has what a lease holds handled, alone or with other leases. */
export interface Holder {
  /** What the handler, while it runs, knows as the current event. */
  readonly event: Event | undefined;
  /** The lease ends after what is being handled. */
  stop(): void;
  /** Ends now; nothing has failed. The handler is told, and whatever it does then is ignored. */
  interrupt(reason: TielineError): void;
  /** The handler has taken too long. */
  timeOut(raised: TielineError): void;
}

/** Whether it is to be handled again in any case, after how many milliseconds, and why. */
type Nack = Pick<DurableDelivery, "nacked"> & { readonly delay?: number | undefined; readonly reason?: string };

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

/**
 * A lease on a key, or on one event without key: its events are handled in order. Rules: SPEC.md, section 14. It ends in
 * exactly one settlement that is not "keep" or "dead".
 */
export class Lease {
  readonly consumer: Consumer;
  readonly member: Buffer;
  readonly key: string;
  readonly token: Buffer;
  /** Who has it handled now. */
  holder: Holder | undefined;
  /** What the handler has now, as it sees it. */
  delivery: DurableDelivery | undefined;
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
  #handled: Buffer[] = [];

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

  /** What was handled since the last one, and what is to become of the rest. */
  settlement(verdict: Verdict, argument: Buffer = NOTHING): Settlement {
    const entries = this.#handled;
    this.#handled = [];
    return { member: this.member, token: this.token, verdict, argument, entries };
  }

  // --- its end -------------------------------------------------------------------------------------------------------

  /** Ends after what is being handled. */
  stop(): void {
    this.stopping = true;
    this.holder?.stop();
  }

  /** Ends now; nothing has failed. */
  interrupt(reason: TielineError): void {
    this.stopping = true;
    this.holder?.interrupt(reason);
  }

  /** Somebody else has it now. */
  lose(): void {
    this.lost = true;
    this.interrupt(new ConflictError("the lease of this event was lost; somebody else handles it"));
  }

  /** The handler has taken too long. */
  timeOut(): void {
    const ms = this.consumer.policy.timeout;
    this.holder?.timeOut(new CallTimeoutError(`the handler took longer than ${ms} ms`, { outcome: "MAY_HAVE_RUN" }));
  }

  // --- what is read --------------------------------------------------------------------------------------------------

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

  // --- what is told ----------------------------------------------------------------------------------------------------

  /** A handling of an entry, which is the next one of the first; or one that was not begun. */
  handling({ id }: Entry, attempt = this.failures + 1): Handling {
    const { subscription, policy } = this.consumer;
    return { began: this.begun, subscription: subscription.name, group: policy.group, entry: String(id), attempt };
  }

  /** What there is to tell of the event that the handler has now, if it has one by itself. */
  get running(): Recorded | undefined {
    const [[entry], event] = [this.waiting, this.holder?.event];
    if (this.delivery === undefined || event === undefined || entry === undefined) return undefined;
    return this.consumer.steps.running(event.envelope, this.handling(entry));
  }

  // --- what becomes of the first event -------------------------------------------------------------------------------

  /** It is handled. */
  acknowledge(): undefined {
    const entry = this.waiting[0];
    if (entry !== undefined) this.#handled.push(entry.id);
    this.consumer.flushSoon();
    return undefined;
  }

  /** What is to become of it is known; the one behind it is the first now. */
  next(): void {
    this.waiting.shift();
    this.failures = 0;
  }

  /** A handler has ended; how long its event waited is counted the first time it is handled. */
  count({ envelope }: Event, began: number, first = true): void {
    const { series, clock } = this.consumer;
    const again = first && this.failures > 0;
    if (again) series.redelivered += 1;
    const waited = !again && envelope.redriven === 0 && envelope.replay === "";
    series.ended(waited ? clock.at(began) - envelope.time : undefined, clock.monotonic() - began);
  }

  /** It cannot be handled. */
  refuse(entry: Entry, error: unknown): End | undefined {
    if (error instanceof ExpiredError) return this.#bury(entry, "expired", error, this.failures);
    if (error instanceof ResponderLostError) return this.#poisoned(entry, error, this.failures);
    this.consumer.series.ended(0, 0);
    return this.fail(entry, error);
  }

  /** It is not to be handled again: its handler said why. */
  reject(entry: Entry, reason: string): undefined {
    this.consumer.series.failed += 1;
    const error = new HandlerError(reason, { outcome: "RAN", type: "Rejected" });
    this.#bury(entry, "rejected", error, this.failures + 1);
  }

  /** Its handler failed with this. */
  fail(entry: Entry, raised: unknown, { nacked, delay, reason }: Nack = { nacked: false }): End | undefined {
    const [error, attempt] = [errorOf(raised, reason), this.failures + 1];
    this.consumer.series.failed += 1;
    const unfit = error instanceof InvalidPayloadError && !nacked; // it will not get better
    const { retry } = this.consumer.policy;
    if (unfit || attempt >= retry.maxAttempts) return this.#poisoned(entry, error, attempt);
    this.consumer.series.retried += 1;
    const pause = Math.floor(delay ?? pauseOf(retry, attempt));
    this.consumer.failed(this, entry, this.handling(entry, attempt), error, pause);
    return { verdict: "retry", argument: Buffer.from(String(pause)) };
  }

  /** It failed for the last time. */
  #poisoned(entry: Entry, error: TielineError, attempts: number): End | undefined {
    const onPoison = this.consumer.policy.onPoison ?? (this.key === "" ? "dead_letter" : "park");
    if (onPoison === "park" && this.key !== "") {
      this.consumer.series.parked += 1;
      this.#giveUp(entry, attempts, error, "its key is parked", { step: "parked", detail: { key: this.key } });
      return { verdict: "park", argument: this.#letter(entry, "failed", error, attempts) };
    }
    if (onPoison !== "skip") return this.#bury(entry, "failed", error, attempts);
    this.consumer.series.skipped += 1;
    this.#giveUp(entry, attempts, error, "it is skipped", { step: "dropped", detail: { why: "skip" } });
    return this.acknowledge();
  }

  /** Keeps it as a dead letter, and goes on. */
  #bury(entry: Entry, reason: Reason, error: TielineError, attempts: number): undefined {
    const { series } = this.consumer;
    series.dead += 1;
    if (reason === "expired") series.expired += 1;
    const ending: Ending = { step: "dead_letter", detail: { reason } };
    this.#giveUp(entry, attempts, error, `it is a dead letter (${reason})`, ending);
    this.#handled.push(entry.id);
    this.consumer.tell(this.settlement("dead", this.#letter(entry, reason, error, attempts)));
  }

  #giveUp(entry: Entry, attempts: number, error: TielineError, what: string, ending: Ending): void {
    this.consumer.gaveUp(this, entry, this.handling(entry, attempts), what, error, ending);
  }

  #letter(entry: Entry, reason: Reason, error: TielineError, attempts: number): Buffer {
    const { topic, policy, clock } = this.consumer;
    const { envelope } = entry;
    const about = { topic, group: policy.group, reason, attempts, time: clock.now(), entry: String(entry.id) };
    return Buffer.from(DeadLetter.encode({ envelope, ...about, error: errorToWire(error) }).finish());
  }
}

/** The handler asked for another attempt. */
export const WANTED_AGAIN = Symbol("wanted again");

/** What is told of what a handler threw. */
function errorOf(raised: unknown, reason = ""): TielineError {
  if (raised === WANTED_AGAIN) {
    return new HandlerError(reason || "the handler asked for another attempt", { outcome: "RAN", type: "Nacked" });
  }
  if (raised instanceof InvalidPayloadError || raised instanceof CallTimeoutError) return raised;
  return handlerError(raised);
}
