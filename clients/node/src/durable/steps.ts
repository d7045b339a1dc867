import { type Envelope, parse } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { failureOf, NO_CALL, type Recorded, recorded, type Told, type Trail, wholeMs } from "../explain/trail.js";
import type { Observer, StepName } from "../observe.js";
import type { SystemEvents } from "../systemEvents.js";
import type { Entry, Stored } from "./mail.js";

type Detail = Readonly<Record<string, unknown>>;

/** Where steps are noted and told. */
export interface StepsHouse {
  readonly trail: Trail;
  readonly observer: Observer | undefined;
  readonly system: SystemEvents;
  /** Milliseconds of the local monotonic clock. */
  now(): number;
  /** Tells the observer, if there is one. */
  say(name: StepName, envelope: Envelope, detail?: Record<string, unknown>): void;
  /** Remembers a step that most envelopes do not take, and tells the observer. */
  unusual(name: StepName, envelope: Envelope, detail?: Record<string, unknown>): void;
  /** Stores the trail of something that failed. */
  store(envelope: Envelope): void;
}

/** One handling of an event. */
export interface Handling {
  /** When it began, local monotonic ms; 0: it did not. */
  readonly began: number;
  readonly subscription: string;
  readonly group: string;
  readonly entry: string;
  readonly attempt: number;
}

/** What became of an event that was not handled. */
export interface Ending {
  readonly step: StepName;
  readonly detail: Record<string, unknown>;
}

/**
 * What becomes of durable events, remembered for `explain` and told to the observer (SPEC.md, section 13). A handling is one
 * record, made when it ends; its steps are told only when somebody asks.
 */
export class DurableSteps {
  readonly #house: StepsHouse;

  constructor(house: StepsHouse) {
    this.#house = house;
  }

  /** Whether what happens as it should is noted now. */
  get isWanted(): boolean {
    return this.#house.trail.room > 0 || this.#house.observer !== undefined;
  }

  /** An event was stored; that began at this moment (local monotonic ms), before anybody could have it. */
  stored(event: Envelope, place: Stored, began: number): void {
    const { trail } = this.#house;
    const { stream, entry, duplicate } = place;
    const detail = { id: event.id, stream, entry, duplicate };
    if (trail.room > 0) trail.remember(event, NO_CALL, () => [[began, "stored", detail]]);
    this.#house.say("stored", event, detail);
  }

  /** A handler has returned, or acknowledged its event. */
  handled(event: Envelope, handling: Handling): void {
    const detail = { subscription: handling.subscription, how: "handled" };
    if (this.#house.trail.room > 0) this.#remember(event, handling, (now) => [[now, "handled", detail]]);
    this.#house.say("handled", event, detail);
  }

  /** An event was not handled, and what becomes of it. If it is given up, its trail is stored. */
  failed(entry: Entry, handling: Handling, error: TielineError, { step, detail }: Ending): void {
    const event = parse(entry.envelope);
    if (event === undefined) return; // it has no name to ask by
    const { subscription, group, attempt } = handling;
    this.#house.system.durableFailed(event, error, { subscription, group, attempt, step, reason: detail.reason });
    const failure = { ...failureOf(error), attempt: handling.attempt };
    this.#remember(event, handling, (now) => [
      [now, "failed", failure],
      [now, step, detail],
    ]);
    if (step !== "retried") this.#house.store(event);
    this.#house.say(step, event, detail);
  }

  /** The handling was interrupted; the event was given back, or others have it. */
  cancelled(event: Envelope, handling: Handling): void {
    const detail = { subscription: handling.subscription };
    this.#remember(event, handling, (now) => [[now, "cancelled", detail]]);
    this.#house.say("cancelled", event, detail);
  }

  /** A dead letter was put back. */
  redriven(event: Envelope, letter: string, group: string, entry: string): void {
    this.#house.unusual("redriven", event, { group, letter, entry });
  }

  /** What there is to tell of an event that a handler has now. */
  running(event: Envelope, handling: Handling): Recorded {
    const now = this.#house.now();
    const detail = { subscription: handling.subscription, for_ms: wholeMs(now - handling.began) };
    return recorded(event, NO_CALL, () => [claimed(handling, now), [now, "running", detail]]);
  }

  #remember(event: Envelope, handling: Handling, ended: (now: number) => Told[]): void {
    const now = this.#house.now();
    this.#house.trail.remember(event, NO_CALL, () => [claimed(handling, now), ...ended(now)]);
  }
}

function claimed({ began, subscription, group, entry, attempt }: Handling, now: number): Told {
  const detail: Detail = { subscription, group, entry, attempt };
  return [began || now, "claimed", detail];
}
