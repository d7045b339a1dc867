import { type Clock, monotonic } from "../clock.js";
import { ASK_TOPIC } from "../contract/contract.js";
import type { Hello } from "../contract/gateway.js";
import { errorFromWire } from "../envelope.js";
import { OverloadedError, type TielineError, UnavailableError } from "../errors.js";
import type { Settings } from "../settings.js";
import type { Interest } from "../transport.js";
import { registerOf, unregisterOf, without } from "./grpcInterests.js";
import {
  type Answer,
  type Asking,
  type Gateway,
  GrpcLink,
  LinkBrokenError,
  type LinkUser,
  type Said,
} from "./grpcLink.js";
import type { Moves } from "./grpcMove.js";

/** Who is told what comes over the Links, and what becomes of the one in use. */
export interface LinksUser {
  onSaid(link: GrpcLink, said: Said): void;
  /** The Link in use, to that address, broke; nothing was heard since that moment (ms, broker clock). */
  onLost(since: number, reason: string, address: string): void;
  /** Another Link is about to be used before the old one has ended, and why. */
  onMoved(reason: string): void;
  /** Another Link is in use than at the start. */
  onLinked(): void;
}

/**
 * One Link after another to one of several gateways: each is a new instance, on which everything is registered again.
 *
 * Where the gateway in use is about to stop and there are others, the next Link begins before the old one ends, which then
 * only brings what is under way there to its end (`Moves`).
 */
export class Links implements LinkUser {
  /** The Link in use; the last one, while there is none. */
  inUse: GrpcLink;
  /** The instance this process was on the Link before. */
  former = "";
  /** What is registered on each, by `interestKey`. */
  readonly wanted = new Map<string, Interest>();
  readonly #gateways: Gateway[];
  readonly #hello: Hello;
  readonly #clock: Clock;
  readonly #settings: Settings;
  readonly #user: LinksUser;
  readonly #moves: Moves;
  #up = false;
  #closed = false;
  #waiting: (() => void)[] = [];

  constructor(
    gateways: readonly Gateway[],
    hello: Hello,
    clock: Clock,
    settings: Settings,
    user: LinksUser,
    moves: Moves,
  ) {
    this.#gateways = shuffled(gateways);
    this.#hello = hello;
    this.#clock = clock;
    this.#settings = settings;
    this.#user = user;
    this.#moves = moves;
    this.inUse = this.#nextLink();
  }

  /** Whether there is a Link; its gateway may be without a broker. */
  get up(): boolean {
    return this.#up && !this.#closed;
  }

  /** Whether there is a Link to a gateway that has its broker. */
  get connected(): boolean {
    return this.inUse.broker && this.up;
  }

  /** Connects for the first time; rejects as `Transport.open` does, with what the last of several gateways said. */
  async start(): Promise<void> {
    for (let left = this.#gateways.length - 1; left >= 0; left--) {
      try {
        await this.inUse.open(this.#hello);
        break;
      } catch (error) {
        if (left === 0) throw error;
        this.inUse = this.#nextLink();
      }
    }
    this.wantedChanged();
    this.#up = true;
    void this.#run();
  }

  /** Ends all of them. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([this.inUse.close(), this.#moves.close()]);
    this.#wake();
  }

  // --- the Link in use -----------------------------------------------------------------------------------------------

  /** Why nothing can be sent now. */
  refusal(): TielineError | undefined {
    const { address, broken, outbox } = this.inUse;
    if (!this.connected || broken) {
      return new UnavailableError(`the gateway at ${address} cannot be reached now; reconnecting`, {
        outcome: "NOT_DELIVERED",
      });
    }
    if (!outbox.full) return undefined;
    const { retryAfter } = this.#settings;
    return new OverloadedError(`the gateway at ${address} does not keep up with what this process sends`, {
      retryAfter,
    });
  }

  /** The Link. Throws UnavailableError: there is none now, or OverloadedError: the gateway does not read what is sent. */
  require(): GrpcLink {
    const refusal = this.refusal();
    if (refusal !== undefined) throw refusal;
    return this.inUse;
  }

  /** Resolves when there is a Link; rejects with UnavailableError when there will be none. */
  async untilUp(): Promise<void> {
    if (!this.#up && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) throw new UnavailableError("the event system is closed", { outcome: "NOT_DELIVERED" });
  }

  /** Whether the gateway said `Done`, before the Link broke; rejects with the error it said. */
  async told(item: Asking): Promise<boolean> {
    try {
      throwSaid(await this.inUse.ask(item));
      return true;
    } catch (error) {
      if (error instanceof LinkBrokenError) return false;
      throw error;
    }
  }

  /** Asks the gateway something that changes nothing; rejects with the error it said. */
  async asked(item: Asking): Promise<Answer> {
    const answer = await this.require()
      .ask(item)
      .catch(() => undefined);
    if (answer === undefined) {
      const outcome = "NOT_DELIVERED";
      throw new UnavailableError("the link to the gateway broke while it was asked", { outcome });
    }
    throwSaid(answer);
    return answer;
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** What is wanted changed: a process that only publishes and calls may end while there is a Link; one that serves stays. */
  wantedChanged(): void {
    this.inUse.keepAlive(this.#isNeeded);
  }

  get #isNeeded(): boolean {
    return [...this.wanted.values()].some(({ pattern }) => pattern !== ASK_TOPIC);
  }

  // --- one Link after another ----------------------------------------------------------------------------------------

  /** See `LinkUser`. */
  onSaid(link: GrpcLink, said: Said): void {
    this.#user.onSaid(link, said);
  }

  /** See `LinkUser`: the Link in use broke; told once, before anybody learns it from a question that got no answer. */
  onBroken(link: GrpcLink, reason: string): void {
    if (link !== this.inUse || !this.up) return;
    this.#up = false;
    const silence = Math.round(monotonic() - link.heardAt);
    this.#user.onLost(this.#clock.now() - silence, reason, link.address);
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const link = this.inUse;
      if (await this.#hasToMove(link)) {
        await this.#move(link);
        continue;
      }
      const reason = await link.ended;
      if (this.#closed) return;
      this.onBroken(link, reason); // it may have broken before it was in use
      void link.close();
      await this.#reconnect();
    }
  }

  async #reconnect(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      await this.#pause(attempt);
      if (this.#closed || (await this.#linkNext((link) => this.#use(link)))) return;
    }
  }

  async #pause(attempt: number): Promise<void> {
    const { reconnectMin, reconnectMax } = this.#settings;
    const ceiling = Math.min(reconnectMax, reconnectMin * 2 ** Math.min(attempt, 16));
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.random() * ceiling);
      if (!this.#isNeeded) timer.unref();
    });
  }

  /** Links to the next gateway, which learns what is wanted of it; has the Link used, and returns whether there is one. */
  async #linkNext(use: (link: GrpcLink) => void): Promise<boolean> {
    const link = this.#nextLink();
    this.#moves.prepare(link);
    try {
      await link.open(this.#hello);
      await this.#registerEverything(link);
      if (link.broken || this.#closed) throw new LinkBrokenError("it is not needed any more");
      use(link); // in the same turn: what is wanted has not changed
      return true;
    } catch {
      void link.close();
      return false;
    } finally {
      this.#moves.settle();
    }
  }

  /** Where there are several gateways, to another one each time. */
  #nextLink(): GrpcLink {
    const gateway = this.#gateways.pop() as Gateway;
    this.#gateways.unshift(gateway);
    return new GrpcLink(gateway, this.#clock, this.#settings, this);
  }

  /** Until the gateway knows what is wanted now, which may change meanwhile. */
  async #registerEverything(link: GrpcLink): Promise<void> {
    for (let known = new Map<string, Interest>(); !sameKeys(known, this.wanted); ) {
      const wanted = new Map(this.wanted);
      for (const item of [registerOf(without(wanted, known)), unregisterOf(without(known, wanted))]) {
        if (item.value.interests.length > 0) throwSaid(await link.ask(item));
      }
      known = wanted;
    }
  }

  #use(link: GrpcLink): void {
    this.former = this.inUse.instance;
    this.inUse = link;
    this.wantedChanged();
    this.#up = true;
    this.#user.onLinked();
    this.#wake();
  }

  // --- from a gateway that is about to stop to another one -----------------------------------------------------------

  /** Waits until the Link has ended, or its gateway is about to stop and there are others; whether the latter. */
  async #hasToMove(link: GrpcLink): Promise<boolean> {
    if (this.#gateways.length === 1) return false;
    await Promise.race([link.ended, link.drained]);
    return link.draining && !link.broken;
  }

  /** Begins at another gateway, and lets the calls that are under way here come to their end here. */
  async #move(old: GrpcLink): Promise<void> {
    this.#moves.begin(old);
    for (let attempt = 0; ; attempt++) {
      const moved = await this.#linkNext((link) => this.#moveTo(old, link));
      if (moved || old.broken || this.#closed) break;
      await this.#pause(attempt);
    }
    this.#moves.end(old);
  }

  #moveTo(old: GrpcLink, link: GrpcLink): void {
    if (old.broken) void old.close();
    else this.#moves.leave(old);
    this.#user.onMoved(`the gateway at ${old.address} stopped`);
    this.#use(link);
  }
}

function throwSaid(answer: Answer): void {
  if ("error" in answer && answer.error !== undefined) throw errorFromWire(answer.error);
}

function sameKeys(one: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): boolean {
  return one.size === other.size && [...one.keys()].every((key) => other.has(key));
}

function shuffled<T>(some: readonly T[]): T[] {
  return some
    .map((one) => ({ one, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ one }) => one);
}
