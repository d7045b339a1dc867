import type { Clock } from "../clock.js";
import { encode } from "../codec.js";
import { Event } from "../context.js";
import { DeadLetter as WireLetter } from "../contract/durable.js";
import { type Envelope, EVENT, errorFromWire, newEnvelope, parse, serialize } from "../envelope.js";
import { InternalError, InvalidArgumentError, NotFoundError, type TielineError } from "../errors.js";
import { checkOptions, type Kinds, LIST, NO_OPTIONS, OBJECT, oneOf, shown, TEXT, whole } from "../options.js";
import { checkHeaders, checkKey } from "../outgoing.js";
import { checkTopic } from "../topics.js";
import { isText } from "../wellFormed.js";
import { DEFAULT_GROUP, type Letter, type Mail, type Redriven } from "./mail.js";
import type { DurableSteps } from "./steps.js";

const PAGE = 200;
const MOST = 1_000;
const USUAL = 50;
const LETTER_ID = /^(\d{1,15})-(\d{1,19})$/;
const GREATEST = 2n ** 64n - 1n;

/** A durable event that was given up. */
export interface DeadLetter {
  /** Of the letter; of a parked key, empty. */
  readonly id: string;
  /** It was published on. */
  readonly topic: string;
  /** The subscription group in which it failed. */
  readonly group: string;
  /** "failed" (its attempts were used up), "rejected" or "expired". */
  readonly reason: string;
  /** How often it was handled. */
  readonly attempts: number;
  /** How often it was put back before. */
  readonly redriven: number;
  /** The last one. */
  readonly error: TielineError;
  /** When it was given up, by the broker's clock. */
  readonly time: Date;
  /** As it was published; `event.data` decodes its payload, `event.key` is its key. */
  readonly event: Event;
}

/** Which dead letters are meant: those that fit all that is given. */
export interface LetterFilter {
  readonly group?: string;
  readonly reason?: string;
  readonly key?: string;
}

/** Which dead letters are listed. */
export interface LetterListOptions extends LetterFilter {
  /** Id of the letter before the first one. */
  readonly after?: string;
  /** How many at most, 1 to 1,000; 50 unless given. */
  readonly limit?: number;
}

/** Which dead letters are put back or deleted: those of these ids, or all that fit the filter. */
export interface LetterChoice extends LetterFilter {
  readonly ids?: readonly string[];
}

/** What is put back with a letter besides its payload. */
export interface LetterEditOptions {
  /** Replace the letter's. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** In which subscription group. */
export interface InGroup {
  /** "default" unless given. */
  readonly group?: string;
}

/** Where the mail is. */
export interface House {
  /** Connects if need be. */
  start(): Promise<unknown>;
  /** Where durable events are. */
  readonly mail: Mail;
  /** The broker's clock. */
  readonly clock: Clock;
  /** Where each step of an event is noted. */
  readonly steps: DurableSteps;
}

const FILTER_KINDS: Kinds<LetterFilter> = { group: TEXT, reason: oneOf("failed", "rejected", "expired"), key: TEXT };
const LIST_KINDS: Kinds<LetterListOptions> = { ...FILTER_KINDS, after: TEXT, limit: whole(1, MOST) };
const CHOICE_KINDS: Kinds<LetterChoice> = { ...FILTER_KINDS, ids: LIST };
const EDIT_KINDS: Kinds<LetterEditOptions> = { headers: OBJECT };
const GROUP_KINDS: Kinds<InGroup> = { group: TEXT };

/**
 * Lists, puts back and deletes dead letters: `events.deadLetters`. All methods reject with UnavailableError while the
 * broker is away, and with InvalidTopicError or InvalidArgumentError for what makes no sense.
 */
export class DeadLetters {
  readonly #house: House;

  /** `EventSystem` makes it. */
  constructor(house: House) {
    this.#house = house;
  }

  /** Dead letters of a topic, oldest first; the next page begins `after` the id of the last one. */
  async list(topic: string, options: LetterListOptions = NO_OPTIONS): Promise<DeadLetter[]> {
    checkOptions(options, LIST_KINDS, "deadLetters.list");
    const { after = "", limit = USUAL } = options;
    if (after !== "") checkId(after);
    const found: DeadLetter[] = [];
    for await (const letter of this.#all(topic, options, after)) {
      if (found.push(letter) === limit) break;
    }
    return found;
  }

  /** One dead letter. Rejects with NotFoundError: there is none of this id, or no more. */
  async get(topic: string, id: string): Promise<DeadLetter> {
    checkTopic(topic);
    await this.#house.start();
    const [found] = await this.#house.mail.letters(topic, before(topic, id), 1);
    if (found?.id === id) return readLetter(found, this.#house.clock);
    throw noSuch(topic, id);
  }

  /**
   * Puts dead letters back: those of these ids, or all that fit the filter. Each goes to the end of its key, or among the
   * events without key, for the group it failed in alone; however many ask for it, once. Resolves to how many were put
   * back by this call.
   */
  async redrive(topic: string, choice: LetterChoice = NO_OPTIONS): Promise<number> {
    checkOptions(choice, CHOICE_KINDS, "deadLetters.redrive");
    let moved = 0;
    for await (const page of this.#pages(topic, choice)) moved += await this.#putBack(topic, page);
    return moved;
  }

  /**
   * Puts a dead letter back with another payload, and other headers if they are given. Rejects with NotFoundError (there
   * is none of this id, or no more) or InvalidPayloadError (the payload cannot travel).
   */
  async edit(topic: string, id: string, data: unknown, options: LetterEditOptions = NO_OPTIONS): Promise<void> {
    checkOptions(options, EDIT_KINDS, "deadLetters.edit");
    const letter = await this.get(topic, id);
    const envelope = { ...letter.event.envelope };
    envelope.data = encode(data, envelope.contentType);
    if (options.headers !== undefined) envelope.headers = checkHeaders(options.headers);
    if ((await this.#putBack(topic, [letter], envelope)) === 0) throw noSuch(topic, id);
  }

  /** Deletes dead letters: those of these ids, or all that fit the filter; resolves to how many. */
  async purge(topic: string, choice: LetterChoice = NO_OPTIONS): Promise<number> {
    checkOptions(choice, CHOICE_KINDS, "deadLetters.purge");
    let deleted = 0;
    for await (const page of this.#pages(topic, choice)) {
      const ids = page.map(({ id }) => id);
      if (ids.length > 0) deleted += await this.#house.mail.purge(topic, ids);
    }
    return deleted;
  }

  async #putBack(topic: string, letters: readonly DeadLetter[], instead?: Envelope): Promise<number> {
    if (letters.length === 0) return 0;
    const redriven = letters.map((letter) => {
      const envelope = { ...(instead ?? letter.event.envelope), ttlMs: 0, expiresAt: 0 }; // it is wanted now
      return putBack(letter, envelope);
    });
    const entries = await this.#house.mail.redrive(topic, redriven);
    return noteRedriven(this.#house.steps, letters, entries);
  }

  /** What was there when it began, a page at a time. */
  async *#pages(topic: string, choice: LetterChoice): AsyncGenerator<DeadLetter[]> {
    if (choice.ids !== undefined) return yield await this.#of(topic, choice.ids);
    await this.#house.start();
    const now = this.#house.clock.now();
    let page: DeadLetter[] = [];
    for await (const letter of this.#all(topic, choice, "")) {
      if (letter.time.getTime() > now) break;
      if (page.push(letter) < PAGE) continue;
      yield page;
      page = [];
    }
    yield page;
  }

  /** Those of these ids that are there. */
  async #of(topic: string, ids: readonly string[]): Promise<DeadLetter[]> {
    if (!ids.every(isText)) {
      throw new InvalidArgumentError(`ids are texts, those of the dead letters that are listed, not ${shown(ids)}`);
    }
    const found: DeadLetter[] = [];
    for (const id of ids) {
      try {
        found.push(await this.get(topic, id));
      } catch (error) {
        if (!(error instanceof NotFoundError)) throw error;
      }
    }
    return found;
  }

  async *#all(topic: string, filter: LetterFilter, first: string): AsyncGenerator<DeadLetter> {
    checkTopic(topic);
    await this.#house.start();
    for (let after = first; ; ) {
      const page = await this.#house.mail.letters(topic, after, PAGE);
      const letters = page.map((found) => readLetter(found, this.#house.clock));
      yield* letters.filter((letter) => fits(letter, filter));
      const last = letters.at(-1);
      if (last === undefined) return;
      after = last.id;
    }
  }
}

/**
 * Keys that stopped because their first event failed for the last time: `events.parked`. Their events wait until somebody
 * lets the key go on. All methods reject with UnavailableError while the broker is away.
 */
export class ParkedKeys {
  readonly #house: House;

  /** `EventSystem` makes it. */
  constructor(house: House) {
    this.#house = house;
  }

  /** What stopped keys of a topic; `event.key` is the key. */
  async list(topic: string, options: InGroup = NO_OPTIONS): Promise<DeadLetter[]> {
    checkOptions(options, GROUP_KINDS, "parked.list");
    checkTopic(topic);
    await this.#house.start();
    const found = await this.#house.mail.parked(topic, options.group ?? DEFAULT_GROUP);
    return found.map(({ id: key, letter }) => readLetter({ id: "", letter }, this.#house.clock, key));
  }

  /**
   * Lets a key go on with the event that stopped it, which is handled as if for the first time. Rejects with
   * NotFoundError: the key is not parked.
   */
  async unpark(topic: string, key: string, options: InGroup = NO_OPTIONS): Promise<void> {
    checkOptions(options, GROUP_KINDS, "parked.unpark");
    await this.#letGo(topic, key, options, false);
  }

  /**
   * Lets a key go on past the event that stopped it, which becomes a dead letter. Rejects with NotFoundError: the key is
   * not parked.
   */
  async skip(topic: string, key: string, options: InGroup = NO_OPTIONS): Promise<void> {
    checkOptions(options, GROUP_KINDS, "parked.skip");
    await this.#letGo(topic, key, options, true);
  }

  async #letGo(topic: string, key: string, { group = DEFAULT_GROUP }: InGroup, skip: boolean): Promise<void> {
    checkTopic(topic);
    checkKey(key, "key");
    await this.#house.start();
    if (await this.#house.mail.unpark(topic, group, key, skip)) return;
    throw new NotFoundError(`the key ${shown(key)} of "${topic}" is not parked in the group "${group}"`);
  }
}

function fits({ group, reason, event }: DeadLetter, filter: LetterFilter): boolean {
  const has: Required<LetterFilter> = { group, reason, key: event.key };
  return (["group", "reason", "key"] as const).every((name) => (filter[name] ?? has[name]) === has[name]);
}

/** The id just before one, so that it is the next that is found. */
function before(topic: string, id: string): string {
  checkId(id);
  const [, ms = "0", number = "0"] = LETTER_ID.exec(id) ?? [];
  if (BigInt(number) > 0n) return `${ms}-${BigInt(number) - 1n}`;
  if (BigInt(ms) > 0n) return `${BigInt(ms) - 1n}-${GREATEST}`;
  throw noSuch(topic, id);
}

function checkId(id: string): void {
  if (!isText(id) || !LETTER_ID.test(id)) throw new NotFoundError(`${shown(id)} is no id of a dead letter`);
}

function noSuch(topic: string, id: string): NotFoundError {
  return new NotFoundError(`"${topic}" has no dead letter ${shown(id)}; it may have been put back or deleted`);
}

/** What puts a dead letter back, with this envelope; that is counted in it. */
export function putBack({ id, group, redriven, event }: DeadLetter, envelope: Envelope): Redriven {
  const again = serialize({ ...envelope, redriven: redriven + 1 });
  return { id, group, key: event.key, priority: event.priority, envelope: again };
}

/** Dead letters were put back, those that have a new entry; returns how many. */
export function noteRedriven(steps: DurableSteps, letters: readonly DeadLetter[], entries: readonly string[]): number {
  let moved = 0;
  for (const [at, { id, group, event }] of letters.entries()) {
    const entry = entries[at] ?? "";
    if (entry === "") continue;
    moved += 1;
    steps.redriven(event.envelope, id, group, entry);
  }
  return moved;
}

/** A dead letter as people see it. */
export function readLetter({ id, letter }: Letter, clock: Clock, key = ""): DeadLetter {
  const { topic, group, reason, attempts, error, time, envelope } = WireLetter.decode(letter);
  const told = error === undefined ? new InternalError("the letter says no error") : errorFromWire(error);
  const read = parse(envelope) ?? { ...newEnvelope(EVENT), topic };
  const event = new Event(key ? { ...read, key } : read, clock);
  const { redriven } = event.envelope;
  return { id, topic, group, reason, attempts, redriven, error: told, time: new Date(time), event };
}
