import type { Socket } from "node:net";
import { monotonic } from "../clock.js";
import { RedisWriter } from "./redisWriter.js";
import { encodeCommand, ProtocolError, type Push, type Reply, RespError, RespReader } from "./resp.js";

const BACKLOG_BYTES = 64 * 1024 * 1024;
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

/** Who waits for the reply to a command. Neither method may throw. */
export interface Expecting {
  /** The reply; a RespError if the command was refused. */
  replied(reply: Reply): void;
  /** The connection broke before the reply came. */
  lost(why: string): void;
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

/** A subscribe or unsubscribe command on its way. */
class Subscribing implements Expecting {
  #left: number;
  readonly #expecting: Expecting;

  constructor(left: number, expecting: Expecting) {
    this.#left = left;
    this.#expecting = expecting;
  }

  /** One channel is confirmed; true when all are. */
  confirmed(): boolean {
    this.#left -= 1;
    if (this.#left === 0) this.#expecting.replied(null);
    return this.#left === 0;
  }

  replied(refusal: Reply): void {
    this.#expecting.replied(refusal);
  }

  lost(why: string): void {
    this.#expecting.lost(why);
  }
}

const NOBODY: Expecting = { replied: () => undefined, lost: () => undefined };

/**
 * One live connection to Redis: RESP3, commands and subscriptions together, all writes of a loop turn in one.
 *
 * Replies come in the order of the commands. Subscribing has no reply of its own in RESP3: its confirmations are pushes,
 * and only its refusal is a reply. So the queue of expected replies holds a `Subscribing` in its place; whatever reply
 * arrives while one with unconfirmed channels is at the head is its refusal.
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

  constructor(socket: Socket, owner: LinkOwner) {
    this.#socket = socket;
    this.#owner = owner;
    this.#out = new RedisWriter(socket);
    this.#reader = new RespReader({
      onReply: (reply) => this.#onReply(reply),
      onPush: (push) => this.#onPush(push),
    });
    socket.on("data", (piece: Buffer) => this.#onData(piece));
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

  /** Sends the head of a command and a last argument that is many pieces of `size` bytes in all. */
  sendJoined(head: Buffer, pieces: readonly Buffer[], size: number, expecting: Expecting): void {
    if (this.#lost !== "") return expecting.lost(this.#lost);
    const out = this.#out;
    out.bytes(head);
    out.head("$", size);
    for (const piece of pieces) out.bytes(piece);
    out.end();
    this.#expect(expecting);
  }

  /** Writes all that is to be sent when this turn of the event loop ends. */
  flushSoon(): void {
    if (this.#flushing) return;
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
    const expecting = this.#expected[this.#head];
    if (expecting === undefined) throw new ProtocolError("a reply to nothing");
    this.#pop();
    expecting.replied(reply);
  }

  #onPush(push: Push): void {
    if (!CONFIRMATIONS.has(push.kind)) return this.#owner.onPush(push);
    const head = this.#expected[this.#head];
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
    this.#owner.onLost(why);
    const expected = this.#expected.slice(this.#head);
    this.#expected = [];
    this.#head = 0;
    for (const expecting of expected) expecting.lost(why);
  }
}

function promised(resolve: (reply: Reply) => void, reject: (error: unknown) => void): Expecting {
  return {
    replied: (reply) => (reply instanceof RespError ? reject(reply) : resolve(reply)),
    lost: (why) => reject(new LinkDownError(why)),
  };
}
