import { performance } from "node:perf_hooks";

/** Milliseconds that only ever move forward; their zero means nothing. */
export function monotonic(): number {
  return performance.now();
}

/**
 * The broker's clock, kept as an offset to the local monotonic clock.
 *
 * A wall clock that is set back or an hour wrong changes nothing: the local monotonic clock says how much time has
 * passed, the broker says what time it is. Until a broker has been asked, the offset is that of this machine's wall
 * clock when the clock was made.
 */
export class Clock {
  readonly #monotonic: () => number;
  #offset: number;

  constructor(source: () => number = monotonic) {
    this.#monotonic = source;
    this.#offset = Date.now() - source();
  }

  /** Milliseconds since 1970 by the broker's clock, whole. */
  now(): number {
    return Math.floor(this.#monotonic() + this.#offset);
  }

  /** Turns a moment of the broker's clock into one of the local monotonic clock. */
  local(brokerMs: number): number {
    return brokerMs - this.#offset;
  }

  /** Takes the broker's time (ms), read between two moments of the local monotonic clock (ms). */
  learn(brokerMs: number, asked: number, answered: number): void {
    this.#offset = brokerMs - (asked + answered) / 2;
  }
}
