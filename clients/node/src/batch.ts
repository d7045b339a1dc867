import type { Timer } from "./clock.js";
import { CURRENT, type Event } from "./context.js";
import { DEFAULT_BATCH_MS, DEFAULT_BATCH_SIZE } from "./contract/contract.js";
import { type Delivery, failureOf, handlerError, passes } from "./delivery.js";
import { ExpiredError, TielineError } from "./errors.js";
import type { Work } from "./mailbox.js";
import { checkOptions, type Kinds, milliseconds, whole } from "./options.js";
import { fitted, MISFIT } from "./schema.js";
import type { StandardSchema } from "./standardSchema.js";
import type { Subscription } from "./subscription.js";
import { isThenable } from "./thenable.js";

/** How a batch is collected: by size or time, whichever comes first. */
export interface BatchOptions {
  /** Events in one batch, at most. */
  readonly size: number;
  /** Milliseconds that the first one waits, at most. */
  readonly ms: number;
}

const HOUR_MS = 3_600_000;
const KINDS: Kinds<BatchOptions> = { size: whole(1), ms: milliseconds(1, HOUR_MS) };

/** How a batch is to be collected. Throws InvalidArgumentError for bounds that are none. */
export function checkBatch(options: Partial<BatchOptions>): BatchOptions {
  checkOptions(options, KINDS, "batch");
  const { size = DEFAULT_BATCH_SIZE, ms = DEFAULT_BATCH_MS } = options;
  return { size, ms };
}

/** Deliveries that are handled together; each ends by itself for those who wait for it. */
export class Batch implements Work {
  readonly isEvent = true;
  /** That of the first one handled. */
  event: Event | undefined;
  /** Those that have not ended. */
  readonly #open: Set<Delivery>;

  constructor(
    readonly subscription: Subscription,
    readonly deliveries: readonly Delivery[],
  ) {
    this.event = deliveries[0]?.event;
    this.#open = new Set(deliveries);
  }

  /** Hands the payloads to the handler in one list; the event of the context is the first one's. */
  run(): void {
    const { input } = this.subscription;
    const taken: Delivery[] = [];
    const payloads: unknown[] = [];
    for (const delivery of this.deliveries) this.#read(delivery, taken, payloads);
    if (input === undefined) this.#handle(taken, payloads);
    else void this.#handleFitting(input, taken, payloads);
  }

  /** Nobody waits any more. */
  interrupt(reason: TielineError): void {
    const open = [...this.#open];
    this.#open.clear();
    for (const delivery of open) delivery.interrupt(reason);
  }

  #read(delivery: Delivery, taken: Delivery[], payloads: unknown[]): void {
    delivery.startClock();
    try {
      if (delivery.event.expired) throw new ExpiredError(`"${delivery.event.topic}" expired while it waited`);
      const { versions } = this.subscription;
      const data = versions === undefined ? delivery.event.data : versions.lift(delivery.event);
      if (!passes(this.subscription, data)) return this.#tell(delivery, undefined, false);
      payloads.push(data);
      taken.push(delivery);
    } catch (error) {
      this.#tell(delivery, error);
    }
  }

  /** Leaves out those whose payload does not fit. */
  async #handleFitting(input: StandardSchema, deliveries: Delivery[], payloads: unknown[]): Promise<void> {
    const fits = await Promise.allSettled(payloads.map((data) => fitted(input, data, MISFIT)));
    const taken = deliveries.filter((delivery, at) => {
      const fit = fits[at];
      if (fit?.status === "rejected") this.#tell(delivery, fit.reason);
      return fit?.status === "fulfilled";
    });
    const data = fits.filter((fit) => fit.status === "fulfilled").map((fit) => fit.value);
    this.#handle(taken, data);
  }

  #handle(taken: readonly Delivery[], payloads: readonly unknown[]): void {
    const first = taken[0];
    if (first === undefined || this.#open.size === 0) return this.subscription.mailbox.finished(this);
    this.event = first.event;
    try {
      const result = CURRENT.run(first.event, () => this.#surrounded(taken, payloads, first.event));
      if (!isThenable(result)) return this.#end(taken);
      Promise.resolve(result).then(
        () => this.#end(taken),
        (error) => this.#end(taken, failureOf(first, error)),
      );
    } catch (error) {
      this.#end(taken, failureOf(first, error));
    }
  }

  #surrounded(taken: readonly Delivery[], payloads: readonly unknown[], first: Event): unknown {
    const { aroundBatch, handler } = this.subscription;
    if (aroundBatch === undefined) return handler(payloads, first);
    const events = taken.map(({ event }) => event);
    return aroundBatch(events, async () => handler(payloads, first));
  }

  #end(taken: readonly Delivery[], failure?: TielineError): void {
    try {
      for (const delivery of taken) this.#tell(delivery, failure);
    } finally {
      this.subscription.mailbox.finished(this);
    }
  }

  #tell(delivery: Delivery, thrown?: unknown, counts = true): void {
    if (!this.#open.delete(delivery)) return;
    const failure = thrown === undefined || thrown instanceof TielineError ? thrown : handlerError(thrown);
    if (counts) delivery.count(failure);
    if (failure === undefined) delivery.outlet.succeeded(delivery, undefined);
    else delivery.outlet.failed(delivery, failure);
  }
}

/** Collects deliveries of one subscription. */
export class Batcher {
  readonly #subscription: Subscription;
  readonly #options: BatchOptions;
  /** What waits for the batch to be full. */
  collected: Delivery[] = [];
  #timer: Timer | undefined;

  constructor(subscription: Subscription, options: BatchOptions) {
    this.#subscription = subscription;
    this.#options = options;
  }

  /** Collects one; returns the batch it completes. */
  add(delivery: Delivery): Batch | undefined {
    this.collected.push(delivery);
    if (this.collected.length >= this.#options.size) return this.take();
    this.#timer ??= delivery.event.clock.callLater(this.#options.ms, () => this.#timeIsUp());
    return undefined;
  }

  /** What has been collected so far. */
  take(): Batch | undefined {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { collected } = this;
    this.collected = [];
    return collected.length > 0 ? new Batch(this.#subscription, collected) : undefined;
  }

  #timeIsUp(): void {
    const batch = this.take();
    if (batch !== undefined) this.#subscription.force(batch);
  }
}
