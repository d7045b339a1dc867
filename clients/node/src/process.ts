import { monotonic } from "./clock.js";

const LOOK_MS = 1000;
const LATE_MS = 1000;
const SIGNALS = ["SIGTERM", "SIGINT"] as const;
/** Signals so close together are one request. */
const SAME_STOP_MS = 500;

/** Reports an event loop that stands still: nothing can be promised while it does. */
export class Watchdog {
  readonly #report: (ms: number) => void;
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | undefined;
  #looked = 0;

  /** `tick` is called each time it looks, about once a second. */
  constructor(report: (ms: number) => void, tick: () => void) {
    this.#report = report;
    this.#tick = tick;
  }

  /** Looks from now on. */
  start(): void {
    this.#looked = monotonic();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Looks no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = monotonic();
    const late = now - this.#looked - LOOK_MS;
    this.#looked = now;
    this.#tick();
    if (late > LATE_MS) this.#report(late);
  }
}

/**
 * Resolves when the process gets SIGTERM or SIGINT, of which it tells, or when it is over anyhow. Signals within half a
 * second of the first are the same request, as npm passes a terminal's own on; a later one ends the process as usual.
 */
export function untilToldToStop(over: Promise<void>, tell: () => void): Promise<void> {
  return new Promise((resolve) => {
    // Nothing else need keep the process alive while it serves.
    const awake = setInterval(() => undefined, 0x7fff_ffff);
    const stop = () => {
      clearInterval(awake);
      for (const name of SIGNALS) process.off(name, onSignal);
      resolve();
    };
    const onSignal = () => {
      stop();
      expectItAgain();
      tell();
    };
    for (const name of SIGNALS) process.on(name, onSignal);
    void over.then(stop);
  });
}

/** Stays for what comes at once, also after the drain, which may be over sooner. */
function expectItAgain(): void {
  const sameUntil = monotonic() + SAME_STOP_MS;
  const again = (name: NodeJS.Signals) => {
    if (monotonic() < sameUntil) return;
    for (const each of SIGNALS) process.off(each, again);
    if (process.listenerCount(name) === 0) process.kill(process.pid, name);
  };
  for (const each of SIGNALS) process.on(each, again);
}
