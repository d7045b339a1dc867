import { Clock, monotonic } from "../clock.js";
import { noticeChannel, patternsKey } from "../contract/contract.js";
import { SCRIPTS } from "../contract/scripts.js";
import { parseFrame } from "../envelope.js";
import { OverloadedError, type TielineError, UnavailableError } from "../errors.js";
import type { Settings } from "../settings.js";
import type { Interest, Receiver, Transport } from "../transport.js";
import { RedisAgenda } from "./redisAgenda.js";
import { RedisGathering } from "./redisGathering.js";
import { LinkDownError, type LinkOwner, type RedisLink } from "./redisLink.js";
import { RedisMail } from "./redisMail.js";
import { type Answers, RedisOutbox } from "./redisOutbox.js";
import { RedisPatterns } from "./redisPatterns.js";
import { RedisPlain } from "./redisPlain.js";
import { RedisPort } from "./redisPort.js";
import { RedisRegistry } from "./redisRegistry.js";
import { RedisRetention } from "./redisRetention.js";
import { RedisRuns } from "./redisRuns.js";
import { type ClientId, commandError, connectRedis } from "./redisServer.js";
import { parseRedisUrl, prefixOf, type RedisTarget } from "./redisUrl.js";
import { RedisWork } from "./redisWork.js";
import { encodeCommand, type Push, RespError } from "./resp.js";

const KEPT_MS = 30_000;

/** Envelopes over Redis: one live link per process, shared by all ports (SPEC.md, section 7). */
export class RedisTransport implements Transport {
  readonly settings: Settings;
  readonly prefix: string;
  readonly clock = new Clock();
  readonly patterns = new RedisPatterns();
  readonly registry: RedisRegistry;
  readonly outbox: RedisOutbox;
  readonly runs: RedisRuns;
  readonly gathering = new RedisGathering();
  readonly mail: RedisMail;
  readonly agenda = new RedisAgenda(this);
  readonly plain: RedisPlain;
  readonly retention = new RedisRetention(this);
  /** The link while there is one that is ready. */
  link: RedisLink | undefined;
  /** A new link on which everything is being registered. */
  settling: RedisLink | undefined;
  readonly #target: RedisTarget;
  readonly #ports = new Set<RedisPort>();
  readonly #notice: string;
  #name = "tieline";
  #clientId: ClientId | undefined;
  #connecting: Promise<void> | undefined;
  #waiting: { resolve: (link: RedisLink) => void; reject: (error: unknown) => void }[] = [];
  #kept: { answers: Answers; until: number }[] = [];
  #keptBytes = 0;
  #timers: NodeJS.Timeout[] = [];
  #closed = false;

  /** Throws InvalidArgumentError for a URL or namespace that cannot be read. */
  constructor(url: string, options: { namespace: string; settings: Settings }) {
    this.settings = options.settings;
    this.#target = parseRedisUrl(url);
    this.prefix = prefixOf(options.namespace, this.#target.database);
    this.registry = new RedisRegistry(this.prefix, this.settings.lease, this.#ports);
    this.outbox = new RedisOutbox(this.prefix, (answers) => this.#keep(answers));
    this.runs = new RedisRuns(this.prefix, this.settings);
    const work = new RedisWork(this.#target, this.settings, () => this.#name);
    const waiting = new RedisWork(this.#target, this.settings, () => `${this.#name}:wait`);
    const patience = (this.settings.pingInterval + this.settings.pongTimeout) / 2; // longer, and the link is taken for dead
    const { gathering } = this;
    this.mail = new RedisMail(this.prefix, work, waiting, Math.floor(patience), gathering, () => this.require());
    this.plain = new RedisPlain(this.prefix, work, this.clock, () => this.registry.mailTopics());
    this.#notice = noticeChannel(this.prefix);
  }

  // --- Transport -----------------------------------------------------------------------------------------------------

  /** See `Transport.open`. */
  async open(service: string, receiver: Receiver): Promise<RedisPort> {
    const port = new RedisPort(this, service, receiver);
    if (this.#timers.length === 0) {
      this.#name = `tieline:${service}:${port.instance}`;
      this.#connecting ??= this.#begin();
      await this.#connecting.finally(() => {
        this.#connecting = undefined;
      });
    }
    const link = await this.up();
    this.#ports.add(port);
    try {
      await this.registry.join(link, port);
    } catch (error) {
      this.#ports.delete(port);
      throw commandError(error, this.#target.name);
    }
    receiver.onConnected(undefined);
    return port;
  }

  /** See `Transport.close`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const port of [...this.#ports]) await port.close();
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.link?.close("closed");
    this.link = undefined;
    this.gathering.close();
    this.mail.close();
    this.plain.close();
    this.retention.close();
    for (const { reject } of this.#waiting.splice(0)) reject(this.#away("the event system is closed"));
  }

  /** Whether this process has to do with durable events. */
  get stores(): boolean {
    return this.mail.hasAppended || this.registry.mailTopics().size > 0;
  }

  /** Tells the event systems here of something that was lost. */
  warn(message: string): void {
    const [port] = this.#ports;
    port?.receiver.onWarning(message);
  }

  // --- what ports need -----------------------------------------------------------------------------------------------

  /** The link, when there is one. */
  up(): Promise<RedisLink> {
    if (this.link !== undefined) return Promise.resolve(this.link);
    if (this.#closed) return Promise.reject(this.#away("the event system is closed"));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** The link, now. Throws UnavailableError or, if the server does not read what is sent to it, OverloadedError. */
  require(): RedisLink {
    if (this.link === undefined || this.link.congested) throw this.refusal();
    return this.link;
  }

  /** Why nothing can be sent now. */
  refusal(): TielineError {
    if (this.link === undefined) return this.#away("cannot be reached now; reconnecting");
    const { retryAfter } = this.settings;
    return new OverloadedError("Redis is too slow for what is sent to it", { retryAfter });
  }

  /** Keeps answers until the link is back; beyond the bound they are dropped, and their callers will hear of a loss. */
  #keep(answers: Answers): void {
    if (this.#closed || this.#keptBytes + answers.size > this.settings.offlineBuffer) return;
    this.#kept.push({ answers, until: monotonic() + KEPT_MS });
    this.#keptBytes += answers.size;
  }

  /** A process that only publishes and calls may end while the connection is there; one that subscribes stays. */
  interestsChanged(): void {
    this.link?.keepAlive(this.#isNeeded);
  }

  get #isNeeded(): boolean {
    return [...this.#ports].some((port) => port.wantsSomething);
  }

  /** A port is closed. */
  async leave(port: RedisPort, interests: readonly Interest[]): Promise<void> {
    const { link } = this;
    const left = link && this.registry.leave(link, port, interests).catch(() => undefined);
    await Promise.race([left, pause(this.settings.pongTimeout, false)]);
    this.#ports.delete(port);
  }

  // --- the link ------------------------------------------------------------------------------------------------------

  async #begin(): Promise<void> {
    await this.#connect();
    const { pingInterval, leaseRefresh, patternsRefresh } = this.settings;
    this.#timers = [
      setInterval(() => this.#ping(), pingInterval),
      setInterval(() => this.#refresh(), leaseRefresh),
      setInterval(() => this.#readPatternsAgain(), patternsRefresh),
    ];
    for (const timer of this.#timers) timer.unref();
    this.plain.begin();
    this.retention.begin();
  }

  async #connect(): Promise<void> {
    const { connectTimeout } = this.settings;
    const owner: LinkOwner = {
      onPush: (push) => this.#onPush(push),
      onFlush: (flushed) => {
        if (flushed === this.link) this.#write(flushed);
      },
      onLost: (why) => this.#onLost(link, why),
    };
    let link: RedisLink | undefined;
    const greeted = await connectRedis(this.#target, owner, this.#name, connectTimeout);
    link = this.settling = greeted.link;
    const silent = setTimeout(() => link?.abort("it fell silent after the greeting"), connectTimeout);
    try {
      await this.#settleIn(link);
    } catch (error) {
      link.abort("registering failed");
      throw commandError(error, this.#target.name);
    } finally {
      clearTimeout(silent);
      this.settling = undefined;
    }
    if (this.#closed) {
      link.close("closed");
      throw this.#away("the event system is closed");
    }
    this.#clientId = greeted.clientId;
    this.link = link;
    this.gathering.resume(link); // before anything else can be added
    this.interestsChanged();
    for (const { resolve } of this.#waiting.splice(0)) resolve(link);
  }

  /** Makes the new connection do what the previous one did. */
  async #settleIn(link: RedisLink): Promise<void> {
    if (this.#clientId !== undefined) {
      // A half-open connection still counts as a receiver.
      const { id, address } = this.#clientId;
      link.call("CLIENT", "KILL", "ID", id, "ADDR", address).catch(() => undefined);
    }
    link.learnToSkip();
    await Promise.all([
      ...SCRIPTS.map((script) => link.call("SCRIPT", "LOAD", script.source)),
      this.#askTime(link),
      link.subscribe("SUBSCRIBE", [this.#notice]),
    ]);
    await this.registry.everything(link);
    await this.#readPatterns(link);
  }

  /** What was gathered becomes commands. */
  #write(link: RedisLink): void {
    this.outbox.write(link);
    this.gathering.write(link);
  }

  #onLost(link: RedisLink | undefined, why: string): void {
    if (link === undefined || this.link !== link) return;
    this.link = undefined;
    if (this.#closed) return;
    const since = this.clock.now() - Math.round(monotonic() - link.heardAt);
    this.outbox.lost();
    this.mail.linkDown();
    this.gathering.linkDown();
    for (const port of [...this.#ports]) port.receiver.onDisconnected(`Redis at ${this.#target.name}: ${why}`);
    void this.#reconnect(since, why);
  }

  async #reconnect(since: number, why: string): Promise<void> {
    const { reconnectMin, reconnectMax } = this.settings;
    for (let most = reconnectMin; this.link === undefined; most = Math.min(2 * most, reconnectMax)) {
      await pause(Math.random() * most, this.#isNeeded);
      if (this.#closed) return;
      await this.#connect().catch(() => undefined);
    }
    this.#sendKept(this.link);
    this.runs.resume();
    this.plain.sweepAfterGap();
    const gap = { since, until: this.clock.now(), reason: why };
    for (const port of [...this.#ports]) port.receiver.onConnected(gap);
  }

  #sendKept(link: RedisLink): void {
    const now = monotonic();
    const kept = this.#kept.splice(0);
    this.#keptBytes = 0;
    for (const { answers, until } of kept) if (until > now) answers.send(link);
    link.flush();
  }

  /** Asks for the time; a server that does not answer is gone. */
  #ping(): void {
    const { link } = this;
    if (link === undefined) return;
    const { pongTimeout } = this.settings;
    let { heardAt } = link;
    // After the timeout one more turn, so that an answer that lies there already is read. It may be behind much else.
    const late = setInterval(() => setImmediate(look), pongTimeout);
    const look = () => {
      if (pending && link.heardAt === heardAt) link.abort(`no answer within ${pongTimeout} ms`);
      ({ heardAt } = link);
    };
    let pending = true;
    const over = () => {
      pending = false;
      clearInterval(late);
    };
    this.#askTime(link).then(over, over);
  }

  #refresh(): void {
    if (this.link !== undefined) this.registry.refresh(this.link).catch(() => undefined);
  }

  #readPatternsAgain(): void {
    if (this.link !== undefined) this.#readPatterns(this.link).catch(() => undefined);
  }

  async #askTime(link: RedisLink): Promise<void> {
    const asked = monotonic();
    const time = await link.call("TIME");
    if (!Array.isArray(time)) return;
    this.clock.learn(Number(String(time[0])) * 1000 + Number(String(time[1])) / 1000, asked, monotonic());
  }

  #readPatterns(link: RedisLink): Promise<void> {
    const command = encodeCommand(["ZRANGE", patternsKey(this.prefix), `(${this.clock.now()}`, "+inf", "BYSCORE"]);
    return new Promise((resolve, reject) => {
      link.send(command, [], {
        replied: (reply) => {
          // At once: a notice that comes right behind the list must not be overwritten by it.
          if (Array.isArray(reply)) this.patterns.replace(reply.map(String));
          if (reply instanceof RespError) reject(reply);
          else resolve();
        },
        lost: (why) => reject(new LinkDownError(why)),
      });
    });
  }

  // --- what arrives --------------------------------------------------------------------------------------------------

  #onPush({ kind, name, rest }: Push): void {
    if (kind === "smessage") {
      const take = this.registry.direct(name);
      if (take === undefined) this.registry.wake(name, String(rest[0]));
      else if (rest[0] instanceof Buffer) parseFrame(rest[0], take);
    } else if (kind === "message" && name === this.#notice) {
      const notice = String(rest[0]);
      if (!this.agenda.noticed(notice)) this.patterns.add(notice);
    } else if (kind === "message" && name === this.plain.channel) {
      if (rest[0] instanceof Buffer) this.plain.noticed(rest[0]);
    } else if (kind === "message" || kind === "pmessage") {
      const data = rest[kind === "message" ? 0 : 1];
      if (data instanceof Buffer) parseFrame(data, (envelope) => this.registry.broadcast(name, envelope));
    }
  }

  #away(what: string): UnavailableError {
    return new UnavailableError(`Redis at ${this.#target.name}: ${what}`, { outcome: "NOT_DELIVERED" });
  }
}

/** Waits; the process may end meanwhile unless it is to be kept alive. */
function pause(ms: number, keepAlive: boolean): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    if (!keepAlive) timer.unref();
  });
}
