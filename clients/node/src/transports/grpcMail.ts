import { LIMIT_APPEND_BYTES, LIMIT_APPEND_EVENTS, LIMIT_FRAME_BYTES } from "../contract/contract.js";
import type { MailRequest, MailResponse, Claimed as WireClaimed, Stored as WireStored } from "../contract/durable.js";
import {
  type Appended,
  type AppendOptions,
  type Claimed,
  type Draft,
  type Enrolled,
  type EnrollOptions,
  type GroupFigures,
  type Leased,
  type Letter,
  type Mail,
  noReplicas,
  type Redriven,
  type Settlement,
  sizeOf,
} from "../durable/mail.js";
import { errorFromWire } from "../envelope.js";
import { PayloadTooLargeError, UnavailableError } from "../errors.js";
import { AppendBatch } from "./appendBatch.js";
import { LinkBrokenError } from "./grpcLink.js";
import type { Links } from "./grpcLinks.js";

type Ask = NonNullable<MailRequest["ask"]>;

const TOGETHER = 64;
const MANY_BYTES = 262_144;
const ROOM_EACH = 128;
const MOST_LETTERS = 1_000;

/** Events of one topic that share an item. */
class Batch extends AppendBatch {
  size = 0;

  override add(drafts: readonly Draft[]): Promise<Appended[]> {
    this.size += sizeOf(drafts);
    return super.add(drafts);
  }

  get ask(): Ask {
    const drafts = this.drafts.map(({ envelope, knownAs, window }) => ({ envelope, knownAs, windowMs: window }));
    return { $case: "append", value: { drafts, together: this.together, most: this.most } };
  }
}

/**
 * Durable events of one instance at a gateway, asked for over the Link (SPEC.md, sections 8 and 14). Leases outlive a
 * Link: what one Link claimed may be settled over the next one.
 */
export class GrpcMail implements Mail {
  readonly #links: Links;
  #gathered = new Map<string, Batch>();

  constructor(links: Links) {
    this.#links = links;
  }

  // --- append --------------------------------------------------------------------------------------------------------

  /**
   * See `Mail.append`. What is stored in one turn of the loop shares an item for each topic. If the Link breaks first,
   * whether they were stored is unknown. Rejects with PayloadTooLargeError: they are to be stored together, and are more
   * than a message may hold.
   */
  async append(topic: string, drafts: readonly Draft[], options: AppendOptions = {}): Promise<Appended[]> {
    const { together = false, most = 0 } = options;
    this.#links.require();
    if (!together) return this.#gather(topic, drafts, most);
    checkSize(drafts);
    this.#flush();
    const batch = new Batch(topic, most, together);
    const stored = batch.add(drafts);
    void this.#send(batch);
    return stored;
  }

  /** See `Mail.appendToReplicas`. */
  async appendToReplicas(): Promise<never> {
    throw noReplicas();
  }

  #gather(topic: string, drafts: readonly Draft[], most: number): Promise<Appended[]> {
    if (this.#gathered.size === 0) setImmediate(() => this.#flush());
    const name = `${most} ${topic}`;
    const batch = this.#gathered.get(name) ?? new Batch(topic, most, false);
    this.#gathered.set(name, batch);
    const stored = batch.add(drafts);
    if (batch.drafts.length >= TOGETHER || batch.size >= MANY_BYTES) this.#flush();
    return stored;
  }

  #flush(): void {
    const gathered = this.#gathered;
    if (gathered.size > 0) this.#gathered = new Map();
    for (const batch of gathered.values()) void this.#send(batch);
  }

  async #send(batch: Batch): Promise<void> {
    try {
      batch.done((await this.#ask(batch.topic, "", batch.ask)).stored.map(placeFrom));
    } catch (error) {
      batch.fail(error);
    }
  }

  // --- claim and settle ----------------------------------------------------------------------------------------------

  /** See `Mail.enroll`. The gateway has the service from the Link. */
  async enroll(topic: string, group: string, { latest = false, again = false }: EnrollOptions = {}): Promise<Enrolled> {
    const { yes, other } = await this.#ask(topic, group, { $case: "enroll", value: { latest, again } });
    return { isNew: yes, other };
  }

  /** See `Mail.claim`. */
  async claim(topic: string, group: string, slots: number, entries: number, leaseMs: number): Promise<Claimed> {
    const value = { slots, entries, leaseMs: Math.floor(leaseMs) };
    const { claimed } = await this.#ask(topic, group, { $case: "claim", value });
    return claimedFrom(claimed);
  }

  /** See `Mail.settle`. */
  async settle(
    topic: string,
    group: string,
    settlements: readonly Settlement[],
    leaseMs: number,
    claims: boolean,
  ): Promise<boolean[]> {
    const kept: boolean[] = [];
    for (const some of portions(settlements, settlementSize)) {
      const named = some.map((one) => ({ ...one, entries: [...one.entries] }));
      const value = { settlements: named, leaseMs: Math.floor(leaseMs), claims };
      kept.push(...(await this.#ask(topic, group, { $case: "settle", value })).kept);
    }
    return kept;
  }

  /** See `Mail.extend`. */
  async extend(topic: string, group: string, leases: readonly Leased[], leaseMs: number): Promise<boolean[]> {
    const named = leases.map(({ member, token }) => ({ member, token }));
    const value = { leases: named, leaseMs: Math.floor(leaseMs) };
    return (await this.#ask(topic, group, { $case: "extend", value })).kept;
  }

  // --- what people ask -----------------------------------------------------------------------------------------------

  /** See `Mail.topics`. */
  async topics(): Promise<string[]> {
    return (await this.#ask("", "", { $case: "listTopics", value: {} })).names;
  }

  /** See `Mail.groups`. */
  async groups(topic: string): Promise<GroupFigures[]> {
    const { groups } = await this.#ask(topic, "", { $case: "listGroups", value: {} });
    return groups.map((one) => ({ ...one, oldest: one.oldest }));
  }

  /** See `Mail.dismiss`. */
  async dismiss(topic: string, group: string): Promise<boolean> {
    return (await this.#ask(topic, group, { $case: "dismiss", value: {} })).yes;
  }

  /** See `Mail.letters`. */
  async letters(topic: string, after: string, limit: number): Promise<Letter[]> {
    const found: Letter[] = [];
    for (let full = true; full && found.length < limit; ) {
      const some = Math.min(limit - found.length, MOST_LETTERS);
      const value = { after: found.at(-1)?.id ?? after, limit: some };
      const page = (await this.#ask(topic, "", { $case: "listLetters", value })).letters;
      found.push(...page);
      full = page.length === some;
    }
    return found;
  }

  /** See `Mail.redrive`. */
  async redrive(topic: string, letters: readonly Redriven[]): Promise<string[]> {
    const moved: string[] = [];
    for (const some of portions(letters, redrivenSize)) {
      const named = some.map(({ id, group, envelope }) => ({ id, group, envelope }));
      moved.push(...(await this.#ask(topic, "", { $case: "redrive", value: { letters: named } })).names);
    }
    return moved;
  }

  /** See `Mail.purge`. */
  async purge(topic: string, ids: readonly string[]): Promise<number> {
    let deleted = 0;
    for (let at = 0; at < ids.length; at += LIMIT_APPEND_EVENTS) {
      const some = ids.slice(at, at + LIMIT_APPEND_EVENTS);
      deleted += (await this.#ask(topic, "", { $case: "purge", value: { ids: some } })).count;
    }
    return deleted;
  }

  /** See `Mail.parked`. */
  async parked(topic: string, group: string): Promise<Letter[]> {
    return (await this.#ask(topic, group, { $case: "listParked", value: {} })).letters;
  }

  /** See `Mail.unpark`. */
  async unpark(topic: string, group: string, key: string, skip: boolean): Promise<boolean> {
    return (await this.#ask(topic, group, { $case: "unpark", value: { key, skip } })).yes;
  }

  /** Asks the gateway; rejects with the error it said. */
  async #ask(topic: string, group: string, ask: Ask): Promise<MailResponse> {
    const answer = await this.#links.require().mail({ topic, group, ask }).catch(broken);
    if (answer.error !== undefined) throw errorFromWire(answer.error);
    return answer;
  }
}

function broken(error: unknown): never {
  if (!(error instanceof LinkBrokenError)) throw error;
  throw new UnavailableError("the link to the gateway broke before it answered; whether it was done is unknown");
}

function checkSize(drafts: readonly Draft[]): void {
  const [size, limit] = [sizeOf(drafts), LIMIT_APPEND_BYTES];
  if (size <= limit) return;
  const what = `${drafts.length} events that are stored together take ${size} bytes`;
  throw new PayloadTooLargeError(`${what}; over a gateway at most ${limit}`, { details: { size, limit } });
}

/** In their order, so many at a time that they make about as large a frame as one should be. */
function* portions<T>(items: readonly T[], size: (item: T) => number): Generator<readonly T[]> {
  let [first, sum] = [0, 0];
  for (const [at, item] of items.entries()) {
    sum += size(item);
    if (sum <= LIMIT_FRAME_BYTES || at === first) continue;
    yield items.slice(first, at);
    [first, sum] = [at, size(item)];
  }
  if (items.length > 0) yield items.slice(first);
}

function settlementSize({ member, argument, entries }: Settlement): number {
  return member.length + argument.length + ROOM_EACH * (1 + entries.length);
}

function redrivenSize({ envelope }: Redriven): number {
  return envelope.length + ROOM_EACH;
}

function claimedFrom(told: WireClaimed | undefined): Claimed {
  const { token = Buffer.alloc(0), againMs, lost = 0, members = [] } = told ?? {};
  return { token, again: againMs, lost, members };
}

function placeFrom({ stream, entry, duplicate, taken }: WireStored): Appended {
  if (taken) return { noStream: stream };
  return stream === "" ? undefined : { stream, entry, duplicate };
}
