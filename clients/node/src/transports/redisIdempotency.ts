import { handlingKey } from "../contract/contract.js";
import {
  checkWindow,
  DEFAULT_WINDOW,
  type Handling,
  type IdempotencyStore,
  type Standing,
} from "../durable/idempotency.js";
import { DEFAULT_SETTINGS } from "../settings.js";
import { checkGroup } from "../topics.js";
import { parseRedisUrl, prefixOf, type RedisTarget } from "./redisUrl.js";
import type { RedisWork } from "./redisWork.js";
import type { Reply } from "./resp.js";

const DONE = "done";

/** What speaks to Redis is loaded when it is first needed. */
type Work = Promise<RedisWork>;

/** Remembers on Redis: a key for each event, with an expiry; its value is the owner, or says that it is done. */
export class RedisIdempotencyStore implements IdempotencyStore {
  readonly #target: RedisTarget;
  readonly #prefix: string;
  readonly #window: number;
  #work: Work | undefined;

  /**
   * The Redis at the URL need not be the broker; `window` is in milliseconds, `namespace` separates installations on one
   * server. Throws InvalidArgumentError.
   */
  constructor(url: string, window = DEFAULT_WINDOW, namespace = "") {
    if (namespace !== "") checkGroup(namespace);
    this.#target = parseRedisUrl(url);
    this.#prefix = prefixOf(namespace, this.#target.database);
    this.#window = checkWindow(window);
  }

  /** See `IdempotencyStore.begin`. */
  async begin(handling: Handling, owner: string, leaseMs: number): Promise<Standing> {
    const [key, ms] = [this.#key(handling), String(Math.ceil(leaseMs))];
    const holder = await this.#call("SET", key, owner, "NX", "GET", "PX", ms);
    if (holder === null) return "begun";
    if (String(holder) === DONE) return "done";
    if (String(holder) !== owner) return "busy";
    await this.#call("PEXPIRE", key, ms);
    return "begun";
  }

  /** See `IdempotencyStore.done`. */
  async done(handling: Handling): Promise<void> {
    await this.#call("SET", this.#key(handling), DONE, "PX", String(this.#window));
  }

  /** See `IdempotencyStore.giveUp`. */
  async giveUp({ topic, group, id }: Handling, owner: string): Promise<void> {
    const { GIVE_UP, giveUpNames } = await import("../contract/scripts.js");
    await (await this.#open()).run(GIVE_UP, giveUpNames(this.#prefix, topic, group, id), [owner]);
  }

  /** Closes its connection; whatever is asked next opens another. Idempotent. */
  async close(): Promise<void> {
    const work = this.#work;
    this.#work = undefined;
    (await work)?.close();
  }

  #key({ topic, group, id }: Handling): string {
    return handlingKey(this.#prefix, topic, group, id);
  }

  async #call(...parts: string[]): Promise<Reply> {
    return (await this.#open()).call(...parts);
  }

  #open(): Work {
    this.#work ??= this.#connect();
    return this.#work;
  }

  async #connect(): Work {
    const { RedisWork } = await import("./redisWork.js");
    return new RedisWork(this.#target, DEFAULT_SETTINGS, () => "tieline:idempotency");
  }
}
