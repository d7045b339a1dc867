import type { Clock } from "./clock.js";
import { ResponderLostError } from "./errors.js";
import type { Registry } from "./registry.js";
import type { Router } from "./router.js";
import type { Subscription } from "./subscription.js";
import { within } from "./within.js";

/** Subscriptions on their way out: the broker is told first, then what was sent here before it knew is finished. */
export class Leaving {
  readonly #router: Router;
  readonly #registry: Registry;
  readonly #left = new Map<Subscription, Promise<void>>();

  constructor(router: Router, registry: Registry) {
    this.#router = router;
    this.#registry = registry;
  }

  /** Those that are not done yet. */
  all(): Subscription[] {
    return [...this.#left.keys()];
  }

  /** Ends a subscription. Whoever asks again waits for the same; a handler of its own does not wait for itself. */
  async end(subscription: Subscription): Promise<void> {
    await (this.#left.get(subscription) ?? this.#begin(subscription));
    await subscription.drain();
  }

  /** Ends every subscription within so many milliseconds of a clock; what is not done then is interrupted. */
  async endAll(ms: number, clock: Clock): Promise<void> {
    const subscriptions = new Set([...this.#router.all(), ...this.#left.keys()]);
    for (const subscription of subscriptions) subscription.leaving = true;
    const left = this.#registry.end(this.#router.interests()).catch(() => undefined); // all of them at once
    const ended = left.then(() => Promise.all([...subscriptions].map((subscription) => this.end(subscription))));
    if (await within(ms, ended, clock)) return;
    const reason = new ResponderLostError("the responder stopped before the handler was done");
    for (const subscription of subscriptions) {
      this.#router.remove(subscription);
      subscription.interrupt(reason);
    }
    await new Promise((resolve) => setImmediate(resolve)); // what is given back is on its way before the port closes
  }

  #begin(subscription: Subscription): Promise<void> {
    subscription.leaving = true;
    const left = this.#leave(subscription);
    this.#left.set(subscription, left);
    return left;
  }

  async #leave(subscription: Subscription): Promise<void> {
    await this.#registry.end(subscription.interests).catch(() => undefined); // its lease will end
    this.#router.remove(subscription);
    subscription.stop();
    void subscription.idle().then(() => this.#left.delete(subscription));
  }
}
