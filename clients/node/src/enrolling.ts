import type { Timer } from "./clock.js";
import type { Consumer } from "./consumer.js";
import { NotFoundError } from "./errors.js";
import type { House } from "./house.js";
import { inOneLine } from "./log.js";

const ENROLL_MS = 2000;

/**
 * Keeps the group of a consumer registered: should the broker lose everything, the group is there again soon, and
 * whatever is stored meanwhile is for it. If somebody removed the group, its subscription ends.
 */
export class Enrolling {
  readonly #consumer: Consumer;
  readonly #house: House;
  #timer: Timer | undefined;

  constructor(consumer: Consumer, house: House) {
    this.#consumer = consumer;
    this.#house = house;
  }

  /** Looks now and then, until `stop`. */
  start(): void {
    this.#timer = this.#consumer.clock.callLater(ENROLL_MS, () => void this.#enroll());
    this.#timer.unref();
  }

  /** Looks no more. */
  stop(): void {
    this.#timer?.cancel();
  }

  async #enroll(): Promise<void> {
    const { topic, policy, log } = this.#consumer;
    try {
      if (await this.#house.mail.enroll(topic, policy.group, { again: true })) {
        log.warn(`the group "${policy.group}" of "${topic}" was gone, and is registered again`);
        this.#consumer.wake();
      }
    } catch (error) {
      if (error instanceof NotFoundError) return this.#removed(error);
      log.debug(`registering the group of "${topic}" failed: ${inOneLine(error)}`);
    }
    if (!this.#consumer.stopped) this.start();
  }

  #removed(error: NotFoundError): void {
    const { subscription, log } = this.#consumer;
    log.error(`the subscription "${subscription.name}" ends: ${inOneLine(error)}; subscribe anew to have it again`);
    void subscription.unsubscribe();
  }
}
