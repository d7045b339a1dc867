import { inDoubt, unasked } from "../calls/callErrors.js";
import type { Clock } from "../clock.js";
import {
  ASK_TOPIC,
  eventChannel,
  inboxChannel,
  LIMIT_TRAIL_BYTES,
  LIMIT_TRAILS,
  leaseKey,
  observedChannel,
  requestChannel,
  trailsKey,
} from "../contract/contract.js";
import { PUBLISH, publishNames, RESPONDERS, respondersNames, TRAIL, trailNames } from "../contract/scripts.js";
import type { Mail } from "../durable/mail.js";
import { type Envelope, REPLY, serializeFrame } from "../envelope.js";
import type { TielineError } from "../errors.js";
import { newInstance } from "../identity.js";
import type { Agenda } from "../schedules/agenda.js";
import { type Interest, interestKey, type Place, type Port, type Probed, type Receiver, Route } from "../transport.js";
import type { RedisTransport } from "./redis.js";
import { LinkDownError, type RedisLink } from "./redisLink.js";
import { runScript } from "./redisScripts.js";
import { commandError } from "./redisServer.js";
import { type Reply, RespError } from "./resp.js";

/** One instance's place at a Redis server. */
export class RedisPort implements Port {
  readonly instance = newInstance();
  readonly receiver: Receiver;
  readonly #transport: RedisTransport;
  readonly #interests = new Map<string, Interest>();
  #closed = false;

  constructor(
    transport: RedisTransport,
    readonly service: string,
    receiver: Receiver,
  ) {
    this.#transport = transport;
    this.receiver = receiver;
  }

  /** See `Port.clock`. */
  get clock(): Clock {
    return this.#transport.clock;
  }

  /** See `Port.agenda`. */
  get agenda(): Agenda {
    return this.#transport.agenda;
  }

  /** See `Port.mail`. */
  get mail(): Mail {
    return this.#transport.mail;
  }

  /** See `Port.connected`. */
  get connected(): boolean {
    return this.#transport.link !== undefined;
  }

  /** See `Port.observing`. */
  get observing(): boolean {
    return this.#transport.patterns.observing;
  }

  /** Whether it wants to receive anything but answers, and questions about itself. */
  get wantsSomething(): boolean {
    return this.interests().some(({ pattern }) => pattern !== ASK_TOPIC);
  }

  /** What it wants to receive. */
  interests(): Interest[] {
    return [...this.#interests.values()];
  }

  /** See `Port.register`. */
  async register(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.set(interestKey(interest), interest);
    this.#transport.interestsChanged();
    const link = await this.#transport.up();
    const wanted = interests.filter((interest) => this.#interests.has(interestKey(interest)));
    const { registry, plain } = this.#transport;
    const known = registry.mailTopics();
    try {
      await registry.add(link, this, wanted);
      const mail = wanted.filter(({ route }) => route === Route.MAIL);
      plain.lookFor(mail.map(({ pattern }) => pattern).filter((topic) => !known.has(topic)));
    } catch (error) {
      // A reconnect registers everything.
      if (error instanceof LinkDownError) return void (await this.#transport.up());
      await this.unregister(interests);
      throw commandError(error);
    }
  }

  /** See `Port.unregister`. */
  async unregister(interests: readonly Interest[]): Promise<void> {
    for (const interest of interests) this.#interests.delete(interestKey(interest));
    this.#transport.interestsChanged();
    const { registry } = this.#transport;
    const link = this.#transport.link ?? this.#transport.settling;
    if (link === undefined) return registry.forget(this, interests);
    await registry.remove(link, this, interests).catch(() => registry.forget(this, interests));
  }

  /** See `Port.publish`. */
  async publish(envelope: Envelope, served: readonly string[]): Promise<void> {
    const { topic } = envelope;
    const { patterns, prefix } = this.#transport;
    const link = this.#transport.require();
    const data = serializeFrame(envelope);
    const wild = patterns.groups(topic);
    if (patterns.observed(topic)) this.#toObservers(link, topic, data);
    let sent = false;
    try {
      const done = await this.#share(link, topic, eventChannel(prefix, topic), data, served);
      sent = true;
      for (const { pattern, group } of wild) {
        if (done.includes(group)) continue;
        done.push(...(await this.#share(link, pattern, "", data, done)));
      }
    } catch (error) {
      throw sent ? inDoubt(commandError(error)) : commandError(error);
    }
  }

  /** Broadcasts and serves the groups of one topic or pattern; returns all groups that are served now. */
  async #share(
    link: RedisLink,
    pattern: string,
    channel: string,
    data: Buffer,
    served: readonly string[],
  ): Promise<string[]> {
    const names = publishNames(this.#transport.prefix, pattern);
    const groups = await runScript(link, PUBLISH, names, [channel, data, ...served]);
    return [...served, ...(Array.isArray(groups) ? groups.map(String) : [])];
  }

  /** See `Port.dispatch`. */
  dispatch(envelope: Envelope, avoid: string, to = ""): void {
    const { callId } = envelope;
    const { link, outbox } = this.#transport;
    if (link === undefined || link.congested) {
      this.receiver.onDispatched(callId, "", this.#transport.refusal());
    } else if (to !== "") {
      this.#sendTo(link, to, envelope);
    } else if (envelope.idempotencyKey !== "") {
      this.#transport.runs.claim(link, this, envelope, avoid);
    } else {
      outbox.dispatch(link, envelope.topic, avoid, serializeFrame(envelope), { receiver: this.receiver, callId });
    }
  }

  #sendTo(link: RedisLink, to: string, envelope: Envelope): void {
    const { callId } = envelope;
    const channel = requestChannel(this.#transport.prefix, envelope.topic, to);
    link.call("SPUBLISH", channel, serializeFrame(envelope)).then(
      (count) => this.receiver.onDispatched(callId, Number(count) > 0 ? to : "", undefined),
      (error) => this.receiver.onDispatched(callId, "", commandError(error)),
    );
  }

  /** See `Port.responders`. */
  async responders(topic: string): Promise<Place[]> {
    const { prefix } = this.#transport;
    const link = this.#transport.require();
    try {
      const found = listOf(await runScript(link, RESPONDERS, respondersNames(prefix, topic), []));
      const instances = found.filter((_, at) => at % 2 === 0).map(String);
      const leases = await Promise.all(instances.map((instance) => link.call("GET", leaseKey(prefix, instance))));
      const places = instances.map((instance, at) => {
        return { service: String(leases[at]), instance, groups: listOf(found[2 * at + 1]).map(String) };
      });
      return places.filter((_, at) => leases[at] !== null);
    } catch (error) {
      throw unasked(commandError(error));
    }
  }

  /** See `Port.answer`. */
  answer(to: string, envelope: Envelope): void {
    const { link, outbox, runs } = this.#transport;
    if (envelope.kind === REPLY && envelope.idempotencyKey !== "") runs.settle(link, this, to, envelope);
    else outbox.answer(link, to, serializeFrame(envelope));
  }

  /** See `Port.release`. */
  release(request: Envelope, error: TielineError): void {
    this.#transport.runs.release(this.#transport.link, this, request, error);
  }

  /** See `Port.keepTrail`. */
  keepTrail(correlationId: string, trail: Buffer): void {
    const { link, prefix } = this.#transport;
    const rest = [correlationId, trail, String(LIMIT_TRAILS), String(LIMIT_TRAIL_BYTES)];
    if (link !== undefined) runScript(link, TRAIL, trailNames(prefix), rest).catch(() => undefined);
  }

  /** See `Port.findTrail`. */
  async findTrail(correlationId: string): Promise<Buffer> {
    const { prefix } = this.#transport;
    try {
      const found = await this.#transport.require().call("HGET", trailsKey(prefix), correlationId);
      return found instanceof Buffer ? found : Buffer.alloc(0);
    } catch (error) {
      throw commandError(error);
    }
  }

  /** See `Port.observe`. */
  observe(envelope: Envelope): void {
    const { link, patterns } = this.#transport;
    if (link === undefined || !patterns.observed(envelope.topic)) return;
    this.#toObservers(link, envelope.topic, serializeFrame(envelope));
  }

  /** See `Port.probe`. */
  async probe(instances: readonly string[]): Promise<Probed> {
    const { prefix } = this.#transport;
    const link = this.#transport.require();
    const inboxes = new Map(instances.map((instance) => [inboxChannel(prefix, instance), instance]));
    try {
      const [counts, ...leases] = await Promise.all([
        link.call("PUBSUB", "SHARDNUMSUB", ...inboxes.keys()),
        ...instances.map((instance) => link.call("EXISTS", leaseKey(prefix, instance))),
      ]);
      return {
        silent: silentOf(counts ?? null, inboxes),
        expired: new Set(instances.filter((_, at) => leases[at] === 0)),
      };
    } catch (error) {
      throw commandError(error);
    }
  }

  /** See `Port.close`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const interests = this.interests();
    this.#interests.clear();
    await this.#transport.leave(this, interests);
  }

  #toObservers(link: RedisLink, topic: string, data: Buffer): void {
    link.call("PUBLISH", observedChannel(this.#transport.prefix, topic), data).catch(() => undefined);
  }
}

function listOf(reply: Reply | undefined): Reply[] {
  return Array.isArray(reply) ? reply : [];
}

function silentOf(counts: Reply, inboxes: ReadonlyMap<string, string>): Set<string> {
  if (counts instanceof RespError) throw counts;
  const flat = counts instanceof Map ? [...counts].flat() : Array.isArray(counts) ? counts : [];
  const silent = new Set<string>();
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const instance = inboxes.get(String(flat[at]));
    if (instance !== undefined && flat[at + 1] === 0) silent.add(instance);
  }
  return silent;
}
