import { discard, isStream, Sending } from "./calls/streaming.js";
import type { Outflow } from "./calls/streams.js";
import { CURRENT, type Event } from "./context.js";
import {
  ExpiredError,
  HandlerError,
  NoRespondersError,
  OverloadedError,
  TielineError,
  UnsupportedError,
} from "./errors.js";
import type { Series } from "./figures/tally.js";
import type { Work } from "./mailbox.js";
import { fitted, MISFIT, MISFIT_REPLY } from "./schema.js";
import type { StandardSchema } from "./standardSchema.js";
import type { Subscription } from "./subscription.js";
import { isThenable, notAtOnce } from "./thenable.js";
import { describe } from "./thrown.js";

const LOGGED = new WeakSet<TielineError>();
const ONLY_STREAM = "it is a stream; the caller must use publishAndStream";

/** Where the end of a delivery is told. */
export interface Outlet {
  /** The handler returned. */
  succeeded(delivery: Delivery, result: unknown): void;
  /** The handler was not run (NOT_DELIVERED), or threw (RAN). */
  failed(delivery: Delivery, error: TielineError): void;
  /** Nobody waits for the handler any more; it may still be running. */
  interrupted(delivery: Delivery, reason: TielineError): void;
  /** The handler yielded; called only when the delivery's flow has room. Throws TielineError: it cannot be sent. */
  item(delivery: Delivery, value: unknown): void;
  /** The handler yielded for the last time. */
  ended(delivery: Delivery): void;
}

/** A handler's run for one envelope. It ends in exactly one of the outlet's methods. */
export class Delivery implements Work {
  readonly isEvent: boolean;
  /** The handler has been started. */
  begun = false;
  /** When the request came, local monotonic ms; 0 where nobody looks at that. */
  started = 0;
  /** Its caller was told that it is here. */
  accepted = false;
  /** How much its reader has room for, if it is to stream. */
  flow: Outflow | undefined;
  /** Where it is counted, if it is. */
  series: Series | undefined;
  /** It had to wait for its handler. */
  late = false;
  /** How long its event has waited, ms. */
  queued = 0;
  /** When its handler began, local monotonic ms. */
  #began = 0;
  #ended = false;
  #refusal: TielineError | undefined;

  constructor(
    readonly subscription: Subscription,
    readonly event: Event,
    readonly outlet: Outlet,
  ) {
    this.isEvent = !event.isRequest || subscription.observe;
  }

  /** Decodes, filters, handles, reports. */
  run(): void {
    this.begun = true;
    this.startClock();
    if (this.subscription.isSurrounded) return this.#runInside();
    let data: unknown;
    try {
      data = this.#accept();
    } catch (error) {
      return error instanceof TielineError ? this.#fail(error) : this.#threw(error);
    }
    let result: unknown;
    try {
      result = CURRENT.run(this.event, this.subscription.handler, data, this.event);
      if (isThenable(result)) return this.#follow(result);
    } catch (error) {
      return this.#threw(error);
    }
    this.#returned(result);
  }

  /** Nobody waits any more: the handler is told, and whatever it does then is ignored. */
  interrupt(reason: TielineError): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.series !== undefined) {
      if (reason instanceof OverloadedError) this.series.dropped += 1;
      else this.series.cancelled += 1;
    }
    this.event.cancel(reason);
    this.outlet.interrupted(this, reason);
  }

  /** The caller gave up. */
  cancel(reason: TielineError): void {
    if (!this.begun) this.subscription.mailbox.withdraw(this);
    this.interrupt(reason);
  }

  /** Its handler begins; what did not begin at once has waited since the publish, by the broker's clock. */
  startClock(): void {
    if (this.series === undefined) return;
    const { clock, envelope } = this.event;
    this.#began = clock.monotonic();
    if (this.late) this.queued = clock.at(this.#began) - envelope.time;
  }

  /** Its handler has ended, or refused it; what a filter refuses is not for this handler and is not counted. */
  count(failure?: TielineError): void {
    const { series } = this;
    if (series === undefined || failure instanceof NoRespondersError) return;
    if (failure instanceof ExpiredError) series.expired += 1;
    else {
      if (failure !== undefined) series.failed += 1;
      series.ended(
        this.event.envelope.replay === "" ? this.queued : undefined,
        this.event.clock.monotonic() - this.#began,
      );
    }
  }

  /** Its handler, which counts as one that returned, returned what cannot travel. */
  unsendable(error: unknown): TielineError {
    if (this.series !== undefined) this.series.failed += 1;
    return unsendable(error);
  }

  /** With middleware or schemas around the handler. */
  #runInside(): void {
    const { around } = this.subscription;
    const handle = () => this.#handle();
    CURRENT.run(this.event, () => (around === undefined ? handle() : around(this.event, handle))).then(
      (value) => this.#returned(value),
      (error) => (this.#isRefusal(error) ? this.#fail(error) : this.#threw(error)),
    );
  }

  #isRefusal(error: unknown): error is TielineError {
    return this.#refusal !== undefined && error === this.#refusal;
  }

  /** The end of the middleware, which may have replaced the payload. */
  async #handle(): Promise<unknown> {
    const { handler, output } = this.subscription;
    const reply: unknown = await handler(await this.#admit(), this.event);
    const asIs = output === undefined || this.isEvent || isStream(reply, this.subscription.streams);
    return asIs ? reply : fittedReply(output, reply);
  }

  /** The payload as the handler wants it; an error here is a refusal: the handler does not run. */
  async #admit(): Promise<unknown> {
    const { input } = this.subscription;
    try {
      const data = this.#accept();
      if (input === undefined) return data;
      const fit = await fitted(input, data, MISFIT);
      this.#mustBeWanted();
      return fit;
    } catch (error) {
      this.#refusal = error instanceof TielineError ? error : handlerError(error, "the input schema threw: ");
      throw this.#refusal;
    }
  }

  #mustBeWanted(): void {
    if (this.event.cancelled) throw this.event.signal.reason;
    if (this.event.expired) throw new ExpiredError(`"${this.event.topic}" expired while it waited`);
  }

  #accept(): unknown {
    this.#mustBeWanted();
    const { name, streams, versions } = this.subscription;
    const data = versions === undefined ? this.event.data : versions.lift(this.event);
    if (!passes(this.subscription, data)) throw new NoRespondersError(`the filter of "${name}" refuses this payload`);
    if (streams && !this.#maySend) {
      throw new UnsupportedError(`"${name}" streams its reply; call it with publishAndStream`);
    }
    return data;
  }

  #follow(result: PromiseLike<unknown>): void {
    Promise.resolve(result).then(
      (value) => this.#returned(value),
      (error) => this.#threw(error),
    );
  }

  /** Whether items have a reader, or are to be dropped. */
  get #maySend(): boolean {
    return this.flow !== undefined || this.isEvent;
  }

  #returned(result: unknown): void {
    let sending: Sending;
    try {
      if (!isStream(result, this.subscription.streams)) return this.#succeed(result);
      if (!this.#maySend) {
        void discard(result);
        return this.#fail(unsendable(new UnsupportedError(ONLY_STREAM)));
      }
      sending = new Sending(this, result);
    } catch (error) {
      return this.#threw(error);
    }
    CURRENT.run(this.event, () => void this.#stream(sending));
  }

  async #stream(sending: Sending): Promise<void> {
    const forget = this.event.onCancel(() => sending.stop());
    try {
      await sending.all();
    } catch (error) {
      return this.#threw(error);
    } finally {
      forget();
    }
    this.#end(() => {
      this.count();
      this.outlet.ended(this);
    });
  }

  #succeed(result: unknown): void {
    this.#end(() => {
      this.count();
      this.outlet.succeeded(this, result);
    });
  }

  #fail(error: TielineError): void {
    this.#end(() => this.#failed(error));
  }

  /** What is thrown after nobody waits any more interests nobody. */
  #threw(error: unknown): void {
    this.#end(() => this.#failed(failureOf(this, error)));
  }

  #failed(failure: TielineError): void {
    this.count(failure);
    this.outlet.failed(this, failure);
  }

  #end(tell: () => void): void {
    try {
      if (this.#ended) return;
      this.#ended = true;
      tell();
    } finally {
      this.subscription.mailbox.finished(this);
    }
  }
}

/** Whether the subscription's filter lets a payload through. A filter that throws refuses, with HANDLER_ERROR. */
export function passes(subscription: Subscription, data: unknown): boolean {
  if (subscription.filter === undefined) return true;
  let answer: unknown;
  try {
    answer = subscription.filter(data);
  } catch (error) {
    throw handlerError(error, "the filter threw: ");
  }
  if (isThenable(answer)) throw handlerError(notAtOnce(answer, "the filter"));
  return Boolean(answer);
}

/**
 * What is told of what a handler threw. Where it threw it is for the log of this process only. A HandlerError it made itself
 * is an answer like others, and no news.
 */
export function failureOf({ subscription, event }: Delivery, error: unknown): TielineError {
  const failure = handlerError(error);
  const { ours } = describe(error);
  if (!(ours instanceof HandlerError) || ours.fromWire) {
    subscription.raised(event.topic, error);
    LOGGED.add(failure);
  }
  return failure;
}

/** Whether the log has all that is known of it. */
export function isLogged(failure: TielineError): boolean {
  return LOGGED.has(failure);
}

/** What a caller is told of what was thrown: its type, message and details, never a stack trace. */
export function handlerError(error: unknown, prefix = ""): TielineError {
  const { message, type, details, ours } = describe(error);
  if (ours instanceof HandlerError && !ours.fromWire) {
    return new HandlerError(message, { details, outcome: ours.outcome, type: String(ours.type || type), cause: error });
  }
  if (ours !== undefined) details.code = ours.code;
  return new HandlerError(prefix + message, { details, outcome: "RAN", type, cause: error });
}

/** A handler returned what cannot travel: its failure, not the caller's. */
export function unsendable(error: unknown, what = "the handler's return value"): TielineError {
  return handlerError(error, `${what} cannot be sent: `);
}

async function fittedReply(output: StandardSchema, reply: unknown): Promise<unknown> {
  try {
    return await fitted(output, reply, MISFIT_REPLY);
  } catch (error) {
    throw unsendable(error);
  }
}
