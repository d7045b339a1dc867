import { LIMIT_CLAIM_BYTES, LIMIT_STREAM_ALONE, laneKey, mailTopicsKey, streamKey } from "../contract/contract.js";
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
} from "../durable/mail.js";
import { UnavailableError } from "../errors.js";
import { newInstance } from "../identity.js";
import { AppendBatch } from "./appendBatch.js";
import { memberOf } from "./redisEntries.js";
import type { RedisGathering, Run } from "./redisGathering.js";
import type { RedisLink } from "./redisLink.js";
import { listOf, RedisMailDesk } from "./redisMailDesk.js";
import { runScript } from "./redisScripts.js";
import type { RedisWork } from "./redisWork.js";
import { encodeCommand, type Reply } from "./resp.js";

const NO_ROOM = "";
const NO_HOLDER = "";
const TAKEN = "!";
const REFUSED: ReadonlySet<string> = new Set([NO_ROOM, TAKEN]);

/** Events of one topic that are stored by one run of `append`. */
class AppendRun extends AppendBatch implements Run {
  readonly script = APPEND;
  /** Of the run; 0 before it was sent. */
  #number = 0;
  readonly #mail: RedisMail;

  constructor(mail: RedisMail, topic: string, most: number, together: boolean) {
    super(topic, most, together);
    this.#mail = mail;
  }

  get names(): readonly string[] {
    return this.#mail.appendNames(this.topic);
  }

  rest(): (string | Buffer)[] {
    const head = [this.most, LIMIT_STREAM_ALONE, this.together ? 1 : 0, this.#number].map(String);
    const events = this.drafts.flatMap(({ key, priority, knownAs, window, envelope }) => {
      return [key, String(priority), knownAs, String(window), envelope];
    });
    return [...head, ...events];
  }

  before(link: RedisLink): void {
    if (this.#number === 0) this.forgotten();
    this.#mail.makeKnown(link, this.topic);
  }

  /** It did not run, and later ones may have. */
  forgotten(): void {
    this.#number = this.#mail.nextNumber(this.topic);
  }

  answered(reply: Reply): void {
    this.done(this.#mail.told(this, reply));
  }
}

/** Durable events of one process on Redis: streams that are appended to, claimed and settled by scripts (SPEC.md, section 14). */
export class RedisMail extends RedisMailDesk implements Mail {
  readonly #require: () => RedisLink;
  readonly #gathering: RedisGathering;
  readonly #producer = newInstance();
  readonly #numbers = new Map<string, number>();
  readonly #topics = new Set<string>();
  /** `WAIT` holds up what comes after it on its connection, so it has one of its own. */
  readonly #waiting: RedisWork;
  readonly #replicasMs: number;

  /** `require` returns the live link, or throws why nothing can be sent now; replicas have `replicasMs` to answer. */
  constructor(
    prefix: string,
    work: RedisWork,
    waiting: RedisWork,
    replicasMs: number,
    gathering: RedisGathering,
    require: () => RedisLink,
  ) {
    super(prefix, work);
    this.#gathering = gathering;
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
    this.#gathering.write(link);
    const run = new AppendRun(this, topic, most, together);
    const stored = run.add(drafts);
    this.#gathering.send(link, run);
    return stored;
  }

  /** See `Mail.appendToReplicas`. */
  async appendToReplicas(
    topic: string,
    drafts: readonly Draft[],
    replicas: number,
    { most = 0 }: AppendOptions = {},
  ): Promise<Appended[]> {
    const run = new AppendRun(this, topic, most, false);
    void run.add(drafts);
    this.#numbers.set(topic, this.#numbers.get(topic) ?? 0);
    const [told, reached] = await this.#waiting.ask(async (link) => {
      const known = link.call("SADD", mailTopicsKey(this.prefix), topic);
      const [entries] = await Promise.all([runScript(link, APPEND, run.names, run.rest()), known]);
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
    return this.told(run, told);
  }

  #gather(link: RedisLink, topic: string, drafts: readonly Draft[], most: number): Promise<Appended[]> {
    const run = this.#gathering.run(`append ${most} ${topic}`, () => new AppendRun(this, topic, most, false));
    const stored = run.add(drafts);
    const size = drafts.reduce((sum, { envelope }) => sum + envelope.length, 0);
    this.#gathering.added(link, drafts.length, size);
    return stored;
  }

  /** What `append` is about. */
  appendNames(topic: string): readonly string[] {
    return appendNames(this.prefix, topic, this.#producer);
  }

  /** Of a run of `append`: what has a lower number than what was stored last counts as stored. */
  nextNumber(topic: string): number {
    const number = (this.#numbers.get(topic) ?? 0) + 1;
    this.#numbers.set(topic, number);
    return number;
  }

  /** Something is to be stored on a topic. */
  makeKnown(link: RedisLink, topic: string): void {
    if (this.#topics.has(topic)) return;
    this.#topics.add(topic);
    link.send(encodeCommand(["SADD", mailTopicsKey(this.prefix), topic]), []);
  }

  /** Where events are, as `append` tells it. */
  told({ topic, drafts }: AppendBatch, reply: Reply): Appended[] {
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

  /** The link is gone; the server behind the next one may know no topics. */
  linkDown(): void {
    this.#topics.clear();
  }

  /** Nothing is sent any more. */
  close(): void {
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
    const reply = await this.work.run(CLAIM, claimNames(this.prefix, topic, group), [
      topic,
      group,
      ...numbers,
      NO_HOLDER,
    ]);
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
