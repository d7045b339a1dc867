import { ASK_TOPIC } from "./contract/contract.js";
import { PermissionDeniedError, UnavailableError } from "./errors.js";
import type { Logger } from "./log.js";
import type { Router } from "./router.js";
import type { Subscription } from "./subscription.js";
import { type Interest, interestKey, type Port } from "./transport.js";

const REST_MS = 500;

/** Keeps the broker's list of this instance's interests in step with its subscriptions, one step after the other. */
export class Registry {
  readonly #router: Router;
  readonly #log: Logger;
  readonly #registered = new Set<string>();
  readonly #ready = new WeakMap<Subscription, Promise<void>>();
  #port: Port | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(router: Router, log: Logger) {
    this.#router = router;
    this.#log = log;
  }

  /** Registers everything that was declared before the start. */
  attach(port: Port): Promise<void> {
    this.#port = port;
    const asked = this.#router.interests().filter((interest) => interest.pattern === ASK_TOPIC);
    const wanted = this.#router.interests().filter((interest) => interest.pattern !== ASK_TOPIC);
    return this.#next(async () => {
      this.#registered.clear(); // a start that failed half way registered some of them elsewhere
      const declared = this.#router.all();
      for (const subscription of declared) await this.#enroll(subscription);
      await this.#register(wanted);
      for (const subscription of declared) startConsuming(subscription);
      await this.#answerQuestions(asked);
    });
  }

  /** Registers in the background; `ready` waits for it. */
  begin(subscription: Subscription): void {
    const registered = this.#next(async () => {
      if (this.#port === undefined) return; // the start registers it
      await this.#enroll(subscription);
      await this.#register(subscription.interests);
      startConsuming(subscription);
    });
    this.#ready.set(subscription, registered);
    registered.catch((error) => this.#log.error(`"${subscription.name}" could not be registered`, error));
  }

  /** Resolves when the broker has confirmed the subscription. */
  ready(subscription: Subscription): Promise<void> {
    return this.#ready.get(subscription) ?? this.#turn;
  }

  /**
   * Unregisters those interests that nobody has who stays. While the broker is away this waits for nobody, not even for
   * those who wait to register.
   */
  end(interests: readonly Interest[]): Promise<void> {
    if (this.#port?.connected === false) return this.#unregister(interests);
    return this.#next(() => this.#unregister(interests));
  }

  /** Lets `explain` and `services` find this instance, where the broker allows it. */
  async #answerQuestions(asked: readonly Interest[]): Promise<void> {
    try {
      await this.#register(asked);
    } catch (error) {
      if (!(error instanceof PermissionDeniedError)) throw error;
      this.#log.debug(`this instance cannot be looked into: ${error.message}`);
    }
  }

  async #register(interests: readonly Interest[]): Promise<void> {
    const fresh = interests.filter((i) => this.#router.wants(i) && !this.#registered.has(interestKey(i)));
    if (this.#port === undefined || fresh.length === 0) return;
    for (const interest of fresh) this.#registered.add(interestKey(interest));
    try {
      await this.#port.register(fresh);
    } catch (error) {
      for (const interest of fresh) this.#registered.delete(interestKey(interest));
      throw error;
    }
  }

  /** Has events wait for a durable subscription's group from now on. While the broker is away it waits for it. */
  async #enroll(subscription: Subscription): Promise<void> {
    const { consumer } = subscription;
    if (consumer === undefined || this.#port === undefined) return;
    const { mail, clock } = this.#port;
    while (!subscription.leaving) {
      try {
        return await consumer.enroll(mail);
      } catch (error) {
        if (!(error instanceof UnavailableError) || error.fromWire) throw error;
        await clock.sleep(REST_MS); // the broker is away, and will be back
      }
    }
  }

  async #unregister(interests: readonly Interest[]): Promise<void> {
    const over = interests.filter((i) => this.#registered.has(interestKey(i)) && !this.#router.wants(i));
    if (this.#port === undefined || over.length === 0) return;
    for (const interest of over) this.#registered.delete(interestKey(interest));
    await this.#port.unregister(over);
  }

  #next(step: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(step);
    this.#turn = done.catch(() => undefined);
    return done;
  }
}

function startConsuming({ consumer, leaving }: Subscription): void {
  if (!leaving) consumer?.start();
}
