import { DEFAULT_DEDUPE_MS, LIMIT_APPEND_BYTES, PRIORITY_NORMAL } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { EVENT, serialize } from "../envelope.js";
import { InvalidArgumentError, OverloadedError, PayloadTooLargeError } from "../errors.js";
import type { Instance } from "../instance.js";
import { gaveUp, type LinkWait } from "../linkWait.js";
import type { Outbox } from "../outbox/outbox.js";
import { compose, type MessageOptions } from "../outgoing.js";
import type { Receipt } from "../publisher.js";
import type { PublishOptions } from "../publishOptions.js";
import { type Appended, type Draft, noStream, type Stored, sizeOf } from "./mail.js";

/** A stored event does not expire unless it is told to. */
const NEVER = 0;

/** An event that is to be stored; with others of its topic, or by itself. */
export interface Piece extends Pick<PublishOptions, "key" | "priority" | "dedupe" | "headers"> {
  readonly data: unknown;
}

/** What all events share that are stored together. */
export type Common = Omit<MessageOptions, "headers"> & Pick<PublishOptions, "maxStored">;

/** The way of an event that is kept: compose, and hand it to the broker, or to the outbox. */
export class Storer {
  readonly #instance: Instance;
  readonly #linkWait: LinkWait;
  readonly #outbox: Outbox | undefined;

  constructor(instance: Instance, linkWait: LinkWait, outbox: Outbox | undefined) {
    this.#instance = instance;
    this.#linkWait = linkWait;
    this.#outbox = outbox;
  }

  /** See `EventSystem.publish`: with `key` or `durable`. */
  async store(topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    const { dedupe, maxStored: most = 0, waitReplicas = 0 } = options;
    if (this.#outbox !== undefined) return this.#queueOne(this.#outbox, topic, data, options);
    if (!this.#instance.up) await this.#instance.start();
    const { place, settings } = this.#instance;
    const envelope = this.#compose(topic, { ...options, data }, options);
    const drafts = [draftOf(envelope, dedupe)];
    await this.#untilLinked(envelope.data.length, options);
    const began = this.#instance.now();
    const [appended] =
      waitReplicas > 0
        ? await place.mail.appendToReplicas(topic, drafts, waitReplicas, { most })
        : await place.mail.append(topic, drafts, { most });
    const full = () => noRoom(topic, envelope.key, settings.retryAfter);
    return this.#receipt(envelope, storedOf(appended, full), began);
  }

  /** See `EventSystem.publishMany`. */
  async storeTogether(topic: string, pieces: readonly Piece[], common: Common): Promise<Receipt[]> {
    if (pieces.length === 0) return [];
    if (this.#outbox !== undefined) return this.#queue(this.#outbox, topic, pieces, common);
    if (!this.#instance.up) await this.#instance.start();
    const { place, settings } = this.#instance;
    const envelopes = pieces.map((piece) => this.#compose(topic, piece, common));
    const drafts = envelopes.map((envelope, at) => draftOf(envelope, pieces[at]?.dedupe));
    await this.#untilLinked(checkSize(drafts), common);
    const began = this.#instance.now();
    const appended = await place.mail.append(topic, drafts, { together: true, most: common.maxStored ?? 0 });
    const full = () => noRoomTogether(topic, pieces.length, settings.retryAfter);
    return envelopes.map((envelope, at) => this.#receipt(envelope, storedOf(appended[at], full), began));
  }

  async #queueOne(outbox: Outbox, topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    if (options.waitReplicas) {
      throw new InvalidArgumentError("waitReplicas waits for Redis, and with an outbox a publish does not");
    }
    const [receipt] = await this.#queue(outbox, topic, [{ ...options, data }], options);
    return receipt as Receipt;
  }

  /** Keeps events in the outbox; the broker need not be there. */
  async #queue(outbox: Outbox, topic: string, pieces: readonly Piece[], common: Common): Promise<Receipt[]> {
    const { maxStored: most = 0, signal } = common;
    if (signal?.aborted) throw gaveUp(signal);
    const envelopes = pieces.map((piece) => this.#compose(topic, piece, common));
    const drafts = envelopes.map((envelope, at) => draftOf(envelope, pieces[at]?.dedupe ?? envelope.id));
    checkSize(drafts);
    await outbox.put(topic, drafts, { most, together: pieces.length > 1 });
    const { trail, tally } = this.#instance;
    tally.series(topic, "", "durable").published += envelopes.length;
    for (const envelope of envelopes) if (trail.room > 0) trail.published(envelope);
    return envelopes.map(({ id, correlationId }) => ({ id, correlationId: correlationId || id, queued: true }));
  }

  /** What is returned for an event that was stored; that is noted. */
  #receipt(envelope: Envelope, stored: Stored, began: number): Receipt {
    const { steps, tally } = this.#instance;
    if (stored.duplicate) tally.count("eventsDeduplicated");
    else tally.series(envelope.topic, "", "durable").published += 1;
    if (steps.isWanted) steps.stored(envelope, stored, began);
    return { id: envelope.id, correlationId: envelope.correlationId || envelope.id, stored };
  }

  /** Composes an event that is to be stored; without a ttl it never expires. */
  #compose(topic: string, piece: Piece, options: Common): Envelope {
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
}

/** An event, ready to be stored. */
function draftOf(envelope: Envelope, dedupe = ""): Draft {
  const window = dedupe === "" ? 0 : DEFAULT_DEDUPE_MS;
  return { key: envelope.key, priority: envelope.priority, knownAs: dedupe, window, envelope: serialize(envelope) };
}

/** Where an event was stored. Throws what its publisher is told if it was not. */
function storedOf(appended: Appended, full: () => OverloadedError): Stored {
  if (appended === undefined) throw full();
  if ("noStream" in appended) throw noStream(appended.noStream);
  return appended;
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

/** What a publisher is told whose event finds no room. */
function noRoom(topic: string, key: string, retryAfter: number): OverloadedError {
  const which = key === "" ? `the lane of "${topic}"` : `key "${key}" of "${topic}"`;
  return new OverloadedError(
    `${which} holds as many events as it may: nobody subscribes to them, or handling them takes longer`,
    { retryAfter },
  );
}
