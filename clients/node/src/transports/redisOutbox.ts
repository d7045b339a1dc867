import { inboxChannel } from "../contract/contract.js";
import { DISPATCH, dispatchNames } from "../contract/scripts.js";
import type { TielineError } from "../errors.js";
import type { Receiver } from "../transport.js";
import type { Expecting } from "./redisExpecting.js";
import { LinkDownError, type RedisLink } from "./redisLink.js";
import { isForgotten, sendSource } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import { encodeParts, type Reply } from "./resp.js";

const REMEMBERED = 4096;
const TOGETHER = 64;
const MANY_BYTES = 262_144;
/** EVALSHA, the SHA, the number of keys, two keys, the channel, whom to avoid. */
const FIXED = 7;

/** One request in a dispatch, and who is told what became of it. */
interface Sent {
  readonly receiver: Receiver;
  readonly callId: Buffer;
}

/** Requests on one topic that avoid the same instance. */
class Dispatch implements Expecting {
  readonly frames: Buffer[] = [];
  readonly sent: Sent[] = [];

  constructor(
    readonly link: RedisLink,
    readonly topic: string,
    readonly avoid: string,
    readonly names: readonly string[],
  ) {}

  replied(reply: Reply): void {
    if (Array.isArray(reply)) {
      for (const [at, { receiver, callId }] of this.sent.entries())
        receiver.onDispatched(callId, nameOf(reply[at]), undefined);
    } else if (isForgotten(reply)) {
      sendSource(this.link, DISPATCH, this.names, [this.avoid, ...this.frames], this);
    } else {
      this.#fail(commandError(reply));
    }
  }

  lost(why: string): void {
    this.#fail(commandError(new LinkDownError(why)));
  }

  #fail(error: TielineError): void {
    for (const { receiver, callId } of this.sent) receiver.onDispatched(callId, "", error);
  }
}

/** Answers to one inbox. They are kept for the next connection if this one breaks before the server has them. */
export class Answers implements Expecting {
  readonly kept = true;
  readonly frames: Buffer[] = [];
  size = 0;

  constructor(
    readonly head: Buffer,
    readonly keep: (answers: Answers) => void,
  ) {}

  add(frame: Buffer): void {
    this.frames.push(frame);
    this.size += frame.length;
  }

  send(link: RedisLink): void {
    link.sendQuietly(this.head, this.frames, this.size, this);
  }

  replied(): void {}

  lost(): void {
    this.keep(this);
  }
}

/**
 * Requests and answers of one turn of the event loop, gathered into few commands.
 *
 * Requests on one topic share a dispatch, answers to one inbox share a message: the server, the reader and we do the work
 * of a command once for all of them. Nothing waits for company: what is here when the turn ends is sent.
 */
export class RedisOutbox {
  readonly #prefix: string;
  readonly #keep: (answers: Answers) => void;
  readonly #dispatchHeads = new Map<string, Buffer>();
  readonly #inboxHeads = new Map<string, Buffer>();
  #dispatches = new Map<string, Dispatch>();
  #answers = new Map<string, Answers>();
  #count = 0;
  #bytes = 0;

  constructor(prefix: string, keep: (answers: Answers) => void) {
    this.#prefix = prefix;
    this.#keep = keep;
  }

  /** Sends a request; the receiver is told who took it. */
  dispatch(link: RedisLink, topic: string, avoid: string, frame: Buffer, sent: Sent): void {
    const key = avoid === "" ? topic : `${avoid} ${topic}`;
    let together = this.#dispatches.get(key);
    if (together === undefined) {
      together = new Dispatch(link, topic, avoid, dispatchNames(this.#prefix, topic));
      this.#dispatches.set(key, together);
    }
    together.frames.push(frame);
    together.sent.push(sent);
    this.#added(link, frame.length);
  }

  /** Sends something to an inbox. */
  answer(link: RedisLink | undefined, to: string, frame: Buffer): void {
    let together = this.#answers.get(to);
    if (together === undefined) {
      together = new Answers(this.#inboxHead(to), this.#keep);
      this.#answers.set(to, together);
    }
    together.add(frame);
    if (link === undefined) this.lost();
    else this.#added(link, frame.length);
  }

  /** Turns what is here into commands. */
  write(link: RedisLink): void {
    this.#count = 0;
    this.#bytes = 0;
    if (this.#dispatches.size > 0) {
      const dispatches = this.#dispatches;
      this.#dispatches = new Map();
      for (const together of dispatches.values()) this.#writeDispatch(link, together);
    }
    if (this.#answers.size > 0) {
      const answers = this.#answers;
      this.#answers = new Map();
      for (const together of answers.values()) together.send(link);
    }
  }

  /** The link is gone: answers are kept; whoever called has been told. */
  lost(): void {
    const answers = this.#answers;
    this.#answers = new Map();
    this.#dispatches.clear();
    this.#count = 0;
    this.#bytes = 0;
    for (const together of answers.values()) this.#keep(together);
  }

  #added(link: RedisLink, size: number): void {
    this.#count += 1;
    this.#bytes += size;
    if (this.#count >= TOGETHER || this.#bytes >= MANY_BYTES) link.flush();
    else link.flushSoon();
  }

  #writeDispatch(link: RedisLink, together: Dispatch): void {
    const head = this.#dispatchHeads.get(together.topic) ?? this.#newDispatchHead(together);
    link.sendMany(FIXED + together.frames.length, head, together.avoid, together.frames, together);
  }

  #newDispatchHead({ topic, names }: Dispatch): Buffer {
    const head = encodeParts(["EVALSHA", DISPATCH.sha, String(DISPATCH.names), ...names]);
    return remember(this.#dispatchHeads, topic, head);
  }

  #inboxHead(instance: string): Buffer {
    const known = this.#inboxHeads.get(instance);
    if (known !== undefined) return known;
    const head = Buffer.concat([
      Buffer.from("*3\r\n"),
      encodeParts(["SPUBLISH", inboxChannel(this.#prefix, instance)]),
    ]);
    return remember(this.#inboxHeads, instance, head);
  }
}

function nameOf(instance: Reply | undefined): string {
  return instance instanceof Buffer ? instance.toString("latin1") : String(instance ?? "");
}

/** Keeps a bounded number of heads; the hot ones are soon there again. */
function remember(heads: Map<string, Buffer>, name: string, head: Buffer): Buffer {
  if (heads.size >= REMEMBERED) heads.clear();
  heads.set(name, head);
  return head;
}
