import { deadKey, mailGroupsKey, mailTopicsKey, parkedKey } from "../contract/contract.js";
import {
  DISMISS,
  dismissNames,
  MEASURE,
  measureNames,
  REDRIVE,
  redriveNames,
  UNPARK,
  unparkNames,
} from "../contract/scripts.js";
import type { GroupFigures, Letter, Redriven } from "../durable/mail.js";
import type { RedisWork } from "./redisWork.js";
import type { Reply } from "./resp.js";

const PAGE = 500;
const NO_TEXT = "\ufffd";

/** What people ask of durable events on Redis: groups, figures, dead letters, parked keys (SPEC.md, section 14); part of `RedisMail`. */
export class RedisMailDesk {
  protected readonly prefix: string;
  protected readonly work: RedisWork;

  constructor(prefix: string, work: RedisWork) {
    this.prefix = prefix;
    this.work = work;
  }

  /** See `Mail.topics`. */
  async topics(): Promise<string[]> {
    const found = await this.work.call("SMEMBERS", mailTopicsKey(this.prefix));
    return [...(found as Iterable<Reply>)].map(String).sort();
  }

  /** See `Mail.groups`. */
  async groups(topic: string): Promise<GroupFigures[]> {
    const pairs = pairsOf(await this.work.call("HGETALL", mailGroupsKey(this.prefix, topic)));
    const figures: GroupFigures[] = [];
    for (const [group, since] of pairs) figures.push(await this.#figures(topic, group, Number(String(since))));
    return figures;
  }

  async #figures(topic: string, group: string, since: number): Promise<GroupFigures> {
    const names = measureNames(this.prefix, topic, group);
    let [keys, waiting, pending, oldest] = [0, 0, 0, Infinity];
    let cursor = "0";
    do {
      const page = listOf(await this.work.run(MEASURE, names, [topic, group, cursor])).map(String);
      const [next = "0", ...counts] = page;
      cursor = next;
      keys += Number(counts[0]);
      waiting += Number(counts[1]);
      pending += Number(counts[2]);
      if (counts[3]) oldest = Math.min(oldest, Number(counts[3]));
    } while (cursor !== "0");
    const parked = Number(await this.work.call("HLEN", parkedKey(this.prefix, topic, group)));
    return { group, since, keys, waiting, pending, parked, oldest: oldest === Infinity ? undefined : oldest };
  }

  /** See `Mail.dismiss`. */
  async dismiss(topic: string, group: string): Promise<boolean> {
    return (await this.work.run(DISMISS, dismissNames(this.prefix, topic), [group])) === 1;
  }

  /** See `Mail.letters`. */
  async letters(topic: string, after: string, limit: number): Promise<Letter[]> {
    const first = after === "" ? "-" : `(${after}`;
    const found = await this.work.call("XRANGE", deadKey(this.prefix, topic), first, "+", "COUNT", String(limit));
    return listOf(found).map((entry) => {
      const [id, fields] = listOf(entry);
      return { id: String(id), letter: listOf(fields)[1] as Buffer };
    });
  }

  /** See `Mail.redrive`. */
  async redrive(topic: string, letters: readonly Redriven[]): Promise<string[]> {
    const names = redriveNames(this.prefix, topic);
    const moved: string[] = [];
    for (const page of pagesOf(letters)) {
      const rest = page.flatMap((one) => [one.id, one.group, one.key, String(one.priority), one.envelope]);
      moved.push(...listOf(await this.work.run(REDRIVE, names, rest)).map(String));
    }
    return moved;
  }

  /** See `Mail.purge`. */
  async purge(topic: string, ids: readonly string[]): Promise<number> {
    let deleted = 0;
    for (const page of pagesOf(ids))
      deleted += Number(await this.work.call("XDEL", deadKey(this.prefix, topic), ...page));
    return deleted;
  }

  /** See `Mail.parked`. */
  async parked(topic: string, group: string): Promise<Letter[]> {
    const found = await this.#parked(topic, group);
    return found.map(([name, letter]) => ({ id: String(name), letter }));
  }

  /** Keys as the broker has them, and what stopped them. */
  async #parked(topic: string, group: string): Promise<[Buffer, Buffer][]> {
    const found = new Map<string, [Buffer, Buffer]>();
    let cursor = "0";
    do {
      const key = parkedKey(this.prefix, topic, group);
      const [next, reply] = listOf(await this.work.call("HSCAN", key, cursor, "COUNT", String(PAGE)));
      cursor = String(next);
      const page = listOf(reply) as Buffer[];
      for (const [at, name] of page.entries())
        if (at % 2 === 0) found.set(name.toString("latin1"), [name, page[at + 1] as Buffer]);
    } while (cursor !== "0");
    return [...found.values()].sort(([one], [other]) => Buffer.compare(one, other));
  }

  /** See `Mail.unpark`. A key that is no text has the name under which it is shown. */
  async unpark(topic: string, group: string, key: string, skip: boolean): Promise<boolean> {
    if (await this.#unpark(topic, group, key, skip)) return true;
    if (!key.includes(NO_TEXT)) return false;
    for (const [name] of await this.#parked(topic, group))
      if (String(name) === key && (await this.#unpark(topic, group, name, skip))) return true;
    return false;
  }

  async #unpark(topic: string, group: string, key: string | Buffer, skip: boolean): Promise<boolean> {
    const names = unparkNames(this.prefix, topic, group);
    return (await this.work.run(UNPARK, names, [topic, group, key, skip ? "1" : "0"])) === 1;
  }
}

/** The items of a reply that is a list. */
export function listOf(reply: Reply | undefined): Reply[] {
  return Array.isArray(reply) ? reply : [];
}

/** Names and values, in the order of the names. */
export function pairsOf(reply: Reply): [string, Reply][] {
  const list = listOf(reply);
  const pairs: [string, Reply][] =
    reply instanceof Map
      ? [...reply]
      : list.flatMap((name, at): [string, Reply][] => (at % 2 === 0 ? [[String(name), list[at + 1] ?? null]] : []));
  return pairs.sort(([one], [other]) => (one < other ? -1 : 1));
}

function pagesOf<T>(all: readonly T[]): T[][] {
  const pages: T[][] = [];
  for (let at = 0; at < all.length; at += PAGE) pages.push(all.slice(at, at + PAGE));
  return pages;
}
