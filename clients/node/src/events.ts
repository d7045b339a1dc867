import { Caller } from "./calls/caller.js";
import { Requester } from "./calls/requester.js";
import { type AskOptions, Surveyor } from "./calls/surveyor.js";
import type { Clock } from "./clock.js";
import { CURRENT } from "./context.js";
import { ASK_TOPIC, DEFAULT_EVENT_TTL_MS } from "./contract/contract.js";
import { CronRunner, callForTask, type Tell } from "./cron/runner.js";
import { CronTasks } from "./cron/tasks.js";
import { consumerFor } from "./durable/batchConsumer.js";
import { DeadLetters, ParkedKeys } from "./durable/deadLetters.js";
import { type Group, Groups } from "./durable/groups.js";
import type { Mail } from "./durable/mail.js";
import { said, TielineError, UnsupportedError } from "./errors.js";
import type { Explanation } from "./explain/explain.js";
import { type Metrics, metricsOf } from "./figures/metrics.js";
import { guardedReceiver } from "./guardedReceiver.js";
import { harmless } from "./harmless.js";
import { History } from "./history/history.js";
import { Inside } from "./inside.js";
import { closed, Instance } from "./instance.js";
import { Leaving } from "./leaving.js";
import { consoleLogger } from "./log.js";
import {
  type AroundBatch,
  type AroundHandler,
  aroundBatch,
  aroundHandler,
  aroundPublish,
  checkMiddleware,
  type Middleware,
} from "./middleware.js";
import { Opening } from "./opening.js";
import { checkOptions, NO_OPTIONS } from "./options.js";
import { Outbox } from "./outbox/outbox.js";
import { untilToldToStop, Watchdog } from "./process.js";
import { exposition, PROMETHEUS_KINDS, type PrometheusOptions } from "./prometheus.js";
import { Publisher } from "./publisher.js";
import { type Addressees, Reception } from "./reception.js";
import { Registry } from "./registry.js";
import { Responder } from "./responder.js";
import { Router } from "./router.js";
import { Scheduler } from "./schedules/scheduler.js";
import { Schedules } from "./schedules/schedules.js";
import { Sending, type Ways } from "./sending.js";
import type { Service } from "./services.js";
import { chooseService, chooseSettings, chooseUrl, type Settings } from "./settings.js";
import {
  type AnyOptions,
  type BatchSubscribeOptions,
  type Handler,
  type Owner,
  type SubscribeOptions,
  Subscription,
} from "./subscription.js";
import { type EventSystemOptions, readOptions } from "./systemOptions.js";
import type { Receiver } from "./transport.js";
import { chooseTransport } from "./transports/choose.js";
import { within } from "./within.js";

/** One instance: everything a process publishes, calls and subscribes to over one broker. It starts with its first use. */
export class EventSystem extends Sending {
  readonly settings: Settings;
  /** What was given up of durable events: list it, put it back, delete it. */
  readonly deadLetters: DeadLetters;
  /** Keys of durable events that stopped. */
  readonly parked: ParkedKeys;
  /** Subscription groups of durable events, and how far they are. */
  readonly groups: Groups;
  /** Events that are published later, and what became of them. */
  readonly schedules: Schedules;
  /** What happened, as recorders have written it down. */
  readonly history: History;
  /** Looks after tasks that recur. */
  readonly cron: CronTasks;
  /** What was published and waits for the broker; undefined without the option `outbox`. */
  readonly outbox: Outbox | undefined;
  /** See `Sending`. */
  protected ways: Ways;
  #chain: readonly Middleware[];
  #around: AroundHandler | undefined;
  #aroundBatch: AroundBatch | undefined;
  readonly #instance: Instance;
  readonly #router = new Router();
  readonly #registry: Registry;
  readonly #leaving: Leaving;
  readonly #caller: Caller;
  readonly #responder: Responder;
  readonly #publisher: Publisher;
  readonly #surveyor: Surveyor;
  readonly #watchdog: Watchdog;
  readonly #opening: Opening;
  readonly #onError: ((error: unknown) => void) | undefined;
  readonly #owner: Owner;
  readonly #receiver: Receiver;
  /** Resolves when it is about to be closed. */
  readonly #leavingNow: Promise<void>;
  #sayLeaving: () => void = () => undefined;
  #quietly = false;
  #reason: "closed" | "signal" = "closed";
  #closing: Promise<void> | undefined;

  /** Takes a URL and options, or options alone. Throws InvalidArgumentError for those that make no sense. */
  constructor(urlOrOptions?: string | EventSystemOptions, more?: EventSystemOptions) {
    super();
    const options = readOptions(urlOrOptions, more);
    const { transport } = options;
    this.#chain = checkMiddleware(options.middleware ?? []);
    this.#around = aroundHandler(this.#chain);
    this.#aroundBatch = aroundBatch(this.#chain);
    this.settings = chooseSettings(options.settings);
    const makeTransport = transport
      ? () => Promise.resolve(transport)
      : chooseTransport(chooseUrl(options.url), options.namespace ?? "", this.settings);
    const log = options.logger ?? consoleLogger;
    const service = chooseService(options.service);
    const instance = new Instance(service, this.settings, log, options.observe, () => this.start());
    this.#instance = instance;
    this.deadLetters = new DeadLetters(instance);
    this.parked = new ParkedKeys(instance);
    this.groups = new Groups(instance);
    this.schedules = new Schedules(instance);
    this.#leavingNow = new Promise((resolve) => {
      this.#sayLeaving = resolve;
    });
    this.#onError = options.onError;
    this.#registry = new Registry(this.#router, instance.log);
    this.#leaving = new Leaving(this.#router, this.#registry);
    this.#caller = new Caller(instance, this.#router);
    this.history = new History(instance, this.#caller);
    this.#responder = new Responder(instance, this.#router);
    this.outbox = options.outbox === undefined ? undefined : this.#makeOutbox(options.outbox, options);
    this.#publisher = new Publisher(instance, this.#router, this.#responder, this.outbox);
    if (this.settings.systemEvents) {
      const ttl = DEFAULT_EVENT_TTL_MS;
      instance.system.publishBy((topic, payload) => this.#publisher.publish(topic, payload, { ttl }, true));
    }
    this.#surveyor = new Surveyor(instance, this.#caller, this.#responder);
    const requester = new Requester(instance, this.#caller, this.#responder);
    const tell: Tell = ([topic, payload]) => this.#tellOfTask(topic, payload);
    this.cron = new CronTasks(instance, tell);
    instance.cron = new CronRunner(instance, (request, data, key) => callForTask(requester, request, data, key), tell);
    const report = (error: unknown, what: string) => this.#report(error, what);
    this.ways = {
      publisher: this.#publisher,
      requester,
      surveyor: this.#surveyor,
      caller: this.#caller,
      around: aroundPublish(this.#chain),
      report,
    };
    this.#watchdog = new Watchdog(
      (ms) => this.#stoodStill(ms),
      () => instance.trail.refill(),
    );
    this.#opening = new Opening(instance, this.#registry, makeTransport, () => this.#begun());
    this.#owner = this.#makeOwner();
    this.#receiver = guardedReceiver(this.#makeReception(report), instance.log);
    this.#router.add(this.#answering(new Inside(instance, this.#router, this.#caller)));
    instance.receiver = this.#receiver;
  }

  /**
   * Puts code around everything that is published and handled from now on, inside of what there is. Throws
   * InvalidArgumentError for what is no middleware.
   */
  use(...middleware: Middleware[]): void {
    this.#chain = [...this.#chain, ...checkMiddleware(middleware)];
    this.#around = aroundHandler(this.#chain);
    this.#aroundBatch = aroundBatch(this.#chain);
    this.ways = { ...this.ways, around: aroundPublish(this.#chain) };
  }

  // --- subscribe -----------------------------------------------------------------------------------------------------

  /**
   * Has a function handle events and answer requests of a topic, or handle events of a pattern with `*` (one token) and a
   * final `>` (one or more). Starts the system. Throws InvalidTopicError or InvalidArgumentError.
   */
  subscribe<Data = unknown, Payload = Data, Reply = unknown>(
    topic: string,
    handler: Handler<Data, NoInfer<Reply>>,
    options?: SubscribeOptions<Data, Payload, Reply>,
  ): Subscription;
  /** Has a function handle events of a topic or pattern in batches: it gets a list of payloads. */
  subscribe<Data = unknown, Payload = Data>(
    topic: string,
    handler: Handler<Data[]>,
    options: BatchSubscribeOptions<Data, Payload>,
  ): Subscription;
  subscribe(topic: string, handler: Handler<never>, options: object = NO_OPTIONS): Subscription {
    if (this.#closing) throw closed();
    const subscription = new Subscription(
      this.#owner,
      topic,
      this.#instance.system.noticed(topic, handler as Handler),
      options as AnyOptions,
    );
    if (subscription.durability !== undefined) {
      subscription.consumer = consumerFor(subscription, subscription.durability, this.#instance);
    }
    this.#instance.tally.adopt(subscription);
    this.#router.add(subscription);
    this.#registry.begin(subscription);
    if (!this.#instance.up) this.#startQuietly();
    return subscription;
  }

  /** All subscriptions that are not closed. */
  get subscriptions(): Subscription[] {
    return this.#router.all().filter((subscription) => !subscription.leaving && !subscription.internal);
  }

  /** Ends a subscription, or all of a name: nothing new is taken, what is here is finished. Idempotent. */
  async unsubscribe(subscription: Subscription | string): Promise<void> {
    const all = new Set([...this.#router.all(), ...this.#leaving.all()]);
    const chosen = [...all].filter((one) => !one.internal && (one === subscription || one.name === subscription));
    for (const each of chosen) each.leaving = true;
    await Promise.all(chosen.map((each) => this.#leaving.end(each)));
  }

  /** Resolves when the broker has registered a subscription; starts the system if need be. */
  async registered(subscription: Subscription): Promise<void> {
    await this.start();
    await this.#registry.ready(subscription);
  }

  // --- looking inside ------------------------------------------------------------------------------------------------

  /**
   * Where an event or call went, as every live instance remembers it, and what was stored of its failure. The correlation id
   * is that of a receipt, an event or an error of a call; `ttl` is how long to wait for the others. Rejects with UnavailableError.
   */
  explain(correlationId: string, options: AskOptions = NO_OPTIONS): Promise<Explanation> {
    return this.#surveyor.explain(correlationId, options);
  }

  /**
   * Who is there: services, their instances, and what they are subscribed to, with schemas and versions. `ttl` is how many
   * milliseconds it waits for each instance; 2,000 unless given. Rejects with UnavailableError.
   */
  services(options: AskOptions = NO_OPTIONS): Promise<Service[]> {
    return this.#surveyor.services(options);
  }

  /** What this instance has published, called and handled since it was made. It asks nobody, and costs little. */
  metrics(): Metrics {
    return metricsOf(this.#instance.tally, new Set([...this.#router.all(), ...this.#leaving.all()]));
  }

  /**
   * The same as Prometheus reads it: what an HTTP route answers, as `CONTENT_TYPE`. With `groups` it says also how far the
   * durable groups of the topics that are known here are, in all instances; the broker is asked, and counts for as long as
   * they have keys with something to handle. With `schedules` it says also how many planned events wait, and ended how.
   * Rejects with UnavailableError if the broker, which was to be asked, is away.
   */
  async prometheus(options: PrometheusOptions = NO_OPTIONS): Promise<string> {
    checkOptions(options, PROMETHEUS_KINDS, "prometheus");
    const metrics = this.metrics();
    const known = options.groups ? await this.groups.topics() : [];
    const topics = known.filter((topic) => metrics.topics.has(topic));
    const found: Group[] = [];
    for (const topic of topics) found.push(...(await this.groups.list(topic)));
    return exposition(metrics, found, options.schedules ? await this.schedules.figures() : undefined);
  }

  // --- life ----------------------------------------------------------------------------------------------------------

  /** Name of the service. */
  get service(): string {
    return this.#instance.service;
  }

  /** This instance's name at the broker; empty before the start. */
  get instance(): string {
    return this.#instance.port?.instance ?? "";
  }

  /** The broker's clock; what sleeps by it, `await events.clock.sleep(5_000)`, can be hurried in a test. */
  get clock(): Clock {
    return this.#instance.clock;
  }

  /** Whether the broker can be reached now. */
  get connected(): boolean {
    return this.#instance.port?.connected ?? false;
  }

  /** Whether it has been closed, or is about to be. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Connects and registers what was declared; whatever needs it calls it. While running it does nothing.
   * Rejects with UnavailableError, UnauthenticatedError or UnsupportedError, naming the broker and what to do.
   */
  async start(): Promise<this> {
    if (this.#closing) throw closed();
    if (this.#instance.up) return this;
    await this.#opening.start(this.#receiver);
    return this;
  }

  /** Runs until SIGTERM or SIGINT, then drains and closes; or until it has been closed. */
  async serve(): Promise<void> {
    await this.start();
    await untilToldToStop(this.#leavingNow, () => this.#sayStopping());
    await this.close();
  }

  /**
   * Takes nothing new, finishes what runs for up to `drain` milliseconds (10,000 unless given), then leaves. Idempotent.
   * A handler of its own does not wait: it would wait for itself.
   */
  async close(drain: number = this.settings.drain): Promise<void> {
    const all = [...this.#router.all(), ...this.#leaving.all()];
    const inside = all.some(({ isCaller }) => isCaller);
    this.#sayLeaving();
    for (const { consumer } of all) consumer?.stop();
    if (this.#closing === undefined) {
      if (this.#instance.up) this.#instance.system.stopping(this.#reason, this.#underWay);
      this.#closing = CURRENT.exit(() => this.#close(drain));
    }
    if (!inside) return this.#closing;
    this.#closing.catch((error) => this.#report(error, "close"));
  }

  /** `await using events = new EventSystem(…)` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #underWay(): number {
    const all = new Set([...this.#router.all(), ...this.#leaving.all()]);
    return [...all].reduce((sum, { underWay }) => sum + underWay, 0);
  }

  #sayStopping(): void {
    const { log } = this.#instance;
    const underWay = this.#underWay;
    this.#reason = "signal";
    if (underWay === 0) return log.debug("stopping");
    const { drain } = this.settings;
    log.warn(`stopping; ${underWay} under way have up to ${drain} ms; signal again to stop now`);
  }

  /** Starts for those who declare and do not wait; a failure is told once for all of them. */
  #startQuietly(): void {
    if (this.#quietly) return;
    this.#quietly = true;
    this.start()
      .catch((error) => {
        this.#tell(error);
        const { log } = this.#instance;
        if (error instanceof TielineError) log.error(`the event system did not start: ${said(error)}`);
        else log.error("the event system did not start", error);
      })
      .finally(() => {
        this.#quietly = false;
      });
  }

  #begun(): void {
    this.#watchdog.start();
    this.outbox?.begin();
    this.#instance.system.started();
    const { agenda, instance } = this.#instance.place;
    if (!agenda.fires) return;
    this.#instance.scheduler = new Scheduler(this.#instance, agenda, instance);
    this.#instance.scheduler.begin();
  }

  async #close(drain: number): Promise<void> {
    const until = this.clock.monotonic() + drain;
    await this.#opening.settled(drain);
    this.#watchdog.stop();
    if (this.#instance.up) {
      await this.#instance.scheduler?.stop(); // what is due now waits for others: the handlers here leave
      await this.#leaving.endAll(drain, this.clock);
      await this.#emptyOutbox(until - this.clock.monotonic());
      await this.outbox?.close();
      this.#instance.up = false;
      this.#caller.close();
      this.#responder.stop();
      await this.#instance.port?.close();
    }
    this.#opening.end();
    await this.outbox?.close();
    await this.#opening.close();
  }

  /** Publishes an event of the system; one that cannot be heard now is not missed. */
  async #tellOfTask(topic: string, payload: unknown): Promise<void> {
    try {
      await this.#publisher.publish(topic, payload, { schemaVersion: "1" }, true);
    } catch (error) {
      if (!(error instanceof TielineError)) throw error; // what it tells of has happened
    }
  }

  #makeOutbox(path: string, { url, transport }: EventSystemOptions): Outbox {
    if (transport === undefined && chooseUrl(url).startsWith("memory:")) {
      throw new UnsupportedError(
        "an outbox is for durable events, and memory:// has none here; use redis:// or grpc://",
      );
    }
    return new Outbox(path, () => this.#findMail(), this.#instance.log);
  }

  async #emptyOutbox(ms: number): Promise<void> {
    if (this.outbox === undefined || !this.connected || ms <= 0) return;
    await within(ms, this.outbox.drain(), this.clock);
  }

  /** Durable events; starts if need be. */
  async #findMail(): Promise<Mail> {
    await this.start();
    return this.#instance.mail;
  }

  // --- what the port reports, and what subscriptions ask for ---------------------------------------------------------

  #makeReception(report: Addressees["report"]): Reception {
    const router = this.#router;
    const [instance, responder, caller] = [this.#instance, this.#responder, this.#caller];
    return new Reception({
      instance,
      router,
      responder,
      caller,
      publisher: this.#publisher,
      outbox: this.outbox,
      report,
    });
  }

  #makeOwner(): Owner {
    const [around, aroundBatch] = [() => this.#around, () => this.#aroundBatch];
    return {
      settings: this.settings,
      get around() {
        return around();
      },
      get aroundBatch() {
        return aroundBatch();
      },
      registered: (subscription) => this.registered(subscription),
      unsubscribe: (subscription) => this.unsubscribe(subscription),
      raised: ({ name }, topic, error, attempt) => {
        const which = attempt === undefined ? "" : ` (attempt ${attempt})`;
        this.#instance.log.error(`handler "${name}" of "${topic}" raised${which}`, error);
      },
      overloaded: (subscription, pushedOut, topic) => this.#responder.overloaded(subscription, pushedOut, topic),
    };
  }

  /** What answers `system.ask`; no middleware stands around it. */
  #answering(inside: Inside): Subscription {
    const owner: Owner = { ...this.#owner, around: undefined, internal: true };
    return new Subscription(owner, ASK_TOPIC, (question) => inside.answer(question), { name: ASK_TOPIC });
  }

  #stoodStill(ms: number): void {
    this.#instance.log.warn(
      `the event loop stood still for ${Math.round(ms)} ms; a handler blocks it, or the process was stopped`,
    );
    this.#instance.system.loopBlocked(ms);
  }

  #report(error: unknown, what: string): void {
    this.#tell(error);
    this.#instance.log.error(`${what} failed`, error);
  }

  #tell(error: unknown): void {
    const { log } = this.#instance;
    harmless(
      () => this.#onError?.(error),
      (thrown) => log.error("onError failed itself", thrown),
    );
  }
}
