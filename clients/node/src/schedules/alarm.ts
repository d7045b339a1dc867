import type { Deadlines } from "../calls/deadlines.js";
import type { Clock, Timer } from "../clock.js";
import type { Logger } from "../log.js";

/** What an alarm waits by, and where it says what went wrong. */
interface Time {
  readonly clock: Clock;
  readonly log: Logger;
}

/** One timer for a heap of deadlines. It keeps the process alive only while somebody really waits. */
export class Alarm {
  readonly #deadlines: Deadlines;
  readonly #time: Time;
  #timer: Timer | undefined;
  #moment = Infinity;
  #waiting = 0;

  constructor(deadlines: Deadlines, time: Time) {
    this.#deadlines = deadlines;
    this.#time = time;
  }

  /** Goes off at this moment, or earlier if that was asked for. */
  wakeAt(moment: number): void {
    if (moment >= this.#moment) return;
    this.#timer?.cancel();
    this.#moment = moment;
    this.#timer = this.#time.clock.callAt(moment, () => this.#goOff());
    if (this.#waiting === 0) this.#timer.unref();
  }

  /** Somebody began to wait. */
  hold(): void {
    if (this.#waiting++ === 0) this.#timer?.ref();
  }

  /** Somebody waits no more. */
  release(): void {
    if (--this.#waiting === 0) this.#timer?.unref();
  }

  /** Never goes off again, unless asked. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#moment = Infinity;
  }

  #goOff(): void {
    this.#timer = undefined;
    this.#moment = Infinity;
    try {
      this.#deadlines.advance(this.#time.clock.monotonic());
    } catch (error) {
      this.#time.log.error("a deadline could not be kept", error); // the others come right after it
    }
    const next = this.#deadlines.next();
    if (next !== undefined) this.wakeAt(next);
  }
}
