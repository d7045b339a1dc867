import { inDoubt } from "./callErrors.js";
import {
  DEFAULT_DEDUPE_MS,
  PRIORITY_CRITICAL,
  PRIORITY_HIGH,
  PRIORITY_LOW,
  PRIORITY_NORMAL,
} from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { type Draft, noStream, type Stored } from "./durable.js";
import { EVENT, serialize } from "./envelope.js";
import { InvalidArgumentError, OverloadedError, TielineError } from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { Handled } from "./handled.js";
import type { Instance } from "./instance.js";
import { gaveUp, LinkWait } from "./linkWait.js";
import { ANY, checkOptions, FLAG, type Kinds, NO_OPTIONS, whole } from "./options.js";
import type { Outbox } from "./outbox.js";
import { checkKey, compose, MESSAGE_KINDS, type MessageOptions } from "./outgoing.js";
import type { Responder } from "./responder.js";
import type { Router } from "./router.js";
import { Turns, turn } from "./turns.js";

/** A stored event does not expire unless it is told to. */
const NEVER = 0;

/** How an event is published. */
export interface PublishOptions extends MessageOptions {
  /** Resolve when the handlers in this process are done. */
  waitLocal?: boolean;
  /** Store it; events of one topic and key are handled strictly in order, by one handler at a time. */
  key?: string;
  /** Store it without a key: such events are handled side by side. A stored event has no `ttl` unless given. */
  durable?: boolean;
  /** Of a stored event without key: 1, 5 (unless given), 8 or 10; the highest are handled first. */
  priority?: number;
  /** An id of your own: an event of the topic with the same one is stored once within 24 hours. */
  dedupe?: string;
  /** Do not store it if its key, or its priority, holds so many events; 0 for no bound. */
  maxStored?: number;
}

const PRIORITIES: readonly unknown[] = [PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_CRITICAL];
const ONLY_STORED = ["priority", "dedupe", "maxStored"] as const;

const KINDS: Kinds<PublishOptions> = {
  ...MESSAGE_KINDS,
  waitLocal: FLAG,
  key: ANY,
  durable: FLAG,
  priority: { is: "1 (low), 5 (normal), 8 (high) or 10 (critical)", fits: (value) => PRIORITIES.includes(value) },
  dedupe: ANY,
  maxStored: whole(0),
};

/** Throws InvalidArgumentError for options of a publish that make no sense. */
export function checkPublishOptions(options: PublishOptions): void {
  checkOptions(options, KINDS, "publish");
  if (options === NO_OPTIONS) return;
  if (options.key !== undefined || options.durable) return checkStored(options);
  const strange = ONLY_STORED.find((name) => options[name] !== undefined);
  if (strange) throw new InvalidArgumentError(`${strange} is for what is stored: add key or durable: true`);
}

function checkStored({ key, dedupe, waitLocal }: PublishOptions): void {
  if (key !== undefined) checkKey(key, "key");
  if (dedupe !== undefined) checkKey(dedupe, "dedupe");
  if (waitLocal) {
    throw new InvalidArgumentError("waitLocal is for live events; a stored one is handled when its turn comes");
  }
}

/** What a publish resolves to: the event's id, and the name of the chain it belongs to. */
export interface Receipt {
  readonly id: string;
  readonly correlationId: string;
  /** Where a durable event is; undefined for a live one, and for one that is `queued`. */
  readonly stored?: Stored;
  /** It is on this machine's disk, in the outbox, and on its way to the broker. */
  readonly queued?: boolean;
}

/** The way of an event out, top to bottom: compose, serve locally, hand the rest to the broker. */
export class Publisher {
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #responder: Responder;
  readonly #linkWait: LinkWait;
  readonly #outlet: EventOutlet;
  readonly #outbox: Outbox | undefined;
  readonly #turns = new Turns();

  constructor(instance: Instance, router: Router, responder: Responder, outbox?: Outbox) {
    this.#instance = instance;
    this.#outbox = outbox;
    this.#router = router;
    this.#responder = responder;
    this.#linkWait = new LinkWait(instance.settings.offlineBuffer, instance);
    this.#outlet = new EventOutlet(instance);
  }

  /** See `EventSystem.publish`. */
  async publish(topic: string, data: unknown, options: PublishOptions, bySystem = false): Promise<Receipt> {
    if (!this.#instance.up) await this.#instance.start();
    const { clock, source, settings, place } = this.#instance;
    const envelope = compose(EVENT, topic, data, options, settings.eventTtl, clock, source, bySystem);
    if (!place.connected || options.signal?.aborted) {
      await this.#linkWait.wait(envelope.data.length, options.waitForConnection ?? 0, options.signal);
    }
    if (this.#instance.trail.room > 0) this.#instance.trail.published(envelope);
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

  /** See `EventSystem.publish`: with `key` or `durable`. */
  async store(topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    if (this.#outbox !== undefined) return this.#queue(this.#outbox, topic, data, options);
    if (!this.#instance.up) await this.#instance.start();
    const { place, settings } = this.#instance;
    const { key = "", dedupe: knownAs = "", maxStored: most = 0 } = options;
    const envelope = this.#durable(topic, data, options);
    if (!place.connected || options.signal?.aborted) {
      await this.#linkWait.wait(envelope.data.length, options.waitForConnection ?? 0, options.signal);
    }
    const window = knownAs === "" ? 0 : DEFAULT_DEDUPE_MS;
    const draft: Draft = { key, priority: envelope.priority, knownAs, window, envelope: serialize(envelope) };
    const began = this.#instance.now();
    const [stored] = await place.mail.append(topic, [draft], { most });
    if (stored === undefined) throw noRoom(topic, key, settings.retryAfter);
    if ("noStream" in stored) throw noStream(stored.noStream);
    const { steps } = this.#instance;
    if (steps.isWanted) steps.stored(envelope, stored, began);
    return { id: envelope.id, correlationId: envelope.correlationId || envelope.id, stored };
  }

  /** Keeps an event in the outbox; the broker need not be there. */
  async #queue(outbox: Outbox, topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    const { key = "", dedupe, maxStored: most = 0, signal } = options;
    if (signal?.aborted) throw gaveUp(signal);
    const envelope = this.#durable(topic, data, options);
    const { id, priority } = envelope;
    const window = DEFAULT_DEDUPE_MS;
    const draft: Draft = { key, priority, knownAs: dedupe ?? id, window, envelope: serialize(envelope) };
    await outbox.put(topic, [draft], { most });
    if (this.#instance.trail.room > 0) this.#instance.trail.published(envelope);
    return { id, correlationId: envelope.correlationId || id, queued: true };
  }

  /** Composes an event that is to be stored; without a ttl it never expires. */
  #durable(topic: string, data: unknown, options: PublishOptions): Envelope {
    const { clock, source } = this.#instance;
    const envelope = compose(EVENT, topic, data, options, NEVER, clock, source);
    envelope.key = options.key ?? "";
    envelope.priority = options.priority ?? PRIORITY_NORMAL;
    return envelope;
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
    for (const subscription of chosen) this.#responder.deliver(subscription, envelope, outlet, data);
    this.#responder.showObservers(envelope);
    return { here: chosen.length, served };
  }
}

/** What a publisher is told whose event finds no room. */
function noRoom(topic: string, key: string, retryAfter: number): OverloadedError {
  const which = key === "" ? `the lane of "${topic}"` : `key "${key}" of "${topic}"`;
  return new OverloadedError(
    `${which} holds as many events as it may: nobody subscribes to them, or handling them takes longer`,
    { retryAfter },
  );
}
