import type { BatchOptions } from "../batch.js";
import { CURRENT, Event } from "../context.js";
import { passes } from "../delivery.js";
import type { TielineError } from "../errors.js";
import { fitted, MISFIT } from "../schema.js";
import type { BatchConsumer } from "./batchConsumer.js";
import { DEFECT, DONE, type End, FREE, type Holder, type Lease } from "./lease.js";
import { INTERRUPTED, type Outcome } from "./leaseRun.js";
import type { Entry } from "./mail.js";

/** An event that the handler gets, and its payload. */
interface Read {
  readonly entry: Entry;
  readonly event: Event;
  readonly data: unknown;
}

/** What a batch has of a lease: its first so many entries, and those of them that the handler gets. */
interface Taken {
  readonly lease: Lease;
  readonly entries: number;
  readonly events: readonly Read[];
}

/**
 * Durable events that are handled together. Returning acknowledges all of them; throwing fails the first one of each key.
 * It has events of many leases, those of a key in their order, and a lease is in one batch at a time.
 */
export class DurableBatch implements Holder {
  /** That of the first one. See `Holder.event`. */
  event: Event | undefined;
  readonly #consumer: BatchConsumer;
  readonly #size: number;
  /** Those that are not over: nothing was taken of them yet, and what was. */
  readonly #leases: Lease[];
  #taken: Taken[] = [];
  #began = 0;
  #interrupted = false;
  #abandon: ((outcome: Outcome) => void) | undefined;

  constructor(consumer: BatchConsumer, leases: Lease[], { size }: BatchOptions) {
    this.#consumer = consumer;
    this.#leases = leases;
    this.#size = size;
    for (const lease of leases) lease.holder = this;
  }

  /** Reads, handles, and says what becomes of each lease. Never rejects. */
  async run(): Promise<void> {
    try {
      if (await this.#begins()) await this.#handleAll();
      this.#endAll(FREE);
    } catch (error) {
      this.#consumer.log.error(`handling a batch of "${this.#consumer.topic}" failed`, error);
      this.#endAll(DEFECT);
    }
    this.#consumer.batchEnded();
  }

  /** Whether it may; what failed before comes alone. */
  async #begins(): Promise<boolean> {
    const [lease] = this.#leases;
    return lease === undefined || lease.failures === 0 || this.#consumer.begins(lease);
  }

  async #handleAll(): Promise<void> {
    await this.#takeAll();
    if (this.#interrupted) return;
    const events = this.#taken.flatMap((taken) => taken.events);
    const outcome = events.length === 0 ? { failed: false } : await this.#handle(events);
    if (!this.#interrupted) this.#conclude(outcome);
  }

  /** Lets go of what is still here. */
  #endAll(end: End): void {
    const leases = [...this.#leases.splice(0), ...this.#taken.map(({ lease }) => lease)];
    this.#taken = [];
    for (const lease of leases) this.#letGo(lease, end);
  }

  #letGo(lease: Lease, end: End): void {
    lease.holder = undefined;
    this.#consumer.letGo(lease, end);
  }

  /** See `Holder.stop`. All of what is being handled is finished. */
  stop(): void {}

  /** See `Holder.interrupt`: somebody else has one of its leases, or all of them are to end now. */
  interrupt(reason: TielineError): void {
    if (!this.#interrupted) {
      this.#consumer.series.cancelled += this.#taken.reduce((all, { events }) => all + events.length, 0);
    }
    this.#interrupted = true;
    this.event?.cancel(reason);
    this.#abandon?.(INTERRUPTED);
  }

  // --- what is in it -------------------------------------------------------------------------------------------------

  async #takeAll(): Promise<void> {
    let room = this.#size;
    while (!this.#interrupted) {
      const [lease] = this.#leases;
      if (lease === undefined) return;
      const taken = await this.#take(lease, room);
      this.#leases.shift();
      if (taken === undefined) continue;
      this.#taken.push(taken);
      room -= taken.events.length;
    }
  }

  /**
   * As much of a lease as there is room for; undefined if that ended the lease. What is not for the handler is settled
   * when it comes first; until then it stays, with all behind it.
   */
  async #take(lease: Lease, room: number): Promise<Taken | undefined> {
    const events: Read[] = [];
    let entries = 0;
    for (let entry = lease.waiting[0]; entry !== undefined && events.length < room; entry = lease.waiting[entries]) {
      let end: End | undefined;
      try {
        const read = await this.#read(lease, entry);
        if (read !== undefined) events.push(read);
        if (events.length > 0) {
          entries += 1;
          continue;
        }
        lease.acknowledge();
      } catch (error) {
        if (events.length > 0) break;
        end = lease.refuse(entry, error);
      }
      if (!this.#goOn(lease, end)) return undefined;
    }
    return { lease, entries, events };
  }

  /** An event and its payload; undefined if it is not for this handler. */
  async #read(lease: Lease, entry: Entry): Promise<Read | undefined> {
    if (lease.isForOthers(entry)) return undefined;
    const { clock, subscription } = this.#consumer;
    const { versions, input } = subscription;
    const event = new Event(lease.envelopeOf(entry), clock);
    if (event.replay !== "" && !subscription.replays) return undefined;
    const data = versions === undefined ? event.data : versions.lift(event);
    if (!passes(subscription, data)) return undefined;
    return { entry, event, data: input === undefined ? data : await fitted(input, data, MISFIT) };
  }

  // --- handling it ---------------------------------------------------------------------------------------------------

  /** Runs the handler; resolves when it has ended, or when nobody waits for it any more. */
  async #handle(events: readonly Read[]): Promise<Outcome> {
    const { clock, policy, subscription } = this.#consumer;
    const { event } = events[0] as Read;
    const attempt = (this.#taken[0]?.lease.failures ?? 0) + 1; // what failed before is in a list of its own
    const payloads = events.map(({ data }) => data);
    this.#began = clock.monotonic();
    this.event = event;
    const timer = clock.callLater(policy.timeout, () => this.#taken[0]?.lease.timeOut());
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#abandon = resolve;
      const { aroundBatch } = subscription;
      const last = async () => subscription.handler(payloads, event);
      const all = events.map((read) => read.event);
      CURRENT.run(event, () => (aroundBatch === undefined ? last() : aroundBatch(all, last))).then(
        () => resolve({ failed: false }),
        (raised) => {
          if (!event.cancelled) subscription.raised(event.topic, raised, attempt);
          resolve({ failed: true, raised });
        },
      );
    });
    timer.cancel();
    this.event = this.#abandon = undefined;
    return outcome;
  }

  /** See `Holder.timeOut`. */
  timeOut(raised: TielineError): void {
    this.event?.cancel(raised);
    this.#abandon?.({ failed: true, raised });
  }

  #conclude({ failed, raised }: Outcome): void {
    const nacked = this.#taken.length > 1; // whose fault it was is seen when each comes alone
    for (let taken = this.#taken.shift(); taken !== undefined; taken = this.#taken.shift()) {
      const { lease, events } = taken;
      for (const [at, { event }] of events.slice(0, failed ? 1 : undefined).entries()) {
        lease.count(event, this.#began, at === 0); // if it failed, the others come again
      }
      if (failed ? this.#failed(taken, raised, nacked) : this.#handled(taken)) {
        lease.holder = undefined;
        this.#consumer.putBack(lease);
      }
    }
  }

  /** What is here of a lease is handled; returns whether there is more of it. */
  #handled({ lease, entries, events }: Taken): boolean {
    const { steps } = this.#consumer;
    if (steps.isWanted) for (const { event, entry } of events) steps.handled(event.envelope, lease.handling(entry));
    for (let left = entries; left > 0; left--) {
      lease.acknowledge();
      if (!this.#goOn(lease, undefined)) return false;
    }
    return true;
  }

  /** The first entry of a lease has failed, if any was tried; returns whether there is more to handle. */
  #failed({ lease, entries }: Taken, raised: unknown, nacked: boolean): boolean {
    const [first] = lease.waiting;
    return first === undefined || entries === 0 || this.#goOn(lease, lease.fail(first, raised, { nacked }));
  }

  /** The first entry of a lease is settled; returns whether there is another one. */
  #goOn(lease: Lease, end: End | undefined): boolean {
    if (end === undefined) {
      lease.next();
      if (lease.waiting.length > 0) return true;
    }
    this.#letGo(lease, end ?? DONE);
    return false;
  }
}
