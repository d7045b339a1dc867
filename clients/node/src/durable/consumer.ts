import type { Clock, Timer } from "../clock.js";
import { CURRENT } from "../context.js";
import { LIMIT_CLAIM_ENTRIES, LIMIT_CLAIM_SLOTS } from "../contract/contract.js";
import { said, type TielineError } from "../errors.js";
import type { Recorded } from "../explain/trail.js";
import type { Series } from "../figures/tally.js";
import { inOneLine, type Log } from "../log.js";
import type { Subscription } from "../subscription.js";
import { Trouble } from "../trouble.js";
import type { Durability } from "./durability.js";
import { Enrolling } from "./enrolling.js";
import { type Claim, Holding } from "./holding.js";
import type { House } from "./house.js";
import { type End, FREE, Lease } from "./lease.js";
import { LeaseRun } from "./leaseRun.js";
import type { Claimed, Entry, Mail, Settlement } from "./mail.js";
import { Redriver } from "./redriver.js";
import { Settling } from "./settling.js";
import type { DurableSteps, Ending, Handling } from "./steps.js";

const QUICK_MS = 50;
const SLOW_MS = 250;
const REST_MS = 500;
const EVENTS_A_SLOT = 16;
const AT_ONCE = 32;
const MOST_HELD = 4 * LIMIT_CLAIM_SLOTS;

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
  /** Where what it handles is counted. */
  readonly series: Series;
  /** How many handlers run at a time. */
  protected readonly concurrency: number;
  /** Leases that have not begun, in their order. */
  protected readonly ready: Lease[] = [];
  /** How many handlers run. */
  protected running = 0;
  readonly #house: House;
  readonly #holding: Holding;
  readonly #settling: Settling;
  /** How many members it holds at most, and the least that this can be. */
  #window: number;
  readonly #least: number;
  #more = false;
  #claiming = false;
  #stopped = true;
  #isOver = false;
  /** How long something may wait here before it is given back (ms). */
  protected patience = SLOW_MS;
  #flushing = false;
  #again: Timer | undefined;
  readonly #enrolling: Enrolling;
  readonly #redriver: Redriver;
  readonly #claimTrouble: Trouble;
  /** What an idempotency store does not answer. */
  readonly storeTrouble: Trouble;
  #idle: (() => void)[] = [];

  /** `least` is how many members it may hold at least: as many as handlers can have at a time. */
  constructor(subscription: Subscription, policy: Durability, concurrency: number, house: House, least = concurrency) {
    this.subscription = subscription;
    this.policy = policy;
    this.topic = subscription.topic;
    this.series = house.tally.series(this.topic, policy.group, "durable");
    this.concurrency = concurrency;
    this.#house = house;
    this.#holding = new Holding(this, house);
    this.#settling = new Settling(this, house, (again) => this.#progressed(again));
    this.#window = this.#least = least;
    this.#enrolling = new Enrolling(this, house);
    this.#redriver = new Redriver(this.topic, policy, house);
    this.#claimTrouble = new Trouble(`claiming events of "${this.topic}" failed, and is tried again`, house.log);
    this.storeTrouble = new Trouble(`events of "${this.topic}" wait for their idempotency store`, house.log);
  }

  /** The broker's clock. */
  get clock(): Clock {
    return this.#house.clock;
  }

  /** Where it says things. */
  get log(): Log {
    return this.#house.log;
  }

  /** How long a lease lasts without being extended, milliseconds. */
  get lease(): number {
    return this.#house.lease;
  }

  /** Members that are leased. */
  get held(): number {
    return this.#holding.size;
  }

  /** Handlers that run. */
  get handling(): number {
    return this.running;
  }

  /** Whether it claims nothing new. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Whether whoever asks is a handler that runs here. */
  get isCaller(): boolean {
    const own = CURRENT.getStore();
    return own !== undefined && [...this.#holding].some(({ holder }) => holder?.event === own);
  }

  /** Where each step of an event is noted. */
  get steps(): DurableSteps {
    return this.#house.steps;
  }

  /** What there is to tell of the events that handlers have now. */
  atWork(): Recorded[] {
    return [...this.#holding].flatMap((lease) => lease.running ?? []);
  }

  /** Has events wait for the group from now on. */
  enroll(mail: Mail): Promise<void> {
    return this.#enrolling.begin(mail);
  }

  // --- claim ---------------------------------------------------------------------------------------------------------

  /** Begins to claim. */
  start(): void {
    if (!this.#stopped || this.#isOver) return;
    this.#stopped = false;
    this.#enrolling.start();
    this.#redriver.start();
    this.wake();
  }

  /** There may be something to claim. */
  wake(): void {
    this.#more = !this.#stopped;
    this.#pump();
  }

  #pump(): void {
    if (this.#stopped || this.#claiming || !this.#more || this.#settling.underWay > this.#window) return;
    const room = Math.min(this.#window - this.held, LIMIT_CLAIM_SLOTS);
    const little = room * 2 >= Math.min(this.#window, LIMIT_CLAIM_SLOTS) || this.ready.length === 0;
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
      this.#claimTrouble.over();
    } catch (error) {
      this.#claimTrouble.told(inOneLine(error));
      this.#lookAgain(REST_MS);
    }
    this.#claiming = false;
    this.begin();
    this.#pump();
    this.#handOn();
    this.#tellIdle();
  }

  /** What was settled before it stopped woke nobody, as it was to claim next; what it gives back now does. */
  #handOn(): void {
    if (!this.#stopped || !this.#more || this.#claiming) return;
    this.#claiming = true;
    void this.#claim(1);
  }

  #claimed({ token, again, lost, members }: Claimed, room: number): void {
    if (lost > 0) this.log.error(`${lost} events of "${this.topic}" were deleted while they were handled`);
    const claim: Claim = { at: this.clock.monotonic(), full: members.length >= room, left: members.length };
    for (const member of members) {
      const lease = new Lease(this, member, token, claim.at);
      this.#holding.add(lease, claim);
      this.ready.push(lease);
    }
    if (again === 0) this.#more = !this.#stopped;
    else if (again !== undefined) this.#lookAgain(again);
  }

  #lookAgain(ms: number): void {
    this.#again?.cancel();
    if (this.#stopped) return;
    this.#again = this.clock.callLater(ms, () => this.wake());
    this.#again.unref();
  }

  /** Hands on as much as may run. */
  protected begin(): void {
    if (this.#stopped) this.freeWaiting();
    for (let begun = 0; this.running < this.concurrency; begun++) {
      if (begun === AT_ONCE) {
        this.flushSoon(); // what is done is settled, and more is claimed, while the rest is handled
        break;
      }
      const lease = this.ready.shift();
      if (lease === undefined) break;
      this.running += 1;
      void new LeaseRun(lease).run();
    }
  }

  /** Holds what is done within a moment, and not much more: others may have nothing to do. */
  #adapt(claim: Claim): void {
    const ms = this.clock.monotonic() - claim.at;
    if (claim.full && ms < QUICK_MS) this.#window = Math.min(MOST_HELD, this.#window * 2);
    else if (ms > SLOW_MS) this.#window = Math.max(this.#least, this.#window >> 1);
  }

  /** What waits here for longer than a moment is for others, who may have nothing to do. */
  giveBack(now: number): void {
    const [first] = this.ready;
    if (first === undefined || now - first.begun <= this.patience) return;
    this.#window = this.#least;
    this.freeWaiting();
  }

  // --- settle --------------------------------------------------------------------------------------------------------

  /**
   * Says that a lease begins with an event that failed before; resolves to whether it may.
   *
   * From here on it counts if this process is lost. What the broker did not hear of does not begin: an answer to a claim
   * that was lost is no failure.
   */
  begins(lease: Lease): Promise<boolean> {
    return this.#settling.begins(lease);
  }

  /** A lease is over, and its handler has ended. */
  ended(lease: Lease, end: End): void {
    this.running -= 1;
    this.letGo(lease, end);
  }

  /** A lease is over. */
  letGo(lease: Lease, { verdict, argument }: End): void {
    const claim = this.#holding.remove(lease);
    if (!lease.lost) this.#settling.add(lease.settlement(verdict, argument));
    if (claim !== undefined && --claim.left === 0) this.#adapt(claim);
    this.flushSoon();
  }

  /** A part of a lease is over. */
  tell(settlement: Settlement): void {
    this.#settling.add(settlement);
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
    this.begin();
    if (this.#settling.endsLeases && !this.#stopped) this.#more = true;
    for (const lease of this.#holding) if (lease.hasHandled) this.#settling.add(lease.settlement("keep"));
    this.#settling.send();
    this.#pump();
    this.#tellIdle();
  }

  /** The broker has heard of something. */
  #progressed(again: boolean): void {
    if (again && !this.#stopped) this.#more = true; // what was settled claims next
    this.#pump();
    this.#tellIdle();
  }

  // --- end -----------------------------------------------------------------------------------------------------------

  /** Claims nothing new, finishes the events that are being handled, and gives the rest back. */
  stop(): void {
    this.#stopped = true;
    this.#again?.cancel();
    this.#enrolling.stop();
    this.#redriver.stop();
    this.freeWaiting();
    for (const lease of this.#holding) lease.stop();
    this.#handOn();
  }

  /** Resolves when nothing is held and all is settled; `stop` comes first. */
  idle(): Promise<void> {
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Stops at once and gives everything back. */
  interrupt(reason: TielineError): void {
    this.#more = false;
    this.stop();
    for (const lease of [...this.#holding]) lease.interrupt(reason);
    this.#isOver = true;
    this.#settling.close();
    this.flushSoon();
  }

  /** Gives back what has not begun. */
  protected freeWaiting(): void {
    for (const lease of this.ready.splice(0)) this.letGo(lease, FREE);
  }

  get #isIdle(): boolean {
    if (this.#isOver) return true;
    return this.#stopped && !this.#claiming && this.held === 0 && this.#settling.isDone;
  }

  #tellIdle(): void {
    if (this.#isIdle) for (const tell of this.#idle.splice(0)) tell();
  }

  // --- what is told --------------------------------------------------------------------------------------------------

  /** An event is to be tried again. */
  failed(lease: Lease, entry: Entry, handling: Handling, error: TielineError, pause: number): void {
    const which = `${handling.attempt} of ${this.policy.retry.maxAttempts}`;
    const again = `is tried again in ${shown(pause)}, after attempt ${which}`;
    this.log.info(`an event of ${this.#named(lease)} ${again}: ${said(error)}`);
    const detail = { after_ms: pause, code: error.code, attempt: handling.attempt };
    this.steps.failed(entry, handling, error, { step: "retried", detail });
  }

  /** An event was handled before. */
  known(): void {
    this.#house.tally.count("eventsDeduplicated");
  }

  /** An event is not tried again. */
  gaveUp(lease: Lease, entry: Entry, handling: Handling, what: string, error: TielineError, ending: Ending): void {
    this.log.error(`an event of ${this.#named(lease)} is given up, ${what}: ${said(error)}`);
    const { step, detail } = ending;
    this.steps.failed(entry, handling, error, { step, detail: { group: this.policy.group, ...detail } });
  }

  /** Where an event is from, for people. */
  #named({ key }: Lease): string {
    return key === "" ? `"${this.topic}"` : `"${this.topic}" with key "${key}"`;
  }
}

/** A pause, for people. */
function shown(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}
