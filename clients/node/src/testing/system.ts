import { replaceDefault } from "../defaultSystem.js";
import { EventSystem } from "../events.js";
import type { Middleware } from "../middleware.js";
import type { BatchSubscribeOptions, Handler, SubscribeOptions, Subscription } from "../subscription.js";
import type { EventSystemOptions } from "../systemOptions.js";
import type { Transport } from "../transport.js";
import { MemoryBroker, MemoryTransport } from "../transports/memory.js";
import { Clock, RealTime } from "./clock.js";
import { Faults } from "./faults.js";
import { Recorder } from "./recorder.js";

/** What can be said of a broker for tests. */
export interface BrokerOptions {
  /** Turned by hand; a new one unless given. */
  clock?: Clock;
  /** Let time pass by itself instead. */
  realTime?: boolean;
  /** Of the dice of the faults. */
  seed?: number;
}

/** What can be said of an event system for tests; see `EventSystemOptions`. Without `settings` it tells no system events. */
export interface SystemOptions
  extends Pick<EventSystemOptions, "settings" | "middleware" | "observe" | "onError" | "logger"> {
  /** Have its handlers in an instance of their own, `far`, so that every event and call crosses the wire. */
  remote?: boolean;
}

/** A broker for one test, with a clock, a recorder and faults; `close` ends all its systems. */
export class Broker {
  readonly recorder = new Recorder();
  readonly faults: Faults;
  readonly #clock: Clock | RealTime;
  readonly #memory: MemoryBroker;
  readonly #systems: EventSystem[] = [];
  readonly #fresh: [EventSystem, Subscription][] = [];

  constructor({ clock = new Clock(), realTime = false, seed = 0 }: BrokerOptions = {}) {
    this.#clock = realTime ? new RealTime() : clock;
    this.#memory = new MemoryBroker(this.#clock);
    this.faults = new Faults(seed);
  }

  /** The clock that the test turns, unless it asked for `realTime`. */
  get clock(): Clock {
    return this.#clock as Clock;
  }

  /** One more event system, of a service; it starts with its first use. */
  system(service = "test", options: SystemOptions = {}): System {
    return new System(this, service, options);
  }

  /** A way to this broker for an event system that the program under test makes; each needs its own. */
  transport(): Transport {
    return this.faults.around(new MemoryTransport(this.#memory));
  }

  /** A system was made on this broker. */
  joined(system: EventSystem): void {
    this.#systems.push(system);
  }

  /** A subscription was made, and will be registered soon. */
  declared(system: EventSystem, subscription: Subscription): void {
    this.#fresh.push([system, subscription]);
  }

  /** Resolves when all subscriptions are registered, but for those whose link is cut. */
  async inStep(): Promise<void> {
    for (let next = this.#fresh.pop(); next !== undefined; next = this.#fresh.pop()) {
      const [system, subscription] = next;
      const reachable = system.connected || system.instance === "";
      if (reachable && !system.closed) await subscription.ready().catch(() => undefined);
    }
  }

  /** Ends all systems; handlers that still wait for something are cancelled. Idempotent. */
  async close(): Promise<void> {
    await this.clock.settle();
    for (const system of this.#systems.splice(0)) await system.close(0);
    await this.clock.settle(); // what was cancelled ends
  }

  /** `await using broker = new Broker()` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** An event system on a test's broker; made by `system` and by `Broker.system`. */
export class System extends EventSystem {
  readonly broker: Broker;
  readonly #far: System | undefined;

  constructor(broker: Broker, service: string, { remote = false, ...options }: SystemOptions = {}) {
    const { middleware = [] } = options;
    const chain = [...middleware, inStep(broker), broker.recorder];
    const { settings = { systemEvents: false } } = options; // lest a fault hits one of those
    super({ ...options, settings, service, middleware: chain, transport: broker.transport() });
    this.broker = broker;
    broker.joined(this);
    this.#far = remote ? new System(broker, service, options) : undefined;
  }

  /** The broker's clock, which the test turns. */
  override get clock(): Clock {
    return this.broker.clock;
  }

  /** What all systems of this broker published and requested. */
  get recorder(): Recorder {
    return this.broker.recorder;
  }

  /** The faults of this broker's wire. */
  get faults(): Faults {
    return this.broker.faults;
  }

  /** With `remote: true` the system at the other end of the wire, which has the handlers; else this one. */
  get far(): System {
    return this.#far ?? this;
  }

  override subscribe<Data = unknown, Payload = Data, Reply = unknown>(
    topic: string,
    handler: Handler<Data, NoInfer<Reply>>,
    options?: SubscribeOptions<Data, Payload, Reply>,
  ): Subscription;
  override subscribe<Data = unknown, Payload = Data>(
    topic: string,
    handler: Handler<Data[]>,
    options: BatchSubscribeOptions<Data, Payload>,
  ): Subscription;
  /** See `EventSystem.subscribe`. */
  override subscribe(topic: string, handler: Handler<never>, options: object = {}): Subscription {
    if (this.#far !== undefined) return this.#far.subscribe(topic, handler as Handler, options);
    const subscription = super.subscribe(topic, handler as Handler, options);
    this.broker.declared(this, subscription);
    return subscription;
  }

  /** See `EventSystem.subscriptions`. */
  override get subscriptions(): Subscription[] {
    return this.#far === undefined ? super.subscriptions : this.#far.subscriptions;
  }

  /** See `EventSystem.unsubscribe`. */
  override unsubscribe(subscription: Subscription | string): Promise<void> {
    return this.#far === undefined ? super.unsubscribe(subscription) : this.#far.unsubscribe(subscription);
  }

  /**
   * Takes nothing new and leaves. Unless `drain` gives milliseconds of the broker's clock, what needs no time is
   * finished, and the rest is cancelled. Idempotent.
   */
  override async close(drain?: number): Promise<void> {
    if (drain === undefined) await this.clock.settle();
    await this.#far?.close(drain ?? 0);
    await super.close(drain ?? 0);
  }
}

/** Nothing is published before the handlers declared so far are registered: a test need not wait for them. */
function inStep(broker: Broker): Middleware {
  return {
    publish: async (message, next) => {
      await broker.inStep();
      return next(message);
    },
  };
}

/** An event system on a broker of its own, which ends with it: `await using events = await system()`. */
export async function system(
  service = "test",
  { realTime = false, ...options }: SystemOptions & Pick<BrokerOptions, "realTime"> = {},
): Promise<System> {
  return new Broker({ realTime }).system(service, options).start();
}

/**
 * Has `getEventSystem`, `publishEvent` and the others use this system, until the function it returns is called;
 * `using _ = use(events)` calls it at the end of the block.
 */
export function use(events: EventSystem): (() => void) & Disposable {
  const before = replaceDefault(events);
  const restore = () => void replaceDefault(before);
  return Object.assign(restore, { [Symbol.dispose]: restore });
}
