import { CURRENT, type Event } from "./context.js";
import { type Delivery, handlerError, passes } from "./delivery.js";
import { ExpiredError, TielineError } from "./errors.js";
import type { Work } from "./mailbox.js";
import type { Subscription } from "./subscription.js";
import { isThenable } from "./thenable.js";

/** How a batch is collected: by size or time, whichever comes first. */
export interface BatchOptions {
  /** Events in one batch, at most. */
  readonly size: number;
  /** Milliseconds that the first one waits, at most. */
  readonly ms: number;
}

/** Deliveries that are handled together; each ends by itself for those who wait for it. */
export class Batch implements Work {
  readonly isEvent = true;
  /** That of the first one handled. */
  event: Event | undefined;
  #ended = false;

  constructor(
    readonly subscription: Subscription,
    readonly deliveries: readonly Delivery[],
  ) {
    this.event = deliveries[0]?.event;
  }

  /** Hands the payloads to the handler in one list; the event of the context is the first one's. */
  run(): void {
    const taken: Delivery[] = [];
    const payloads: unknown[] = [];
    for (const delivery of this.deliveries) this.#read(delivery, taken, payloads);
    const first = taken[0];
    if (first === undefined) return this.subscription.mailbox.finished(this);
    this.event = first.event;
    try {
      const result = CURRENT.run(first.event, this.subscription.handler, payloads, first.event);
      if (!isThenable(result)) return this.#end(taken);
      Promise.resolve(result).then(
        () => this.#end(taken),
        (error) => this.#end(taken, handlerError(error)),
      );
    } catch (error) {
      this.#end(taken, handlerError(error));
    }
  }

  /** Nobody waits any more. */
  interrupt(reason: TielineError): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const delivery of this.deliveries) delivery.interrupt(reason);
  }

  #read(delivery: Delivery, taken: Delivery[], payloads: unknown[]): void {
    try {
      if (delivery.event.expired) throw new ExpiredError(`"${delivery.event.topic}" expired while it waited`);
      const data = delivery.event.data;
      if (!passes(this.subscription, data)) return delivery.outlet.succeeded(delivery, undefined);
      payloads.push(data);
      taken.push(delivery);
    } catch (error) {
      delivery.outlet.failed(delivery, error instanceof TielineError ? error : handlerError(error));
    }
  }

  #end(taken: readonly Delivery[], failure?: TielineError): void {
    try {
      if (!this.#ended) this.#tell(taken, failure);
    } finally {
      this.subscription.mailbox.finished(this);
    }
  }

  #tell(taken: readonly Delivery[], failure: TielineError | undefined): void {
    this.#ended = true;
    for (const delivery of taken) {
      if (failure === undefined) delivery.outlet.succeeded(delivery, undefined);
      else delivery.outlet.failed(delivery, failure);
    }
  }
}

/** Collects deliveries of one subscription. */
export class Batcher {
  readonly #subscription: Subscription;
  readonly #options: BatchOptions;
  #collected: Delivery[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(subscription: Subscription, options: BatchOptions) {
    this.#subscription = subscription;
    this.#options = options;
  }

  /** Collects one; returns the batch it completes. */
  add(delivery: Delivery): Batch | undefined {
    this.#collected.push(delivery);
    if (this.#collected.length >= this.#options.size) return this.take();
    this.#timer ??= setTimeout(() => this.#timeIsUp(), this.#options.ms);
    return undefined;
  }

  /** What has been collected so far. */
  take(): Batch | undefined {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const collected = this.#collected;
    this.#collected = [];
    return collected.length > 0 ? new Batch(this.#subscription, collected) : undefined;
  }

  #timeIsUp(): void {
    const batch = this.take();
    if (batch !== undefined) this.#subscription.force(batch);
  }
}
