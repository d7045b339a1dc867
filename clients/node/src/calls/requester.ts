import { LIMIT_STREAM_WINDOW } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { REQUEST } from "../envelope.js";
import { CallTimeoutError, TielineError } from "../errors.js";
import type { Instance } from "../instance.js";
import { ANY, checkOptions, FLAG, type Kind, type Kinds, OBJECT, TTL, WAIT, whole } from "../options.js";
import { checkKey, checkTtl, compose, inheritedTime, MESSAGE_KINDS, type MessageOptions } from "../outgoing.js";
import type { Responder } from "../responder.js";
import { Turns, turn } from "../turns.js";
import { inDoubt } from "./callErrors.js";
import type { Caller, Request } from "./caller.js";
import { fingerprint } from "./fingerprint.js";
import { checkRetry, pauseAfter, type Retry } from "./retry.js";
import type { StreamCall } from "./streamCall.js";

/** How a call is made; times in milliseconds. */
export interface CallOptions extends MessageOptions {
  /** It may be sent again although it may have run. */
  idempotent?: boolean;
  /**
   * Calls with the same topic, key and payload share one run and its result, for 24 hours. Such a call is idempotent, and it
   * always goes through the broker.
   */
  idempotencyKey?: string;
  /** When to try again, and after which pause; all tries share the one deadline. */
  retry?: Retry;
  /** How long to wait for somebody who answers; not at all unless given. */
  waitForResponders?: number;
}

/** How a stream is asked for; times in milliseconds. Before its first item an idempotent one may be sent again. */
export interface StreamOptions extends Omit<CallOptions, "idempotencyKey" | "retry"> {
  /** The longest time between two items, and before the first, while the reader waits; 30,000 unless given. */
  ttl?: number;
  /** Until all of it must have arrived; what arrived by then can be read. No limit unless given. */
  total?: number;
  /** Items the responder may be ahead of the reader, at most; unless given it follows their size. */
  window?: number;
}

const POLICY: Kind = { ...OBJECT, is: "a policy, as in retry: { attempts: 5 }", plain: true };
const CALL_KINDS: Kinds<CallOptions> = {
  ...MESSAGE_KINDS,
  idempotent: FLAG,
  idempotencyKey: ANY,
  retry: POLICY,
  waitForResponders: WAIT,
};
const STREAM_KINDS: Kinds<StreamOptions> = {
  ...MESSAGE_KINDS,
  idempotent: FLAG,
  waitForResponders: WAIT,
  total: { ...TTL, plain: true },
  window: whole(1, LIMIT_STREAM_WINDOW),
};

/** Throws InvalidArgumentError for options of a call that make no sense. */
export function checkCallOptions(options: CallOptions): void {
  checkOptions(options, CALL_KINDS, "publishAndWait");
  if (options.retry !== undefined) checkRetry(options.retry);
}

/** Throws InvalidArgumentError for options of a stream that make no sense. */
export function checkStreamOptions(options: StreamOptions): void {
  checkOptions(options, STREAM_KINDS, "publishAndStream");
}

/** The way of a call out, top to bottom: compose, show observers, have a handler answer, here or elsewhere. */
export class Requester {
  readonly #instance: Instance;
  readonly #caller: Caller;
  readonly #responder: Responder;
  readonly #turns = new Turns();

  constructor(instance: Instance, caller: Caller, responder: Responder) {
    this.#instance = instance;
    this.#caller = caller;
    this.#responder = responder;
  }

  /** See `EventSystem.publishAndWait`. */
  call(topic: string, data: unknown, options: CallOptions): Promise<unknown> {
    try {
      if (!this.#instance.up) return this.#start(topic, data, options);
      const { retry } = options;
      const request = this.#request(topic, data, options);
      const reply =
        retry === undefined
          ? this.#caller.call(request, data, requestOf(options))
          : this.#persist(retry, request, data, requestOf(options));
      return this.#turns.due() ? Promise.all([reply, turn()]).then(([value]) => value) : reply;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The first call. */
  async #start(topic: string, data: unknown, options: CallOptions): Promise<unknown> {
    const ttl = await this.#instance.ready(this.#ttlOf(options));
    return this.call(topic, data, { ...options, ttl });
  }

  /** Calls until it succeeds, the policy says no, or there is no time for another try. */
  async #persist(retry: Retry, request: Envelope, data: unknown, asked: Request): Promise<unknown> {
    const instance = this.#instance;
    const deadline = instance.now() + request.ttlMs;
    let unsure = false; // an earlier try may have run
    const told = (error: TielineError) => (unsure && error.outcome === "NOT_DELIVERED" ? inDoubt(error) : error);
    for (let made = 1; ; made++) {
      const attempt = { ...request, ttlMs: Math.max(1, Math.floor(deadline - instance.now())) };
      try {
        return await this.#caller.call(attempt, data, asked);
      } catch (error) {
        if (!(error instanceof TielineError)) throw error;
        const pause = pauseAfter(retry, made, error);
        const over = error instanceof CallTimeoutError && !error.fromWire; // a try's deadline is that of all
        if (over || pause === undefined || instance.now() + pause >= deadline) throw told(error);
        unsure ||= error.outcome !== "NOT_DELIVERED";
        instance.unusual("retried", attempt, { after: pause, code: error.code });
        await this.#caller.rest(pause, asked.signal).catch((gaveUp) => Promise.reject(told(gaveUp)));
      }
    }
  }

  /** The call of a stream; see `EventSystem.publishAndStream`. */
  async stream(topic: string, data: unknown, options: StreamOptions): Promise<StreamCall> {
    if (!this.#instance.up) await this.#instance.ready(this.#ttlOf(options));
    const total = Math.min(options.total ?? Infinity, inheritedTime());
    return this.#caller.stream(this.#request(topic, data, options), {
      ...requestOf(options),
      total,
      window: options.window,
    });
  }

  #ttlOf({ ttl }: MessageOptions): number {
    return ttl === undefined ? this.#instance.settings.callTtl : checkTtl(ttl);
  }

  /** A request of ours, which observers have seen. */
  #request(topic: string, data: unknown, options: CallOptions): Envelope {
    const { clock, source, settings, place } = this.#instance;
    const envelope = compose(REQUEST, topic, data, options, settings.callTtl, clock, source);
    envelope.replyTo = place.instance;
    if (options.idempotencyKey !== undefined) {
      envelope.idempotencyKey = checkKey(options.idempotencyKey);
      envelope.fingerprint = fingerprint(envelope.data, envelope.contentType);
    }
    this.#responder.showRequest(envelope);
    return envelope;
  }
}

function requestOf(options: CallOptions): Request {
  return {
    idempotent: options.idempotencyKey !== undefined || (options.idempotent ?? false),
    waitForResponders: options.waitForResponders ?? 0,
    waitForConnection: options.waitForConnection ?? 0,
    signal: options.signal,
  };
}
