import { errorReply, Ledger, replyFor } from "../calls/ledger.js";
import { Clock } from "../clock.js";
import { DEFAULT_IDEMPOTENCY_WINDOW_MS, LIMIT_TRAIL_BYTES, LIMIT_TRAILS } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { type Mail, NoMail } from "../durable/mail.js";
import { REPLY } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { joined } from "../explain/trailBytes.js";
import { newInstance } from "../identity.js";
import type { Agenda } from "../schedules/agenda.js";
import type { Settings } from "../settings.js";
import { PatternTrie } from "../topics.js";
import {
  type Interest,
  interestKey,
  type Place,
  type Port,
  type Probed,
  type Receiver,
  Route,
  type Transport,
} from "../transport.js";
import { MemoryAgenda } from "./memoryAgenda.js";

/** Ports registered under one interest, who take turns. */
class Members {
  readonly ports: MemoryPort[] = [];
  #turn = 0;

  constructor(readonly interest: Interest) {}

  /** The next one that is not to be avoided. */
  next(avoid = ""): MemoryPort | undefined {
    this.#turn += 1;
    const count = this.ports.length;
    for (let step = 0; step < count; step++) {
      const port = this.ports[(this.#turn + step) % count];
      if (port !== undefined && port.instance !== avoid) return port;
    }
    return undefined;
  }

  /** A copy for each but the sender. */
  copies(sender: MemoryPort | undefined, envelope: Envelope): void {
    for (const port of [...this.ports]) if (port !== sender) port.receiver.onEvent(this.interest, envelope);
  }
}

/**
 * A broker inside one process: membership and delivery for any number of instances.
 * It does what the Redis scripts do, with the same turns, groups and probes, so that one suite of tests covers both.
 */
export class MemoryBroker {
  readonly clock: Clock;
  /** What is planned. */
  readonly agenda: MemoryAgenda;
  readonly #ledger = new Ledger();
  readonly #trails = new Map<string, Buffer>();
  readonly #ports = new Map<string, MemoryPort>();
  readonly #members = new Map<string, Members>();
  readonly #responders = new Map<string, Members>();
  readonly #patterns = new PatternTrie<Members>();
  readonly #observed = new PatternTrie<Members>();

  constructor(clock: Clock = new Clock()) {
    this.clock = clock;
    this.agenda = new MemoryAgenda(clock, (envelope) => this.publish(undefined, envelope, []));
  }

  /** A new instance. */
  join(port: MemoryPort): void {
    this.#ports.set(port.instance, port);
  }

  /** An instance is gone, with all it registered. */
  leave(port: MemoryPort): void {
    if (!this.#ports.delete(port.instance)) return;
    for (const interest of [...port.interests.values()]) this.unregister(port, interest);
  }

  /** An instance wants to receive something. */
  register(port: MemoryPort, interest: Interest): void {
    const key = interestKey(interest);
    const members = this.#members.get(key) ?? new Members(interest);
    if (members.ports.length === 0) {
      this.#members.set(key, members);
      if (interest.route === Route.REQUEST) this.#responders.set(interest.pattern, members);
      else this.#trie(interest).insert(interest.pattern, members);
    }
    if (port.interests.has(key)) return;
    port.interests.set(key, interest);
    members.ports.push(port);
  }

  /** An instance no longer wants it. */
  unregister(port: MemoryPort, interest: Interest): void {
    const key = interestKey(interest);
    const members = this.#members.get(key);
    if (members === undefined || !port.interests.delete(key)) return;
    members.ports.splice(members.ports.indexOf(port), 1);
    if (members.ports.length > 0) return;
    this.#members.delete(key);
    if (interest.route === Route.REQUEST) this.#responders.delete(interest.pattern);
    else this.#trie(interest).remove(interest.pattern, members);
  }

  /** A copy for everyone but the sender, one for each group not served; what was planned has no sender. */
  publish(sender: MemoryPort | undefined, envelope: Envelope, served: readonly string[]): void {
    const done = new Set(served);
    const matching = this.#patterns.size === 0 ? [] : this.#patterns.match(envelope.topic);
    for (const members of matching) {
      const { interest } = members;
      if (interest.route === Route.EVENT) {
        members.copies(sender, envelope);
      } else if (!done.has(interest.group)) {
        done.add(interest.group);
        members.next()?.receiver.onEvent(interest, envelope);
      }
    }
    this.observe(sender, envelope);
  }

  /** Whether there is any observer. */
  get observing(): boolean {
    return this.#observed.size > 0;
  }

  /** A copy for every observer but the sender. */
  observe(sender: MemoryPort | undefined, envelope: Envelope): void {
    if (!this.observing) return;
    for (const members of this.#observed.match(envelope.topic)) members.copies(sender, envelope);
  }

  /** Hands a request to the next responder, or to that one. */
  dispatch(sender: MemoryPort, envelope: Envelope, avoid: string, to: string): void {
    const keyed = envelope.idempotencyKey !== "";
    const found = keyed ? this.#ledger.look(envelope, avoid, this.clock.now()) : undefined;
    if (found !== undefined && "until" in found) {
      return sender.receiver.onJoined(envelope.callId, found.until, found.at);
    }
    if (found !== undefined) return sender.receiver.onAnswer(found);
    const taker = to === "" ? this.#responders.get(envelope.topic)?.next(avoid) : this.#named(to, envelope.topic);
    if (keyed && taker !== undefined) this.#ledger.claim(envelope, taker.instance, sender.window);
    taker?.receiver.onRequest(envelope);
    sender.receiver.onDispatched(envelope.callId, taker?.instance ?? "", undefined);
  }

  /** That one, if it answers the topic. */
  #named(instance: string, pattern: string): MemoryPort | undefined {
    const port = this.#ports.get(instance);
    const answers = port?.interests.has(interestKey({ route: Route.REQUEST, pattern, group: "" }));
    return answers ? port : undefined;
  }

  /** Who answers a topic, and the groups of each there. */
  responders(topic: string): Place[] {
    const ports = this.#responders.get(topic)?.ports ?? [];
    const all = [...this.#members.values()];
    const here = all.filter(({ interest }) => interest.route === Route.GROUP && interest.pattern === topic);
    return ports.map((port) => ({
      service: port.service,
      instance: port.instance,
      groups: here.filter((members) => members.ports.includes(port)).map((members) => members.interest.group),
    }));
  }

  /** Puts something into an inbox; nothing happens if it is gone. */
  answer(to: string, envelope: Envelope): void {
    this.#ports.get(to)?.receiver.onAnswer(envelope);
  }

  /** Stores a REPLY, and answers everyone who waits for it. */
  settle(responder: MemoryPort, to: string, reply: Envelope): void {
    const { counts, waiting } = this.#ledger.settle(reply, this.clock.now(), responder.window);
    const joined = waiting.filter(({ callId }) => !callId.equals(reply.callId));
    for (const { instance, callId } of [{ instance: to, callId: reply.callId }, ...joined]) {
      this.answer(instance, replyFor(counts, callId));
    }
  }

  /** Tells everyone who waits for a run that there is no result. */
  release(request: Envelope, error: TielineError): void {
    for (const { instance, callId } of this.#ledger.release(request)) this.answer(instance, errorReply(callId, error));
  }

  /** Joins steps to what is kept; the oldest steps give way, and the oldest trails. */
  keepTrail(correlationId: string, trail: Buffer): void {
    const kept = joined(this.findTrail(correlationId), trail, LIMIT_TRAIL_BYTES);
    this.#trails.delete(correlationId);
    this.#trails.set(correlationId, kept);
    const [oldest] = this.#trails.keys();
    if (this.#trails.size > LIMIT_TRAILS && oldest !== undefined) this.#trails.delete(oldest);
  }

  /** What is kept. */
  findTrail(correlationId: string): Buffer {
    return this.#trails.get(correlationId) ?? Buffer.alloc(0);
  }

  /** Which instances are gone. */
  probe(instances: readonly string[]): Probed {
    const gone = new Set(instances.filter((instance) => !this.#ports.has(instance)));
    return { silent: gone, expired: gone };
  }

  #trie(interest: Interest): PatternTrie<Members> {
    return interest.route === Route.OBSERVER ? this.#observed : this.#patterns;
  }
}

const NO_MAIL = new NoMail("use redis:// or grpc://");

/** One instance's place at a `MemoryBroker`. */
export class MemoryPort implements Port {
  readonly instance = newInstance();
  readonly clock: Clock;
  readonly receiver: Receiver;
  /** What it registered, by the key of the interest. */
  readonly interests = new Map<string, Interest>();
  connected = true;
  /** See `Port.mail`. */
  readonly mail: Mail = NO_MAIL;
  /** See `Port.agenda`. */
  readonly agenda: Agenda;
  readonly #broker: MemoryBroker;

  constructor(
    broker: MemoryBroker,
    readonly service: string,
    receiver: Receiver,
    /** How long results of idempotency keys are kept that it asks for, in milliseconds. */
    readonly window: number = DEFAULT_IDEMPOTENCY_WINDOW_MS,
    readonly inProcess = false,
  ) {
    this.#broker = broker;
    this.clock = broker.clock;
    this.agenda = broker.agenda;
    this.receiver = receiver;
    broker.join(this);
  }

  /** See `Port.observing`. */
  get observing(): boolean {
    return this.#broker.observing;
  }

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#broker.register(this, interest);
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#broker.unregister(this, interest);
  }

  /** See `Port.publish`. */
  async publish(envelope: Envelope, served: readonly string[]): Promise<void> {
    this.#broker.publish(this, envelope, served);
  }

  /** See `Port.dispatch`. */
  dispatch(envelope: Envelope, avoid: string, to = ""): void {
    this.#broker.dispatch(this, envelope, avoid, to);
  }

  /** See `Port.responders`. */
  async responders(topic: string): Promise<Place[]> {
    return this.#broker.responders(topic);
  }

  /** See `Port.answer`. */
  answer(to: string, envelope: Envelope): void {
    if (envelope.kind === REPLY && envelope.idempotencyKey !== "") this.#broker.settle(this, to, envelope);
    else this.#broker.answer(to, envelope);
  }

  /** See `Port.release`. */
  release(request: Envelope, error: TielineError): void {
    this.#broker.release(request, error);
  }

  /** See `Port.keepTrail`. */
  keepTrail(correlationId: string, trail: Buffer): void {
    this.#broker.keepTrail(correlationId, trail);
  }

  /** See `Port.findTrail`. */
  async findTrail(correlationId: string): Promise<Buffer> {
    return this.#broker.findTrail(correlationId);
  }

  /** See `Port.observe`. */
  observe(envelope: Envelope): void {
    this.#broker.observe(this, envelope);
  }

  /** See `Port.probe`. */
  async probe(instances: readonly string[]): Promise<Probed> {
    return this.#broker.probe(instances);
  }

  /** See `Port.close`. */
  async close(): Promise<void> {
    this.connected = false;
    this.#broker.leave(this);
  }
}

/** The way to a `MemoryBroker`; one of its own unless several event systems are to share one. */
export class MemoryTransport implements Transport {
  readonly broker: MemoryBroker;
  readonly #ports: MemoryPort[] = [];

  readonly #shared: boolean;

  /** A broker of its own, unless one is given, which is shared with others. */
  constructor(broker?: MemoryBroker) {
    this.broker = broker ?? new MemoryBroker();
    this.#shared = broker !== undefined;
  }

  /** See `Transport.open`; always succeeds. */
  async open(service: string, receiver: Receiver, settings?: Settings): Promise<MemoryPort> {
    const port = new MemoryPort(this.broker, service, receiver, settings?.idempotencyWindow, !this.#shared);
    this.#ports.push(port);
    receiver.onConnected(undefined);
    return port;
  }

  /** See `Transport.close`. */
  async close(): Promise<void> {
    for (const port of this.#ports.splice(0)) await port.close();
  }
}
