import type { Timer } from "../clock.js";
import { NotFoundError } from "../errors.js";
import { inOneLine } from "../log.js";
import type { Consumer } from "./consumer.js";
import type { House } from "./house.js";
import { DEFAULT_GROUP, type EnrollOptions, type Mail } from "./mail.js";

const ENROLL_MS = 2000;

/**
 * Keeps the group of a consumer registered: should the broker lose everything, the group is there again soon, and
 * whatever is stored meanwhile is for it. If somebody removed the group, its subscription ends.
 * If another service has the default group too, it is warned once.
 */
export class Enrolling {
  readonly #consumer: Consumer;
  readonly #house: House;
  #timer: Timer | undefined;
  #warned = false;

  constructor(consumer: Consumer, house: House) {
    this.#consumer = consumer;
    this.#house = house;
  }

  /** Registers the group for the first time. */
  async begin(mail: Mail): Promise<void> {
    await this.#register(mail, { latest: this.#consumer.policy.latest });
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
      if (await this.#register(this.#house.mail, { again: true })) {
        log.warn(`the group "${policy.group}" of "${topic}" was gone, and is registered again`);
        this.#consumer.wake();
      }
    } catch (error) {
      if (error instanceof NotFoundError) return this.#removed(error);
      log.debug(`registering the group of "${topic}" failed: ${inOneLine(error)}`);
    }
    if (!this.#consumer.stopped) this.start();
  }

  /** Registers the group; resolves to whether it is new. */
  async #register(mail: Mail, options: EnrollOptions): Promise<boolean> {
    const { topic, policy, log } = this.#consumer;
    const { service } = this.#house;
    const { isNew, other } = await mail.enroll(topic, policy.group, { ...options, service });
    if (other !== "" && policy.group === DEFAULT_GROUP && !this.#warned) {
      this.#warned = true;
      log.warn(
        `the service "${other}" has subscribed durably to "${topic}" without a group, as this one ("${service}") does: ` +
          'each event goes to one of the two services only; group: "..." gives a service a copy of its own',
      );
    }
    return isNew;
  }

  #removed(error: NotFoundError): void {
    const { subscription, log } = this.#consumer;
    log.error(`the subscription "${subscription.name}" ends: ${inOneLine(error)}; subscribe anew to have it again`);
    void subscription.unsubscribe();
  }
}
