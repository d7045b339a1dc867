import { DEFAULT_LINK_LEASE_MS } from "../../src/contract/contract.js";
import {
  EventSystem,
  type EventSystemOptions,
  type Logger,
  MemoryBroker,
  MemoryTransport,
  type Settings,
} from "../../src/index.js";
import { DEFAULT_SETTINGS } from "../../src/settings.js";
import type { Transport } from "../../src/transport.js";
import { chooseTransport } from "../../src/transports/choose.js";
import { Gateway } from "./gateway.js";
import { Peer } from "./process.js";
import { Raw } from "./raw.js";
import { RedisServer } from "./server.js";

/** Says nothing: tests that cause failures on purpose would fill the screen. */
export const silent: Logger = { debug: () => undefined, warn: () => undefined, error: () => undefined };

/** Resolves when the systems know of every observer and wildcard group there is: notices of them travel ahead of answers. */
export async function inStep(...systems: EventSystem[]): Promise<void> {
  for (const system of systems) await system.publish("in.step");
}

/** A broker to test with. What it cannot do is said here, and the suite has no such test for it. */
export interface World {
  readonly name: string;
  /** Services can run in processes of their own. */
  readonly processes: boolean;
  /** The broker is this Redis, and nothing stands before it. */
  readonly redis: RedisServer | undefined;
  /** The way to the broker is this gateway. */
  readonly gateway: Gateway | undefined;
  /** How long a frozen process keeps its lease, milliseconds, and the settings that make it so. */
  readonly lease: number;
  readonly shortLease: Partial<Settings>;
  /** A system of its own at the broker; closed at the end. */
  system(options?: EventSystemOptions): EventSystem;
  peer(options?: EventSystemOptions): Promise<Peer>;
  /** An instance that does only what it is told. */
  raw(): Promise<Raw>;
  /** Ends everything that a test started. */
  clean(): Promise<void>;
  stop(): Promise<void>;
}

abstract class Base implements World {
  abstract readonly name: string;
  readonly processes: boolean = true;
  readonly redis: RedisServer | undefined = undefined;
  readonly gateway: Gateway | undefined = undefined;
  readonly lease: number = 2000;
  readonly shortLease: Partial<Settings> = { lease: 2000, leaseRefresh: 500 };
  #systems: EventSystem[] = [];
  #peers: Peer[] = [];
  #transports: Transport[] = [];

  protected abstract target(): EventSystemOptions;

  system(options: EventSystemOptions = {}): EventSystem {
    const system = new EventSystem({ logger: silent, ...this.target(), ...options });
    this.#systems.push(system);
    return system;
  }

  async peer(options: EventSystemOptions = {}): Promise<Peer> {
    const peer = await Peer.start(this.target().url ?? "", options);
    this.#peers.push(peer);
    return peer;
  }

  async raw(): Promise<Raw> {
    const { transport, url = "" } = this.target();
    const chosen = transport ?? (await chooseTransport(url, "", DEFAULT_SETTINGS)());
    this.#transports.push(chosen);
    return Raw.open(chosen);
  }

  async clean(): Promise<void> {
    await Promise.all(this.#transports.splice(0).map((transport) => transport.close()));
    await Promise.all(this.#peers.splice(0).map((peer) => peer.kill()));
    await Promise.all(this.#systems.splice(0).map((system) => system.close(0)));
  }

  async stop(): Promise<void> {}
}

export class MemoryWorld extends Base {
  readonly name = "memory";
  override readonly processes = false;
  readonly #broker = new MemoryBroker();

  protected target(): EventSystemOptions {
    return { transport: new MemoryTransport(this.#broker) };
  }
}

export class RedisWorld extends Base {
  readonly name = "redis";

  private constructor(override readonly redis: RedisServer) {
    super();
  }

  static async start(): Promise<RedisWorld> {
    return new RedisWorld(await RedisServer.start());
  }

  protected target(): EventSystemOptions {
    return { url: this.redis.url };
  }

  override stop(): Promise<void> {
    return this.redis.stop();
  }
}

export class GrpcWorld extends Base {
  override readonly lease = DEFAULT_LINK_LEASE_MS;

  private constructor(
    readonly name: string,
    override readonly gateway: Gateway,
    readonly behind: RedisServer | undefined,
  ) {
    super();
  }

  /** A gateway that is the broker itself. */
  static async embedded(): Promise<GrpcWorld> {
    return new GrpcWorld("grpc, embedded", await Gateway.start(), undefined);
  }

  /** A gateway in front of a Redis. */
  static async beforeRedis(): Promise<GrpcWorld> {
    const redis = await RedisServer.start();
    return new GrpcWorld("grpc, in front of Redis", await Gateway.start(["--redis-url", redis.url]), redis);
  }

  protected target(): EventSystemOptions {
    return { url: this.gateway.url };
  }

  override async stop(): Promise<void> {
    await this.gateway.stop();
    await this.behind?.stop();
  }
}
