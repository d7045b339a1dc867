import type { Envelope } from "../contract/envelope.js";
import { CallCancelledError, type TielineError } from "../errors.js";
import type { Place } from "../transport.js";
import type { Call, Waiter } from "./call.js";
import { isRefusal, nobodyToAsk } from "./callErrors.js";

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

/** What one unit is asked: the place that is asked now, and the call to it. */
class Question {
  call: Call | undefined;
  #at = 0;

  constructor(readonly unit: Unit) {}

  /** Who is asked now. */
  get responder(): Responder {
    const { service, instance } = this.unit.places[this.#at] ?? this.unit.places[0];
    return { service, instance, group: this.unit.group };
  }

  /** Whether somebody else of the unit is asked after this error; if so, it is that one's turn. */
  passesOn(error: TielineError): boolean {
    if (!isRefusal(error) || this.#at + 1 >= this.unit.places.length) return false;
    this.#at += 1;
    return true;
  }
}

/** The calls of one gather. */
export class Gathering {
  readonly #request: Envelope;
  readonly #begin: Begin;
  readonly #abandon: (call: Call) => void;
  readonly #waiting = new Set<Question>();
  readonly #answers: Answer[] = [];
  #isOver = false;
  #missingReplies = Infinity;
  #tell: (answers: Answer[]) => void = () => undefined;

  readonly #inProcess: boolean;

  /** `begin` makes a call, `abandon` ends it. */
  constructor(request: Envelope, begin: Begin, abandon: (call: Call) => void, inProcess = false) {
    this.#inProcess = inProcess;
    this.#request = request;
    this.#begin = begin;
    this.#abandon = abandon;
  }

  /**
   * Asks all units; resolves when all have answered or died, or when so many have replied (0: all).
   * Rejects with NoRespondersError if there is nobody to ask.
   */
  async ask(asked: readonly Unit[], maxReplies: number): Promise<Answer[]> {
    if (asked.length === 0) throw nobodyToAsk(this.#request.topic, this.#inProcess);
    if (this.#isOver) return this.#answers;
    if (maxReplies > 0) this.#missingReplies = maxReplies;
    return new Promise((resolve) => {
      this.#tell = resolve;
      for (const unit of asked) this.#waiting.add(new Question(unit));
      for (const question of [...this.#waiting]) this.#ask(question);
    });
  }

  /** Nobody waits for it any more. */
  stop(): void {
    this.#isOver = true;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { call, responder } of waiting) {
      if (call !== undefined) this.#abandon(call);
      this.#answers.push({ responder, error: notAwaited() });
    }
  }

  /** Asks one after the other until a call is on its way. */
  #ask(question: Question): void {
    while (this.#waiting.has(question)) {
      try {
        this.#askOne(question);
        return;
      } catch (error) {
        if (!question.passesOn(error as TielineError)) {
          this.#answered(question, { responder: question.responder, error: error as TielineError });
        }
      }
    }
  }

  #askOne(question: Question): void {
    const { responder, unit } = question;
    const call = this.#begin({ ...this.#request, group: unit.group }, responder.instance, {
      resolve: (reply) => this.#answered(question, { responder, reply }),
      reject: (error) => {
        if (question.passesOn(error)) this.#ask(question);
        else this.#answered(question, { responder, error });
      },
    });
    if (!call.done && this.#waiting.has(question)) question.call = call;
  }

  #answered(question: Question, answer: Answer): void {
    if (!this.#waiting.delete(question)) return;
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

function notAwaited(): CallCancelledError {
  return new CallCancelledError("there were enough replies without it");
}
