import type { Caller } from "./calls/caller.js";
import type { Gathered } from "./calls/gather.js";
import {
  type CallOptions,
  checkCallOptions,
  checkStreamOptions,
  type Requester,
  type StreamOptions,
} from "./calls/requester.js";
import { Stream } from "./calls/stream.js";
import { checkGatherOptions, type GatherOptions, type Surveyor } from "./calls/surveyor.js";
import { checkMany, type Item, type ManyOptions, storeMany } from "./durable/many.js";
import type { AroundPublish } from "./middleware.js";
import { NO_OPTIONS } from "./options.js";
import { Publication } from "./publication.js";
import type { Publisher, Receipt } from "./publisher.js";
import { checkPublishOptions, type PublishOptions } from "./publishOptions.js";
import { saysWhen } from "./schedules/planner.js";

/** How what is sent goes out. */
export interface Ways {
  readonly publisher: Publisher;
  readonly requester: Requester;
  readonly surveyor: Surveyor;
  readonly caller: Caller;
  /** Middleware, as far as there is any for publishes. */
  readonly around: AroundPublish | undefined;
  /** Gets a failure that nobody awaits, and what failed. */
  report(error: unknown, what: string): void;
}

/** What an event system sends: events and calls. Part of `EventSystem`. */
export abstract class Sending {
  /** How it goes out. */
  protected abstract ways: Ways;

  /**
   * Publishes an event to every subscriber, here and elsewhere. At most once; nobody need be there.
   * With `key` or `durable` it is stored instead, for durable subscriptions, and kept until each of their groups has
   * handled it: the receipt says where. Stored means: as Redis's persistence is configured.
   * With `delay` or `at` it is planned instead: the broker publishes it, or stores it, when it is due, never earlier, and
   * the receipt's id is that of its schedule (`events.schedules`).
   * Not awaited, a failure goes to `onError` and the log. Rejects with InvalidTopicError, InvalidPayloadError,
   * PayloadTooLargeError, InvalidArgumentError (refused at the door), OverloadedError (there is no room for one more
   * stored event), UnsupportedError (nor can it be stored here), UnavailableError or LoopDetectedError.
   */
  publish(topic: string, data?: unknown, options: PublishOptions = NO_OPTIONS): Promise<Receipt> {
    const published = this.#published(topic, data, options);
    return Publication.of(published, (error) => this.ways.report(error, `publish on "${String(topic)}"`));
  }

  #published(topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    try {
      checkPublishOptions(options);
      if (this.ways.around === undefined) return this.#handOn(topic, data, options);
      const receipt = this.ways.around(topic, data, options.headers, false, (message) =>
        this.#handOn(message.topic, message.data, { ...options, headers: message.headers }),
      );
      return receipt as Promise<Receipt>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #handOn(topic: string, data: unknown, options: PublishOptions): Promise<Receipt> {
    if (saysWhen(options)) return this.ways.publisher.planner.plan(topic, data, options);
    const isStored = options.key !== undefined || options.durable;
    return isStored
      ? this.ways.publisher.storer.store(topic, data, options)
      : this.ways.publisher.publish(topic, data, options);
  }

  /**
   * Stores events of one topic together, all of them or none: `[{ data, key: "a" }, { data, key: "b" }]`; at most 10,000,
   * of about 8 MiB in all. Those of a key are stored in the order of the list. Middleware sees each by itself. An event
   * that is known by its `dedupe` is not stored again, and the others are stored all the same. Resolves to a receipt for
   * each, in their order. Not awaited, a failure goes to `onError` and the log. Rejects with InvalidTopicError,
   * InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError (one is refused), OverloadedError (there is no room for
   * all of them), UnsupportedError, UnavailableError or LoopDetectedError.
   */
  publishMany(topic: string, items: Iterable<Item>, options: ManyOptions = NO_OPTIONS): Promise<Receipt[]> {
    const stored = this.#storedMany(topic, items, options);
    return Publication.of(stored, (error) => this.ways.report(error, `publishMany on "${String(topic)}"`));
  }

  async #storedMany(topic: string, items: Iterable<Item>, options: ManyOptions): Promise<Receipt[]> {
    return storeMany(this.ways.publisher.storer, this.ways.around, topic, checkMany(items, options), options);
  }

  /**
   * Calls one responder and returns its reply. Rejects with CallTimeoutError, NoRespondersError (at once),
   * ResponderLostError, HandlerError, OverloadedError, UnavailableError, ConflictError (its idempotency key was used with
   * another payload), or what refuses it at the door.
   */
  publishAndWait<Reply = unknown>(topic: string, data?: unknown, options: CallOptions = NO_OPTIONS): Promise<Reply> {
    try {
      checkCallOptions(options);
      const reply =
        this.ways.around === undefined
          ? this.ways.requester.call(topic, data, options)
          : this.ways.around(topic, data, options.headers, true, (message) =>
              this.ways.requester.call(message.topic, message.data, { ...options, headers: message.headers }),
            );
      return reply as Promise<Reply>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Calls one responder and reads what it yields: `for await (const item of events.publishAndStream(topic, data))`.
   * Throws InvalidArgumentError for options outside of what is allowed. Everything else is thrown while reading, with the
   * errors of `publishAndWait`; items that are missing in between are an UnavailableError.
   */
  publishAndStream<Item = unknown>(topic: string, data?: unknown, options: StreamOptions = NO_OPTIONS): Stream<Item> {
    checkStreamOptions(options);
    const around = this.ways.around;
    if (around === undefined) return this.#stream(topic, data, options);
    return new Stream(this.ways.caller, (inner) => {
      return around(topic, data, options.headers, true, async (message) =>
        inner(this.#stream(message.topic, message.data, { ...options, headers: message.headers })),
      );
    });
  }

  /**
   * Asks every responder that is alive now, one of each group or service, and resolves to what all of them said: when all
   * have answered or died, so not later than the deadline. What happens at single responders is in the result.
   * Rejects with NoRespondersError if there is nobody to ask, UnavailableError, or what refuses it at the door.
   */
  async publishAndGather<Value = unknown>(
    topic: string,
    data?: unknown,
    options: GatherOptions = NO_OPTIONS,
  ): Promise<Gathered<Value>> {
    checkGatherOptions(options);
    const gathered =
      this.ways.around === undefined
        ? this.ways.surveyor.gather(topic, data, options)
        : this.ways.around(topic, data, options.headers, true, (message) =>
            this.ways.surveyor.gather(message.topic, message.data, { ...options, headers: message.headers }),
          );
    return gathered as Promise<Gathered<Value>>;
  }

  #stream<Item>(topic: string, data: unknown, options: StreamOptions): Stream<Item> {
    return new Stream(this.ways.caller, () => this.ways.requester.stream(topic, data, options));
  }
}
