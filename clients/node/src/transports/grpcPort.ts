import { Clock, monotonic } from "../clock.js";
import type { Delivery, Dispatched, Hello } from "../contract/gateway.js";
import { type Envelope, errorFromWire, errorToWire, newEnvelope, parse, serialize } from "../envelope.js";
import { OverloadedError, type TielineError, UnavailableError } from "../errors.js";
import { callKey, instanceOf } from "../identity.js";
import type { Agenda } from "../schedule.js";
import type { Settings } from "../settings.js";
import {
  type Gap,
  type Interest,
  interestKey,
  type Place,
  type Port,
  type Probed,
  type Receiver,
  Route,
} from "../transport.js";
import { GrpcAgenda } from "./grpcAgenda.js";
import { isOurs, registerOf, unregisterOf, without } from "./grpcInterests.js";
import { GrpcKept } from "./grpcKept.js";
import {
  type Answer,
  type Asking,
  frameOf,
  type Gateway,
  GrpcLink,
  type Item,
  LinkBrokenError,
  type LinkUser,
  type Said,
} from "./grpcLink.js";
import { GrpcMail } from "./grpcMail.js";
import { Beside, Leaving, Overlap } from "./grpcMove.js";

/** How long the same event may come again over a Link that is slower than the one it came over first. */
const LATE_MS = 15_000;
const BROKER_LOST = "the gateway lost its broker";

/**
 * One instance at a gateway, through as many Links as it takes: each is a new one, on which everything is registered again.
 *
 * Where there are several gateways, and the one in use is about to stop, the next Link begins before the old one ends, which
 * then only brings what is under way there to its end (`Leaving`).
 */
export class GrpcPort implements Port, LinkUser {
  readonly clock = new Clock();
  /** See `Port.agenda`. */
  readonly agenda: Agenda = new GrpcAgenda({
    clock: this.clock,
    require: () => this.#require(),
    untilUp: () => this.#untilUp(),
  });
  /** See `Port.mail`. */
  readonly mail = new GrpcMail(() => this.#require());
  readonly #gateways: Gateway[];
  readonly #hello: Hello;
  readonly #receiver: Receiver;
  readonly #settings: Settings;
  readonly #interests = new Map<string, Interest>();
  readonly #kept: GrpcKept;
  #link: GrpcLink;
  /** The instance it was before. */
  #former = "";
  /** The Link that is about to be used, with what arrived there already. */
  #next: Beside | undefined;
  #leaving: Leaving | undefined;
  #overlap: Overlap | undefined;
  #up = false;
  #waiting: (() => void)[] = [];
  /** Since when (ms, broker clock) the broker cannot be reached, and why. */
  #away: Omit<Gap, "until"> | undefined;
  #gap: Gap | undefined;
  #closed = false;

  constructor(gateways: readonly Gateway[], hello: Hello, receiver: Receiver, settings: Settings) {
    this.#gateways = shuffled(gateways);
    this.#hello = hello;
    this.#receiver = receiver;
    this.#settings = settings;
    this.#kept = new GrpcKept(settings);
    this.#link = this.#newLink();
  }

  /** See `Port.instance`; another one after each reconnect. */
  get instance(): string {
    return this.#link.instance;
  }

  /** See `Port.connected`. */
  get connected(): boolean {
    return this.#link.broker && this.#up && !this.#closed;
  }

  /** See `Port.observing`. */
  get observing(): boolean {
    return this.#link.observing;
  }

  /** Connects for the first time; rejects as `Transport.open` does, with what the last of several gateways said. */
  async start(): Promise<void> {
    for (let left = this.#gateways.length - 1; left >= 0; left--) {
      try {
        await this.#link.open(this.#hello);
        break;
      } catch (error) {
        if (left === 0) throw error;
        this.#link = this.#newLink();
      }
    }
    this.#up = true;
    this.#receiver.onConnected(undefined);
    if (!this.#link.broker) this.#goAway(this.clock.now(), BROKER_LOST);
    void this.#run();
  }

  // --- what the event system asks for --------------------------------------------------------------------------------

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.set(interestKey(interest), interest);
    try {
      await this.#untilUp();
      // If the link breaks now, the reconnect registers everything.
      const wanted = () => interests.filter((interest) => this.#interests.has(interestKey(interest)));
      while (!(await this.#told(registerOf(wanted())))) await this.#untilUp();
    } catch (error) {
      for (const interest of interests) this.#interests.delete(interestKey(interest));
      throw error;
    }
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.delete(interestKey(interest));
    if (this.#up) await this.#told(unregisterOf(interests));
  }

  /** See `Port.publish`. */
  async publish(envelope: Envelope, served: readonly string[]): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    const value = { ref: 0, envelope: serialize(envelope), served: [...served] };
    if (await this.#told({ $case: "event", value })) return;
    throw new UnavailableError("the link to the gateway broke; whether the event was published is unknown");
  }

  /** See `Port.dispatch`. */
  dispatch(envelope: Envelope, avoid: string, to = ""): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) this.#receiver.onDispatched(envelope.callId, "", refusal);
    else this.#link.send({ $case: "request", value: { envelope: serialize(envelope), avoid, to } });
  }

  /** See `Port.answer`. */
  answer(to: string, envelope: Envelope): void {
    const item: Item = { $case: "answer", value: { to, envelope: serialize(envelope) } };
    const beside = this.#beside(envelope.callId);
    if (beside !== undefined) beside.send(item);
    else if (this.#up && !this.#link.broken) this.#link.send(item);
    else this.#kept.add(frameOf(item));
  }

  /** See `Port.release`. */
  release({ topic, id, callId, kind, idempotencyKey }: Envelope, error: TielineError): void {
    const beside = this.#beside(callId);
    if (beside === undefined && this.#refusal() !== undefined) return; // the claim ends by itself
    const request = serialize({ ...newEnvelope(kind), topic, id, idempotencyKey });
    (beside ?? this.#link).send({ $case: "release", value: { request, error: errorToWire(error) } });
  }

  /** See `Port.keepTrail`. */
  keepTrail(correlationId: string, trail: Buffer): void {
    if (this.#refusal() === undefined) this.#link.send({ $case: "sendTrail", value: { correlationId, trail } });
  }

  /** See `Port.findTrail`. */
  async findTrail(correlationId: string): Promise<Buffer> {
    const answer = await this.#asked({ $case: "findTrail", value: { ref: 0, correlationId } });
    return "trail" in answer ? answer.trail : Buffer.alloc(0);
  }

  /** See `Port.observe`. */
  observe(envelope: Envelope): void {
    if (this.#refusal() !== undefined) return;
    this.#link.send({ $case: "event", value: { ref: 0, envelope: serialize(envelope), served: [] } });
  }

  /** See `Port.probe`. */
  async probe(instances: readonly string[]): Promise<Probed> {
    const answer = await this.#asked({ $case: "probe", value: { ref: 0, instances: [...instances] } });
    return {
      silent: new Set("silent" in answer ? answer.silent : []),
      expired: new Set("expired" in answer ? answer.expired : []),
    };
  }

  /** See `Port.responders`. */
  async responders(topic: string): Promise<Place[]> {
    const answer = await this.#asked({ $case: "findResponders", value: { ref: 0, topic } });
    return "responders" in answer ? answer.responders : [];
  }

  /** See `Port.close`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([this.#link, this.#next?.link, this.#leaving?.link].map((link) => link?.close()));
    this.#wake();
  }

  // --- what the gateway says -----------------------------------------------------------------------------------------

  /** See `LinkUser`. What is said of the gateway counts while it is the one in use. */
  onSaid(link: GrpcLink, said: Said): void {
    if (said.$case === "delivery") this.#delivered(link, said.value);
    else if (said.$case === "dispatched") this.#dispatched(said.value);
    else if (said.$case === "broker") this.#brokerIs(link, said.value.connected);
    else if (link !== this.#link) return;
    else if (said.$case === "gap") this.#gapped(said.value);
    else if (said.$case === "wake") this.#receiver.onMail(said.value.topic, said.value.group);
  }

  /** See `LinkUser`: the Link in use broke; told once, before anybody learns it from a question that got no answer. */
  onBroken(link: GrpcLink, reason: string): void {
    if (link !== this.#link || !this.#up || this.#closed) return;
    this.#up = false;
    const since = this.clock.now() - Math.round(monotonic() - link.heardAt);
    this.#goAway(since, reason, `the link to ${link.address} broke: ${reason}`);
  }

  #delivered(link: GrpcLink, { interest, envelope: bytes }: Delivery): void {
    const envelope = parse(bytes);
    if (envelope === undefined || interest === undefined) return;
    if (interest.route === Route.INBOX) this.#receiver.onAnswer(envelope);
    else if (interest.route === Route.REQUEST) this.#requested(link, envelope);
    else if (isOurs(interest) && !this.#isOwn(envelope)) {
      if (this.#overlap?.lets(link, interest, envelope) ?? true) this.#receiver.onEvent(interest, envelope);
    }
  }

  /** It is answered over the Link by which it came. */
  #requested(link: GrpcLink, request: Envelope): void {
    for (const beside of [this.#leaving, this.#next]) {
      if (link !== this.#link && beside?.link === link) beside.calls.add(callKey(request.callId));
    }
    this.#receiver.onRequest(request);
  }

  /** The Link over which something is to be said of a call, if it is not the one in use. */
  #beside(callId: Buffer): GrpcLink | undefined {
    if (this.#leaving?.takes(callId)) return this.#leaving.link;
    return this.#next?.takes(callId) ? this.#next.link : undefined;
  }

  /** Published here: over one Link it comes back by the other one. */
  #isOwn({ source, scheduled, replay }: Envelope): boolean {
    if (source === "" || scheduled !== 0 || replay !== "") return false;
    const instance = instanceOf(source);
    return instance === this.instance || instance === this.#former;
  }

  #dispatched({ callId, instance, error, joinedUntil }: Dispatched): void {
    if (joinedUntil !== 0) return this.#receiver.onJoined(callId, joinedUntil, instance);
    this.#receiver.onDispatched(callId, instance, error && errorFromWire(error));
  }

  /** A gap before the broker is back belongs to its return; at any other time the gateway had to drop events. */
  #gapped(gap: Gap): void {
    this.#gap = gap;
    if (this.connected) this.#tellConnected();
  }

  #brokerIs(link: GrpcLink, connected: boolean): void {
    const was = link.broker;
    link.broker = connected;
    if (was === connected || !this.#up || link !== this.#link) return;
    if (connected) this.#tellConnected();
    else this.#goAway(this.clock.now(), BROKER_LOST);
  }

  /** The receiver is told once, however much is lost by and by. */
  #goAway(since: number, reason: string, told = reason): void {
    if (this.#away !== undefined) return;
    this.#away = { since, reason };
    this.#receiver.onDisconnected(told);
  }

  #tellConnected(): void {
    const [gap, away] = [this.#gap, this.#away];
    this.#gap = undefined;
    this.#away = undefined;
    if (away === undefined) return this.#receiver.onConnected(gap);
    const since = Math.min(away.since, gap?.since ?? away.since);
    this.#receiver.onConnected({ since, until: this.clock.now(), reason: gap?.reason ?? away.reason });
  }

  // --- one Link after another ----------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    while (!this.#closed) {
      const link = this.#link;
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
    for (const most of this.#pauses()) {
      await pause(Math.random() * most);
      if (this.#closed || (await this.#linkNext((link) => this.#use(link)))) return;
    }
  }

  /** How long to wait at most, each time (ms). */
  *#pauses(): Generator<number> {
    const { reconnectMin, reconnectMax } = this.#settings;
    for (let most = reconnectMin; ; most = Math.min(2 * most, reconnectMax)) yield most;
  }

  /** Links to the next gateway, which learns what is wanted of it; has the Link used, and returns whether there is one. */
  async #linkNext(use: (link: GrpcLink) => void): Promise<boolean> {
    const link = this.#newLink();
    this.#next = new Beside(link);
    try {
      await link.open(this.#hello);
      for (let known = new Map<string, Interest>(); !sameKeys(known, this.#interests); ) {
        known = await this.#bringUpToDate(link, known);
      }
      if (link.broken || this.#closed) throw new LinkBrokenError("it is not needed any more");
      use(link); // in the same turn: what is wanted has not changed
      return true;
    } catch {
      void link.close();
      return false;
    } finally {
      this.#next = undefined;
    }
  }

  /** Tells the gateway what is wanted now, which may change meanwhile; returns what it knows then. */
  async #bringUpToDate(link: GrpcLink, known: ReadonlyMap<string, Interest>): Promise<Map<string, Interest>> {
    const wanted = new Map(this.#interests);
    for (const item of [registerOf(without(wanted, known)), unregisterOf(without(known, wanted))]) {
      if (item.value.interests.length > 0) throwSaid(await link.ask(item));
    }
    return wanted;
  }

  #use(link: GrpcLink): void {
    this.#former = this.#link.instance;
    this.#link = link;
    this.#kept.send(link.outbox);
    this.#up = true;
    this.#wake();
    if (link.broker) this.#tellConnected();
    else this.#goAway(this.clock.now(), BROKER_LOST);
  }

  /** Where there are several gateways, to another one each time. */
  #newLink(): GrpcLink {
    const gateway = this.#gateways.pop() as Gateway;
    this.#gateways.unshift(gateway);
    return new GrpcLink(gateway, this.clock, this.#settings, this);
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
    this.#endOverlap();
    this.#overlap = new Overlap(old, this.#overlap);
    for (const most of this.#pauses()) {
      const moved = await this.#linkNext((link) => this.#moveTo(link, old));
      if (moved || old.broken || this.#closed) break;
      await pause(Math.random() * most);
    }
    if (this.#leaving?.link !== old) this.#endOverlap();
  }

  #moveTo(link: GrpcLink, old: GrpcLink): void {
    if (old.broken) void old.close();
    else this.#leave(old);
    if (this.#away !== undefined) this.#away = { ...this.#away, reason: `the gateway at ${old.address} stopped` };
    this.#use(link);
  }

  #leave(old: GrpcLink): void {
    void this.#leaving?.link.close();
    const calls = new Set(this.#receiver.underWay());
    for (const arrived of this.#next?.calls ?? []) calls.delete(arrived);
    this.#leaving = new Leaving(old, calls, this.clock.monotonic());
    void this.#seeOff(this.#leaving);
  }

  async #seeOff(leaving: Leaving): Promise<void> {
    const { link, since } = leaving;
    await link.ask({ $case: "drain", value: { ref: 0 } }).catch(() => undefined); // nothing comes twice any more
    if (leaving === this.#leaving) this.#endOverlap();
    await link.ended;
    if (leaving === this.#leaving) this.#leaving = undefined;
    if (!this.#closed) this.#receiver.onLeft(since);
    await link.close();
  }

  /** The new Link alone is registered: what came over it only is handed on. */
  #endOverlap(): void {
    const overlap = this.#overlap;
    if (overlap === undefined) return;
    for (const [interest, envelope] of overlap.end()) this.#receiver.onEvent(interest, envelope);
    const forget = () => {
      if (this.#overlap === overlap) this.#overlap = undefined;
    };
    setTimeout(forget, LATE_MS).unref();
  }

  // --- the Link in use -----------------------------------------------------------------------------------------------

  async #untilUp(): Promise<void> {
    if (!this.#up && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) throw new UnavailableError("the event system is closed", { outcome: "NOT_DELIVERED" });
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Whether the gateway said `Done`; rejects with the error it said. */
  async #told(item: Asking): Promise<boolean> {
    try {
      throwSaid(await this.#link.ask(item));
      return true;
    } catch (error) {
      if (error instanceof LinkBrokenError) return false;
      throw error;
    }
  }

  /** Asks the gateway something that changes nothing; rejects with the error it said. */
  async #asked(item: Asking): Promise<Answer> {
    const answer = await this.#require()
      .ask(item)
      .catch(() => undefined);
    if (answer === undefined) {
      const outcome = "NOT_DELIVERED";
      throw new UnavailableError("the link to the gateway broke while it was asked", { outcome });
    }
    throwSaid(answer);
    return answer;
  }

  /** The Link. Throws UnavailableError: there is none now, or OverloadedError: the gateway does not read what is sent. */
  #require(): GrpcLink {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    return this.#link;
  }

  /** Why nothing can be sent now. */
  #refusal(): TielineError | undefined {
    const { address } = this.#link;
    if (!this.connected || this.#link.broken) {
      return new UnavailableError(`the gateway at ${address} cannot be reached now; reconnecting`, {
        outcome: "NOT_DELIVERED",
      });
    }
    if (!this.#link.outbox.full) return undefined;
    const { retryAfter } = this.#settings;
    return new OverloadedError(`the gateway at ${address} does not keep up with what this process sends`, {
      retryAfter,
    });
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
