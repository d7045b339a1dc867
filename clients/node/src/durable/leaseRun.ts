import { isStream } from "../calls/streaming.js";
import { CURRENT, Event } from "../context.js";
import { passes } from "../delivery.js";
import type { Envelope } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { fitted, MISFIT } from "../schema.js";
import { DurableDelivery } from "./delivery.js";
import { type Asker, type IdempotencyStore, Once } from "./idempotency.js";
import { DEFECT, DONE, type End, FREE, type Holder, type Lease, WANTED_AGAIN } from "./lease.js";
import type { Entry } from "./mail.js";

/** How a handler ended: it threw something, or nobody waits for it any more. */
export interface Outcome {
  readonly raised?: unknown;
  readonly failed: boolean;
}

/** Nothing has failed. */
export const INTERRUPTED: Outcome = { failed: false };

/**
 * Has the events of a lease handled, one after the other.
 *
 * A handler that returns acknowledges its event, one that throws does not; through `event.delivery` it may say otherwise.
 */
export class LeaseRun implements Holder {
  /** See `Holder.event`. */
  event: Event | undefined;
  readonly #lease: Lease;
  #abandon: ((outcome: Outcome) => void) | undefined;
  #once: Once | undefined;

  constructor(lease: Lease) {
    this.#lease = lease;
    lease.holder = this;
  }

  /** Handles what is there, in order, until something fails. Never rejects. */
  async run(): Promise<void> {
    const { consumer, key } = this.#lease;
    let end = DEFECT;
    try {
      end = await this.#handleAll();
    } catch (error) {
      consumer.log.error(`handling "${key}" of "${consumer.topic}" failed`, error);
    }
    this.event = this.#lease.delivery = this.#lease.holder = undefined;
    consumer.ended(this.#lease, end);
  }

  async #handleAll(): Promise<End> {
    const lease = this.#lease;
    if (lease.failures > 0 && !(await lease.consumer.begins(lease))) return FREE;
    for (let entry = lease.waiting[0]; entry !== undefined && !lease.stopping; entry = lease.waiting[0]) {
      const end = await this.#handle(entry);
      if (end !== undefined) return end;
      lease.next();
    }
    return lease.waiting.length === 0 ? DONE : FREE;
  }

  /** See `Holder.stop`. */
  stop(): void {
    if (this.#lease.delivery === undefined) this.#once?.drop(); // it only waits for somebody else
  }

  /** See `Holder.interrupt`. */
  interrupt(reason: TielineError): void {
    this.event?.cancel(reason);
    this.#abandon?.(INTERRUPTED);
    this.#once?.drop();
  }

  /** See `Holder.timeOut`. */
  timeOut(raised: TielineError): void {
    this.event?.cancel(raised);
    this.#abandon?.({ failed: true, raised });
  }

  // --- one event -----------------------------------------------------------------------------------------------------

  /** Handles one event; nothing is returned when the next one may be handled. */
  async #handle(entry: Entry): Promise<End | undefined> {
    const lease = this.#lease;
    if (lease.isForOthers(entry)) return lease.acknowledge();
    let envelope: Envelope;
    try {
      envelope = lease.envelopeOf(entry);
    } catch (error) {
      return lease.refuse(entry, error);
    }
    const { clock, policy } = lease.consumer;
    const event = new Event(envelope, clock);
    return policy.idempotency ? this.#deliverOnce(entry, event, policy.idempotency) : this.#deliver(entry, event);
  }

  /** Handles one event unless the store says that this was done. */
  async #deliverOnce(entry: Entry, event: Event, store: IdempotencyStore): Promise<End | undefined> {
    const once = new Once(store, this.#asker, event.replay === "" ? event.id : `${event.id}#${event.replay}`);
    this.#once = once;
    try {
      const begun = await once.begin();
      if (begun === undefined) return FREE; // nothing has failed
      if (begun) return await this.#deliver(entry, event, once);
      this.#lease.consumer.known();
      return this.#lease.acknowledge();
    } finally {
      this.#once = undefined;
    }
  }

  async #deliver(entry: Entry, event: Event, once?: Once): Promise<End | undefined> {
    const lease = this.#lease;
    const delivery = new DurableDelivery(lease, lease.failures + 1);
    event.delivery = delivery;
    this.event = event;
    lease.delivery = delivery;
    lease.begun = lease.consumer.clock.monotonic();
    const outcome = await this.#attempt(event);
    this.event = lease.delivery = this.#abandon = undefined;
    if (outcome === INTERRUPTED) {
      lease.consumer.series.cancelled += 1;
      lease.consumer.steps.cancelled(event.envelope, lease.handling(entry));
      return FREE;
    }
    lease.count(event, lease.begun);
    const done = delivery.acked || !(outcome.failed || delivery.said);
    await once?.end(done);
    if (!done) return this.#conclude(entry, delivery, outcome);
    const { steps } = lease.consumer;
    if (steps.isWanted) steps.handled(event.envelope, lease.handling(entry));
    return delivery.acked ? undefined : lease.acknowledge();
  }

  get #asker(): Asker {
    const { topic, policy, clock, log, lease, storeTrouble: trouble } = this.#lease.consumer;
    return { topic, group: policy.group, clock, log, lease, trouble };
  }

  /** Runs the handler; resolves when it has ended, or when nobody waits for it any more. */
  #attempt(event: Event): Promise<Outcome> {
    const { subscription } = this.#lease.consumer;
    return new Promise((resolve) => {
      this.#abandon = resolve;
      const run = () => this.#runHandler(event);
      const { around } = subscription;
      CURRENT.run(event, () => (around === undefined ? run() : around(event, run))).then(
        () => resolve({ failed: false }),
        (raised) => {
          if (!event.cancelled) subscription.raised(event.topic, raised, this.#lease.failures + 1);
          resolve({ failed: true, raised });
        },
      );
    });
  }

  async #runHandler(event: Event): Promise<void> {
    const { subscription } = this.#lease.consumer;
    const { versions, input, handler, streams } = subscription;
    if (event.replay !== "" && !subscription.replays) return;
    let data = versions === undefined ? event.data : versions.lift(event);
    if (!passes(subscription, data)) return;
    if (input !== undefined) data = await fitted(input, data, MISFIT);
    if (event.cancelled) return;
    const result: unknown = await handler(data, event);
    if (!isStream(result, streams)) return;
    for await (const _ of result) if (event.cancelled) return; // nobody reads the items
  }

  /** What becomes of an event whose handler threw, or refused it. */
  #conclude(entry: Entry, delivery: DurableDelivery, { raised, failed }: Outcome): End | undefined {
    if (delivery.rejected !== undefined) return this.#lease.reject(entry, delivery.rejected);
    return this.#lease.fail(entry, failed ? raised : WANTED_AGAIN, delivery);
  }
}
