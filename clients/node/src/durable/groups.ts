import { NotFoundError } from "../errors.js";
import { shown } from "../options.js";
import { checkTopic } from "../topics.js";
import type { House } from "./deadLetters.js";
import type { GroupFigures } from "./mail.js";

/** A subscription group of a topic: events wait for it until it has handled them, also while nobody runs. */
export interface Group {
  readonly topic: string;
  /** "default" for whoever names none. */
  readonly name: string;
  /** It gets what was stored after this moment; undefined: everything. */
  readonly since: Date | undefined;
  /** Keys that have something for it. */
  readonly keys: number;
  /** Events it has not handled, those under way among them: its lag. */
  readonly waiting: number;
  /** Events that are being handled, or wait for a retry. */
  readonly pending: number;
  /** Keys that stopped. */
  readonly parked: number;
  /** How many milliseconds the oldest of what waits is stored; undefined if nothing waits. */
  readonly oldest: number | undefined;
}

/** Lists and removes subscription groups: `events.groups`. Its methods reject with UnavailableError without a broker. */
export class Groups {
  readonly #house: House;

  /** `EventSystem` makes it. */
  constructor(house: House) {
    this.#house = house;
  }

  /** Topics that have, or had, durable events. */
  async topics(): Promise<string[]> {
    await this.#house.start();
    return this.#house.mail.topics();
  }

  /** The groups of a topic. Counting takes time with the number of keys that have something to handle. */
  async list(topic: string): Promise<Group[]> {
    checkTopic(topic);
    await this.#house.start();
    return (await this.#house.mail.groups(topic)).map((figures) => this.#read(topic, figures));
  }

  /**
   * Removes a group: nothing waits for it any more, and its subscriptions end, within about two seconds. Rejects
   * with NotFoundError: there is no such group.
   */
  async remove(topic: string, name: string): Promise<void> {
    checkTopic(topic);
    await this.#house.start();
    if (await this.#house.mail.dismiss(topic, name)) return;
    throw new NotFoundError(`"${topic}" has no subscription group ${shown(name)}`);
  }

  #read(topic: string, { group, since, oldest, ...figures }: GroupFigures): Group {
    const begun = since === 0 ? undefined : new Date(since);
    const age = oldest === undefined ? undefined : Math.max(0, this.#house.clock.now() - oldest);
    return { topic, name: group, since: begun, ...figures, oldest: age };
  }
}
