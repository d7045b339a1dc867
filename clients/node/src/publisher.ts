import { inDoubt } from "./calls/callErrors.js";
import type { Envelope } from "./contract/envelope.js";
import type { Stored } from "./durable/mail.js";
import { Storer } from "./durable/storer.js";
import { EVENT } from "./envelope.js";
import { TielineError } from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { Handled } from "./handled.js";
import type { Instance } from "./instance.js";
import { LinkWait } from "./linkWait.js";
import type { Outbox } from "./outbox/outbox.js";
import { compose } from "./outgoing.js";
import type { PublishOptions } from "./publishOptions.js";
import type { Responder } from "./responder.js";
import type { Router } from "./router.js";
import { Planner } from "./schedules/planner.js";
import { Turns, turn } from "./turns.js";

/** What a publish resolves to: the event's id, and the name of the chain it belongs to. */
export interface Receipt {
  readonly id: string;
  readonly correlationId: string;
  /** Where a durable event is; undefined for a live one, and for one that is `queued`. */
  readonly stored?: Stored;
  /** It is on this machine's disk, in the outbox, and on its way to the broker. */
  readonly queued?: boolean;
  /** When a planned event is published; its id is that of its schedule. */
  readonly due?: Date;
  /** A planned event's moment had passed: it is published now. */
  readonly overdue?: boolean;
}

/** The way of an event out, top to bottom: compose, serve locally, hand the rest to the broker. */
export class Publisher {
  /** The way of those that are kept. */
  readonly storer: Storer;
  /** The way of those that are published later. */
  readonly planner: Planner;
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #responder: Responder;
  readonly #linkWait: LinkWait;
  readonly #outlet: EventOutlet;
  readonly #turns = new Turns();

  constructor(instance: Instance, router: Router, responder: Responder, outbox?: Outbox) {
    this.#instance = instance;
    this.#router = router;
    this.#responder = responder;
    this.#linkWait = new LinkWait(instance.settings.offlineBuffer, instance);
    this.#outlet = new EventOutlet(instance);
    this.storer = new Storer(instance, this.#linkWait, outbox);
    this.planner = new Planner(instance, this.#linkWait);
  }

  /** See `EventSystem.publish`. */
  async publish(topic: string, data: unknown, options: PublishOptions, bySystem = false): Promise<Receipt> {
    if (!this.#instance.up) await this.#instance.start();
    const { clock, source, settings, place } = this.#instance;
    const envelope = compose(EVENT, topic, data, options, settings.eventTtl, clock, source, bySystem);
    if (!place.connected || options.signal?.aborted) {
      await this.#linkWait.wait(envelope.data.length, options.waitForConnection ?? 0, options.signal);
    }
    if (!bySystem) this.#noted(envelope);
    const handled = options.waitLocal ? new Handled() : undefined;
    const { here, served } = this.#serveHere(envelope, data, handled);
    await place.publish(envelope, served).catch((error) => {
      const unsure = here > 0 && error instanceof TielineError && error.outcome === "NOT_DELIVERED";
      throw unsure ? inDoubt(error) : error; // handlers here have it
    });
    await handled?.all();
    if (this.#turns.due()) await turn();
    return { id: envelope.id, correlationId: envelope.correlationId || envelope.id };
  }

  #noted(envelope: Envelope): void {
    const { tally, trail } = this.#instance;
    tally.live(envelope.topic).published += 1;
    if (trail.room > 0) trail.published(envelope);
  }

  /** The broker is back. */
  linkUp(): void {
    this.#linkWait.up();
  }

  /** The broker is away. */
  linkDown(): void {
    this.#linkWait.down();
  }

  /** Gives an event to its subscriptions here; returns how many they are, and the groups that have their copy. */
  #serveHere(envelope: Envelope, data: unknown, handled: Handled | undefined): { here: number; served: string[] } {
    const { each, groups } = this.#router.listeners(envelope.topic);
    const served: string[] = [];
    const chosen = [...each];
    for (const [group, turn] of groups) {
      const member = turn.pick();
      if (member === undefined) continue;
      served.push(group);
      chosen.push(member);
    }
    handled?.expect(chosen.length);
    const outlet = handled === undefined ? this.#outlet : new EventOutlet(this.#instance, () => handled.one());
    for (const subscription of chosen) this.#responder.deliver(subscription, envelope, 0, outlet, data);
    this.#responder.showObservers(envelope);
    return { here: chosen.length, served };
  }
}
