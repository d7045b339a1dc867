import { ConflictError, NotFoundError, UnsupportedError } from "../errors.js";

/**
 * The seam for durable events: what a port stores, leases and settles. Rules: SPEC.md, section 14.
 *
 * Names of members, ids of entries and tokens are the broker's own; whoever gets them gives them back as they are.
 */

/** The subscription group of whoever names none: one, shared by all of them. */
export const DEFAULT_GROUP = "default";

/** An event to be stored. */
export interface Draft {
  /** Its ordering key; empty for an event without. */
  readonly key: string;
  /** Its lane, if it has no key. */
  readonly priority: number;
  /** What it is recognised by within the window; empty for nothing. */
  readonly knownAs: string;
  /** How long, milliseconds. */
  readonly window: number;
  /** A serialized Envelope. */
  readonly envelope: Buffer;
}

/** What a draft takes besides its envelope and what it is known as, about. */
const ROOM_EACH = 128;

/** How many bytes drafts take on their way, about. */
export function sizeOf(drafts: readonly Draft[]): number {
  return drafts.reduce(
    (sum, { envelope, knownAs }) => sum + envelope.length + Buffer.byteLength(knownAs) + ROOM_EACH,
    0,
  );
}

/** Where an event was stored. */
export interface Stored {
  /** Name of its stream at the broker. */
  readonly stream: string;
  /** Its entry there; empty if it was stored by an earlier try whose answer was lost. */
  readonly entry: string;
  /** An event was known under its id before, and that one's entry is told. */
  readonly duplicate: boolean;
}

/** An event was not stored: the broker has something under the name of its stream that is none. */
export interface NoStream {
  readonly noStream: string;
}

/** What a publisher is told whose stream's name something else has at the broker. */
export function noStream(name: string): ConflictError {
  const what = `the broker has something under the name "${name}" that is no stream`;
  return new ConflictError(`nothing was stored: ${what}; remove that, or choose another key`);
}

/** Where an event was stored, or why it was not; undefined: there is no room. */
export type Appended = Stored | NoStream | undefined;

/** How events are stored. */
export interface AppendOptions {
  /** All or none. */
  readonly together?: boolean;
  /** Bounds the events of a stream; 0 does not. */
  readonly most?: number;
}

/** A stored event: a serialized Envelope, and the only group it is for, if it is not for all. */
export interface Entry {
  readonly id: Buffer;
  readonly envelope: Buffer;
  readonly group: string;
}

/** What a claim leased: a key with the entries at its head, or one event without key. */
export interface Member {
  /** The broker's name for it. */
  readonly name: Buffer;
  /** The key; empty for an event without. */
  readonly key: string;
  /** How often the handling of its first entry failed before. */
  readonly failures: number;
  /** In their order. */
  readonly entries: readonly Entry[];
}

/** What a claim got. */
export interface Claimed {
  /** Of the lease of all its members; later leases of a member have greater ones. */
  readonly token: Buffer;
  /** When to look again, milliseconds; 0: there is more now; undefined: when told so. */
  readonly again: number | undefined;
  /** Entries that were deleted while somebody had them. */
  readonly lost: number;
  /** In the order in which they are to be begun. */
  readonly members: readonly Member[];
}

/** What is to become of a leased member. */
export type Verdict = "done" | "keep" | "begin" | "free" | "retry" | "park" | "dead";

/** What was handled of a member, in order, and what is to become of the rest. */
export interface Settlement {
  /** As claimed. */
  readonly member: Buffer;
  /** Of its lease. */
  readonly token: Buffer;
  readonly verdict: Verdict;
  /** "retry": milliseconds to wait, as digits; "park", "dead": a serialized DeadLetter. */
  readonly argument: Buffer;
  /** Ids of what is acknowledged; with "dead" the last one is what failed. */
  readonly entries: readonly Buffer[];
}

/** A member and the token of its lease. */
export type Leased = Pick<Settlement, "member" | "token">;

/** A subscription group, and how far it is. */
export interface GroupFigures {
  readonly group: string;
  /** What was stored before this moment (ms since 1970, broker clock) is not for it; 0: everything is. */
  readonly since: number;
  /** Keys that have something for it. */
  readonly keys: number;
  /** Events it has not handled; those under way are among them. */
  readonly waiting: number;
  /** Events that were given out and are not acknowledged yet. */
  readonly pending: number;
  /** Keys that stopped. */
  readonly parked: number;
  /** When the oldest of what waits was stored (ms since 1970); undefined if nothing does. */
  readonly oldest: number | undefined;
}

/** A dead letter, or what stopped a key: its id (or the key), and a serialized DeadLetter. */
export interface Letter {
  readonly id: string;
  readonly letter: Buffer;
}

/** A dead letter that is to be put back, for the group it failed in. */
export interface Redriven {
  readonly id: string;
  readonly group: string;
  readonly key: string;
  readonly priority: number;
  readonly envelope: Buffer;
}

/** What a consumer is told whose group somebody removed. */
export function groupRemoved(topic: string, group: string): NotFoundError {
  return new NotFoundError(`the subscription group "${group}" of "${topic}" was removed`);
}

/** How a subscription group is registered. */
export interface EnrollOptions {
  /** A new one gets nothing of what is stored already. */
  readonly latest?: boolean;
  /** It was registered before. */
  readonly again?: boolean;
  /** That of the subscriber, if it has one; a gateway knows that of its client. */
  readonly service?: string;
}

/** A subscription group is registered. */
export interface Enrolled {
  /** It was not before. */
  readonly isNew: boolean;
  /** Another service that has subscribed to it; empty if none is known. */
  readonly other: string;
}

/**
 * What a port offers for durable events. All methods reject with UnavailableError while the broker is away, and with
 * UnsupportedError where there are no durable events.
 */
export interface Mail {
  /**
   * Stores events of a topic, in this order; resolves to where, undefined for what finds no room. If the broker goes away
   * before it has answered, they are sent again as soon as it is back, and stored once.
   */
  append(topic: string, drafts: readonly Draft[], options?: AppendOptions): Promise<Appended[]>;

  /**
   * As `append`, and resolves when so many replicas of the broker have it too. Rejects with UnavailableError: it is
   * stored, but not so many replicas have it after 2.5 s, or the connection broke; UnsupportedError: this broker has no
   * replicas.
   */
  appendToReplicas(
    topic: string,
    drafts: readonly Draft[],
    replicas: number,
    options?: Pick<AppendOptions, "most">,
  ): Promise<Appended[]>;

  /**
   * Makes sure that a subscription group is registered. A new one gets what is stored already, unless `latest`. Who
   * registered it before says so: rejects with NOT_FOUND if it was removed since.
   */
  enroll(topic: string, group: string, options?: EnrollOptions): Promise<Enrolled>;

  /** Leases up to so many members with up to so many entries in all, for so many milliseconds. */
  claim(topic: string, group: string, slots: number, entries: number, leaseMs: number): Promise<Claimed>;

  /**
   * Ends leases, or parts of them; resolves for each to whether its lease still was ours. With `claims` the caller claims
   * next, and nobody else is woken for what becomes ready.
   */
  settle(
    topic: string,
    group: string,
    settlements: readonly Settlement[],
    leaseMs: number,
    claims: boolean,
  ): Promise<boolean[]>;

  /** Begins leases anew; resolves for each to whether it still was ours. */
  extend(topic: string, group: string, leases: readonly Leased[], leaseMs: number): Promise<boolean[]>;

  /** Topics that have, or had, durable events. */
  topics(): Promise<string[]>;

  /** The subscription groups of a topic. */
  groups(topic: string): Promise<GroupFigures[]>;

  /** Removes a subscription group, with what waits for it; resolves to whether there was one. */
  dismiss(topic: string, group: string): Promise<boolean>;

  /** Dead letters of a topic, oldest first, after the one with this id ("" for the first). */
  letters(topic: string, after: string, limit: number): Promise<Letter[]>;

  /** Puts dead letters back, each once however many ask; resolves to their new entries, "" for one that was gone. */
  redrive(topic: string, letters: readonly Redriven[]): Promise<string[]>;

  /** Deletes dead letters; resolves to how many there were. */
  purge(topic: string, ids: readonly string[]): Promise<number>;

  /** Keys that stopped, and what stopped them. */
  parked(topic: string, group: string): Promise<Letter[]>;

  /** Lets a parked key go on: with what stopped it, or past it; resolves to whether it was parked. */
  unpark(topic: string, group: string, key: string, skip: boolean): Promise<boolean>;
}

/** What a publisher is told who waits for replicas where the client does not see them. */
export function noReplicas(): UnsupportedError {
  return new UnsupportedError("waitReplicas needs a connection to Redis itself: use redis://");
}

/** `Mail` where there are no durable events: everything is an UnsupportedError. */
export class NoMail implements Mail {
  readonly #hint: string;

  /** The hint says what to use instead. */
  constructor(hint: string) {
    this.#hint = hint;
  }

  /** See `Mail.append`. */
  append = this.#refuse;
  /** See `Mail.appendToReplicas`. */
  appendToReplicas = this.#refuse;
  /** See `Mail.enroll`. */
  enroll = this.#refuse;
  /** See `Mail.claim`. */
  claim = this.#refuse;
  /** See `Mail.settle`. */
  settle = this.#refuse;
  /** See `Mail.extend`. */
  extend = this.#refuse;
  /** See `Mail.topics`. */
  topics = this.#refuse;
  /** See `Mail.groups`. */
  groups = this.#refuse;
  /** See `Mail.dismiss`. */
  dismiss = this.#refuse;
  /** See `Mail.letters`. */
  letters = this.#refuse;
  /** See `Mail.redrive`. */
  redrive = this.#refuse;
  /** See `Mail.purge`. */
  purge = this.#refuse;
  /** See `Mail.parked`. */
  parked = this.#refuse;
  /** See `Mail.unpark`. */
  unpark = this.#refuse;

  async #refuse(): Promise<never> {
    throw new UnsupportedError(`durable events cannot be kept here; ${this.#hint}`);
  }
}
