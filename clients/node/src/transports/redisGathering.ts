import { DEFAULT_APPEND_RESEND_MS } from "../contract/contract.js";
import type { Script } from "../contract/scripts.js";
import { LinkDownError, type RedisLink } from "./redisLink.js";
import { isForgotten, scriptHead, sendSource } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import { type Reply, RespError } from "./resp.js";

const TOGETHER = 64;
const MANY_BYTES = 262_144;

/** One run of a script for many things of a kind. */
export interface Run {
  readonly script: Script;
  /** Keys and channels. */
  readonly names: readonly string[];
  /** All other arguments, as they are when it is sent. */
  rest(): (string | Buffer)[];
  /** It is about to be sent, perhaps again. */
  before?(link: RedisLink): void;
  /** The server did not know the script: it is about to be sent with its source. */
  forgotten?(): void;
  /** The script has answered. */
  answered(reply: Reply): void;
  /** Nothing became of it, or nobody knows. */
  fail(error: unknown): void;
}

/**
 * What is stored or planned in one turn of the loop, gathered into few runs of scripts (SPEC.md, sections 14 and 15).
 *
 * Nothing waits for company: what is here when the turn ends is sent. What had no answer when the link broke is sent
 * again, in its order, before anything new; the scripts recognise what they did before.
 */
export class RedisGathering {
  #gathered = new Map<string, Run>();
  #count = 0;
  #bytes = 0;
  #unanswered: Run[] = [];
  #givingUp: NodeJS.Timeout | undefined;

  /** The run of this name that goes with the others of this turn; made if there is none. */
  run<R extends Run>(name: string, make: () => R): R {
    const known = this.#gathered.get(name);
    if (known !== undefined) return known as R;
    const made = make();
    this.#gathered.set(name, made);
    return made;
  }

  /** So many things, of so many bytes, were added to a run: it goes when the turn ends, or now if that is much. */
  added(link: RedisLink, count: number, size: number): void {
    this.#count += count;
    this.#bytes += size;
    if (this.#count >= TOGETHER || this.#bytes >= MANY_BYTES) link.flush();
    else link.flushSoon();
  }

  /** Before a flush: turns what is gathered into commands. */
  write(link: RedisLink): void {
    for (const run of this.#takeGathered()) this.send(link, run);
  }

  #takeGathered(): Iterable<Run> {
    const gathered = this.#gathered;
    if (gathered.size > 0) this.#gathered = new Map();
    this.#count = this.#bytes = 0;
    return gathered.values();
  }

  /** Sends one run of a script. */
  send(link: RedisLink, run: Run): void {
    run.before?.(link);
    const lost = () => void this.#unanswered.push(run);
    const told = (reply: Reply) => this.#answered(run, reply);
    const replied = (reply: Reply) => {
      if (!isForgotten(reply)) return told(reply);
      run.forgotten?.();
      sendSource(link, run.script, run.names, run.rest(), { replied: told, lost, kept: true });
    };
    const rest = run.rest();
    link.send(scriptHead(run.script, run.names, rest.length), rest, { replied, lost, kept: true });
  }

  #answered(run: Run, reply: Reply): void {
    if (reply instanceof RespError) run.fail(commandError(reply));
    else run.answered(reply);
  }

  /** The link is gone: what was gathered and what was not answered is kept, for so long. */
  linkDown(): void {
    this.#unanswered.push(...this.#takeGathered());
    if (this.#unanswered.length === 0) return;
    this.#givingUp ??= setTimeout(() => this.#giveUp(), DEFAULT_APPEND_RESEND_MS);
  }

  /** The link is back, and nothing was added since: sends what may not have been done, in its order. */
  resume(link: RedisLink): void {
    clearTimeout(this.#givingUp);
    this.#givingUp = undefined;
    for (const run of this.#unanswered.splice(0)) this.send(link, run);
  }

  #giveUp(): void {
    clearTimeout(this.#givingUp);
    this.#givingUp = undefined;
    const error = new LinkDownError("the server did not come back in time");
    for (const run of this.#unanswered.splice(0)) run.fail(commandError(error));
  }

  /** Nothing is sent any more, and nobody waits: what has no answer yet may have been done. */
  close(): void {
    this.#unanswered.push(...this.#takeGathered());
    this.#giveUp();
  }
}
