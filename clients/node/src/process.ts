import { monotonic } from "./clock.js";

const LOOK_MS = 1000;
const LATE_MS = 1000;
const SIGNALS = ["SIGTERM", "SIGINT"] as const;

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
 * Resolves when the process gets SIGTERM or SIGINT, of which it tells, or when it is over anyhow; a second signal ends the
 * process as usual.
 */
export function untilToldToStop(over: Promise<void>, tell: () => void): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      clearInterval(awake);
      for (const name of SIGNALS) process.off(name, onSignal);
      resolve();
    };
    // Nothing else need keep the process alive while it serves.
    const awake = setInterval(() => undefined, 0x7fff_ffff);
    const onSignal = () => {
      stop();
      tell();
    };
    for (const name of SIGNALS) process.on(name, onSignal);
    void over.then(stop);
  });
}
