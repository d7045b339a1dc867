import type { Call, Waiter } from "./call.js";
import { isRefusal } from "./callErrors.js";
import type { Envelope } from "./contract/envelope.js";
import { CallCancelledError, NoRespondersError, type TielineError } from "./errors.js";
import type { Place } from "./transport.js";

/** Who was asked: an instance of a service, and the group it was asked for, or nothing. */
export interface Responder {
  readonly service: string;
  readonly instance: string;
  readonly group: string;
}

/** What a responder said. */
export interface Reply<Value = unknown> {
  readonly responder: Responder;
  readonly value: Value;
}

/** Why there is no reply. */
export interface Failure {
  readonly responder: Responder;
  readonly error: TielineError;
}

/** The answers to one question; each responder is in one of the lists. */
export class Gathered<Value = unknown> {
  /** Who replied, in the order of the replies. */
  readonly replies: Reply<Value>[] = [];
  /** Who answered with an error. */
  readonly errors: Failure[] = [];
  /** Who gave no answer: it died, was too slow, or was not waited for. The error says which. */
  readonly missing: Failure[] = [];

  /** The values of the replies. */
  get values(): Value[] {
    return this.replies.map((reply) => reply.value);
  }

  /** Whether everybody has answered. */
  get complete(): boolean {
    return this.missing.length === 0;
  }
}

/** Responders of whom one is to answer, in the order in which they are asked; there is at least one. */
export interface Unit {
  readonly group: string;
  readonly places: readonly [Place, ...Place[]];
}

/** Whom to ask: one of each group, of those without one one of each service; or every instance (SPEC.md, section 11). */
export function units(places: readonly Place[], own: string, everyInstance: boolean): Unit[] {
  if (everyInstance) return places.map((place) => ({ group: "", places: [place] }));
  const found = new Map<string, { group: string; places: [Place, ...Place[]] }>();
  for (const place of places) {
    const names = place.groups.length > 0 ? place.groups.map((group) => ["g", group]) : [["s", place.service]];
    for (const [kind, name = ""] of names) {
      const unit = found.get(`${kind} ${name}`);
      if (unit !== undefined) unit.places.push(place);
      else found.set(`${kind} ${name}`, { group: kind === "g" ? name : "", places: [place] });
    }
  }
  for (const unit of found.values()) order(unit.places, own);
  return [...found.values()];
}

/** The own instance first, the others as chance has it. */
function order(places: Place[], own: string): void {
  const rank = new Map(places.map((place) => [place, place.instance === own ? -1 : Math.random()]));
  places.sort((a, b) => (rank.get(a) ?? 0) - (rank.get(b) ?? 0));
}

/** What became of it at one responder. */
export interface Answer {
  readonly responder: Responder;
  readonly reply?: Envelope;
  readonly error?: TielineError;
}

/** Makes a call to one instance. */
export type Begin = (request: Envelope, instance: string, waiter: Waiter) => Call;

/** The calls of one gather. */
export class Gathering {
  readonly #request: Envelope;
  readonly #begin: Begin;
  readonly #abandon: (call: Call) => void;
  readonly #waiting = new Map<Unit, Call | undefined>();
  readonly #answers: Answer[] = [];
  #missingReplies = Infinity;
  #tell: (answers: Answer[]) => void = () => undefined;

  /** `begin` makes a call, `abandon` ends it. */
  constructor(request: Envelope, begin: Begin, abandon: (call: Call) => void) {
    this.#request = request;
    this.#begin = begin;
    this.#abandon = abandon;
  }

  /**
   * Asks all units; resolves when all have answered or died, or when so many have replied (0: all).
   * Rejects with NoRespondersError if there is nobody to ask.
   */
  async ask(asked: readonly Unit[], maxReplies: number): Promise<Answer[]> {
    if (asked.length === 0) {
      throw new NoRespondersError(`nobody answers "${this.#request.topic}": start a subscriber of it`);
    }
    if (maxReplies > 0) this.#missingReplies = maxReplies;
    return new Promise((resolve) => {
      this.#tell = resolve;
      for (const unit of asked) this.#waiting.set(unit, undefined);
      for (const unit of asked) this.#askOne(unit, unit.places);
    });
  }

  /** Nobody waits for it any more. */
  stop(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [unit, call] of waiting) {
      if (call !== undefined) this.#abandon(call);
      this.#answers.push({ responder: named(unit, unit.places[0]), error: notAwaited() });
    }
  }

  /** Asks one after the other until somebody takes it. */
  #askOne(unit: Unit, [place, next, ...more]: readonly [Place, ...Place[]]): void {
    if (!this.#waiting.has(unit)) return; // there were enough replies
    const waiter: Waiter = {
      resolve: (reply) => this.#answered(unit, { responder: named(unit, place), reply }),
      reject: (error) => {
        if (next !== undefined && isRefusal(error)) this.#askOne(unit, [next, ...more]);
        else this.#answered(unit, { responder: named(unit, place), error });
      },
    };
    try {
      const call = this.#begin({ ...this.#request, group: unit.group }, place.instance, waiter);
      if (!call.done && this.#waiting.has(unit)) this.#waiting.set(unit, call);
    } catch (error) {
      waiter.reject(error as TielineError);
    }
  }

  #answered(unit: Unit, answer: Answer): void {
    if (!this.#waiting.delete(unit)) return;
    this.#answers.push(answer);
    if (answer.reply !== undefined) this.#missingReplies -= 1;
    if (this.#missingReplies === 0) this.stop();
    if (this.#waiting.size === 0) this.#tell(this.#answers);
  }
}

const GONE: ReadonlySet<string> = new Set(["RESPONDER_LOST", "NO_RESPONDERS"]);

/** Whether an error means that there was no answer, rather than being one. */
export function isMissing(error: TielineError): boolean {
  return !error.fromWire || GONE.has(error.code);
}

function named({ group }: Unit, { service, instance }: Place): Responder {
  return { service, instance, group };
}

function notAwaited(): CallCancelledError {
  return new CallCancelledError("there were enough replies without it");
}
