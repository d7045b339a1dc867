import { ASK_TOPIC } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { REQUEST } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { type Explanation, explanationOf } from "../explain/explain.js";
import type { Instance } from "../instance.js";
import { check, checkOptions, FLAG, type Kind, type Kinds, TTL, whole } from "../options.js";
import { checkTtl, compose, MESSAGE_KINDS, type MessageOptions } from "../outgoing.js";
import type { Responder } from "../responder.js";
import { plannedTrail } from "../schedules/steps.js";
import { type Service, servicesOf } from "../services.js";
import { isText } from "../wellFormed.js";
import { inTime } from "../within.js";
import type { Caller } from "./caller.js";
import { type Answer, Gathered, type Responder as GatherResponder, isMissing } from "./gather.js";
import { replyValue } from "./pendingReply.js";

/** How much of its time `explain` asks the instances: silent ones leave the rest for what the broker knows. */
const ASKING = 0.9;

/** How everybody is asked; times in milliseconds. */
export interface GatherOptions extends MessageOptions {
  /** Return as soon as there are so many replies; all unless given. */
  maxReplies?: number;
  /** Ask each instance instead of one of each group or service. */
  everyInstance?: boolean;
}

/** How everybody is asked what they know; times in milliseconds. */
export interface AskOptions {
  /** How long to wait for the others; 2,000 unless given. */
  ttl?: number;
}

const ASK_MS = 2000;
const GATHER_KINDS: Kinds<GatherOptions> = { ...MESSAGE_KINDS, maxReplies: whole(0), everyInstance: FLAG };
const ASK_KINDS: Kinds<AskOptions> = { ttl: TTL };
const ID: Kind = { is: "the text that a receipt or an event has", fits: (value) => isText(value) && value !== "" };

/** Throws InvalidArgumentError for options of a gather that make no sense. */
export function checkGatherOptions(options: GatherOptions): void {
  checkOptions(options, GATHER_KINDS, "publishAndGather");
}

/** One question, many answers: gathers, and what the instances tell of themselves (SPEC.md, sections 11 and 13). */
export class Surveyor {
  readonly #instance: Instance;
  readonly #caller: Caller;
  readonly #responder: Responder;

  constructor(instance: Instance, caller: Caller, responder: Responder) {
    this.#instance = instance;
    this.#caller = caller;
    this.#responder = responder;
  }

  /** See `EventSystem.publishAndGather`. */
  async gather(topic: string, data: unknown, options: GatherOptions): Promise<Gathered> {
    const { maxReplies = 0, everyInstance = false, signal } = options;
    const ttl = await this.#instance.ready(this.#ttlOf(options));
    const { clock, source, place } = this.#instance;
    const request = compose(REQUEST, topic, data, { ...options, ttl }, ttl, clock, source);
    request.replyTo = place.instance;
    this.#responder.showRequest(request);
    return gatheredOf(await this.#caller.gather(request, { maxReplies, everyInstance, signal }));
  }

  /** See `EventSystem.explain`. */
  async explain(correlationId: string, options: AskOptions): Promise<Explanation> {
    check(correlationId, "the correlation id", ID);
    const left = await this.#ready(options, "explain");
    const { clock } = this.#instance;
    const until = clock.monotonic() + left;
    const asked = this.#ask({ trail: correlationId }, Math.ceil(left * ASKING)); // both at the same time, for both have one deadline
    const found = inTime(left, this.#instance.place.findTrail(correlationId), clock);
    const [gathered, stored] = await Promise.all([asked, found]);
    const told = gathered.values.map((value) => (value as { trail?: unknown } | null)?.trail);
    const trails = told.filter((trail) => trail instanceof Uint8Array);
    trails.push(await this.#planned(correlationId, [stored, ...trails], until - clock.monotonic()));
    return explanationOf(correlationId, stored, trails, silentOf(gathered));
  }

  /** What the broker remembers of planned events; nothing if it does not say so in time. */
  async #planned(correlationId: string, trails: readonly Uint8Array[], left: number): Promise<Uint8Array> {
    const looked = plannedTrail(this.#instance.agenda, correlationId, trails);
    return inTime(Math.max(0, left), looked, this.#instance.clock).catch(() => new Uint8Array());
  }

  /** See `EventSystem.services`. */
  async services(options: AskOptions): Promise<Service[]> {
    const gathered = await this.#ask({ subscriptions: true }, await this.#ready(options, "services"));
    return servicesOf(gathered.values, silentOf(gathered));
  }

  #ready(options: AskOptions, what: string): Promise<number> {
    checkOptions(options, ASK_KINDS, what);
    return this.#instance.ready(checkTtl(options.ttl ?? ASK_MS));
  }

  #ttlOf({ ttl }: GatherOptions): number {
    return ttl === undefined ? this.#instance.settings.callTtl : checkTtl(ttl);
  }

  /** Asks every instance what it knows; neither middleware nor observers see it. */
  async #ask(question: Record<string, unknown>, ttl: number): Promise<Gathered> {
    const { clock, source, place } = this.#instance;
    const request = compose(REQUEST, ASK_TOPIC, question, { ttl }, ttl, clock, source, true);
    request.replyTo = place.instance;
    return gatheredOf(await this.#caller.gather(request, { maxReplies: 0, everyInstance: true, signal: undefined }));
  }
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
