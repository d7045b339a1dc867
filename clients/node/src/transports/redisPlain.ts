import type { Clock } from "../clock.js";
import { DEFAULT_SWEEP_MS, groupChangeChannel, streamPrefixKey, sweepKey } from "../contract/contract.js";
import { READY, readyNames } from "../contract/scripts.js";
import { harmless } from "../harmless.js";
import { listOf } from "./redisMailDesk.js";
import type { RedisWork } from "./redisWork.js";

const PAGE = 1000;
const BREATH_MS = 10;
const GAP_MS = 1000;
const COLON = ":".charCodeAt(0);

/**
 * Plain producers: programs that add to the streams of keys with any Redis client (SPEC.md, section 14). They say so on
 * `group_change`; should nobody hear it, the streams are found by a look through the keys, once a minute by one process for
 * each topic, and after a gap.
 */
export class RedisPlain {
  /** Where they say so. */
  readonly channel: string;
  readonly #prefix: string;
  readonly #work: RedisWork;
  readonly #clock: Clock;
  /** Topics that are consumed here. */
  readonly #topics: () => ReadonlySet<string>;
  readonly #streams: Buffer;
  #noticed = new Map<string, Map<string, Buffer>>();
  #sweeping: NodeJS.Timeout | undefined;
  #new = new Set<string>();
  #isLooking = false;
  /** The look for what nobody heard of while its topic was not consumed here. */
  looking: Promise<void> = Promise.resolve();

  constructor(prefix: string, work: RedisWork, clock: Clock, topics: () => ReadonlySet<string>) {
    this.channel = groupChangeChannel(prefix);
    this.#prefix = prefix;
    this.#work = work;
    this.#clock = clock;
    this.#topics = topics;
    this.#streams = Buffer.from(streamPrefixKey(prefix, "").slice(0, -1));
  }

  /** `register:<topic>:<key>` or `unregister:<topic>:<key>`: in both cases what is there is to be handled. */
  noticed(notice: Buffer): void {
    const at = notice.indexOf(COLON);
    const verb = notice.toString("latin1", 0, Math.max(0, at));
    const found = this.#split(notice.subarray(at + 1));
    if ((verb !== "register" && verb !== "unregister") || found === undefined) return;
    if (this.#noticed.size === 0) setImmediate(() => this.#look());
    const keys = this.#noticed.get(found.topic) ?? new Map<string, Buffer>();
    this.#noticed.set(found.topic, keys.set(found.key.toString("latin1"), found.key));
  }

  /** What was not looked at, as the server is away, is looked for when it is back. */
  #look(): void {
    const noticed = this.#noticed;
    this.#noticed = new Map();
    for (const [topic, keys] of noticed) void this.#ready(topic, [...keys.values()]).catch(() => undefined);
  }

  async #ready(topic: string, keys: readonly Buffer[]): Promise<void> {
    const names = readyNames(this.#prefix, topic);
    for (let at = 0; at < keys.length; at += PAGE) await this.#work.run(READY, names, keys.slice(at, at + PAGE));
  }

  /** Looks through the keys from time to time. */
  begin(): void {
    this.#sweeping = setTimeout(
      () => void this.#sweepElected().finally(() => this.#sweeping && this.begin()),
      DEFAULT_SWEEP_MS * (0.8 + 0.4 * Math.random()),
    ).unref();
  }

  /** Looks no more. */
  close(): void {
    clearTimeout(this.#sweeping);
    this.#sweeping = undefined;
  }

  /** They are consumed here from now on; nobody may have heard what was said of them before. */
  lookFor(topics: Iterable<string>): void {
    for (const topic of topics) this.#new.add(topic);
    if (this.#new.size === 0 || this.#isLooking) return;
    this.#isLooking = true;
    this.looking = this.#lookForNew().finally(() => {
      this.#isLooking = false;
    });
  }

  async #lookForNew(): Promise<void> {
    while (this.#new.size > 0) {
      const topics = this.#new;
      this.#new = new Set();
      await this.sweep(topics).catch(() => undefined); // the next look is soon enough
    }
  }

  /** Notices were lost. */
  sweepAfterGap(): void {
    const sweep = () => this.sweep(this.#topics());
    setTimeout(() => harmless(sweep, () => undefined), Math.random() * GAP_MS).unref();
  }

  async #sweepElected(): Promise<void> {
    try {
      const elected = new Set<string>();
      for (const topic of this.#topics()) if (await this.#isElected(topic)) elected.add(topic);
      await this.sweep(elected);
    } catch {
      // the next look is soon enough
    }
  }

  /** Whether it falls to this process to look for a topic's streams this time. */
  async #isElected(topic: string): Promise<boolean> {
    const ms = String(Math.floor((DEFAULT_SWEEP_MS * 3) / 4));
    return (await this.#work.call("SET", sweepKey(this.#prefix, topic), "1", "NX", "PX", ms)) !== null;
  }

  /** Looks through all keys for streams of these topics. Rejects as `RedisWork.call` does. */
  async sweep(topics: ReadonlySet<string>): Promise<void> {
    if (topics.size === 0) return;
    const options = ["MATCH", `${this.#streams}*`, "COUNT", String(PAGE), "TYPE", "stream"];
    let cursor = "0";
    do {
      const [next, page] = listOf(await this.#work.call("SCAN", cursor, ...options));
      cursor = String(next);
      for (const [topic, keys] of this.#byTopic(listOf(page) as Buffer[], topics)) await this.#ready(topic, keys);
      if (cursor !== "0") await this.#clock.sleep(BREATH_MS);
    } while (cursor !== "0");
  }

  #byTopic(streams: readonly Buffer[], topics: ReadonlySet<string>): Map<string, Buffer[]> {
    const found = new Map<string, Buffer[]>();
    for (const stream of streams) {
      const { topic, key } = this.#split(stream.subarray(this.#streams.length)) ?? {};
      if (topic !== undefined && key !== undefined && topics.has(topic)) {
        found.set(topic, [...(found.get(topic) ?? []), key]);
      }
    }
    return found;
  }

  /** `<topic>:<key>`; undefined if that makes no sense, or nobody here consumes it. */
  #split(name: Buffer): { topic: string; key: Buffer } | undefined {
    const at = name.indexOf(COLON);
    if (at < 0 || at + 1 === name.length) return undefined;
    const topic = name.toString("utf8", 0, at);
    return this.#topics().has(topic) ? { topic, key: name.subarray(at + 1) } : undefined;
  }
}
