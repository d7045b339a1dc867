import type { Timer } from "../clock.js";
import { inOneLine } from "../log.js";
import type { Consumer } from "./consumer.js";
import type { House } from "./house.js";
import type { Lease } from "./lease.js";

const TICK_MS = 100;

/** Leases that were claimed together: how soon they are done says how many to claim next. */
export interface Claim {
  readonly at: number;
  readonly full: boolean;
  left: number;
}

/** The leases that a consumer holds: while they are here they are extended, and handlers that take too long are stopped. */
export class Holding implements Iterable<Lease> {
  readonly #consumer: Consumer;
  readonly #house: House;
  readonly #leases = new Map<Lease, Claim>();
  /** The latest lease of each member. */
  readonly #members = new Map<string, Lease>();
  #ticker: Timer | undefined;
  #extended = 0;

  constructor(consumer: Consumer, house: House) {
    this.#consumer = consumer;
    this.#house = house;
  }

  /** Members that are leased. */
  get size(): number {
    return this.#leases.size;
  }

  [Symbol.iterator](): Iterator<Lease> {
    return this.#leases.keys();
  }

  /** Holds one more. */
  add(lease: Lease, claim: Claim): void {
    const name = nameOf(lease);
    this.#members.get(name)?.lose(); // this process stood still for longer than its lease
    this.#members.set(name, lease);
    this.#leases.set(lease, claim);
    if (this.#ticker !== undefined) return;
    this.#extended = claim.at;
    this.#tickLater();
  }

  /** It is over; returns what it was claimed with. */
  remove(lease: Lease): Claim | undefined {
    const claim = this.#leases.get(lease);
    this.#leases.delete(lease);
    if (this.#members.get(nameOf(lease)) === lease) this.#members.delete(nameOf(lease));
    return claim;
  }

  #tickLater(): void {
    const { clock, policy } = this.#consumer;
    this.#ticker = clock.callLater(Math.min(TICK_MS, policy.timeout / 2), () => this.#tick());
  }

  #tick(): void {
    this.#ticker = undefined;
    if (this.#leases.size === 0) return;
    const { clock, policy } = this.#consumer;
    const now = clock.monotonic();
    const leases = [...this];
    for (const lease of leases) if (lease.delivery !== undefined && now - lease.begun > policy.timeout) lease.timeOut();
    if (now - this.#extended >= this.#house.lease / 3) {
      this.#extended = now;
      void this.#extend(leases);
    }
    this.#consumer.giveBack(now);
    this.#tickLater();
  }

  async #extend(leases: readonly Lease[]): Promise<void> {
    const { topic, policy, log } = this.#consumer;
    let kept: boolean[];
    try {
      const { mail, lease } = this.#house;
      kept = await mail.extend(topic, policy.group, leases, lease);
    } catch (error) {
      log.info(`extending leases of "${topic}" failed: ${inOneLine(error)}`);
      return;
    }
    for (const [at, lease] of leases.entries()) {
      if (kept[at] || !this.#leases.has(lease)) continue;
      log.warn(`the lease of "${lease.key || "an event"}" of "${topic}" was lost; others have it`);
      lease.lose();
    }
  }
}

function nameOf({ member }: Lease): string {
  return member.toString("latin1");
}
