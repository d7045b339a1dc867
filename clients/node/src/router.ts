import type { Subscription } from "./subscription.js";
import { isWildcard, PatternTrie } from "./topics.js";
import { type Interest, interestKey, Route } from "./transport.js";

/** Subscriptions of one interest, who take turns. */
export class Turn {
  readonly interest: Interest;
  readonly members: Subscription[] = [];
  #next = 0;

  constructor(interest: Interest) {
    this.interest = interest;
  }

  /** The next one that has room and is not leaving; undefined when there is none. */
  pick(): Subscription | undefined {
    const { members } = this;
    for (let tries = members.length; tries > 0; tries--) {
      this.#next = (this.#next + 1) % members.length;
      const member = members[this.#next];
      if (member !== undefined && !member.leaving && member.mailbox.hasRoom) return member;
    }
    return undefined;
  }

  /** As `pick`, but one that is leaving serves what was already on its way to it. */
  pickLate(): Subscription | undefined {
    return this.pick() ?? this.members.find((member) => member.mailbox.hasRoom);
  }
}

/** Who gets an event here: subscriptions that each get a copy, and of each group those that take turns. */
export interface Listeners {
  readonly each: readonly Subscription[];
  readonly groups: ReadonlyMap<string, Turn>;
}

const NOBODY: Listeners = { each: [], groups: new Map() };

/** Which local subscriptions get an envelope. Rules: SPEC.md, section 5. */
export class Router {
  readonly #at = new Map<string, Turn>();
  readonly #responders = new Map<string, Turn>();
  readonly #events = new Map<string, Set<Turn>>();
  readonly #patterns = new PatternTrie<Turn>();
  readonly #observed = new PatternTrie<Turn>();

  /** All subscriptions, each once. */
  all(): Subscription[] {
    return [...new Set([...this.#at.values()].flatMap((turn) => turn.members))];
  }

  /** What all subscriptions together want to receive. */
  interests(): Interest[] {
    return [...this.#at.values()].map((turn) => turn.interest);
  }

  /** Takes it in. */
  add(subscription: Subscription): void {
    for (const interest of subscription.interests) this.#add(interest, subscription);
  }

  /** Whether somebody who stays wants it. */
  wants(interest: Interest): boolean {
    return this.at(interest)?.members.some((member) => !member.leaving) ?? false;
  }

  /** Lets it go. */
  remove(subscription: Subscription): void {
    for (const interest of subscription.interests) this.#remove(interest, subscription);
  }

  /** The next local responder with room. */
  responder(topic: string): Subscription | undefined {
    return this.#responders.get(topic)?.pick();
  }

  /** Whether a local responder has room. */
  hasRoom(topic: string): boolean {
    const members = this.#responders.get(topic)?.members ?? NOBODY.each;
    return members.some((member) => !member.leaving && member.mailbox.hasRoom);
  }

  /** Who answers a request that was dispatched to this process; of this group, if one is named. */
  taker(topic: string, group = ""): Subscription | undefined {
    const turn = this.#responders.get(topic);
    if (group === "") return turn?.pickLate();
    const members = turn?.members.filter((member) => member.group === group && member.mailbox.hasRoom) ?? [];
    return members.find((member) => !member.leaving) ?? members[0];
  }

  /** Whether anybody here answers this topic, with room or without; of this group, if one is named. */
  hasResponder(topic: string, group = ""): boolean {
    const members = this.#responders.get(topic)?.members ?? NOBODY.each;
    return members.some((member) => !member.leaving && (group === "" || member.group === group));
  }

  /** Who gets an event of a topic. A group's members on the topic itself come before those on patterns. */
  listeners(topic: string): Listeners {
    const exact = this.#events.get(topic);
    if (exact === undefined && this.#patterns.size === 0) return NOBODY;
    const each: Subscription[] = [];
    const groups = new Map<string, Turn>();
    const found = [...(exact ?? []), ...(this.#patterns.size > 0 ? this.#patterns.match(topic) : [])];
    for (const turn of found) {
      const { route, group } = turn.interest;
      if (route === Route.EVENT) each.push(...turn.members.filter((member) => !member.leaving));
      else if (!groups.has(group)) groups.set(group, turn);
    }
    return { each, groups };
  }

  /** Local observers of a topic. */
  observers(topic: string): readonly Subscription[] {
    if (this.#observed.size === 0) return NOBODY.each;
    return this.#observed.match(topic).flatMap((turn) => turn.members.filter((member) => !member.leaving));
  }

  /** Subscriptions registered under exactly this interest. */
  at(interest: Interest): Turn | undefined {
    return this.#at.get(interestKey(interest));
  }

  #add(interest: Interest, subscription: Subscription): void {
    const key = interestKey(interest);
    const known = this.#at.get(key);
    const turn = known ?? new Turn(interest);
    if (known === undefined) {
      this.#at.set(key, turn);
      this.#index(turn);
    }
    turn.members.push(subscription);
  }

  #index(turn: Turn): void {
    const { route, pattern } = turn.interest;
    if (route === Route.MAIL) return;
    if (route === Route.REQUEST) this.#responders.set(pattern, turn);
    else if (route === Route.OBSERVER) this.#observed.insert(pattern, turn);
    else if (isWildcard(pattern)) this.#patterns.insert(pattern, turn);
    else this.#events.set(pattern, (this.#events.get(pattern) ?? new Set()).add(turn));
  }

  #remove(interest: Interest, subscription: Subscription): void {
    const turn = this.at(interest);
    const place = turn?.members.indexOf(subscription) ?? -1;
    if (turn === undefined || place < 0) return;
    turn.members.splice(place, 1);
    if (turn.members.length > 0) return;
    this.#at.delete(interestKey(interest));
    this.#forget(turn);
  }

  #forget(turn: Turn): void {
    const { route, pattern } = turn.interest;
    if (route === Route.MAIL) return;
    if (route === Route.REQUEST) this.#responders.delete(pattern);
    else if (route === Route.OBSERVER) this.#observed.remove(pattern, turn);
    else if (isWildcard(pattern)) this.#patterns.remove(pattern, turn);
    else {
      const events = this.#events.get(pattern);
      events?.delete(turn);
      if (events?.size === 0) this.#events.delete(pattern);
    }
  }
}
