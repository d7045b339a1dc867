import { AsyncResource } from "node:async_hooks";
import { Clock as RunningClock, type Timer } from "../clock.js";
import { InvalidArgumentError } from "../errors.js";

const BEGINNING = Date.UTC(2030, 0, 1);

/** What the monotonic clock says at the start; none that runs says 0. */
const ORIGIN = 1_000_000;

const MICROS = 1000;
const MOST_TURNS = 10_000;

interface Entry {
  /** Microseconds since the start. */
  readonly due: number;
  readonly sequence: number;
  readonly moment: number;
  readonly run: () => void;
}

/**
 * Time for tests: `await clock.advance(30_000)` lets 30 seconds pass.
 *
 * Deadlines, batches, probes and leases wait by the broker's clock. With this one they happen when the test says so: at
 * once, in order, and each with everything it causes before the next one comes. What the clocks of the machine do changes
 * nothing. Handlers that sleep by it, `await clock.sleep(5_000)`, are woken by it; those that sleep by themselves are not.
 */
export class Clock extends RunningClock {
  readonly #start: number;
  readonly #waiting = new Set<Entry>();
  #elapsed = 0;
  #reading = ORIGIN;
  #sequence = 0;

  /** Says `start` at first; 1 January 2030 (UTC) unless given. */
  constructor(start: Date | number = BEGINNING) {
    super(() => ORIGIN);
    this.#start = Math.trunc(Number(start));
  }

  // --- what tests do -------------------------------------------------------------------------------------------------

  /**
   * Lets so many milliseconds pass, and all that is due meanwhile happen, in order; first what is due now.
   * Rejects with InvalidArgumentError: time does not go back.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0 && ms < Infinity)) {
      throw new InvalidArgumentError(`a clock is advanced by milliseconds of at least 0, not ${ms}`);
    }
    const end = this.#elapsed + Math.round(ms * MICROS);
    await settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      next.run();
      await settle();
    }
    this.#reach(end);
  }

  /** Resolves when nothing more happens unless time passes or something comes from outside of the program. */
  settle(): Promise<void> {
    return settle();
  }

  // --- what event systems do -----------------------------------------------------------------------------------------

  /** See `Clock.monotonic` of the package. */
  override monotonic(): number {
    return this.#reading;
  }

  /** Milliseconds since 1970, by this clock. */
  override now(): number {
    return this.#start + Math.floor(this.#elapsed / MICROS);
  }

  /** See `Clock.at` of the package. */
  override at(localMs: number): number {
    return this.#start + Math.floor(localMs - ORIGIN);
  }

  /** See `Clock.local` of the package. */
  override local(brokerMs: number): number {
    return ORIGIN + brokerMs - this.#start;
  }

  /** Calls back when the clock has been turned so far. */
  override callLater(ms: number, callback: () => void): Timer {
    return this.callAt(this.#reading + ms, callback);
  }

  /** Calls back when the clock has been turned to this moment. */
  override callAt(moment: number, callback: () => void): Timer {
    const run = AsyncResource.bind(callback);
    if (moment <= this.#reading) return soon(run);
    this.#sequence += 1;
    const due = Math.round((moment - ORIGIN) * MICROS);
    const entry = { due, sequence: this.#sequence, moment, run };
    this.#waiting.add(entry);
    return { cancel: () => void this.#waiting.delete(entry), ref: () => undefined, unref: () => undefined };
  }

  /** Resolves when the clock has been turned so far. */
  override sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.callLater(ms, resolve));
  }

  /** Nobody tells this clock what time it is. */
  override learn(): void {}

  /** The next thing that happens until `end`; the clock says its moment when this returns. */
  #next(end: number): Entry | undefined {
    let next: Entry | undefined;
    for (const entry of this.#waiting) {
      const { due, sequence } = next ?? { due: end, sequence: Infinity };
      if (entry.due < due || (entry.due === due && entry.sequence < sequence)) next = entry;
    }
    if (next === undefined) return undefined;
    this.#waiting.delete(next);
    this.#reach(next.due, next.moment);
    return next;
  }

  /** Goes on to a moment; who asks for the time must not be told that a deadline is a rounding error away. */
  #reach(elapsed: number, moment = 0): void {
    this.#elapsed = Math.max(this.#elapsed, elapsed);
    this.#reading = Math.max(this.#reading, ORIGIN + this.#elapsed / MICROS, moment);
  }
}

/** The clock of a test with `realTime: true`. */
export class RealTime extends RunningClock {
  /** Not to be done here: rejects with InvalidArgumentError. */
  async advance(ms: number): Promise<void> {
    throw new InvalidArgumentError(`with realTime nobody turns the clock by ${ms} ms; leave realTime out`);
  }

  /** See `Clock.settle`. */
  settle(): Promise<void> {
    return settle();
  }
}

/** Lets the loop turn until it would sleep. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < MOST_TURNS; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    if (!process.getActiveResourcesInfo().includes("Immediate")) return;
  }
}

function soon(run: () => void): Timer {
  const immediate = setImmediate(run);
  return { cancel: () => clearImmediate(immediate), ref: () => undefined, unref: () => undefined };
}
