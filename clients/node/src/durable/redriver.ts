import type { Clock, Timer } from "../clock.js";
import { LIMIT_REDRIVE_LETTERS } from "../contract/contract.js";
import { InvalidPayloadError, ResponderLostError, said, TielineError } from "../errors.js";
import type { Log } from "../log.js";
import { type DeadLetter, noteRedriven, putBack, readLetter } from "./deadLetters.js";
import type { Durability } from "./durability.js";
import type { Mail } from "./mail.js";
import type { DurableSteps } from "./steps.js";

const REST_MS = 1000;
const MOST_JITTER_MS = 1000;

/** Where the mail is. */
export interface House {
  /** The broker's clock. */
  readonly clock: Clock;
  readonly log: Log;
  /** Where durable events are. Throws TielineError if there is no place for them any more. */
  readonly mail: Mail;
  /** Where each step of an event is noted. */
  readonly steps: DurableSteps;
}

/** What has lain long enough, oldest first; the id up to which nothing else has; and when to look again (ms). */
interface Look {
  readonly due: readonly DeadLetter[];
  readonly reached: string;
  readonly pause: number;
}

/**
 * Puts back the dead letters of a subscription's group whose handler failed, so often as its policy says.
 * Rules: SPEC.md, section 14. Nothing polls: a pass is made when the oldest letter has lain long enough, and the next
 * one then.
 */
export class Redriver {
  readonly #topic: string;
  readonly #policy: Durability;
  readonly #house: House;
  /** What comes up to here was put back, or stays. */
  #after = "";
  #timer: Timer | undefined;
  #running = false;

  constructor(topic: string, policy: Durability, house: House) {
    this.#topic = topic;
    this.#policy = policy;
    this.#house = house;
  }

  /** Begins; nothing happens if no letter is to be put back by itself. Idempotent. */
  start(): void {
    if (this.#policy.retry.redrives === 0 || this.#running) return;
    this.#running = true;
    void this.#run();
  }

  /** Puts nothing back any more. Idempotent. */
  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
  }

  async #run(): Promise<void> {
    let pause = REST_MS;
    try {
      pause = await this.#pass();
    } catch (error) {
      const why = error instanceof TielineError ? said(error) : String(error);
      this.#house.log.info(`putting dead letters of "${this.#topic}" back failed, and is tried again: ${why}`);
    }
    if (!this.#running) return;
    const jitter = Math.min(MOST_JITTER_MS, this.#policy.retry.redriveAfter / 10); // others of the group wait for the same
    this.#timer = this.#house.clock.callLater(pause + Math.random() * jitter, () => void this.#run());
    this.#timer.unref();
  }

  /** Puts back what has lain long enough; resolves to the milliseconds until the next pass. */
  async #pass(): Promise<number> {
    const { due, reached, pause } = await this.#look();
    if (!this.#running) return pause;
    if (due.length > 0) {
      const letters = due.map((letter) => putBack(letter, letter.event.envelope));
      const entries = await this.#house.mail.redrive(this.#topic, letters);
      const moved = noteRedriven(this.#house.steps, due, entries);
      this.#house.log.info(`${moved} dead letters of "${this.#topic}" are tried again`);
    }
    this.#after = reached;
    return pause;
  }

  async #look(): Promise<Look> {
    const { redriveAfter } = this.#policy.retry;
    const due: DeadLetter[] = [];
    let reached = this.#after;
    for await (const letter of this.#all()) {
      if (this.#isWanted(letter)) {
        const left = letter.time.getTime() + redriveAfter - this.#house.clock.now();
        if (left > 0) return { due, reached, pause: left };
        due.push(letter);
      }
      reached = letter.id;
      if (due.length === LIMIT_REDRIVE_LETTERS) return { due, reached, pause: REST_MS };
    }
    return { due, reached, pause: redriveAfter }; // what dies from now on lies as long
  }

  async *#all(): AsyncGenerator<DeadLetter> {
    for (let after = this.#after; ; ) {
      const page = await this.#house.mail.letters(this.#topic, after, LIMIT_REDRIVE_LETTERS);
      yield* page.map((found) => readLetter(found, this.#house.clock));
      const last = page.at(-1);
      if (last === undefined) return;
      after = last.id;
    }
  }

  #isWanted({ group, reason, redriven, error, event }: DeadLetter): boolean {
    if (group !== this.#policy.group || reason !== "failed" || event.expired) return false;
    // What does not fit will not get better by itself, and what ended processes may do so again.
    const hopeless = error instanceof InvalidPayloadError || error instanceof ResponderLostError;
    return redriven < this.#policy.retry.redrives && !hopeless;
  }
}
