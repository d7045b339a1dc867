import type { Clock, Timer } from "./clock.js";
import { CURRENT } from "./context.js";
import { LIMIT_CLAIM_ENTRIES, LIMIT_CLAIM_SLOTS } from "./contract/contract.js";
import type { Durability } from "./durability.js";
import type { Claimed, Mail, Settlement, Verdict } from "./durable.js";
import { said, TielineError } from "./errors.js";
import { Lease } from "./lease.js";
import type { Log } from "./log.js";
import type { Subscription } from "./subscription.js";

const QUICK_MS = 50;
const SLOW_MS = 250;
const TICK_MS = 100;
const REST_MS = 500;
const ENROLL_MS = 2000;
const EVENTS_A_SLOT = 16;
const AT_ONCE = 32;
const MOST_HELD = 4 * LIMIT_CLAIM_SLOTS;
const NOTHING = Buffer.alloc(0);

/** Where a consumer lives. */
export interface House {
  /** The broker's clock. */
  readonly clock: Clock;
  readonly log: Log;
  /** Where durable events are. Throws TielineError if there is no place for them any more. */
  readonly mail: Mail;
  /** How long a lease lasts without being extended, milliseconds. */
  readonly lease: number;
}

/** Leases that were claimed together: how soon they are done says how many to claim next. */
interface Claim {
  readonly at: number;
  readonly full: boolean;
  left: number;
}

/**
 * The claims of one durable subscription: lease, hand to the handler, settle. Rules: SPEC.md, section 14.
 *
 * Nothing polls: it claims when it is woken, when the last claim said that there is more, when what it holds has become
 * little, and when the broker said that something will be due.
 */
export class Consumer {
  readonly subscription: Subscription;
  readonly policy: Durability;
  readonly topic: string;
  readonly #house: House;
  readonly #concurrency: number;
  /** How many members it holds at most. */
  #window: number;
  readonly #leases = new Map<Lease, Claim>();
  /** The latest lease of each member. */
  readonly #members = new Map<string, Lease>();
  #ready: Lease[] = [];
  #running = 0;
  #more = false;
  #claiming = false;
  #stopped = true;
  #over = false;
  #outgoing: Settlement[] = [];
  /** What could not be settled, in its order; while there is any, all others queue behind it. */
  #unsettled: Settlement[] = [];
  #settling = 0;
  #flushing = false;
  #again: Timer | undefined;
  #ticker: Timer | undefined;
  #enrolling: Timer | undefined;
  #extended = 0;
  #idle: (() => void)[] = [];

  constructor(subscription: Subscription, policy: Durability, concurrency: number, house: House) {
    this.subscription = subscription;
    this.policy = policy;
    this.topic = subscription.topic;
    this.#house = house;
    this.#concurrency = concurrency;
    this.#window = concurrency;
  }

  /** The broker's clock. */
  get clock(): Clock {
    return this.#house.clock;
  }

  /** Where it says things. */
  get log(): Log {
    return this.#house.log;
  }

  /** Members that are leased. */
  get held(): number {
    return this.#leases.size;
  }

  /** Whether it claims nothing new. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether whoever asks is a handler that runs here. */
  get isCaller(): boolean {
    const own = CURRENT.getStore();
    return own !== undefined && [...this.#leases.keys()].some(({ event }) => event === own);
  }

  // --- claim ---------------------------------------------------------------------------------------------------------

  /** Begins to claim. */
  start(): void {
    if (!this.#stopped || this.#over) return;
    this.#stopped = false;
    this.#enrollLater();
    this.wake();
  }

  /** Should the broker lose everything, the group is there again soon; whatever is stored meanwhile is for it. */
  #enrollLater(): void {
    this.#enrolling = this.clock.callLater(ENROLL_MS, () => void this.#enroll());
    this.#enrolling.unref();
  }

  async #enroll(): Promise<void> {
    const { group } = this.policy;
    try {
      if (await this.#house.mail.enroll(this.topic, group, false)) {
        this.log.warn(`the group "${group}" of "${this.topic}" was gone, and is registered again`);
        this.wake();
      }
    } catch (error) {
      this.log.debug(`registering the group of "${this.topic}" failed: ${told(error)}`);
    }
    if (!this.#stopped) this.#enrollLater();
  }

  /** There may be something to claim. */
  wake(): void {
    this.#more = true;
    this.#pump();
  }

  #pump(): void {
    if (this.#stopped || this.#claiming || !this.#more || this.#settling > this.#window) return;
    const room = Math.min(this.#window - this.#leases.size, LIMIT_CLAIM_SLOTS);
    const little = room * 2 >= Math.min(this.#window, LIMIT_CLAIM_SLOTS) || this.#ready.length === 0;
    if (room <= 0 || !little) return;
    this.#claiming = true;
    void this.#claim(room);
  }

  async #claim(room: number): Promise<void> {
    this.#more = false; // whoever wakes us from here on means the next one
    const entries = Math.min(LIMIT_CLAIM_ENTRIES, room * EVENTS_A_SLOT);
    try {
      const { mail, lease } = this.#house;
      this.#claimed(await mail.claim(this.topic, this.policy.group, room, entries, lease), room);
    } catch (error) {
      this.log.info(`claiming events of "${this.topic}" failed: ${told(error)}`);
      this.#lookAgain(REST_MS);
    }
    this.#claiming = false;
    this.#begin();
    this.#pump();
    this.#tellIdle();
  }

  #claimed({ token, again, lost, members }: Claimed, room: number): void {
    if (lost > 0) this.log.error(`${lost} events of "${this.topic}" were deleted while they were handled`);
    const claim: Claim = { at: this.clock.monotonic(), full: members.length >= room, left: members.length };
    for (const member of members) {
      const lease = new Lease(this, member, token);
      const name = lease.member.toString("latin1");
      this.#members.get(name)?.lose(); // this process stood still for longer than its lease
      this.#members.set(name, lease);
      this.#leases.set(lease, claim);
      this.#ready.push(lease);
    }
    if (again === 0) this.#more = true;
    else if (again !== undefined) this.#lookAgain(again);
  }

  #lookAgain(ms: number): void {
    this.#again?.cancel();
    if (this.#stopped) return;
    this.#again = this.clock.callLater(ms, () => this.wake());
    this.#again.unref();
  }

  /** Hands on as much as may run. */
  #begin(): void {
    if (this.#stopped) this.#freeWaiting();
    for (let begun = 0; this.#running < this.#concurrency; begun++) {
      if (begun === AT_ONCE) {
        this.flushSoon(); // what is done is settled, and more is claimed, while the rest is handled
        break;
      }
      const lease = this.#ready.shift();
      if (lease === undefined) break;
      this.#running += 1;
      void lease.run();
    }
    if (this.#leases.size > 0 && this.#ticker === undefined) {
      this.#extended = this.clock.monotonic();
      this.#tickLater();
    }
  }

  // --- settle --------------------------------------------------------------------------------------------------------

  /** A lease is over. */
  ended(lease: Lease, verdict: Verdict, argument: Buffer): void {
    const claim = this.#leases.get(lease);
    this.#running -= 1;
    this.#leases.delete(lease);
    const name = lease.member.toString("latin1");
    if (this.#members.get(name) === lease) this.#members.delete(name);
    if (!lease.lost) this.#outgoing.push(lease.settlement(verdict, argument));
    if (claim !== undefined && --claim.left === 0) this.#adapt(claim);
    this.flushSoon();
  }

  /**
   * Says that a lease begins with an event that failed before; resolves to whether it may.
   *
   * From here on it counts if this process is lost. What the broker did not hear of does not begin: an answer to a claim
   * that was lost is no failure.
   */
  async begins(lease: Lease): Promise<boolean> {
    const { member, token } = lease;
    const beginning: Settlement = { member, token, verdict: "begin", argument: NOTHING, entries: [] };
    try {
      const [ours] = await this.#send([beginning]);
      if (ours !== true) lease.lost = true;
      return ours === true;
    } catch (error) {
      this.log.info(`beginning with an event of "${this.topic}" failed: ${told(error)}`);
      return false;
    }
  }

  /** A part of a lease is over. */
  tell(settlement: Settlement): void {
    this.#outgoing.push(settlement);
    this.flushSoon();
  }

  /** Settles when this turn of the loop ends. */
  flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    this.#begin();
    const settlements = this.#outgoing;
    this.#outgoing = [];
    if (settlements.some(({ verdict }) => !isPart(verdict))) this.#more = true;
    for (const lease of this.#leases.keys()) if (lease.hasHandled) settlements.push(lease.settlement("keep"));
    if (settlements.length > 0) void this.#settle(settlements);
    this.#pump();
    this.#tellIdle();
  }

  async #settle(settlements: readonly Settlement[]): Promise<void> {
    if (this.#unsettled.length > 0) return void this.#unsettled.push(...settlements);
    this.#settling += settlements.length;
    try {
      const kept = await this.#send(settlements);
      const lost = kept.filter((ours) => !ours).length;
      if (lost > 0) {
        this.log.warn(`${lost} leases of "${this.topic}" were lost before they were settled; others have them`);
      }
    } catch (error) {
      this.#keep(settlements, error);
    }
    this.#settling -= settlements.length;
    this.#pump();
    this.#tellIdle();
  }

  async #send(settlements: readonly Settlement[]): Promise<boolean[]> {
    const { mail, lease } = this.#house;
    return mail.settle(this.topic, this.policy.group, settlements, lease, !this.#stopped);
  }

  /** It could not be settled, or whether it was is unknown: once more, soon. */
  #keep(settlements: readonly Settlement[], error: unknown): void {
    this.log.info(`settling events of "${this.topic}" failed, and is tried again: ${told(error)}`);
    const first = this.#unsettled.length === 0;
    this.#unsettled.push(...settlements);
    if (first) this.clock.callLater(REST_MS, () => void this.#settleAgain());
  }

  async #settleAgain(): Promise<void> {
    while (this.#unsettled.length > 0 && !this.#over) {
      const settlements = this.#unsettled.slice(0, LIMIT_CLAIM_SLOTS);
      try {
        await this.#send(settlements);
        this.#unsettled = this.#unsettled.slice(settlements.length);
      } catch (error) {
        this.log.info(`settling events of "${this.topic}" failed, and is tried again: ${told(error)}`);
        await this.clock.sleep(REST_MS);
      }
    }
    this.#more = true; // what was settled claims next
    this.#pump();
    this.#tellIdle();
  }

  /** Holds what is done within a moment, and not much more: others may have nothing to do. */
  #adapt(claim: Claim): void {
    const ms = this.clock.monotonic() - claim.at;
    if (claim.full && ms < QUICK_MS) this.#window = Math.min(MOST_HELD, this.#window * 2);
    else if (ms > SLOW_MS) this.#window = Math.max(this.#concurrency, this.#window >> 1);
  }

  // --- leases and time -----------------------------------------------------------------------------------------------

  #tickLater(): void {
    this.#ticker = this.clock.callLater(Math.min(TICK_MS, this.policy.timeout / 2), () => this.#tick());
  }

  /** Stops handlers that take too long, and extends the leases. */
  #tick(): void {
    this.#ticker = undefined;
    if (this.#leases.size === 0) return;
    const now = this.clock.monotonic();
    for (const lease of [...this.#leases.keys()]) {
      if (lease.delivery !== undefined && now - lease.begun > this.policy.timeout) lease.timeOut();
    }
    if (now - this.#extended >= this.#house.lease / 3) {
      this.#extended = now;
      void this.#extend([...this.#leases.keys()]);
    }
    this.#tickLater();
  }

  async #extend(leases: readonly Lease[]): Promise<void> {
    let kept: boolean[];
    try {
      const { mail, lease } = this.#house;
      kept = await mail.extend(this.topic, this.policy.group, leases, lease);
    } catch (error) {
      this.log.info(`extending leases of "${this.topic}" failed: ${told(error)}`);
      return;
    }
    for (const [at, lease] of leases.entries()) {
      if (kept[at] || !this.#leases.has(lease)) continue;
      this.log.warn(`the lease of "${lease.key || "an event"}" of "${this.topic}" was lost; others have it`);
      lease.lose();
    }
  }

  // --- end -----------------------------------------------------------------------------------------------------------

  /** Claims nothing new, finishes the events that are being handled, and gives the rest back. */
  stop(): void {
    this.#stopped = true;
    this.#again?.cancel();
    this.#enrolling?.cancel();
    this.#freeWaiting();
    for (const lease of this.#leases.keys()) lease.stop();
  }

  /** Resolves when nothing is held and all is settled; `stop` comes first. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Stops at once and gives everything back. */
  interrupt(reason: TielineError): void {
    this.stop();
    for (const lease of [...this.#leases.keys()]) lease.interrupt(reason);
    this.#over = true;
    this.flushSoon();
  }

  /** Gives back what has not begun. */
  #freeWaiting(): void {
    for (const lease of this.#ready.splice(0)) {
      this.#running += 1;
      this.ended(lease, "free", NOTHING);
    }
  }

  get #isIdle(): boolean {
    if (this.#over) return true;
    const settled = this.#settling + this.#unsettled.length + this.#outgoing.length === 0;
    return this.#stopped && !this.#claiming && this.#leases.size === 0 && settled;
  }

  #tellIdle(): void {
    if (this.#isIdle) for (const tell of this.#idle.splice(0)) tell();
  }

  // --- what is told --------------------------------------------------------------------------------------------------

  /** An event is to be tried again. */
  failed(error: TielineError, pause: number): void {
    this.log.info(`an event of "${this.topic}" is tried again in ${(pause / 1000).toFixed(1)} s: ${said(error)}`);
  }

  /** An event is not tried again. */
  gaveUp(lease: Lease, what: string, error: TielineError): void {
    const key = lease.key === "" ? "" : ` with key "${lease.key}"`;
    this.log.error(`an event of "${this.topic}"${key} is given up, ${what}: ${said(error)}`);
  }
}

function isPart(verdict: Verdict): boolean {
  return verdict === "keep" || verdict === "dead";
}

function told(error: unknown): string {
  return error instanceof TielineError ? said(error) : String(error);
}
