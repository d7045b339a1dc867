import {
  DEFAULT_APPEND_RESEND_MS,
  LIMIT_CLAIM_BYTES,
  LIMIT_STREAM_ALONE,
  laneKey,
  mailTopicsKey,
  streamKey,
} from "../contract/contract.js";
import {
  APPEND,
  appendNames,
  CLAIM,
  claimNames,
  ENROLL,
  EXTEND,
  enrollNames,
  extendNames,
  SETTLE,
  settleNames,
} from "../contract/scripts.js";
import {
  type Appended,
  type AppendOptions,
  type Claimed,
  type Draft,
  type Enrolled,
  type EnrollOptions,
  groupRemoved,
  type Leased,
  type Mail,
  type Settlement,
} from "../durable.js";
import { UnavailableError } from "../errors.js";
import { newInstance } from "../identity.js";
import { AppendBatch, MANY_BYTES, TOGETHER } from "./appendBatch.js";
import { memberOf } from "./redisEntries.js";
import { LinkDownError, type RedisLink } from "./redisLink.js";
import { listOf, RedisMailDesk } from "./redisMailDesk.js";
import { isForgotten, runScript, scriptHead, sendSource } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import type { RedisWork } from "./redisWork.js";
import { encodeCommand, type Reply, RespError } from "./resp.js";

const NO_ROOM = "";
const TAKEN = "!";
const REFUSED: ReadonlySet<string> = new Set([NO_ROOM, TAKEN]);

/** Events of one topic that are stored by one run of the script. */
class Batch extends AppendBatch {
  /** Of the run; 0 before it was sent. */
  number = 0;

  rest(): (string | Buffer)[] {
    const head = [this.most, LIMIT_STREAM_ALONE, this.together ? 1 : 0, this.number].map(String);
    const events = this.drafts.flatMap(({ key, priority, knownAs, window, envelope }) => {
      return [key, String(priority), knownAs, String(window), envelope];
    });
    return [...head, ...events];
  }
}

/** Durable events of one process on Redis: streams that are appended to, claimed and settled by scripts (SPEC.md, section 14). */
export class RedisMail extends RedisMailDesk implements Mail {
  readonly #require: () => RedisLink;
  readonly #producer = newInstance();
  readonly #numbers = new Map<string, number>();
  readonly #topics = new Set<string>();
  /** `WAIT` holds up what comes after it on its connection, so it has one of its own. */
  readonly #waiting: RedisWork;
  readonly #replicasMs: number;
  #gathered = new Map<string, Batch>();
  #count = 0;
  #bytes = 0;
  #unanswered: Batch[] = [];
  #givingUp: NodeJS.Timeout | undefined;

  /** `require` returns the live link, or throws why nothing can be sent now; replicas have `replicasMs` to answer. */
  constructor(prefix: string, work: RedisWork, waiting: RedisWork, replicasMs: number, require: () => RedisLink) {
    super(prefix, work);
    this.#waiting = waiting;
    this.#replicasMs = replicasMs;
    this.#require = require;
  }

  /** Whether something was stored here. */
  get hasAppended(): boolean {
    return this.#numbers.size > 0;
  }

  // --- append --------------------------------------------------------------------------------------------------------

  /** See `Mail.append`. What is stored in one turn of the loop goes to the server in one command for each topic. */
  async append(topic: string, drafts: readonly Draft[], options: AppendOptions = {}): Promise<Appended[]> {
    const { together = false, most = 0 } = options;
    const link = this.#require();
    if (!together) return this.#gather(link, topic, drafts, most);
    this.write(link);
    const batch = new Batch(topic, most, together);
    const stored = batch.add(drafts);
    this.#send(link, batch);
    return stored;
  }

  /** See `Mail.appendToReplicas`. */
  async appendToReplicas(
    topic: string,
    drafts: readonly Draft[],
    replicas: number,
    { most = 0 }: AppendOptions = {},
  ): Promise<Appended[]> {
    const batch = new Batch(topic, most, false);
    void batch.add(drafts);
    this.#numbers.set(topic, this.#numbers.get(topic) ?? 0);
    const names = appendNames(this.prefix, topic, this.#producer);
    const [told, reached] = await this.#waiting.ask(async (link) => {
      const known = link.call("SADD", mailTopicsKey(this.prefix), topic);
      const [entries] = await Promise.all([runScript(link, APPEND, names, batch.rest()), known]);
      const isStored = listOf(entries).some((entry) => !REFUSED.has(String(entry)));
      // On the same connection: another one has nothing to wait for.
      const wait = () => link.call("WAIT", String(replicas), String(this.#replicasMs));
      return [entries, isStored ? Number(await wait()) : replicas];
    });
    if (reached < replicas) {
      throw new UnavailableError(`it is stored, but ${reached} replicas have it instead of ${replicas}`, {
        details: { replicas: reached },
      });
    }
    return this.#told(batch, told);
  }

  #gather(link: RedisLink, topic: string, drafts: readonly Draft[], most: number): Promise<Appended[]> {
    const name = `${most} ${topic}`;
    const batch = this.#gathered.get(name) ?? new Batch(topic, most, false);
    this.#gathered.set(name, batch);
    const stored = batch.add(drafts);
    this.#count += drafts.length;
    for (const { envelope } of drafts) this.#bytes += envelope.length;
    if (this.#count >= TOGETHER || this.#bytes >= MANY_BYTES) link.flush();
    else link.flushSoon();
    return stored;
  }

  /** Before a flush: turns what is gathered into commands. */
  write(link: RedisLink): void {
    for (const batch of this.#takeGathered()) this.#send(link, batch);
  }

  #takeGathered(): Iterable<Batch> {
    const gathered = this.#gathered;
    if (gathered.size > 0) this.#gathered = new Map();
    this.#count = this.#bytes = 0;
    return gathered.values();
  }

  #send(link: RedisLink, batch: Batch): void {
    const { topic } = batch;
    if (batch.number === 0) this.#number(batch);
    if (!this.#topics.has(topic)) {
      this.#topics.add(topic);
      link.send(encodeCommand(["SADD", mailTopicsKey(this.prefix), topic]), []);
    }
    const names = appendNames(this.prefix, topic, this.#producer);
    const lost = () => void this.#unanswered.push(batch);
    const replied = (reply: Reply) => {
      if (!isForgotten(reply)) return this.#appended(batch, reply);
      this.#number(batch); // it did not run, and later ones may have
      sendSource(link, APPEND, names, batch.rest(), {
        replied: (told) => this.#appended(batch, told),
        lost,
        kept: true,
      });
    };
    const rest = batch.rest();
    link.send(scriptHead(APPEND, names, rest.length), rest, { replied, lost, kept: true });
  }

  /** What has a lower number than what was stored last counts as stored. */
  #number(batch: Batch): void {
    batch.number = (this.#numbers.get(batch.topic) ?? 0) + 1;
    this.#numbers.set(batch.topic, batch.number);
  }

  #appended(batch: Batch, reply: Reply): void {
    if (reply instanceof RespError) return batch.fail(commandError(reply));
    batch.done(this.#told(batch, reply));
  }

  #told({ topic, drafts }: Batch, reply: Reply): Appended[] {
    const entries = listOf(reply).map(String);
    return drafts.map((draft, at) => this.#stored(topic, draft, entries[at] ?? ""));
  }

  #stored(topic: string, { key, priority }: Draft, told: string): Appended {
    if (told === NO_ROOM) return undefined;
    const stream = key === "" ? laneKey(this.prefix, topic, String(priority)) : streamKey(this.prefix, topic, key);
    const known = told.startsWith("=");
    if (told === TAKEN) return { noStream: stream };
    return { stream, entry: known ? told.slice(1) : told, duplicate: known && told.length > 1 };
  }

  /** The link is gone: what was gathered and what was not answered is kept, for so long. */
  linkDown(): void {
    this.#unanswered.push(...this.#takeGathered());
    this.#topics.clear();
    if (this.#unanswered.length === 0) return;
    this.#givingUp ??= setTimeout(() => this.#giveUp(), DEFAULT_APPEND_RESEND_MS);
  }

  /** The link is back, and nothing was appended since: stores what may not have been stored, in its order. */
  resume(link: RedisLink): void {
    clearTimeout(this.#givingUp);
    this.#givingUp = undefined;
    for (const batch of this.#unanswered.splice(0)) this.#send(link, batch);
  }

  #giveUp(): void {
    clearTimeout(this.#givingUp);
    this.#givingUp = undefined;
    const error = new LinkDownError("the server did not come back in time");
    for (const batch of this.#unanswered.splice(0)) batch.fail(commandError(error));
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#unanswered.push(...this.#takeGathered());
    this.#giveUp();
    this.work.close();
    this.#waiting.close();
  }

  // --- claim and settle ----------------------------------------------------------------------------------------------

  /** See `Mail.enroll`. */
  async enroll(topic: string, group: string, options: EnrollOptions = {}): Promise<Enrolled> {
    const { latest = false, again = false, service = "" } = options;
    await this.work.call("SADD", mailTopicsKey(this.prefix), topic);
    const names = enrollNames(this.prefix, topic);
    let [isNew, other] = [false, ""];
    for (let [known, more] = [again, "1"]; more === "1"; known = true /* should somebody remove it meanwhile */) {
      const reply = await this.work.run(ENROLL, names, [group, latest ? "1" : "0", known ? "1" : "0", service]);
      const [told = "", left = "0", seen = ""] = listOf(reply).map(String);
      if (told === "removed") throw groupRemoved(topic, group);
      isNew ||= told === "1";
      other ||= seen;
      more = left;
    }
    return { isNew, other };
  }

  /** See `Mail.claim`. */
  async claim(topic: string, group: string, slots: number, entries: number, leaseMs: number): Promise<Claimed> {
    const numbers = [slots, entries, LIMIT_CLAIM_BYTES, Math.floor(leaseMs)].map(String);
    const reply = await this.work.run(CLAIM, claimNames(this.prefix, topic, group), [topic, group, ...numbers]);
    const [token, again, lost, members] = listOf(reply);
    const ms = String(again);
    return {
      token: token as Buffer,
      again: ms === "" ? undefined : Number(ms),
      lost: Number(String(lost)),
      members: listOf(members).map((member) => memberOf(topic, listOf(member))),
    };
  }

  /** See `Mail.settle`. */
  async settle(
    topic: string,
    group: string,
    settlements: readonly Settlement[],
    leaseMs: number,
    claims: boolean,
  ): Promise<boolean[]> {
    const head = [topic, group, String(Math.floor(leaseMs)), claims ? "1" : "0"];
    const results = settlements.flatMap(({ member, token, verdict, argument, entries }) => {
      return [member, token, verdict, argument, String(entries.length), ...entries];
    });
    const names = settleNames(this.prefix, topic, group);
    return flagsOf(await this.work.run(SETTLE, names, [...head, ...results]));
  }

  /** See `Mail.extend`. */
  async extend(topic: string, group: string, leases: readonly Leased[], leaseMs: number): Promise<boolean[]> {
    const rest = leases.flatMap(({ member, token }) => [member, token]);
    const names = extendNames(this.prefix, topic, group);
    return flagsOf(await this.work.run(EXTEND, names, [String(Math.floor(leaseMs)), ...rest]));
  }
}

function flagsOf(reply: Reply): boolean[] {
  return listOf(reply).map((told) => told === 1);
}
