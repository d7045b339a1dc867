import type { Log } from "./log.js";

const LASTING = 10;

/**
 * What fails again and again until it is over, and is not told each time: tells of the first failure, warns once when it
 * lasts, and has the others told to who debugs.
 */
export class Trouble {
  readonly #what: string;
  readonly #log: Log;
  #failures = 0;

  /** `what` fails, as a sentence begins. */
  constructor(what: string, log: Log) {
    this.#what = what;
    this.#log = log;
  }

  /** It failed, and is tried again. */
  told(error: string): void {
    this.#failures += 1;
    if (this.#failures === LASTING) this.#log.warn(`${this.#what}, ${LASTING} times by now: ${error}`);
    else if (this.#failures === 1) this.#log.info(`${this.#what}: ${error}`);
    else this.#log.debug(`${this.#what}: ${error}`);
  }

  /** It went well. */
  over(): void {
    this.#failures = 0;
  }
}
