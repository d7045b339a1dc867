import type { Clock } from "../clock.js";
import { DEFAULT_EXPIRE_SWEEP_MS, expiringKey, LIMIT_STREAM_ALONE_MS, mailTopicsKey } from "../contract/contract.js";
import { EXPIRE, expireNames } from "../contract/scripts.js";
import type { RedisLink } from "./redisLink.js";
import { listOf } from "./redisMailDesk.js";
import { runScript } from "./redisScripts.js";
import type { Reply } from "./resp.js";

const BREATH_MS = 10;
const DAY_MS = 86_400_000;

/** What it needs of the transport. */
export interface RetentionHouse {
  readonly prefix: string;
  readonly clock: Clock;
  /** Whether this process has to do with durable events. */
  readonly stores: boolean;
  /** The link, now. Throws if there is none. */
  require(): RedisLink;
  /** Something was lost that somebody should hear of. */
  warn(message: string): void;
}

/**
 * What was stored for topics that nobody subscribes to goes after a week (SPEC.md, section 14). One process of an
 * installation looks for it once an hour; processes that have nothing to do with durable events do not.
 */
export class RedisRetention {
  readonly #house: RetentionHouse;
  #looking: NodeJS.Timeout | undefined;

  constructor(house: RetentionHouse) {
    this.#house = house;
  }

  /** Looks from time to time; first within a minute. */
  begin(pause = (DEFAULT_EXPIRE_SWEEP_MS / 60) * Math.random()): void {
    this.#looking = setTimeout(() => void this.#look().finally(() => this.#looking && this.#later()), pause).unref();
  }

  #later(): void {
    this.begin(DEFAULT_EXPIRE_SWEEP_MS * (0.8 + 0.4 * Math.random()));
  }

  /** Looks no more. */
  close(): void {
    clearTimeout(this.#looking);
    this.#looking = undefined;
  }

  async #look(): Promise<void> {
    try {
      if (this.#house.stores && (await this.#isElected())) await this.sweep(LIMIT_STREAM_ALONE_MS);
    } catch {
      // the next look is soon enough
    }
  }

  /** Whether it falls to this process this time. */
  async #isElected(): Promise<boolean> {
    const ms = String(Math.floor((DEFAULT_EXPIRE_SWEEP_MS * 3) / 4));
    return (await this.#house.require().call("SET", expiringKey(this.#house.prefix), "1", "NX", "PX", ms)) !== null;
  }

  /**
   * Deletes what was stored more than so many ms ago for topics without a group; resolves to how many events. Rejects
   * as `RedisLink.call` does.
   */
  async sweep(longest: number): Promise<number> {
    let total = 0;
    const topics = await this.#house.require().call("SMEMBERS", mailTopicsKey(this.#house.prefix));
    for (const topic of topics as Iterable<Reply>) {
      const deleted = await this.#expire(String(topic), longest);
      if (deleted === 0) continue;
      const days = longest / DAY_MS;
      this.#house.warn(`${deleted} events of "${topic}" were deleted: nobody subscribed to it for ${days} days`);
      total += deleted;
    }
    return total;
  }

  async #expire(topic: string, longest: number): Promise<number> {
    const names = expireNames(this.#house.prefix, topic);
    let total = 0;
    for (let cursor = "0"; ; await this.#house.clock.sleep(BREATH_MS)) {
      const told = listOf(await runScript(this.#house.require(), EXPIRE, names, [String(longest), cursor])).map(String);
      const [next = "0", deleted] = told;
      total += Number(deleted);
      if (next === "0") return total;
      cursor = next;
    }
  }
}
