import type { BatchOptions } from "../batch.js";
import type { Timer } from "../clock.js";
import { LIMIT_CLAIM_SLOTS } from "../contract/contract.js";
import type { Subscription } from "../subscription.js";
import { DurableBatch } from "./batch.js";
import { Consumer } from "./consumer.js";
import type { Durability } from "./durability.js";
import type { House } from "./house.js";
import { FREE, type Lease } from "./lease.js";

/**
 * Handles what is stored for one subscription in lists, by size or time, whichever comes first; `concurrency` is how many
 * batches run at a time. An event that failed before comes alone, so that others need not fail with it again.
 */
export class BatchConsumer extends Consumer {
  readonly #options: BatchOptions;
  #collecting: Timer | undefined;

  constructor(subscription: Subscription, policy: Durability, concurrency: number, house: House, batch: BatchOptions) {
    super(subscription, policy, concurrency, house, Math.min(LIMIT_CLAIM_SLOTS, batch.size * concurrency));
    this.#options = batch;
    this.patience += batch.ms;
  }

  /** Hands on as many batches as are full or have waited long enough. */
  protected override begin(): void {
    if (this.stopped) this.freeWaiting();
    while (this.running < this.concurrency) {
      const leases = this.#next();
      if (leases.length === 0) return;
      this.running += 1;
      void new DurableBatch(this, leases, this.#options).run();
    }
  }

  /** The leases of the next batch; none if it is not time yet. */
  #next(): Lease[] {
    const { ready } = this;
    for (const lease of ready.filter(({ stopping, failures }) => stopping || failures > 0)) {
      ready.splice(ready.indexOf(lease), 1);
      if (!lease.stopping) return [lease];
      this.letGo(lease, FREE); // others have it
    }
    const [first] = ready;
    if (first === undefined) return [];
    let [count, number] = [0, 0];
    for (; number < ready.length && count < this.#options.size; number++) count += ready[number]?.waiting.length ?? 0;
    const left = first.begun + this.#options.ms - this.clock.monotonic();
    if (count >= this.#options.size || left <= 0) return ready.splice(0, number);
    this.#collecting ??= this.clock.callLater(left, () => this.#timeIsUp());
    return [];
  }

  #timeIsUp(): void {
    this.#collecting = undefined;
    this.flushSoon();
  }

  /** See `Consumer.stop`. */
  override stop(): void {
    this.#collecting?.cancel();
    this.#collecting = undefined;
    super.stop();
  }

  /** A batch is over, and its leases were told so. */
  batchEnded(): void {
    this.running -= 1;
    this.flushSoon();
  }

  /** A lease has more for another batch. */
  putBack(lease: Lease): void {
    if (this.stopped || lease.stopping) return this.letGo(lease, FREE);
    lease.begun = this.clock.monotonic();
    this.ready.push(lease);
  }
}

/** What claims for a durable subscription: single events, or lists of them. */
export function consumerFor(subscription: Subscription, policy: Durability, house: House): Consumer {
  const { batch, mailbox } = subscription;
  if (batch === undefined) return new Consumer(subscription, policy, mailbox.concurrency, house);
  return new BatchConsumer(subscription, policy, mailbox.concurrency, house, batch);
}
