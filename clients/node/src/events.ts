import { Caller } from "./caller.js";
import { DEFAULT_EVENT_TTL_MS, SYSTEM_WARNING } from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { CANCEL, EVENT, REQUEST } from "./envelope.js";
import { InvalidArgumentError, ResponderLostError } from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { Handled } from "./handled.js";
import { Instance } from "./instance.js";
import { LinkWait } from "./linkWait.js";
import { consoleLogger, type Logger } from "./log.js";
import type { Observer } from "./observe.js";
import { compose, type MessageOptions } from "./outgoing.js";
import { untilToldToStop, Watchdog } from "./process.js";
import { Publication } from "./publication.js";
import { Registry } from "./registry.js";
import { Responder } from "./responder.js";
import { Router } from "./router.js";
import { chooseService, chooseUrl, DEFAULT_SETTINGS, type Settings } from "./settings.js";
import { type Handler, type Owner, type SubscribeOptions, Subscription } from "./subscription.js";
import type { Gap, Port, Receiver, Transport } from "./transport.js";
import { chooseTransport } from "./transports/choose.js";

/** What can be said of an event system when it is made. */
export interface EventSystemOptions {
  /** `memory://`, `redis://`, `rediss://`, `unix://`, `grpc://` or `grpcs://`; else TIELINE_URL, REDIS_URL, `memory://`. */
  url?: string;
  /** Name of the service; else `TIELINE_SERVICE`, else the program's name. */
  service?: string;
  /** Separates installations that share one Redis. */
  namespace?: string;
  /** Bounds and times. */
  settings?: Partial<Settings>;
  /** Told each step of an envelope's life. */
  observe?: Observer;
  /** A ready transport instead of a URL. */
  transport?: Transport;
  /** Gets failures that nobody awaits, before they are logged. */
  onError?: (error: unknown) => void;
  /** Where logs go; the console unless given. */
  logger?: Logger;
}

/** How an event is published. */
export interface PublishOptions extends MessageOptions {
  /** Resolve when the handlers in this process are done. */
  waitLocal?: boolean;
}

/** How a call is made; times in milliseconds. */
export interface CallOptions extends MessageOptions {
  /** It may be sent again although it may have run. */
  idempotent?: boolean;
  /** How long to wait for somebody who answers; not at all unless given. */
  waitForResponders?: number;
}

/** What a publish resolves to: the event's id, and the name of the chain it belongs to. */
export interface Receipt {
  readonly id: string;
  readonly correlationId: string;
}

/** One instance: everything a process publishes, calls and subscribes to over one broker. It starts with its first use. */
export class EventSystem {
  readonly settings: Settings;
  readonly #instance: Instance;
  readonly #router = new Router();
  readonly #registry: Registry;
  readonly #caller: Caller;
  readonly #responder: Responder;
  readonly #linkWait: LinkWait;
  readonly #watchdog: Watchdog;
  readonly #makeTransport: () => Promise<Transport>;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #localOutlet: EventOutlet;
  readonly #owner: Owner;
  readonly #receiver: Receiver;
  #transport: Transport | undefined;
  #port: Port | undefined;
  #starting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Throws InvalidArgumentError for a URL that leads nowhere. */
  constructor(urlOrOptions: string | EventSystemOptions = {}, more: EventSystemOptions = {}) {
    const options = typeof urlOrOptions === "string" ? { ...more, url: urlOrOptions } : urlOrOptions;
    const { transport } = options;
    this.settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.#makeTransport = transport
      ? () => Promise.resolve(transport)
      : chooseTransport(chooseUrl(options.url), options.namespace ?? "", this.settings);
    const log = options.logger ?? consoleLogger;
    const instance = new Instance(chooseService(options.service), this.settings, log, options.observe);
    this.#instance = instance;
    this.#onError = options.onError;
    this.#registry = new Registry(this.#router, log);
    this.#caller = new Caller(instance, this.#router, (envelope) => this.#showObservers(envelope));
    this.#responder = new Responder(instance, this.#router, (payload) => this.#publishWarning(payload));
    this.#linkWait = new LinkWait(this.settings.offlineBuffer);
    this.#watchdog = new Watchdog((ms) => this.#stoodStill(ms));
    this.#localOutlet = new EventOutlet(instance);
    this.#owner = this.#makeOwner();
    this.#receiver = this.#makeReceiver();
  }

  // --- publish and call ----------------------------------------------------------------------------------------------

  /**
   * Publishes an event to every subscriber, here and elsewhere. At most once; nobody need be there.
   * Not awaited, a failure goes to `onError` and the log. Rejects with InvalidTopicError, InvalidPayloadError,
   * PayloadTooLargeError, InvalidArgumentError (refused at the door), UnavailableError or LoopDetectedError.
   */
  publish(topic: string, data?: unknown, options: PublishOptions = {}): Promise<Receipt> {
    return Publication.of(this.#publish(topic, data, options), (error) => this.#report(error, `publish on "${topic}"`));
  }

  /**
   * Calls one responder and returns its reply. Rejects with CallTimeoutError, NoRespondersError (at once),
   * ResponderLostError, HandlerError, OverloadedError, UnavailableError, or what refuses it at the door.
   */
  publishAndWait<Reply = unknown>(topic: string, data?: unknown, options: CallOptions = {}): Promise<Reply> {
    return (
      this.#port === undefined
        ? this.start().then(() => this.#call(topic, data, options))
        : this.#call(topic, data, options)
    ) as Promise<Reply>;
  }

  #call(topic: string, data: unknown, options: CallOptions): Promise<unknown> {
    try {
      const { clock, source } = this.#instance;
      const envelope = compose(REQUEST, topic, data, options, this.settings.callTtl, clock, source);
      envelope.replyTo = this.#port?.instance ?? "";
      return this.#caller.call(envelope, data, {
        idempotent: options.idempotent ?? false,
        waitForResponders: options.waitForResponders ?? 0,
        waitForConnection: options.waitForConnection ?? 0,
        signal: options.signal,
      });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #publish(topic: string, data: unknown, options: PublishOptions, bySystem = false): Promise<Receipt> {
    const port = this.#port ?? (await this.#started());
    const { clock, source } = this.#instance;
    const envelope = compose(EVENT, topic, data, options, this.settings.eventTtl, clock, source, bySystem);
    if (!port.connected || options.signal?.aborted) {
      await this.#linkWait.wait(envelope.data.length, options.waitForConnection ?? 0, options.signal);
    }
    const handled = new Handled();
    const outlet = options.waitLocal ? new EventOutlet(this.#instance, () => handled.one()) : this.#localOutlet;
    const served = this.#serveHere(envelope, data, outlet, options.waitLocal ? handled : undefined);
    await port.publish(envelope, served);
    if (options.waitLocal) await handled.all();
    return { id: envelope.id, correlationId: envelope.correlationId || envelope.id };
  }

  async #started(): Promise<Port> {
    await this.start();
    if (this.#port === undefined) throw new InvalidArgumentError("this event system is closed; make a new one");
    return this.#port;
  }

  /** Gives an event to its subscriptions here; returns the groups that have their copy. */
  #serveHere(envelope: Envelope, data: unknown, outlet: EventOutlet, handled: Handled | undefined): string[] {
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
    for (const subscription of chosen) this.#responder.deliver(subscription, envelope, outlet, data);
    this.#showObservers(envelope);
    return served;
  }

  #showObservers(envelope: Envelope): void {
    for (const subscription of this.#router.observers(envelope.topic)) this.#responder.deliver(subscription, envelope);
  }

  // --- subscribe -----------------------------------------------------------------------------------------------------

  /**
   * Has a function handle events and answer requests of a topic, or handle events of a pattern with `*` (one token) and a
   * final `>` (one or more). Starts the system. Throws InvalidTopicError or InvalidArgumentError.
   */
  subscribe<Data = unknown>(topic: string, handler: Handler<Data>, options: SubscribeOptions<Data> = {}): Subscription {
    if (this.#closing) throw new InvalidArgumentError("this event system is closed; make a new one");
    const subscription = new Subscription(this.#owner, topic, handler as Handler, options as SubscribeOptions);
    this.#router.add(subscription);
    this.#registry.begin(subscription);
    if (this.#port === undefined) this.start().catch((error) => this.#report(error, "start"));
    return subscription;
  }

  /** All subscriptions that are not closed. */
  get subscriptions(): Subscription[] {
    return this.#router.all().filter((subscription) => !subscription.leaving);
  }

  /** Ends a subscription, or all of a name: nothing new is taken, what is here is finished. Idempotent. */
  async unsubscribe(subscription: Subscription | string): Promise<void> {
    const chosen = this.#router.all().filter((one) => one === subscription || one.name === subscription);
    for (const each of chosen) each.leaving = true;
    await Promise.all(chosen.map((each) => this.#leave(each)));
  }

  async #leave(subscription: Subscription): Promise<void> {
    await this.#registry.end(subscription.interests);
    await subscription.drain();
    this.#router.remove(subscription);
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /** This instance's name at the broker; empty before the start. */
  get instance(): string {
    return this.#port?.instance ?? "";
  }

  /** Whether the broker can be reached now. */
  get connected(): boolean {
    return this.#port?.connected ?? false;
  }

  /** Whether it has been closed, or is about to be. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Connects and registers what was declared; whatever needs it calls it. While running it does nothing.
   * Rejects with UnavailableError, UnauthenticatedError or UnsupportedError, naming the broker and what to do.
   */
  async start(): Promise<void> {
    if (this.#closing) throw new InvalidArgumentError("this event system is closed; make a new one");
    if (this.#port !== undefined) return;
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  /** Runs until SIGTERM or SIGINT, then drains and closes. */
  async serve(): Promise<void> {
    await this.start();
    await untilToldToStop();
    await this.close();
  }

  /** Takes nothing new, finishes what runs for up to `drain` milliseconds (10,000 unless given), then leaves. Idempotent. */
  close(drain: number = this.settings.drain): Promise<void> {
    this.#closing ??= this.#close(drain);
    return this.#closing;
  }

  /** `await using events = new EventSystem(…)` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    const transport = await this.#makeTransport();
    try {
      const port = await transport.open(this.#instance.service, this.#receiver);
      this.#instance.attach(port);
      this.#caller.attach(port);
      this.#responder.attach(port);
      await this.#registry.attach(port);
      this.#port = port;
      this.#transport = transport;
      this.#watchdog.start();
    } catch (error) {
      await transport.close();
      throw error;
    }
  }

  async #close(drain: number): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#watchdog.stop();
    const subscriptions = this.#router.all();
    for (const subscription of subscriptions) subscription.leaving = true;
    if (this.#port !== undefined) {
      await this.#drain(subscriptions, drain);
      this.#caller.close();
      this.#responder.stop();
      await this.#port.close();
      this.#port = undefined;
    }
    await this.#transport?.close();
  }

  async #drain(subscriptions: Subscription[], ms: number): Promise<void> {
    const left = this.#registry.end(this.#router.interests()).catch(() => undefined);
    const drained = Promise.all([left, ...subscriptions.map((subscription) => subscription.drain())]);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), ms);
    });
    const outcome = await Promise.race([drained, late]);
    clearTimeout(timer);
    if (outcome !== "late") return;
    const reason = new ResponderLostError("the responder stopped before the handler was done");
    for (const subscription of subscriptions) subscription.interrupt(reason);
  }

  // --- what the port reports, and what subscriptions ask for ---------------------------------------------------------

  #makeReceiver(): Receiver {
    return {
      onRequest: (envelope) => this.#responder.request(envelope),
      onEvent: (interest, envelope) => this.#responder.event(interest, envelope),
      onAnswer: (envelope) => {
        if (envelope.kind === CANCEL) this.#responder.cancel(envelope.callId);
        else this.#caller.answered(envelope);
      },
      onDispatched: (callId, instance, error) => this.#caller.dispatched(callId, instance, error),
      onConnected: (gap) => this.#connected(gap),
      onDisconnected: (reason) => this.#disconnected(reason),
    };
  }

  #makeOwner(): Owner {
    return {
      settings: this.settings,
      registered: async (subscription) => {
        await this.start();
        await this.#registry.ready(subscription);
      },
      unsubscribe: (subscription) => this.unsubscribe(subscription),
      overloaded: (subscription, pushedOut) => this.#responder.overloaded(subscription, pushedOut),
    };
  }

  #connected(gap: Gap | undefined): void {
    this.#linkWait.up();
    if (gap === undefined) return;
    if (this.#port !== undefined) this.#instance.attach(this.#port); // a new Link is a new instance
    this.#caller.linkUp();
    const since = new Date(gap.since);
    const until = new Date(gap.until);
    this.#instance.log.warn(
      `live events between ${since.toISOString()} and ${until.toISOString()} may be lost: ${gap.reason}`,
    );
    this.#instance.sayGap(gap);
    for (const { onGap } of this.#router.all()) {
      if (onGap)
        Promise.resolve(gap.reason)
          .then((reason) => onGap(since, until, reason))
          .catch((error) => this.#report(error, "onGap"));
    }
  }

  #disconnected(reason: string): void {
    this.#instance.log.warn(`the broker is away: ${reason}`);
    this.#linkWait.down();
    this.#caller.linkDown();
  }

  #stoodStill(ms: number): void {
    this.#instance.log.warn(`the event loop stood still for ${Math.round(ms)} ms; a handler blocks it`);
    this.#publishWarning({ kind: "loop_blocked", seconds: ms / 1000 });
  }

  #publishWarning(payload: Record<string, unknown>): void {
    this.#publish(SYSTEM_WARNING, payload, { ttl: DEFAULT_EVENT_TTL_MS }, true).catch(() => undefined);
  }

  #report(error: unknown, what: string): void {
    this.#onError?.(error);
    this.#instance.log.error(`${what} failed`, error);
  }
}

let theDefault: EventSystem | undefined;

/** The process's default event system, made on first use from the environment. */
export function getEventSystem(): EventSystem {
  if (theDefault === undefined || theDefault.closed) theDefault = new EventSystem();
  return theDefault;
}

/** `EventSystem.publish` on the default event system. */
export function publishEvent(topic: string, data?: unknown, options?: PublishOptions): Promise<Receipt> {
  return getEventSystem().publish(topic, data, options);
}

/** `EventSystem.publishAndWait` on the default event system. */
export function publishEventAndWait<Reply = unknown>(
  topic: string,
  data?: unknown,
  options?: CallOptions,
): Promise<Reply> {
  return getEventSystem().publishAndWait<Reply>(topic, data, options);
}
