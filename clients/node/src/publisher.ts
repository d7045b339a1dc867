import { inDoubt } from "./callErrors.js";
import type { Caller, Request } from "./caller.js";
import { ASK_TOPIC, LIMIT_STREAM_WINDOW } from "./contract/contract.js";
import type { Envelope } from "./contract/envelope.js";
import { EVENT, REQUEST } from "./envelope.js";
import { CallTimeoutError, InvalidArgumentError, TielineError } from "./errors.js";
import { EventOutlet } from "./eventOutlet.js";
import { type Explanation, explanationOf } from "./explain.js";
import { fingerprint } from "./fingerprint.js";
import { type Answer, Gathered, type Responder as GatherResponder, isMissing } from "./gather.js";
import { Handled } from "./handled.js";
import type { Instance } from "./instance.js";
import { LinkWait } from "./linkWait.js";
import { checkKey, checkTtl, compose, inheritedTime, type MessageOptions } from "./outgoing.js";
import { replyValue } from "./pendingReply.js";
import type { Responder } from "./responder.js";
import { checkRetry, pauseAfter, type Retry } from "./retry.js";
import type { Router } from "./router.js";
import { type Service, servicesOf } from "./services.js";
import type { StreamCall } from "./streamCall.js";
import type { Port } from "./transport.js";
import { inTime } from "./within.js";

/** How an event is published. */
export interface PublishOptions extends MessageOptions {
  /** Resolve when the handlers in this process are done. */
  waitLocal?: boolean;
}

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
  /** Until all of it must have been read; no limit unless given. */
  total?: number;
  /** Items the responder may be ahead of the reader, at most; unless given it follows their size. */
  window?: number;
}

/** How everybody is asked; times in milliseconds. */
export interface GatherOptions extends MessageOptions {
  /** Return as soon as there are so many replies; all unless given. */
  maxReplies?: number;
  /** Ask each instance instead of one of each group or service. */
  everyInstance?: boolean;
}

const UNBROKEN = 128;

/** What a publish resolves to: the event's id, and the name of the chain it belongs to. */
export interface Receipt {
  readonly id: string;
  readonly correlationId: string;
}

/** The way out, top to bottom: compose, show observers, serve locally, hand the rest to the broker. */
export class Publisher {
  readonly #instance: Instance;
  readonly #router: Router;
  readonly #caller: Caller;
  readonly #responder: Responder;
  readonly #linkWait: LinkWait;
  readonly #outlet: EventOutlet;
  #unbroken = 0;

  constructor(instance: Instance, router: Router, caller: Caller, responder: Responder) {
    this.#instance = instance;
    this.#router = router;
    this.#caller = caller;
    this.#responder = responder;
    this.#linkWait = new LinkWait(instance.settings.offlineBuffer, instance);
    this.#outlet = new EventOutlet(instance);
  }

  /** See `EventSystem.publishAndWait`. */
  call(topic: string, data: unknown, options: CallOptions): Promise<unknown> {
    try {
      const { retry } = options;
      if (retry !== undefined) checkRetry(retry);
      const request = this.#request(topic, data, options);
      const reply =
        retry === undefined
          ? this.#caller.call(request, data, requestOf(options))
          : this.#retry(retry, request, data, requestOf(options));
      return this.#loopMustTurn() ? Promise.all([reply, turn()]).then(([value]) => value) : reply;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Calls until it succeeds, the policy says no, or there is no time for another try. */
  async #retry(retry: Retry, request: Envelope, data: unknown, asked: Request): Promise<unknown> {
    const instance = this.#instance;
    const deadline = instance.now() + request.ttlMs;
    for (let made = 1; ; made++) {
      const attempt = { ...request, ttlMs: Math.max(1, Math.floor(deadline - instance.now())) };
      try {
        return await this.#caller.call(attempt, data, asked);
      } catch (error) {
        const pause = error instanceof TielineError ? pauseAfter(retry, made, error) : undefined;
        const over = error instanceof CallTimeoutError && !error.fromWire; // a try's deadline is that of all
        if (over || pause === undefined || instance.now() + pause >= deadline) throw error;
        instance.unusual("retried", attempt, { after: pause, code: (error as TielineError).code });
        await this.#caller.rest(pause, asked.signal);
      }
    }
  }

  /** The call of a stream; see `EventSystem.publishAndStream`. */
  stream(topic: string, data: unknown, options: StreamOptions): StreamCall {
    const total = Math.min(options.total ?? Infinity, inheritedTime());
    return this.#caller.stream(this.#request(topic, data, options), {
      ...requestOf(options),
      total,
      window: options.window,
    });
  }

  /** See `EventSystem.publishAndGather`. */
  async gather(topic: string, data: unknown, options: GatherOptions): Promise<Gathered> {
    const { maxReplies = 0, everyInstance = false, signal } = options;
    if (!Number.isInteger(maxReplies) || maxReplies < 0) {
      throw new InvalidArgumentError(`maxReplies is a whole number, 0 for all, not ${maxReplies}`);
    }
    const request = this.#request(topic, data, options);
    return gatheredOf(await this.#caller.gather(request, { maxReplies, everyInstance, signal }));
  }

  /** See `EventSystem.explain`. */
  async explain(correlationId: string, ttl: number): Promise<Explanation> {
    const asked = this.#ask({ trail: correlationId }, ttl); // both at the same time, for both have one deadline
    const found = inTime(ttl, this.#port().findTrail(correlationId), this.#instance.clock);
    const [gathered, stored] = await Promise.all([asked, found]);
    const told = gathered.values.map((value) => (value as { trail?: unknown } | null)?.trail);
    const trails = [stored, ...told.filter((trail) => trail instanceof Uint8Array)];
    return explanationOf(correlationId, trails, silentOf(gathered));
  }

  /** See `EventSystem.services`. */
  async services(ttl: number): Promise<Service[]> {
    const gathered = await this.#ask({ subscriptions: true }, ttl);
    return servicesOf(gathered.values, silentOf(gathered));
  }

  /** Asks every instance what it knows; neither middleware nor observers see it. */
  async #ask(question: Record<string, unknown>, ttl: number): Promise<Gathered> {
    const { clock, source } = this.#instance;
    const port = this.#port();
    const request = compose(REQUEST, ASK_TOPIC, question, { ttl }, ttl, clock, source, true);
    request.replyTo = port.instance;
    return gatheredOf(await this.#caller.gather(request, { maxReplies: 0, everyInstance: true, signal: undefined }));
  }

  /** A request of ours, which observers have seen. */
  #request(topic: string, data: unknown, options: CallOptions): Envelope {
    const { clock, source, settings } = this.#instance;
    const port = this.#port();
    const envelope = compose(REQUEST, topic, data, options, settings.callTtl, clock, source);
    envelope.replyTo = port.instance;
    if (options.idempotencyKey !== undefined) {
      envelope.idempotencyKey = checkKey(options.idempotencyKey);
      envelope.fingerprint = fingerprint(envelope.data, envelope.contentType);
    }
    this.#showObservers(envelope);
    if (port.observing) port.observe(envelope);
    return envelope;
  }

  /** See `EventSystem.publish`. */
  async publish(topic: string, data: unknown, options: PublishOptions, bySystem = false): Promise<Receipt> {
    const { clock, source, settings } = this.#instance;
    const port = this.#port();
    const envelope = compose(EVENT, topic, data, options, settings.eventTtl, clock, source, bySystem);
    if (!port.connected || options.signal?.aborted) {
      await this.#linkWait.wait(envelope.data.length, options.waitForConnection ?? 0, options.signal);
    }
    if (this.#instance.trail.room > 0) this.#instance.trail.published(envelope);
    const handled = options.waitLocal ? new Handled() : undefined;
    const { here, served } = this.#serveHere(envelope, data, handled);
    await port.publish(envelope, served).catch((error) => {
      const unsure = here > 0 && error instanceof TielineError && error.outcome === "NOT_DELIVERED";
      throw unsure ? inDoubt(error) : error; // handlers here have it
    });
    await handled?.all();
    if (this.#loopMustTurn()) await turn();
    return { id: envelope.id, correlationId: envelope.correlationId || envelope.id };
  }

  /** The broker is back. */
  linkUp(): void {
    this.#linkWait.up();
  }

  /** The broker is away. */
  linkDown(): void {
    this.#linkWait.down();
  }

  /** Gives an event to its subscriptions here; returns how many they are, and the groups that have their copy. */
  #serveHere(envelope: Envelope, data: unknown, handled: Handled | undefined): { here: number; served: string[] } {
    const { each, groups } = this.#router.listeners(envelope.topic);
    const served: string[] = [];
    const chosen = [...each];
    for (const [group, turn] of groups) {
      const member = turn.pick();
      if (member === undefined) continue;
      served.push(group);
      chosen.push(member);
    }
    handled?.expect(chosen.length);
    const outlet = handled === undefined ? this.#outlet : new EventOutlet(this.#instance, () => handled.one());
    for (const subscription of chosen) this.#responder.deliver(subscription, envelope, outlet, data);
    this.#showObservers(envelope);
    return { here: chosen.length, served };
  }

  #showObservers(envelope: Envelope): void {
    for (const subscription of this.#router.observers(envelope.topic)) this.#responder.deliver(subscription, envelope);
  }

  /** Now and then: whoever never waits, as all within a process may, would let nobody else run. */
  #loopMustTurn(): boolean {
    this.#unbroken = (this.#unbroken + 1) % UNBROKEN;
    return this.#unbroken === 0;
  }

  #port(): Port {
    if (this.#instance.port !== undefined) return this.#instance.port;
    throw new InvalidArgumentError("this event system is closed; make a new one");
  }
}

/** Throws InvalidArgumentError if the options of a stream are outside of what is allowed. */
export function checkStreamOptions({ ttl, total, window }: StreamOptions): void {
  for (const time of [ttl, total]) if (time !== undefined) checkTtl(time);
  if (window === undefined || (Number.isInteger(window) && window >= 1 && window <= LIMIT_STREAM_WINDOW)) return;
  throw new InvalidArgumentError(`window is a number of items from 1 to ${LIMIT_STREAM_WINDOW}, not ${window}`);
}

function gatheredOf(answers: readonly Answer[]): Gathered {
  const gathered = new Gathered();
  for (const { responder, reply, error } of answers) {
    if (error !== undefined) (isMissing(error) ? gathered.missing : gathered.errors).push({ responder, error });
    else if (reply !== undefined) addReply(gathered, responder, reply);
  }
  return gathered;
}

/** Who did not tell what it was asked for. */
function silentOf({ missing, errors }: Gathered): GatherResponder[] {
  return [...missing, ...errors].map(({ responder }) => responder);
}

function addReply(gathered: Gathered, responder: GatherResponder, reply: Envelope): void {
  try {
    gathered.replies.push({ responder, value: replyValue(reply) });
  } catch (error) {
    gathered.errors.push({ responder, error: error as TielineError });
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

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
