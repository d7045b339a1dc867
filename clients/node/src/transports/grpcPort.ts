import { Clock, monotonic } from "../clock.js";
import type {
  Delivery,
  Dispatched,
  Register,
  Interest as WireInterest,
  Route as WireRoute,
} from "../contract/gateway.js";
import { type Envelope, errorFromWire, errorToWire, newEnvelope, parse, serialize } from "../envelope.js";
import { OverloadedError, type TielineError, UnavailableError } from "../errors.js";
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
import {
  type Answer,
  frameOf,
  GrpcLink,
  type Item,
  LinkBrokenError,
  type LinkUser,
  type OpenStream,
  type Said,
} from "./grpcLink.js";
import { GrpcMail } from "./grpcMail.js";

const BROKER_LOST = "the gateway lost its broker";
const ROUTES: ReadonlySet<number> = new Set(Object.values(Route));

/** Where a port's Links lead. */
export interface Gateway {
  readonly address: string;
  readonly open: OpenStream;
  /** What it means if no answer comes in time. */
  late(): TielineError;
}

/** One instance at a gateway, through as many Links as it takes: each is a new one, on which everything is registered again. */
export class GrpcPort implements Port, LinkUser {
  readonly clock = new Clock();
  /** See `Port.observing`. */
  observing = false;
  /** See `Port.agenda`. */
  readonly agenda: Agenda = new GrpcAgenda({
    clock: this.clock,
    require: () => this.#require(),
    untilUp: () => this.#untilUp(),
  });
  /** See `Port.mail`. */
  readonly mail = new GrpcMail(() => this.#require());
  readonly #gateway: Gateway;
  readonly #service: string;
  readonly #receiver: Receiver;
  readonly #settings: Settings;
  readonly #client: string;
  readonly #interests = new Map<string, Interest>();
  #kept: { until: number; frame: Buffer }[] = [];
  #keptBytes = 0;
  #link: GrpcLink;
  #up = false;
  #waiting: (() => void)[] = [];
  #broker = true;
  #brokerLostAt = 0;
  #gap: Gap | undefined;
  #closed = false;

  constructor(gateway: Gateway, service: string, client: string, receiver: Receiver, settings: Settings) {
    this.#gateway = gateway;
    this.#service = service;
    this.#client = client;
    this.#receiver = receiver;
    this.#settings = settings;
    this.#link = this.#newLink();
  }

  /** See `Port.instance`; another one after each reconnect. */
  get instance(): string {
    return this.#link.instance;
  }

  /** See `Port.connected`. */
  get connected(): boolean {
    return this.#broker && this.#up && !this.#closed;
  }

  /** Connects for the first time; rejects as `Transport.open` does. */
  async start(): Promise<void> {
    await this.#hello(this.#link);
    this.#up = true;
    this.#receiver.onConnected(undefined);
  }

  // --- what the event system asks for --------------------------------------------------------------------------------

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.set(interestKey(interest), interest);
    try {
      await this.#untilUp();
      // If the link breaks now, the reconnect registers everything.
      const wanted = () => interests.filter((interest) => this.#interests.has(interestKey(interest)));
      while (!(await this.#told({ $case: "register", value: registerOf(wanted()) }))) await this.#untilUp();
    } catch (error) {
      for (const interest of interests) this.#interests.delete(interestKey(interest));
      throw error;
    }
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.delete(interestKey(interest));
    if (this.#up) await this.#told({ $case: "unregister", value: registerOf(interests) });
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
    if (this.#up && !this.#link.broken) this.#link.send(item);
    else this.#keep(frameOf(item));
  }

  /** See `Port.release`. */
  release({ topic, id, kind, idempotencyKey }: Envelope, error: TielineError): void {
    if (this.#refusal() !== undefined) return; // the claim ends by itself
    const request = serialize({ ...newEnvelope(kind), topic, id, idempotencyKey });
    this.#link.send({ $case: "release", value: { request, error: errorToWire(error) } });
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
    await this.#link.close();
    this.#wake();
  }

  // --- what the gateway says -----------------------------------------------------------------------------------------

  /** See `LinkUser`. */
  onSaid(said: Said): void {
    if (said.$case === "delivery") this.#delivered(said.value);
    else if (said.$case === "dispatched") this.#dispatched(said.value);
    else if (said.$case === "gap") this.#gapped(said.value);
    else if (said.$case === "broker") this.#brokerIs(said.value.connected);
    else if (said.$case === "observing") this.observing = said.value.any;
    else if (said.$case === "wake") this.#receiver.onMail(said.value.topic, said.value.group);
  }

  /** See `LinkUser`. */
  onBroken(reason: string): void {
    this.#up = false;
    if (this.#broker) this.#receiver.onDisconnected(`the link to ${this.#gateway.address} broke: ${reason}`);
    void this.#reconnect(this.#link.heardAt, reason);
  }

  #delivered({ interest, envelope: bytes }: Delivery): void {
    const envelope = parse(bytes);
    if (envelope === undefined || interest === undefined) return;
    if (interest.route === Route.INBOX) this.#receiver.onAnswer(envelope);
    else if (interest.route === Route.REQUEST) this.#receiver.onRequest(envelope);
    else if (isOurs(interest)) this.#receiver.onEvent(interest, envelope);
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

  #brokerIs(connected: boolean): void {
    const was = this.#broker;
    this.#broker = connected;
    if (was === connected || !this.#up) return;
    const now = this.clock.now();
    if (connected) {
      this.#gap ??= { since: this.#brokerLostAt, until: now, reason: BROKER_LOST };
      this.#tellConnected();
    } else {
      this.#brokerLostAt = now;
      this.#receiver.onDisconnected(BROKER_LOST);
    }
  }

  #tellConnected(): void {
    const gap = this.#gap;
    this.#gap = undefined;
    this.#receiver.onConnected(gap);
  }

  // --- one Link after another ----------------------------------------------------------------------------------------

  async #reconnect(heardAt: number, reason: string): Promise<void> {
    const { reconnectMin, reconnectMax } = this.#settings;
    let linked = false;
    for (let most = reconnectMin; !linked && !this.#closed; most = Math.min(2 * most, reconnectMax)) {
      await pause(Math.random() * most);
      linked = await this.#linkAnew();
    }
    if (this.#closed) return this.#link.close();
    this.#sendKept();
    this.#up = true;
    this.#wake();
    const until = this.clock.now();
    this.#gap = { since: until - Math.round(monotonic() - heardAt), until, reason };
    if (this.#broker) this.#tellConnected();
  }

  async #linkAnew(): Promise<boolean> {
    const link = this.#newLink();
    try {
      this.#link = link;
      this.#broker = true;
      this.observing = false;
      await this.#hello(link);
      const interests = [...this.#interests.values()];
      if (interests.length > 0) await link.ask({ $case: "register", value: registerOf(interests) });
      return !link.broken;
    } catch {
      await link.close();
      return false;
    }
  }

  #newLink(): GrpcLink {
    const user: LinkUser = {
      onSaid: (said) => this.onSaid(said),
      onBroken: (reason) => this.#up && link === this.#link && this.onBroken(reason),
    };
    const link = new GrpcLink(this.#gateway.open, this.clock, this.#settings, user);
    return link;
  }

  #hello(link: GrpcLink): Promise<void> {
    return link.open({ service: this.#service, client: this.#client }, this.#gateway.late());
  }

  async #untilUp(): Promise<void> {
    if (!this.#up && !this.#closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#closed) throw new UnavailableError("the event system is closed", { outcome: "NOT_DELIVERED" });
  }

  #wake(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Whether the gateway said `Done`; rejects with the error it said. */
  async #told(item: Parameters<GrpcLink["ask"]>[0]): Promise<boolean> {
    try {
      const done = await this.#link.ask(item);
      if ("error" in done && done.error !== undefined) throw errorFromWire(done.error);
      return true;
    } catch (error) {
      if (error instanceof LinkBrokenError) return false;
      throw error;
    }
  }

  /** Asks the gateway something that changes nothing; rejects with the error it said. */
  async #asked(item: Parameters<GrpcLink["ask"]>[0]): Promise<Answer> {
    const answer = await this.#require()
      .ask(item)
      .catch(() => undefined);
    if (answer === undefined) {
      const outcome = "NOT_DELIVERED";
      throw new UnavailableError("the link to the gateway broke while it was asked", { outcome });
    }
    if ("error" in answer && answer.error !== undefined) throw errorFromWire(answer.error);
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
    const { address } = this.#gateway;
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

  // --- answers that wait for a link ----------------------------------------------------------------------------------

  #keep(frame: Buffer): void {
    if (this.#keptBytes + frame.length > this.#settings.offlineBuffer) return;
    this.#kept.push({ until: monotonic() + this.#settings.callTtl, frame });
    this.#keptBytes += frame.length;
  }

  #sendKept(): void {
    const now = monotonic();
    this.#keptBytes = 0;
    for (const { until, frame } of this.#kept.splice(0)) if (until > now) this.#link.outbox.put(frame);
  }
}

function registerOf(interests: readonly Interest[]): Register {
  return { ref: 0, interests: interests.map((interest) => ({ ...interest, route: interest.route as WireRoute })) };
}

function isOurs(interest: WireInterest): interest is WireInterest & Interest {
  return ROUTES.has(interest.route);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
