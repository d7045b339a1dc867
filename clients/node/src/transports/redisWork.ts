import { monotonic } from "../clock.js";
import type { Script } from "../contract/scripts.js";
import { UnavailableError } from "../errors.js";
import type { Settings } from "../settings.js";
import type { LinkOwner, RedisLink } from "./redisLink.js";
import { runScript } from "./redisScripts.js";
import { commandError, connectRedis } from "./redisServer.js";
import type { RedisTarget } from "./redisUrl.js";
import type { Reply } from "./resp.js";

/**
 * The work link: bulky commands that answer with much, on a connection that never subscribes (SPEC.md, section 14).
 *
 * A client that subscribes is cut off at 32 MB of unread output; one that does not, is not. It is opened when it is first
 * needed, and again when it is needed after it broke.
 */
export class RedisWork {
  readonly #target: RedisTarget;
  readonly #settings: Settings;
  readonly #name: () => string;
  #link: RedisLink | undefined;
  #opening: Promise<RedisLink> | undefined;
  #closed = false;

  /** `name` is what the server knows the live link by. */
  constructor(target: RedisTarget, settings: Settings, name: () => string) {
    this.#target = target;
    this.#settings = settings;
    this.#name = name;
  }

  /**
   * Runs a script and resolves to what it returned. Rejects with UnavailableError: there is no connection, it broke, or
   * nothing came for too long; or with what the server's refusal means.
   */
  run(script: Script, names: readonly string[], rest: readonly (string | Buffer)[]): Promise<Reply> {
    return this.ask((link) => runScript(link, script, names, rest));
  }

  /** Sends one command; rejects as `run` does. */
  call(...parts: (string | Buffer)[]): Promise<Reply> {
    return this.ask((link) => link.call(...parts));
  }

  /** Closes the connection for good. */
  close(): void {
    this.#closed = true;
    this.#link?.close("closed");
    this.#link = undefined;
  }

  /** Asks several things of one connection, one after the other; rejects as `run` does. */
  async ask<T>(ask: (link: RedisLink) => Promise<T>): Promise<T> {
    const link = this.#link ?? (await this.#up());
    const over = this.#watch(link);
    try {
      return await ask(link);
    } catch (error) {
      throw commandError(error);
    } finally {
      over();
    }
  }

  /** A server that sends nothing while it is asked for something is gone. Returns how to stop watching. */
  #watch(link: RedisLink): () => void {
    const patience = this.#settings.pingInterval + this.#settings.pongTimeout;
    const asked = monotonic();
    const look = () => {
      const silent = monotonic() - Math.max(link.heardAt, asked);
      if (silent >= patience) link.abort(`no answer within ${patience} ms`);
    };
    // One more turn, so that an answer that lies there already is read.
    const timer = setInterval(() => setImmediate(look), patience);
    return () => clearInterval(timer);
  }

  #up(): Promise<RedisLink> {
    if (this.#closed) {
      return Promise.reject(new UnavailableError("the event system is closed", { outcome: "NOT_DELIVERED" }));
    }
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<RedisLink> {
    let lost = false;
    const owner: LinkOwner = {
      onPush: () => undefined,
      onFlush: () => undefined,
      onLost: () => {
        lost = true;
        this.#link = undefined;
      },
    };
    const { link } = await connectRedis(this.#target, owner, `${this.#name()}:work`, this.#settings.connectTimeout);
    if (this.#closed) link.close("closed");
    else if (!lost) this.#link = link;
    link.keepAlive(false); // it is kept alive by whoever waits for an answer
    return link;
  }
}
