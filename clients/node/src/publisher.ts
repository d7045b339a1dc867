import { inDoubt } from "./callErrors.js";
import {
  DEFAULT_DEDUPE_MS,
  LIMIT_APPEND_BYTES,
  PRIORITY_CRITICAL,
  PRIORITY_HIGH,
  PRIORITY_LOW,
  PRIORITY_NORMAL,
} from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { type Draft, type Stored, sizeOf } from "./durable.js";
import { EVENT, serialize } from "./envelope.js";
import { ConflictError, InvalidArgumentError, OverloadedError, PayloadTooLargeError, TielineError } from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { Handled } from "./handled.js";
import type { Instance } from "./instance.js";
import { LinkWait } from "./linkWait.js";
import { ANY, checkOptions, FLAG, type Kind, type Kinds, NO_OPTIONS, whole } from "./options.js";
import { checkKey, compose, MESSAGE_KINDS, type MessageOptions } from "./outgoing.js";
import type { Responder } from "./responder.js";
import type { Router } from "./router.js";
import { Turns, turn } from "./turns.js";

/** A stored event does not expire unless it is told to. */
const NEVER = 0;
const MOST_REPLICAS = 100;

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
  /** Resolve when so many replicas of Redis have it too. */
  waitReplicas?: number;
}

const PRIORITIES: readonly unknown[] = [PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_CRITICAL];
const ONLY_STORED = ["priority", "dedupe", "maxStored", "waitReplicas"] as const;

/** What a priority must be. */
export const PRIORITY: Kind = {
  is: "1 (low), 5 (normal), 8 (high) or 10 (critical)",
  fits: (value) => PRIORITIES.includes(value),
};

/** What a bound of stored events must be. */
export const MAX_STORED: Kind = whole(0);

const KINDS: Kinds<PublishOptions> = {
  ...MESSAGE_KINDS,
  waitLocal: FLAG,
  key: ANY,
  durable: FLAG,
  priority: PRIORITY,
  dedupe: ANY,
  maxStored: MAX_STORED,
  waitReplicas: whole(0, MOST_REPLICAS),
};

/** Throws InvalidArgumentError for options of a publish that make no sense. */
export function checkPublishOptions(options: PublishOptions): void {
  checkOptions(options, KINDS, "publish");
  if (options === NO_OPTIONS) return;
  if (options.key !== undefined || options.durable) return checkStored(options);
  const strange = ONLY_STORED.find((name) => options[name] !== undefined);
  if (strange) throw new InvalidArgumentError(`${strange} is for what is stored: add key or durable: true`);
}

function checkStored(options: PublishOptions): void {
  checkNames(options);
  if (options.waitLocal) {
    throw new InvalidArgumentError("waitLocal is for live events; a stored one is handled when its turn comes");
  }
}

/** Throws InvalidArgumentError for a key, or an id, that is none. */
export function checkNames({ key, dedupe }: Pick<PublishOptions, "key" | "dedupe">): void {
  if (key !== undefined) checkKey(key, "key");
  if (dedupe !== undefined) checkKey(dedupe, "dedupe");
}

/** One of many events that are stored together. */
export interface Piece extends Pick<PublishOptions, "key" | "priority" | "dedupe" | "headers"> {
  readonly data: unknown;
}

/** What all of them share. */
export type Common = Omit<MessageOptions, "headers"> & Pick<PublishOptions, "maxStored">;

/** What a publish resolves to: the event's id, and the name of the chain it belongs to. */
export interface Receipt {
  readonly id: string;
  readonly correlationId: string;
  /** Where a durable event is; undefined for a live one. */
  readonly stored?: Stored;
}

/** The way of an event out, top to bottom: compose, serve locally, hand the rest to the broker. */
export class Publisher {
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #responder: Responder;
  readonly #linkWait: LinkWait;
  readonly #outlet: EventOutlet;
  readonly #turns = new Turns();

  constructor(instance: Instance, router: Router, responder: Responder) {
    this.#instance = instance;
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
    if (!place.connected || options.signal?.aborted) await this.#untilLinked(envelope.data.length, options);
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
    if (!this.#instance.up) await this.#instance.start();
    const { place, settings } = this.#instance;
    const envelope = this.#stored(topic, { ...options, data }, options);
    await this.#untilLinked(envelope.data.length, options);
    const drafts = [draftOf(envelope, options.dedupe)];
    const { maxStored: most = 0, waitReplicas = 0 } = options;
    const [stored] =
      waitReplicas > 0
        ? await place.mail.appendToReplicas(topic, drafts, waitReplicas, { most })
        : await place.mail.append(topic, drafts, { most });
    if (stored === undefined) throw noRoom(topic, envelope.key, settings.retryAfter);
    if (stored.taken) throw noStream(stored.stream);
    return receiptOf(envelope, stored);
  }

  /** See `EventSystem.publishMany`. */
  async storeTogether(topic: string, pieces: readonly Piece[], common: Common): Promise<Receipt[]> {
    if (pieces.length === 0) return [];
    if (!this.#instance.up) await this.#instance.start();
    const { place, settings } = this.#instance;
    const envelopes = pieces.map((piece) => this.#stored(topic, piece, common));
    const drafts = envelopes.map((envelope, at) => draftOf(envelope, pieces[at]?.dedupe));
    const size = checkSize(drafts);
    await this.#untilLinked(size, common);
    const told = await place.mail.append(topic, drafts, { together: true, most: common.maxStored ?? 0 });
    const stored = told.filter((one) => one !== undefined);
    const taken = stored.find((one) => one.taken);
    if (taken !== undefined) throw noStream(taken.stream);
    if (stored.length < pieces.length) throw noRoomTogether(topic, pieces.length, settings.retryAfter);
    return envelopes.map((envelope, at) => receiptOf(envelope, stored[at] as Stored));
  }

  /** Composes an event that is to be stored. */
  #stored(topic: string, piece: Piece, options: Common): Envelope {
    const { clock, source } = this.#instance;
    const { data, headers = {}, key = "", priority = PRIORITY_NORMAL } = piece;
    const envelope = compose(EVENT, topic, data, { ...options, headers }, NEVER, clock, source);
    envelope.key = key;
    envelope.priority = priority;
    return envelope;
  }

  /** Waits for the broker, as far as the options allow it. */
  async #untilLinked(bytes: number, { waitForConnection = 0, signal }: MessageOptions): Promise<void> {
    if (this.#instance.place.connected && !signal?.aborted) return;
    await this.#linkWait.wait(bytes, waitForConnection, signal);
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

function receiptOf(envelope: Envelope, stored: Stored): Receipt {
  return { id: envelope.id, correlationId: envelope.correlationId || envelope.id, stored };
}

/** An event, ready to be stored. */
function draftOf(envelope: Envelope, dedupe = ""): Draft {
  const window = dedupe === "" ? 0 : DEFAULT_DEDUPE_MS;
  return { key: envelope.key, priority: envelope.priority, knownAs: dedupe, window, envelope: serialize(envelope) };
}

/** How many bytes they are. Throws PayloadTooLargeError if that is too much for one message. */
function checkSize(drafts: readonly Draft[]): number {
  const [size, most] = [sizeOf(drafts), LIMIT_APPEND_BYTES];
  if (size <= most) return size;
  throw new PayloadTooLargeError(
    `${drafts.length} events of ${size} bytes: at most ${most} at once; publish them in parts`,
  );
}

/** What a publisher is told if one of the events that are to be stored together finds no room. */
function noRoomTogether(topic: string, count: number, retryAfter: number): OverloadedError {
  return new OverloadedError(
    `a key or lane of "${topic}" has no room for its part of these ${count} events, so none of them was stored`,
    { retryAfter },
  );
}

/** What a publisher is told whose stream's name something else has at the broker. */
function noStream(name: string): ConflictError {
  const what = `the broker has something under the name "${name}" that is no stream`;
  return new ConflictError(`nothing was stored: ${what}; remove that, or choose another key`);
}

/** What a publisher is told whose event finds no room. */
function noRoom(topic: string, key: string, retryAfter: number): OverloadedError {
  const which = key === "" ? `the lane of "${topic}"` : `key "${key}" of "${topic}"`;
  return new OverloadedError(
    `${which} holds as many events as it may: nobody subscribes to them, or handling them takes longer`,
    { retryAfter },
  );
}
