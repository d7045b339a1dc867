import type { Clock, Timer } from "../clock.js";
import { DEFAULT_ROLE_MS } from "../contract/contract.js";
import { said, TielineError, UnavailableError } from "../errors.js";
import type { Log } from "../log.js";
import type { Agenda, Fired } from "./agenda.js";

const PAUSE_MS = 1_000;
const NEAR_MS = 60_000;
const FAREST_MS = 3_600_000;

/** Where the agenda is. */
export interface House {
  /** The broker's clock. */
  readonly clock: Clock;
  readonly log: Log;
  /** Events went out, or were given up; ticks and calls are to be seen to. */
  fired(fired: Fired): void;
}

/**
 * The scheduler of an instance: fires what is due, and sleeps until then. Rules: SPEC.md, section 15.
 *
 * Nothing polls: it looks when the next event is due, when it is told of an earlier one, and when the link is back; what
 * is far off it looks at again when most of the time has passed, for clocks part, and the broker's may be set. Of several schedulers one has the role, for as long as it is heard of; the others look when its lease ends.
 */
export class Scheduler {
  readonly #house: House;
  readonly #agenda: Agenda;
  readonly #instance: string;
  /** When to look next, of the local monotonic clock (ms). */
  #next = Number.POSITIVE_INFINITY;
  /** The earliest moment that was told since the last look began. */
  #heard = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #looking = false;
  #again = false;
  #troubled = false;
  #stopped = false;
  /** Has it no longer told what is due. */
  #deaf: () => void = () => {};

  constructor(house: House, agenda: Agenda, instance: string) {
    this.#house = house;
    this.#agenda = agenda;
    this.#instance = instance;
  }

  /** Looks now, and then whenever there is a reason to. */
  begin(): void {
    this.#deaf = this.#agenda.listen((due, holder) => this.#told(due, holder));
    this.look();
  }

  /** Looks now: what was told meanwhile may have been missed. */
  look(): void {
    if (this.#stopped) return;
    this.#again = true;
    if (!this.#looking) void this.#run();
  }

  /** Leaves it to others. Idempotent. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#deaf();
    this.#setTimer(Number.POSITIVE_INFINITY);
    await this.#agenda.stepDown(this.#instance).catch(() => undefined);
  }

  /** Something is due earlier than all else. If another one fires it, this one looks later whether that is so. */
  #told(due: number, holder: string): void {
    if (this.#stopped) return;
    const isOurs = holder === "" || holder === this.#instance;
    const moment = this.#house.clock.local(due) + (isOurs ? 0 : DEFAULT_ROLE_MS);
    this.#heard = Math.min(this.#heard, moment);
    if (moment < this.#next) this.#setTimer(moment);
  }

  async #run(): Promise<void> {
    this.#looking = true;
    while (this.#again && !this.#stopped) {
      this.#again = false;
      this.#heard = Number.POSITIVE_INFINITY;
      const fired = await this.#fire();
      const { again = Number.POSITIVE_INFINITY, events, ticks = [], calls = [] } = fired;
      if (events.length + ticks.length + calls.length > 0) this.#house.fired(fired);
      if (!this.#stopped) this.#setTimer(Math.min(this.#house.clock.monotonic() + again, this.#heard));
    }
    this.#looking = false;
  }

  /** One look; if it fails, the next one is when the link is back, or after a pause. */
  async #fire(): Promise<Fired> {
    let fired: Fired;
    try {
      fired = await this.#agenda.fire(this.#instance);
    } catch (error) {
      if (!(error instanceof UnavailableError)) this.#complain(error);
      return { again: PAUSE_MS, events: [] };
    }
    if (this.#troubled) this.#house.log.info("what is planned is published again");
    this.#troubled = false;
    return fired;
  }

  #complain(error: unknown): void {
    if (this.#troubled || this.#stopped) return;
    this.#troubled = true;
    const why = error instanceof TielineError ? said(error) : String(error);
    this.#house.log.error(`what is planned cannot be published now, and is tried again every second: ${why}`);
  }

  #setTimer(moment: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#next = moment;
    if (moment === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#house;
    const now = clock.monotonic();
    const left = moment - now;
    const looked = left <= NEAR_MS ? moment : now + Math.min(left * 0.9, FAREST_MS);
    this.#timer = clock.callAt(looked, () => this.look());
    if (!this.#agenda.inProcess) this.#timer.unref();
  }
}
