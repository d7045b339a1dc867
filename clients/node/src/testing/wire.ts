import type { Clock } from "../clock.js";
import type { Envelope } from "../contract/envelope.js";
import type { Mail } from "../durable/mail.js";
import { type TielineError, UnavailableError } from "../errors.js";
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
  type Transport,
} from "../transport.js";

const KEPT = 1000;
const WHY = "the link was cut by the test";

/** What becomes of an envelope: how often it arrives, and how much later. */
export interface Fate {
  readonly copies: number;
  readonly ms: number;
}

/** What decides the fate of what travels. */
export interface Network {
  /** How long a place that nobody hears of is taken for alive. */
  readonly leaseMs: number;
  /** Whether the broker cannot be reached by anybody. */
  away(): boolean;
  /** All places. */
  ports(): readonly FaultyPort[];
  /** A system has its place. */
  opened(port: FaultyPort): void;
  /** A request leaves. */
  called(request: Envelope): void;
  /** What becomes of an envelope that arrives at an instance. */
  fate(envelope: Envelope, instance: string, observed: boolean): Fate;
}

/** A way to a broker over a network with faults. */
export class FaultyTransport implements Transport {
  readonly #inner: Transport;
  readonly #network: Network;

  constructor(inner: Transport, network: Network) {
    this.#inner = inner;
    this.#network = network;
  }

  /** See `Transport.open`. */
  async open(service: string, receiver: Receiver, settings?: Settings): Promise<FaultyPort> {
    if (this.#network.away()) throw cutOff();
    const arrivals = new Arrivals(receiver, this.#network);
    const port = new FaultyPort(await this.#inner.open(service, arrivals, settings), receiver, this.#network);
    arrivals.port = port;
    this.#network.opened(port);
    return port;
  }

  /** See `Transport.close`. */
  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** The `Receiver` between a port and an instance: here what arrives meets its fate. */
class Arrivals implements Receiver {
  readonly #receiver: Receiver;
  readonly #network: Network;
  port: FaultyPort | undefined;

  constructor(receiver: Receiver, network: Network) {
    this.#receiver = receiver;
    this.#network = network;
  }

  onRequest(envelope: Envelope): void {
    this.#arrive(envelope, () => this.#receiver.onRequest(envelope));
  }

  onEvent(interest: Interest, envelope: Envelope): void {
    this.#arrive(envelope, () => this.#receiver.onEvent(interest, envelope), interest.route === Route.OBSERVER);
  }

  onAnswer(envelope: Envelope): void {
    this.#arrive(envelope, () => this.#receiver.onAnswer(envelope));
  }

  onDispatched(callId: Uint8Array, instance: string, error: TielineError | undefined): void {
    if (this.port?.up) this.#receiver.onDispatched(callId, instance, error);
  }

  onJoined(callId: Uint8Array, until: number, instance: string): void {
    if (this.port?.up) this.#receiver.onJoined(callId, until, instance);
  }

  underWay(): ReadonlySet<string> {
    return this.#receiver.underWay();
  }

  onLeft(calls: ReadonlySet<string>): void {
    this.#receiver.onLeft(calls);
  }

  onWarning(message: string): void {
    this.#receiver.onWarning(message);
  }

  onMail(topic: string, group: string): void {
    if (this.port?.up) this.#receiver.onMail(topic, group);
  }

  onConnected(gap: Gap | undefined): void {
    if (this.port?.up !== false) this.#receiver.onConnected(gap);
  }

  onDisconnected(reason: string): void {
    if (this.port?.up !== false) this.#receiver.onDisconnected(reason);
  }

  #arrive(envelope: Envelope, take: () => void, observed = false): void {
    const { port } = this;
    if (!port?.up) return;
    const { copies, ms } = this.#network.fate(envelope, port.instance, observed);
    const letIn = () => {
      if (port.up) take();
    };
    for (let copy = 0; copy < copies; copy++) {
      if (ms > 0) port.clock.callLater(ms, letIn);
      else letIn();
    }
  }
}

/** One instance's place at a broker, whose link can be cut. */
export class FaultyPort implements Port {
  closed = false;
  readonly #inner: Port;
  readonly #receiver: Receiver;
  readonly #network: Network;
  readonly #interests = new Map<string, Interest>();
  readonly #mended = new Set<() => void>();
  #kept: [string, Envelope][] = [];
  #linked = true;
  #cutAt: number | undefined;
  #dead = false;

  constructor(inner: Port, receiver: Receiver, network: Network) {
    this.#inner = inner;
    this.#receiver = receiver;
    this.#network = network;
  }

  // --- what the test does --------------------------------------------------------------------------------------------

  /** Whether anything can pass. */
  get up(): boolean {
    return this.#linked && !this.#dead && !this.closed;
  }

  /** Whether its lease has ended (ms since 1970, broker clock). */
  gone(now: number): boolean {
    return this.#dead || (this.#cutAt !== undefined && now - this.#cutAt >= this.#network.leaseMs);
  }

  /** Nothing passes any more, and the instance is told. */
  async cut(): Promise<void> {
    if (!this.up) return;
    this.#linked = false;
    this.#cutAt = this.clock.now();
    await this.#inner.unregister([...this.#interests.values()]);
    this.#receiver.onDisconnected(WHY);
  }

  /** All is registered again; `restored` must follow. */
  async comeBack(): Promise<void> {
    if (this.closed || this.#dead || this.#linked) return;
    await this.#inner.register([...this.#interests.values()]);
    this.#linked = true;
  }

  /** The instance is told that it has its link again; what it answered meanwhile is sent. */
  restored(): void {
    if (!this.up || this.#cutAt === undefined) return;
    const gap = { since: this.#cutAt, until: this.clock.now(), reason: WHY };
    this.#cutAt = undefined;
    this.#receiver.onConnected(gap);
    for (const [to, envelope] of this.#kept.splice(0)) this.#inner.answer(to, envelope);
    for (const go of this.#mended) go();
    this.#mended.clear();
  }

  /** Nothing passes any more, for good, and nobody is told. */
  async kill(): Promise<void> {
    this.#dead = true;
    await this.#inner.close();
  }

  // --- what the instance does ----------------------------------------------------------------------------------------

  /** See `Port.instance`. */
  get instance(): string {
    return this.#inner.instance;
  }

  /** See `Port.clock`. */
  get clock(): Clock {
    return this.#inner.clock;
  }

  /** See `Port.connected`. */
  get connected(): boolean {
    return this.#linked && (this.#dead || this.#inner.connected);
  }

  /** See `Port.agenda`. */
  get agenda(): Agenda {
    return this.#inner.agenda;
  }

  /** See `Port.mail`. */
  get mail(): Mail {
    return this.#inner.mail;
  }

  /** See `Port.observing`. */
  get observing(): boolean {
    return this.#inner.observing;
  }

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.set(interestKey(interest), interest);
    if (!this.#linked) await new Promise<void>((resolve) => this.#mended.add(resolve));
    else if (!this.#dead) await this.#inner.register(interests);
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.delete(interestKey(interest));
    if (this.up) await this.#inner.unregister(interests);
  }

  /** See `Port.publish`. */
  async publish(envelope: Envelope, served: readonly string[]): Promise<void> {
    this.#require();
    if (!this.#dead) await this.#inner.publish(envelope, served);
  }

  /** See `Port.dispatch`. */
  dispatch(envelope: Envelope, avoid: string, to = ""): void {
    if (!this.#linked) return this.#receiver.onDispatched(envelope.callId, "", cutOff());
    if (this.#dead) return;
    this.#network.called(envelope);
    this.#inner.dispatch(envelope, avoid, to);
  }

  /** See `Port.responders`. */
  async responders(topic: string): Promise<Place[]> {
    this.#require();
    return this.#inner.responders(topic);
  }

  /** See `Port.answer`. */
  answer(to: string, envelope: Envelope): void {
    if (!this.#linked) this.#kept = [...this.#kept, [to, envelope] as [string, Envelope]].slice(-KEPT);
    else if (!this.#dead) this.#inner.answer(to, envelope);
  }

  /** See `Port.release`. */
  release(request: Envelope, error: TielineError): void {
    if (this.up) this.#inner.release(request, error);
  }

  /** See `Port.keepTrail`. */
  keepTrail(correlationId: string, trail: Buffer): void {
    if (this.up) this.#inner.keepTrail(correlationId, trail);
  }

  /** See `Port.findTrail`. */
  async findTrail(correlationId: string): Promise<Buffer> {
    this.#require();
    return this.#inner.findTrail(correlationId);
  }

  /** See `Port.observe`. */
  observe(envelope: Envelope): void {
    if (this.up) this.#inner.observe(envelope);
  }

  /** See `Port.probe`; who is cut off does not listen. */
  async probe(instances: readonly string[]): Promise<Probed> {
    this.#require();
    const found = await this.#inner.probe(instances);
    const now = this.clock.now();
    const off = this.#network.ports().filter((port) => instances.includes(port.instance) && !port.up);
    const gone = off.filter((port) => port.gone(now));
    return { silent: both(found.silent, off), expired: both(found.expired, gone) };
  }

  /** See `Port.close`. */
  async close(): Promise<void> {
    this.closed = true;
    await this.#inner.close();
    for (const go of this.#mended) go();
    this.#mended.clear();
  }

  #require(): void {
    if (!this.#linked) throw cutOff();
  }
}

function both(found: ReadonlySet<string>, ports: readonly FaultyPort[]): Set<string> {
  return new Set([...found, ...ports.map((port) => port.instance)]);
}

function cutOff(): UnavailableError {
  return new UnavailableError(`the broker cannot be reached: ${WHY}`, { outcome: "NOT_DELIVERED" });
}
