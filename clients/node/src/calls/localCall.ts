import { decode, encodeReply } from "../codec.js";
import type { Event } from "../context.js";
import type { Envelope } from "../contract/envelope.js";
import { Delivery, type Outlet } from "../delivery.js";
import { errorFromWire, errorToWire } from "../envelope.js";
import { CallTimeoutError, type TielineError } from "../errors.js";
import type { Subscription } from "../subscription.js";
import { isRefusal } from "./callErrors.js";
import type { Waiting } from "./deadlines.js";
import type { PendingReply } from "./pendingReply.js";

/** Who hears of the end of a local call. */
export interface LocalCallEnd {
  /** The handler refused it: somebody elsewhere may answer. */
  refused(error: TielineError): void;
  /** It is over here, whatever became of it. */
  ended(call: LocalCall): void;
}

/** A call answered in this process: outlet of its delivery and waiter for its deadline. */
export class LocalCall implements Outlet, Waiting {
  done = false;
  /** The error it ended with here, if it did. */
  failure: TielineError | undefined;
  readonly #delivery: Delivery;
  readonly #pending: PendingReply;
  readonly #end: LocalCallEnd;
  readonly #idempotent: boolean;

  constructor(subscription: Subscription, event: Event, pending: PendingReply, idempotent: boolean, end: LocalCallEnd) {
    this.#delivery = new Delivery(subscription, event, this);
    this.#delivery.series = subscription.calls;
    this.#pending = pending;
    this.#end = end;
    this.#idempotent = idempotent;
  }

  /** The request. */
  get envelope(): Envelope {
    return this.#delivery.event.envelope;
  }

  /** Gives it to the handler, which has room. */
  begin(): void {
    if (this.done) return;
    this.#delivery.subscription.mailbox.offer(this.#delivery);
    this.#delivery.late = !this.#delivery.begun;
  }

  /** The reply, encoded exactly as it would have travelled. */
  succeeded(delivery: Delivery, result: unknown): void {
    if (this.done) return;
    let value = result;
    try {
      if (!delivery.subscription.byReference) value = travelled(result, delivery.event.envelope.contentType);
    } catch (error) {
      return this.failed(delivery, delivery.unsendable(error));
    }
    this.done = true;
    this.#pending.settle(value ?? null);
    this.#end.ended(this);
  }

  /** The error, as the caller would have got it from elsewhere. */
  failed(_delivery: Delivery, error: TielineError): void {
    if (this.done) return;
    const { cause } = error;
    const arrived = errorFromWire(errorToWire(error), cause);
    if (!isRefusal(arrived)) return this.#reject(arrived);
    this.failure = arrived;
    this.done = true;
    this.#end.ended(this);
    this.#end.refused(arrived);
  }

  /** The handler is of no use any more, although the caller still waits. */
  interrupted(_delivery: Delivery, reason: TielineError): void {
    if (this.done) return;
    this.#reject(errorFromWire(errorToWire(reason)));
  }

  /** No plain call reads items. */
  item(): void {}

  /** No plain call reads items. */
  ended(): void {}

  /** The deadline passed. */
  due(): void {
    const { envelope } = this.#delivery.event;
    const { begun } = this.#delivery;
    this.interrupt(
      new CallTimeoutError(`no reply from "${envelope.topic}" within ${envelope.ttlMs} ms`, {
        outcome: begun ? "MAY_HAVE_RUN" : "NOT_DELIVERED",
        details: { accepted: begun, attempts: 1 },
      }),
    );
  }

  /** Ends the call with an error, and tells the handler. */
  interrupt(error: TielineError): void {
    if (this.done) return;
    this.#reject(error);
    this.#delivery.cancel(error);
  }

  #reject(error: TielineError): void {
    error.idempotent = this.#idempotent;
    this.failure = error;
    this.done = true;
    this.#pending.reject(error);
    this.#end.ended(this);
  }
}

function travelled(result: unknown, requestContentType: string): unknown {
  if (result === null || typeof result === "boolean" || result === undefined) return result;
  const [data, contentType] = encodeReply(result, requestContentType);
  return decode(data, contentType);
}
