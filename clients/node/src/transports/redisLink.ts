import type { Socket } from "node:net";
import { monotonic } from "../clock.js";
import { type Expecting, Subscribing, Unreplied } from "./redisExpecting.js";
import { RedisWriter } from "./redisWriter.js";
import { encodeCommand, ProtocolError, type Push, type Reply, RespError, RespReader } from "./resp.js";

const BACKLOG_BYTES = 64 * 1024 * 1024;
const SKIP = encodeCommand(["CLIENT", "REPLY", "SKIP"]);
const SPARED = Buffer.from("spared");
const UNREPLIED_BYTES = 1024 * 1024;
const CONFIRMATIONS: ReadonlySet<string> = new Set([
  "subscribe",
  "psubscribe",
  "ssubscribe",
  "unsubscribe",
  "punsubscribe",
  "sunsubscribe",
]);

/** The connection broke, or was closed, before the reply came. */
export class LinkDownError extends Error {}

/** Gets what a socket reads, each piece in bytes of its own. */
export interface Intake {
  take: (piece: Buffer) => void;
}

/** Who hears from a link. */
export interface LinkOwner {
  /** A message arrived. */
  onPush(push: Push): void;
  /** The turn of the event loop ends: whatever else is to be sent is sent now. */
  onFlush(link: RedisLink): void;
  /** The connection is gone; called once, before those who wait for replies are told. */
  onLost(why: string): void;
}

const NOBODY: Expecting = { replied: () => undefined, lost: () => undefined };

/**
 * One live connection to Redis: RESP3, commands and subscriptions together, all writes of a loop turn in one.
 *
 * Replies come in the order of the commands. Subscribing has no reply of its own in RESP3: its confirmations are pushes,
 * and only its refusal is a reply. So the queue of expected replies holds a `Subscribing` in its place; whatever reply
 * arrives while one with unconfirmed channels is at the head is its refusal.
 *
 * Nobody needs the reply to an answer, so the server is told to spare it: that is a system call less for it and a wake-up
 * less for us, on the way of every call. `Unreplied` holds its place, and is done when any later reply arrives.
 */
export class RedisLink {
  /** When something was last heard, local monotonic ms. */
  heardAt = monotonic();
  readonly #socket: Socket;
  readonly #owner: LinkOwner;
  readonly #out: RedisWriter;
  readonly #reader: RespReader;
  #expected: Expecting[] = [];
  #head = 0;
  #lost = "";
  #flushing = false;
  #kept = true;
  #canSkip = false;
  #unreplied = 0;

  constructor(socket: Socket, intake: Intake, owner: LinkOwner) {
    this.#socket = socket;
    this.#owner = owner;
    this.#out = new RedisWriter(socket);
    this.#reader = new RespReader({
      onReply: (reply) => this.#onReply(reply),
      onPush: (push) => this.#onPush(push),
    });
    intake.take = (piece) => this.#onData(piece);
    socket.on("error", (error) => this.abort(`the connection broke: ${error.message}`));
    socket.on("close", () => this.abort("the server closed the connection"));
  }

  /** Whether the server does not read what is sent to it. */
  get congested(): boolean {
    return this.#out.backlog > BACKLOG_BYTES;
  }

  /** Whether the connection keeps the process alive even while no reply is waited for. */
  keepAlive(kept: boolean): void {
    this.#kept = kept;
    if (kept) this.#socket.ref();
    else if (this.#expected.length === 0) this.#socket.unref();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /** Sends the head of a command and its last arguments. */
  send(head: Buffer, tail: readonly (string | Buffer)[], expecting: Expecting = NOBODY): void {
    if (this.#lost !== "") return expecting.lost(this.#lost);
    this.#out.bytes(head);
    for (const argument of tail) this.#out.bulk(argument);
    this.#expect(expecting);
    this.flushSoon();
  }

  /** Sends a command of `count` parts: those in the head, one more, and many. */
  sendMany(count: number, head: Buffer, one: string, many: readonly Buffer[], expecting: Expecting): void {
    if (this.#lost !== "") return expecting.lost(this.#lost);
    const out = this.#out;
    out.head("*", count);
    out.bytes(head);
    out.bulk(one);
    for (const argument of many) out.bulk(argument);
    this.#expect(expecting);
  }

  /**
   * Sends the head of a command and a last argument that is many pieces of `size` bytes in all. Nobody needs its reply,
   * so the server is told to spare it where it can be told; `expecting` hears of success with the next other reply.
   */
  sendQuietly(head: Buffer, pieces: readonly Buffer[], size: number, expecting: Expecting): void {
    if (this.#lost !== "") return expecting.lost(this.#lost);
    const out = this.#out;
    const quiet = this.#canSkip && this.#unreplied < UNREPLIED_BYTES;
    if (quiet) {
      this.#unreplied += size;
      out.bytes(SKIP);
    }
    out.bytes(head);
    out.head("$", size);
    for (const piece of pieces) out.bytes(piece);
    out.end();
    this.#expect(quiet ? new Unreplied(size, expecting) : expecting);
  }

  /** Finds out whether replies can be spared: a user may lack the right to ask for it. */
  learnToSkip(): void {
    const replied = (reply: Reply) => {
      this.#canSkip = reply instanceof Buffer && reply.equals(SPARED);
      if (!this.#canSkip) this.#expected.splice(this.#head, 0, NOBODY, NOBODY);
    };
    const lost = () => undefined;
    this.send(SKIP, [], { replied, lost });
    this.#out.bytes(encodeCommand(["ECHO", "skipped"]));
    this.#out.bytes(encodeCommand(["ECHO", SPARED]));
  }

  /** Writes all that is to be sent when this turn of the event loop ends. */
  flushSoon(): void {
    if (this.#flushing) return;
    if (this.#expected.length === 0) return this.flush();
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  /** Writes all that is to be sent. */
  flush(): void {
    if (this.#lost !== "") return;
    this.#owner.onFlush(this);
    this.#out.flush();
  }

  /** Sends a command and resolves with its reply; rejects with RespError or LinkDownError. */
  call(...parts: (string | Buffer)[]): Promise<Reply> {
    return this.ask(encodeCommand(parts), []);
  }

  /** `send` as a promise. */
  ask(head: Buffer, tail: readonly (string | Buffer)[]): Promise<Reply> {
    return new Promise((resolve, reject) => this.send(head, tail, promised(resolve, reject)));
  }

  /** (S|P)(UN)SUBSCRIBE; resolves when every channel is confirmed. */
  subscribe(verb: string, channels: readonly string[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (channels.length === 0) return resolve(null);
      this.send(encodeCommand([verb, ...channels]), [], new Subscribing(channels.length, promised(resolve, reject)));
    });
  }

  /** Drops the connection when what was sent is written. */
  close(why: string): void {
    this.flush();
    this.#socket.end();
    this.#fail(why);
  }

  /** Drops the connection at once. */
  abort(why: string): void {
    this.#socket.destroy();
    this.#fail(why);
  }

  // --- what arrives --------------------------------------------------------------------------------------------------

  #onData(piece: Buffer): void {
    this.heardAt = monotonic();
    try {
      this.#reader.feed(piece);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.abort(error instanceof ProtocolError ? `it does not speak the Redis protocol: ${message}` : message);
    }
  }

  #onReply(reply: Reply): void {
    if (reply instanceof RespError && this.#isForSkip(reply)) return this.abort(reply.message);
    const expecting = this.#next();
    if (expecting === undefined) throw new ProtocolError("a reply to nothing");
    this.#pop();
    expecting.replied(reply);
  }

  /**
   * Whether asking to spare a reply itself was replied to, so that replies are out of step from here on. That happens
   * while a script hangs, and when the user loses the right to ask.
   */
  #isForSkip(refusal: RespError): boolean {
    return this.#canSkip && (refusal.kind === "BUSY" || refusal.message.includes("client|reply"));
  }

  /** Who gets the next reply; those before it who were to get none are done. */
  #next(): Expecting | undefined {
    let expecting = this.#expected[this.#head];
    while (expecting instanceof Unreplied) {
      this.#unreplied -= expecting.size;
      this.#pop();
      expecting.replied();
      expecting = this.#expected[this.#head];
    }
    return expecting;
  }

  #onPush(push: Push): void {
    if (!CONFIRMATIONS.has(push.kind)) return this.#owner.onPush(push);
    const head = this.#next();
    if (head instanceof Subscribing && head.confirmed()) this.#pop();
  }

  #expect(expecting: Expecting): void {
    if (!this.#kept && this.#expected.length === 0) this.#socket.ref();
    this.#expected.push(expecting);
  }

  #pop(): void {
    this.#head += 1;
    if (this.#head === this.#expected.length) {
      this.#expected = [];
      this.#head = 0;
      if (!this.#kept) this.#socket.unref();
    } else if (this.#head > 1024) {
      this.#expected = this.#expected.slice(this.#head);
      this.#head = 0;
    }
  }

  #fail(why: string): void {
    if (this.#lost !== "") return;
    this.#lost = why;
    const expected = this.#expected.slice(this.#head);
    this.#expected = [];
    this.#head = 0;
    for (const expecting of expected) if (expecting.kept) expecting.lost(why);
    this.#owner.onLost(why);
    for (const expecting of expected) if (!expecting.kept) expecting.lost(why);
  }
}

function promised(resolve: (reply: Reply) => void, reject: (error: unknown) => void): Expecting {
  return {
    replied: (reply) => (reply instanceof RespError ? reject(reply) : resolve(reply)),
    lost: (why) => reject(new LinkDownError(why)),
  };
}
