import { Batch, Batcher, type BatchOptions, checkBatch } from "./batch.js";
import { isGenerator } from "./calls/streaming.js";
import type { Event } from "./context.js";
import { ASK_TOPIC, DEFAULT_DURABLE_CONCURRENCY, HISTORY_TOPIC } from "./contract/contract.js";
import { Delivery } from "./delivery.js";
import type { Consumer } from "./durable/consumer.js";
import { DURABLE_KINDS, type Durability, type DurableOptions, durabilityOf } from "./durable/durability.js";
import { InvalidArgumentError, InvalidTopicError, type TielineError } from "./errors.js";
import { NOWHERE, type Series } from "./figures/tally.js";
import { checkJsonSchema, type JsonSchema, jsonSchemaOf } from "./jsonSchema.js";
import { Mailbox, type Work } from "./mailbox.js";
import type { AroundBatch, AroundHandler } from "./middleware.js";
import { ANY, checkOptions, FLAG, FUNCTION, type Kind, type Kinds, OBJECT, TEXT, whole } from "./options.js";
import { checkSchema } from "./schema.js";
import type { Settings } from "./settings.js";
import type { StandardSchema } from "./standardSchema.js";
import { checkGroup, checkPattern, isWildcard } from "./topics.js";
import { type Interest, Route } from "./transport.js";
import { type VersionOptions, type Versions, versionsOf } from "./versions.js";
import { wellFormed } from "./wellFormed.js";

/**
 * What handles events and answers requests; what it returns, or what its promise resolves to, is the reply. A generator,
 * or what returns an async iterable, streams its reply.
 */
export type Handler<Data = unknown, Reply = unknown> = (data: Data, event: Event) => Replying<Reply>;
type Items<Reply> = AsyncIterable<Reply> | Generator<Reply>;
type Replying<Reply> = Reply | Items<Reply> | PromiseLike<Reply | Items<Reply>>;

/** Told that live events may have been lost between two moments. */
export type OnGap = (since: Date, until: Date, reason: string) => unknown;

/** What a subscriber can ask for. `Payload` is what arrives, `Data` what the input schema makes of it. */
export interface SubscribeOptions<Data = unknown, Payload = Data, Reply = unknown>
  extends VersionOptions,
    DurableOptions {
  /** Members of one group share the events, one copy for all. */
  group?: string;
  /** Watch events and requests, and never answer. */
  observe?: boolean;
  /** Sees the payload in the handler's version; false means not for this handler. */
  filter?: (data: Payload) => boolean;
  /** What the payload must be (any Standard Schema); the handler gets what the schema makes of it. */
  input?: StandardSchema<Payload, Data>;
  /** What the reply must be (any Standard Schema); the caller gets what the schema makes of it. */
  output?: StandardSchema<Reply, unknown>;
  /** JSON Schema of the payload, for `services`, where `input` cannot say it itself. */
  inputSchema?: object;
  /** JSON Schema of the reply or of each item, for `services`, where `output` cannot say it itself. */
  outputSchema?: object;
  /** See `BatchSubscribeOptions`. */
  batch?: undefined;
  /** Handlers running at once; 1,000 unless given, 10 of a durable subscription. */
  concurrency?: number;
  /** Deliveries waiting; 1,000 unless given. */
  queue?: number;
  /** Called when live events may have been lost. */
  onGap?: OnGap;
  /** Local callers hand over their own objects instead of copies. */
  byReference?: boolean;
  /** False: events that are replayed from history are not for this handler. */
  replays?: boolean;
  /** For figures and `unsubscribe`; the function's name unless given, or the topic if it has none. */
  name?: string;
}

/** What a subscriber of batches can ask for; each payload is filtered and must fit by itself. */
export interface BatchSubscribeOptions<Data = unknown, Payload = Data>
  extends Omit<SubscribeOptions<Data, Payload>, "batch" | "observe" | "output" | "outputSchema"> {
  /**
   * The handler gets a list of payloads, and answers no requests; 50 and 1,000 ms where not given. Of durable events it
   * may have several of a key, in their order, which are in no other batch that runs: if it returns, all of the list are
   * handled; if it throws, the first one of each key has failed, and it comes alone in a list when it is tried again.
   * `concurrency` counts such lists, and `event.delivery` is undefined.
   */
  batch: Partial<BatchOptions>;
}

/** All that any subscriber can ask for. */
export type AnyOptions = Omit<SubscribeOptions, "batch"> & { batch?: Partial<BatchOptions> };

const ON_GAP: Kind = { ...FUNCTION, is: "a function, called as f(since, until, reason)", plain: true };

const KINDS: Kinds<AnyOptions> = {
  group: ANY,
  observe: FLAG,
  filter: FUNCTION,
  input: ANY,
  output: ANY,
  inputSchema: ANY,
  outputSchema: ANY,
  schemaVersion: ANY,
  upcasters: ANY,
  batch: OBJECT,
  concurrency: whole(1),
  queue: whole(0),
  onGap: ON_GAP,
  byReference: FLAG,
  replays: FLAG,
  name: TEXT,
  ...DURABLE_KINDS,
};

/** What a subscription needs of the system it belongs to. */
export interface Owner {
  readonly settings: Settings;
  /** The system's middleware, as far as it has any for handlers. */
  readonly around?: AroundHandler | undefined;
  /** The same for handlers that take lists. */
  readonly aroundBatch?: AroundBatch | undefined;
  /** It is the system itself. */
  readonly internal?: boolean;
  /** Resolves when the broker has registered the subscription. */
  registered(subscription: Subscription): Promise<void>;
  /** Ends a subscription. */
  unsubscribe(subscription: Subscription): Promise<void>;
  /** A handler threw at an envelope of a topic; `attempt` is told of durable events. */
  raised(subscription: Subscription, topic: string, error: unknown, attempt?: number): void;
  /** An event had to give way to one of a topic. */
  overloaded(subscription: Subscription, pushedOut: Work, topic: string): void;
}

/** One handler on one topic or pattern. Made by `EventSystem.subscribe`. */
export class Subscription {
  readonly topic: string;
  readonly handler: Handler;
  readonly group: string;
  readonly observe: boolean;
  readonly filter: ((data: unknown) => boolean) | undefined;
  readonly onGap: OnGap | undefined;
  readonly byReference: boolean;
  readonly replays: boolean;
  readonly input: StandardSchema | undefined;
  readonly output: StandardSchema | undefined;
  /** How payloads of other versions are lifted; undefined if it said nothing of versions. */
  readonly versions: Versions | undefined;
  /** It is the system's own. */
  readonly internal: boolean;
  readonly name: string;
  /** Its handler is a generator, so it always streams. */
  readonly streams: boolean;
  readonly mailbox: Mailbox;
  readonly interests: readonly Interest[];
  /** How stored events are handled; undefined for live ones. */
  readonly durability: Durability | undefined;
  /** How events are collected into lists; undefined if they come one by one. */
  readonly batch: BatchOptions | undefined;
  /** What claims stored events; undefined for live ones. */
  consumer: Consumer | undefined;
  /** It takes nothing new from this process any more. */
  leaving = false;
  /** Where the requests it answers are counted. */
  calls = NOWHERE;
  /** Where the events it handles are counted; undefined: by the topic of each. */
  events: Series | undefined = NOWHERE;
  /** When `system.warning` was last published for it, local monotonic ms. */
  warnedAt = -Infinity;
  readonly #owner: Owner;
  readonly #inputSchema: JsonSchema | undefined;
  readonly #outputSchema: JsonSchema | undefined;
  readonly #batcher: Batcher | undefined;

  constructor(owner: Owner, topic: string, handler: Handler, options: AnyOptions) {
    checkOptions(options, KINDS, "subscribe");
    checkPattern(topic);
    const asked = topic === ASK_TOPIC || (topic.startsWith(`${HISTORY_TOPIC}.`) && !isWildcard(topic));
    if (asked && !owner.internal && !options.observe) {
      throw new InvalidTopicError(`"${topic}" is answered by the system itself; it can only be observed`);
    }
    if (typeof handler !== "function") throw new InvalidArgumentError(`the handler of "${topic}" is not a function`);
    const { settings } = owner;
    this.#owner = owner;
    this.topic = topic;
    this.handler = handler;
    this.group = options.group ?? "";
    if (options.group !== undefined) checkGroup(options.group);
    this.observe = options.observe ?? false;
    this.filter = options.filter;
    this.onGap = options.onGap;
    this.byReference = options.byReference ?? false;
    this.replays = options.replays ?? true;
    this.input = checkSchema(options.input, "input");
    this.output = checkSchema(options.output, "output");
    this.#inputSchema = checkJsonSchema(options.inputSchema, "inputSchema");
    this.#outputSchema = checkJsonSchema(options.outputSchema, "outputSchema");
    this.versions = versionsOf(options);
    this.internal = owner.internal ?? false;
    this.name = nameOf(handler, options.name, topic);
    this.streams = isGenerator(handler);
    this.durability = durabilityOf(topic, options);
    const usual = this.durability === undefined ? settings.concurrency : DEFAULT_DURABLE_CONCURRENCY;
    this.mailbox = new Mailbox(options.concurrency ?? usual, options.queue ?? settings.queue);
    this.batch = options.batch && checkBatch(options.batch);
    this.#batcher = this.batch && new Batcher(this, this.batch);
    if (this.observe && (this.group !== "" || this.batch !== undefined)) {
      throw new InvalidArgumentError("an observer watches everything by itself: it takes no group and no batch");
    }
    if (this.#batcher !== undefined && this.streams) {
      throw new InvalidArgumentError("a batch answers nobody: its handler must not be a generator");
    }
    this.interests = this.#interests();
    if ((this.output ?? this.#outputSchema) !== undefined && this.interests[0]?.route !== Route.REQUEST) {
      throw new InvalidArgumentError(
        `"${topic}" is not answered by an observer, a batch or a pattern: it takes no output`,
      );
    }
  }

  /** Middleware around its handler. */
  get around(): AroundHandler | undefined {
    return this.#owner.around;
  }

  /** Middleware around its handler, if that takes lists. */
  get aroundBatch(): AroundBatch | undefined {
    return this.#owner.aroundBatch;
  }

  /** There is more around its handler than a filter. */
  get isSurrounded(): boolean {
    return (this.#owner.around ?? this.input ?? this.output) !== undefined;
  }

  /** What runs here, and what was accepted and waits; what is stored waits elsewhere. */
  get underWay(): number {
    return this.mailbox.atWork().length + (this.consumer?.handling ?? 0);
  }

  /** Whether it takes nothing new any more. */
  get closed(): boolean {
    return this.leaving;
  }

  /** Whether its topic has wildcards. */
  get isPattern(): boolean {
    return isWildcard(this.topic);
  }

  /** Whether its handler takes lists. */
  get batches(): boolean {
    return this.batch !== undefined;
  }

  /** The version that the handler understands; empty if it said nothing. */
  get schemaVersion(): string {
    return this.versions?.version ?? "";
  }

  /** JSON Schema of the payload; undefined if nobody says it. */
  get inputSchema(): JsonSchema | undefined {
    return this.#inputSchema ?? jsonSchemaOf(this.input, "input");
  }

  /** JSON Schema of the reply or of each item; undefined if nobody says it. */
  get outputSchema(): JsonSchema | undefined {
    return this.#outputSchema ?? jsonSchemaOf(this.output, "output");
  }

  /** Resolves when the broker has registered it. */
  ready(): Promise<void> {
    return this.#owner.registered(this);
  }

  /** Takes nothing new, finishes what is here, and leaves. Idempotent. */
  unsubscribe(): Promise<void> {
    return this.#owner.unsubscribe(this);
  }

  /** What waits for a batch to be full. */
  get collected(): readonly Delivery[] {
    return this.#batcher?.collected ?? [];
  }

  /** What its handler has now, and what waits for it (true). */
  atWork(): [delivery: Delivery, queued: boolean][] {
    return this.mailbox.atWork().flatMap(([work, queued]) => {
      const deliveries = work instanceof Batch ? work.deliveries : work instanceof Delivery ? [work] : [];
      return deliveries.map((delivery): [Delivery, boolean] => [delivery, queued]);
    });
  }

  /** Takes an event. */
  take(delivery: Delivery): void {
    const work: Work | undefined = this.#batcher === undefined ? delivery : this.#batcher.add(delivery);
    if (work !== undefined) this.force(work);
  }

  /** Takes work even if something else has to give way. */
  force(work: Work): void {
    const pushedOut = this.mailbox.force(work);
    if (pushedOut !== undefined) this.#owner.overloaded(this, pushedOut, work.event?.topic ?? this.topic);
  }

  /** Its handler threw at an envelope of a topic; `attempt` is told of durable events. */
  raised(topic: string, error: unknown, attempt?: number): void {
    this.#owner.raised(this, topic, error, attempt);
  }

  /** Takes nothing new; what was being collected is handled now. */
  stop(): void {
    this.leaving = true;
    const batch: Batch | undefined = this.#batcher?.take();
    if (batch !== undefined) this.mailbox.admit(batch);
    this.consumer?.stop();
  }

  /** Whether whoever asks is a handler of its own that runs. */
  get isCaller(): boolean {
    return this.mailbox.isCaller || this.consumer?.isCaller === true;
  }

  /** After `stop`: resolves when nothing runs and nothing waits; at once inside a handler of its own. */
  drain(): Promise<void> {
    return this.isCaller ? Promise.resolve() : this.idle();
  }

  /** After `stop`: resolves when nothing runs and nothing waits. */
  async idle(): Promise<void> {
    await this.mailbox.idle();
    await this.consumer?.idle();
  }

  /** Ends everything that is collected, waits or runs. */
  interrupt(reason: TielineError): void {
    this.#batcher?.take()?.interrupt(reason);
    this.mailbox.clear(reason);
    this.consumer?.interrupt(reason);
  }

  #interests(): Interest[] {
    const { topic: pattern, group } = this;
    if (this.durability !== undefined) return [{ route: Route.MAIL, pattern, group: this.durability.group }];
    if (this.observe) return [{ route: Route.OBSERVER, pattern, group: "" }];
    const requests: Interest = { route: Route.REQUEST, pattern, group: "" };
    if (this.internal) return [requests];
    const events: Interest = { route: group === "" ? Route.EVENT : Route.GROUP, pattern, group };
    const answers = this.#batcher === undefined && !this.isPattern;
    return answers ? [requests, events] : [events];
  }
}

function nameOf(handler: Handler, given: string | undefined, topic: string): string {
  return given || (typeof handler.name === "string" && wellFormed(handler.name)) || topic;
}
