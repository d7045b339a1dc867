import { type Delivery, isLogged, type Outlet } from "./delivery.js";
import { ExpiredError, NoRespondersError, said, type TielineError } from "./errors.js";
import type { Instance } from "./instance.js";

/** Where live events end: recorded, never answered. */
export class EventOutlet implements Outlet {
  readonly #instance: Instance;
  readonly #handled: (() => void) | undefined;

  constructor(instance: Instance, handled?: () => void) {
    this.#instance = instance;
    this.#handled = handled;
  }

  /** The handler returned. */
  succeeded(delivery: Delivery): void {
    this.#end(delivery, "handled");
  }

  /** The handler threw or could not be run. */
  failed(delivery: Delivery, error: TielineError): void {
    const { subscription, event } = delivery;
    if (error instanceof ExpiredError) this.#instance.say("dropped", event.envelope, { why: error.code });
    else if (!(error instanceof NoRespondersError || isLogged(error))) {
      this.#instance.log.warn(`handler "${subscription.name}" of "${event.topic}" failed: ${said(error)}`);
    }
    this.#instance.system.failed(subscription.name, event.envelope, error);
    this.#end(delivery, error.code);
  }

  /** Nobody waits for the handler any more. */
  interrupted(delivery: Delivery): void {
    this.#end(delivery, "cancelled");
  }

  /** Nobody reads the items. */
  item(): void {}

  /** The handler yielded for the last time. */
  ended(delivery: Delivery): void {
    this.#end(delivery, "handled");
  }

  #end(delivery: Delivery, how: string): void {
    this.#handled?.();
    const { trail } = this.#instance;
    if (trail.room > 0) trail.handled(delivery.event.envelope, delivery.subscription.name, how);
    this.#instance.say("handled", delivery.event.envelope, { how, subscription: delivery.subscription.name });
  }
}
