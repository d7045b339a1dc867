import { LONGEST_PAUSE_MS, monotonic } from "./clock.js";
import type { Deadlines } from "./deadlines.js";

/** One timer for a heap of deadlines. It keeps the process alive only while somebody really waits. */
export class Alarm {
  readonly #deadlines: Deadlines;
  #timer: NodeJS.Timeout | undefined;
  #moment = Infinity;
  #waiting = 0;

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  /** Goes off at this moment, or earlier if that was asked for. */
  wakeAt(moment: number): void {
    if (moment >= this.#moment) return;
    clearTimeout(this.#timer);
    this.#moment = moment;
    const pause = Math.min(LONGEST_PAUSE_MS, Math.max(1, Math.ceil(moment - monotonic())));
    this.#timer = setTimeout(() => this.#goOff(), pause);
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
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#moment = Infinity;
  }

  #goOff(): void {
    this.#timer = undefined;
    this.#moment = Infinity;
    this.#deadlines.advance(monotonic());
    const next = this.#deadlines.next();
    if (next !== undefined) this.wakeAt(next);
  }
}
