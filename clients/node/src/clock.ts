import { performance } from "node:perf_hooks";

/** Milliseconds that only ever move forward; their zero means nothing. */
export function monotonic(): number {
  return performance.now();
}

/** The longest pause a timer can make, in milliseconds; a longer one would be over at once. */
export const LONGEST_PAUSE_MS = 0x7fff_ffff;

/** Milliseconds by which two clocks may part in a millisecond; real ones part by less than a tenth of that. */
const DRIFT = 0.001;

/** Something that will happen. It keeps the process alive unless it is told not to. */
export interface Timer {
  /** It shall not happen. Idempotent. */
  cancel(): void;
  /** Keeps the process alive until then. */
  ref(): void;
  /** Does not keep the process alive. */
  unref(): void;
}

/**
 * The broker's clock, kept as an offset to the local monotonic clock.
 *
 * A wall clock that is set back or an hour wrong changes nothing: the local monotonic clock says how much time has
 * passed, the broker says what time it is. Until a broker has been asked, the offset is that of this machine's wall
 * clock when the clock was made.
 *
 * An event system asks nothing else for the time, and waits for it nowhere else, so that a test can turn it by hand.
 */
export class Clock {
  readonly #monotonic: () => number;
  #offset: number;
  #doubt = Number.POSITIVE_INFINITY;
  #learnedAt: number;

  constructor(source: () => number = monotonic) {
    this.#monotonic = source;
    this.#learnedAt = source();
    this.#offset = Date.now() - this.#learnedAt;
  }

  /** Milliseconds that only ever move forward; their zero means nothing. */
  monotonic(): number {
    return this.#monotonic();
  }

  /** Calls back when so many milliseconds have passed; 24 days at most, then it is over. */
  callLater(ms: number, callback: () => void): Timer {
    return new RunningTimer(setTimeout(callback, Math.min(LONGEST_PAUSE_MS, ms)));
  }

  /** Calls back at a moment of the local monotonic clock (ms), or after 24 days if that is earlier. */
  callAt(moment: number, callback: () => void): Timer {
    return this.callLater(Math.max(1, Math.ceil(moment - this.monotonic())), callback);
  }

  /** Resolves when so many milliseconds have passed. */
  async sleep(ms: number): Promise<void> {
    const end = this.monotonic() + ms;
    do {
      await new Promise<void>((resolve) => this.callAt(end, resolve));
    } while (this.monotonic() < end);
  }

  /** Milliseconds since 1970 by the broker's clock, whole. */
  now(): number {
    return Math.floor(this.#monotonic() + this.#offset);
  }

  /** Turns a moment of the local monotonic clock into one of the broker's clock, whole. */
  at(localMs: number): number {
    return Math.floor(localMs + this.#offset);
  }

  /** The same as microseconds. */
  microsAt(localMs: number): number {
    return Math.floor((localMs + this.#offset) * 1000);
  }

  /** Turns a moment of the broker's clock into one of the local monotonic clock. */
  local(brokerMs: number): number {
    return brokerMs - this.#offset;
  }

  /**
   * Takes the broker's time (ms), read between two moments of the local monotonic clock (ms).
   *
   * Half the round trip is how wrong it may be. What may be more wrong than what is known is not taken (this process may
   * have stood still meanwhile), unless both cannot be true: then the broker's clock was set.
   */
  learn(brokerMs: number, asked: number, answered: number): void {
    const offset = brokerMs - (asked + answered) / 2;
    const doubt = (answered - asked) / 2;
    const known = this.#doubt + (answered - this.#learnedAt) * DRIFT;
    if (doubt > known && Math.abs(offset - this.#offset) <= doubt + known) return;
    this.#offset = offset;
    this.#doubt = doubt;
    this.#learnedAt = answered;
  }
}

class RunningTimer implements Timer {
  readonly #timeout: NodeJS.Timeout;

  constructor(timeout: NodeJS.Timeout) {
    this.#timeout = timeout;
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  ref(): void {
    this.#timeout.ref();
  }

  unref(): void {
    this.#timeout.unref();
  }
}
