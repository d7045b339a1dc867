import { Clock } from "../clock.js";
import type { Delivery, Dispatched, Hello } from "../contract/gateway.js";
import { type Envelope, errorFromWire, errorToWire, newEnvelope, parse, serialize } from "../envelope.js";
import { type TielineError, UnavailableError } from "../errors.js";
import { instanceOf } from "../identity.js";
import type { Agenda } from "../schedules/agenda.js";
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
import { Absence } from "./grpcAbsence.js";
import { GrpcAgenda } from "./grpcAgenda.js";
import { isOurs, registerOf, unregisterOf } from "./grpcInterests.js";
import { GrpcKept } from "./grpcKept.js";
import { frameOf, type Gateway, type GrpcLink, type Item, type Said } from "./grpcLink.js";
import { Links, type LinksUser } from "./grpcLinks.js";
import { GrpcMail } from "./grpcMail.js";
import { Moves } from "./grpcMove.js";

const BROKER_LOST = "the gateway lost its broker";

/**
 * One instance at a gateway: it goes on over one Link after another (`Links`), each of which is a new instance. What is
 * sent in one turn of the event loop travels in one frame.
 */
export class GrpcPort implements Port, LinksUser {
  readonly clock = new Clock();
  /** See `Port.agenda`. */
  readonly agenda: Agenda;
  /** See `Port.mail`. */
  readonly mail: GrpcMail;
  readonly #receiver: Receiver;
  readonly #moves: Moves;
  readonly #links: Links;
  readonly #absence: Absence;
  readonly #kept: GrpcKept;

  constructor(gateways: readonly Gateway[], hello: Hello, receiver: Receiver, settings: Settings) {
    this.#receiver = receiver;
    this.#moves = new Moves(receiver);
    this.#links = new Links(gateways, hello, this.clock, settings, this, this.#moves);
    this.#absence = new Absence(this.clock, receiver);
    this.#kept = new GrpcKept(settings);
    this.mail = new GrpcMail(this.#links);
    this.agenda = new GrpcAgenda(this.clock, this.#links);
  }

  /** See `Port.instance`; another one after each reconnect. */
  get instance(): string {
    return this.#links.inUse.instance;
  }

  /** See `Port.connected`. */
  get connected(): boolean {
    return this.#links.connected;
  }

  /** See `Port.observing`. */
  get observing(): boolean {
    return this.#links.inUse.observing;
  }

  /** Connects for the first time; rejects as `Transport.open` does, with what the last of several gateways said. */
  async start(): Promise<void> {
    await this.#links.start();
    this.#receiver.onConnected(undefined);
    if (!this.#links.inUse.broker) this.#absence.begin(BROKER_LOST);
  }

  /** See `Port.close`. */
  close(): Promise<void> {
    return this.#links.close();
  }

  // --- what the event system asks for --------------------------------------------------------------------------------

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    const { wanted } = this.#links;
    for (const interest of interests) wanted.set(interestKey(interest), interest);
    this.#links.wantedChanged();
    try {
      await this.#links.untilUp();
      // If the Link breaks now, the reconnect registers everything.
      const still = () => interests.filter((interest) => wanted.has(interestKey(interest)));
      while (!(await this.#links.told(registerOf(still())))) await this.#links.untilUp();
    } catch (error) {
      this.#forget(interests);
      throw error;
    }
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    this.#forget(interests);
    if (this.#links.up) await this.#links.told(unregisterOf(interests));
  }

  #forget(interests: readonly Interest[]): void {
    for (const interest of interests) this.#links.wanted.delete(interestKey(interest));
    this.#links.wantedChanged();
  }

  /** See `Port.publish`. */
  async publish(envelope: Envelope, served: readonly string[]): Promise<void> {
    const refusal = this.#links.refusal();
    if (refusal !== undefined) throw refusal;
    const value = { ref: 0, envelope: serialize(envelope), served: [...served] };
    if (await this.#links.told({ $case: "event", value })) return;
    throw new UnavailableError("the link to the gateway broke; whether the event was published is unknown");
  }

  /** See `Port.dispatch`. */
  dispatch(envelope: Envelope, avoid: string, to = ""): void {
    const refusal = this.#links.refusal();
    if (refusal !== undefined) this.#receiver.onDispatched(envelope.callId, "", refusal);
    else this.#links.inUse.send({ $case: "request", value: { envelope: serialize(envelope), avoid, to } });
  }

  /** See `Port.answer`. */
  answer(to: string, envelope: Envelope): void {
    const item: Item = { $case: "answer", value: { to, envelope: serialize(envelope) } };
    const beside = this.#moves.linkOf(envelope.callId);
    if (beside !== undefined) beside.send(item);
    else if (this.#links.up && !this.#links.inUse.broken) this.#links.inUse.send(item);
    else this.#kept.add(frameOf(item));
  }

  /** See `Port.release`. */
  release({ topic, id, callId, kind, idempotencyKey }: Envelope, error: TielineError): void {
    const beside = this.#moves.linkOf(callId);
    if (beside === undefined && this.#links.refusal() !== undefined) return; // the claim ends by itself
    const request = serialize({ ...newEnvelope(kind), topic, id, idempotencyKey });
    (beside ?? this.#links.inUse).send({ $case: "release", value: { request, error: errorToWire(error) } });
  }

  /** See `Port.keepTrail`. */
  keepTrail(correlationId: string, trail: Buffer): void {
    if (this.#links.refusal() === undefined)
      this.#links.inUse.send({ $case: "sendTrail", value: { correlationId, trail } });
  }

  /** See `Port.findTrail`. */
  async findTrail(correlationId: string): Promise<Buffer> {
    const answer = await this.#links.asked({ $case: "findTrail", value: { ref: 0, correlationId } });
    return "trail" in answer ? answer.trail : Buffer.alloc(0);
  }

  /** See `Port.observe`. */
  observe(envelope: Envelope): void {
    if (this.#links.refusal() !== undefined) return;
    this.#links.inUse.send({ $case: "event", value: { ref: 0, envelope: serialize(envelope), served: [] } });
  }

  /** See `Port.probe`. */
  async probe(instances: readonly string[]): Promise<Probed> {
    const answer = await this.#links.asked({ $case: "probe", value: { ref: 0, instances: [...instances] } });
    return {
      silent: new Set("silent" in answer ? answer.silent : []),
      expired: new Set("expired" in answer ? answer.expired : []),
    };
  }

  /** See `Port.responders`. */
  async responders(topic: string): Promise<Place[]> {
    const answer = await this.#links.asked({ $case: "findResponders", value: { ref: 0, topic } });
    return "responders" in answer ? answer.responders : [];
  }

  // --- what becomes of the Links (LinksUser) -------------------------------------------------------------------------

  /** See `LinksUser`. */
  onLost(since: number, reason: string, address: string): void {
    this.#absence.begin(reason, since, `the link to ${address} broke: ${reason}`);
  }

  /** See `LinksUser`. */
  onMoved(reason: string): void {
    this.#absence.explain(reason);
  }

  /** See `LinksUser`. */
  onLinked(): void {
    const link = this.#links.inUse;
    this.#kept.send(link.outbox);
    this.#brokerIs(link.broker);
  }

  /** See `LinksUser`. What another gateway than the one in use lost did not get lost. */
  onSaid(link: GrpcLink, said: Said): void {
    if (said.$case === "delivery") this.#delivered(link, said.value);
    else if (said.$case === "dispatched") this.#dispatched(said.value);
    else if (said.$case === "broker") this.#brokerSaid(link, said.value.connected);
    else if (link !== this.#links.inUse) return;
    else if (said.$case === "gap") this.#gapped(said.value);
    else if (said.$case === "wake") this.#receiver.onMail(said.value.topic, said.value.group);
  }

  // --- what the gateway says -----------------------------------------------------------------------------------------

  #delivered(link: GrpcLink, { interest, envelope: bytes }: Delivery): void {
    const envelope = parse(bytes);
    if (envelope === undefined || interest === undefined) return;
    if (interest.route === Route.INBOX) this.#receiver.onAnswer(envelope);
    else if (interest.route === Route.REQUEST) {
      this.#moves.came(link, envelope.callId);
      this.#receiver.onRequest(envelope);
    } else if (isOurs(interest) && !this.#isOwn(envelope) && this.#moves.lets(link, interest, envelope)) {
      this.#receiver.onEvent(interest, envelope);
    }
  }

  /** Published here: over one Link it comes back by the other one. */
  #isOwn({ source, scheduled, replay }: Envelope): boolean {
    if (source === "" || scheduled !== 0 || replay !== "") return false;
    const instance = instanceOf(source);
    return instance === this.instance || instance === this.#links.former;
  }

  #dispatched({ callId, instance, error, joinedUntil }: Dispatched): void {
    if (joinedUntil !== 0) return this.#receiver.onJoined(callId, joinedUntil, instance);
    this.#receiver.onDispatched(callId, instance, error && errorFromWire(error));
  }

  #gapped(gap: Gap): void {
    this.#absence.note(gap);
    if (this.connected) this.#absence.end();
  }

  #brokerSaid(link: GrpcLink, connected: boolean): void {
    const was = link.broker;
    link.broker = connected;
    if (was !== connected && link === this.#links.inUse && this.#links.up) this.#brokerIs(connected);
  }

  #brokerIs(there: boolean): void {
    if (there) this.#absence.end();
    else this.#absence.begin(BROKER_LOST);
  }
}
