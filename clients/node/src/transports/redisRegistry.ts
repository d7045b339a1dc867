import {
  eventChannel,
  groupChangeChannel,
  groupChannel,
  inboxChannel,
  leaseKey,
  observedChannel,
  requestChannel,
  wakeChannel,
} from "../contract/contract.js";
import { ANNOUNCE, announceNames, LEAVE, leaveNames, REGISTER, registerNames } from "../contract/scripts.js";
import type { Envelope } from "../envelope.js";
import { isWildcard, matches } from "../topics.js";
import { type Interest, interestKey, Route } from "../transport.js";
import type { RedisLink } from "./redisLink.js";
import { groupEntry, observerEntry } from "./redisPatterns.js";
import type { RedisPort } from "./redisPort.js";
import { runScript } from "./redisScripts.js";

const AT_ONCE = 500;
/** Routes whose channels belong to one port. */
const DIRECT: ReadonlySet<Route> = new Set([Route.REQUEST, Route.GROUP]);

/** A channel or glob, and its kind: "S" sharded, "P" glob, "" plain. */
interface Channel {
  readonly kind: "S" | "P" | "";
  readonly name: string;
}

/** What an instance is on one topic or pattern. */
interface Membership {
  readonly pattern: string;
  responder: boolean;
  readonly groups: string[];
}

/** One port's interest in a channel that it shares with others. */
interface Taker {
  readonly port: RedisPort;
  readonly interest: Interest;
}

/** The channels this process listens to, and the memberships of its ports (the table in SPEC.md, section 7). */
export class RedisRegistry {
  readonly #prefix: string;
  readonly #lease: string;
  readonly #ports: ReadonlySet<RedisPort>;
  readonly #direct = new Map<string, (envelope: Envelope) => void>();
  /** Channels that several ports share: broadcasts, and wake-ups for durable events. */
  readonly #shared = new Map<string, Taker[]>();

  constructor(prefix: string, leaseMs: number, ports: ReadonlySet<RedisPort>) {
    this.#prefix = prefix;
    this.#lease = String(leaseMs);
    this.#ports = ports;
  }

  /** Who gets what arrives on a sharded channel. */
  direct(channel: string): ((envelope: Envelope) => void) | undefined {
    return this.#direct.get(channel);
  }

  /** Hands a broadcast to every port that asked for it, but to none that sent it at once. */
  broadcast(channel: string, envelope: Envelope): void {
    const takers = this.#shared.get(channel);
    if (takers === undefined) return;
    const everyone = envelope.scheduled > 0 || envelope.replay !== "";
    const sender = everyone ? "" : envelope.source.slice(envelope.source.lastIndexOf("/") + 1);
    for (const { port, interest } of [...takers]) {
      if (port.instance !== sender && matches(interest.pattern, envelope.topic))
        port.receiver.onEvent(interest, envelope);
    }
  }

  /** Tells every port whose subscription group has something to claim. */
  wake(channel: string, group: string): void {
    for (const { port, interest } of [...(this.#shared.get(channel) ?? [])]) {
      if (interest.group === group) port.receiver.onMail(interest.pattern, group);
    }
  }

  /** Topics whose durable events are consumed here. */
  mailTopics(): ReadonlySet<string> {
    const interests = [...this.#shared.values()].flatMap((takers) => takers.map(({ interest }) => interest));
    return new Set(interests.filter(({ route }) => route === Route.MAIL).map(({ pattern }) => pattern));
  }

  /** A new instance: its inbox and its lease. */
  async join(link: RedisLink, port: RedisPort): Promise<void> {
    await Promise.all([subscribe(link, [this.#openInbox(port)]), this.#keepLease(link, port)]);
  }

  /** An instance is gone: memberships first, then channels, inbox and lease. */
  async leave(link: RedisLink, port: RedisPort, interests: readonly Interest[]): Promise<void> {
    await this.remove(link, port, interests);
    const inbox = inboxChannel(this.#prefix, port.instance);
    await Promise.all([
      subscribe(link, [{ kind: "S", name: inbox }], "UN"),
      link.call("DEL", leaseKey(this.#prefix, port.instance)),
    ]);
    this.#direct.delete(inbox);
  }

  /** Channels first; membership when they are confirmed. */
  async add(link: RedisLink, port: RedisPort, interests: readonly Interest[]): Promise<void> {
    const channels = interests.map((interest) => this.#open(port, interest));
    await subscribe(link, [...channels, ...this.#notices()]);
    await this.#write(link, port, interests);
  }

  /** Membership first; channels when everything dispatched before has arrived. */
  async remove(link: RedisLink, port: RedisPort, interests: readonly Interest[]): Promise<void> {
    const left = memberships(interests).map((member) =>
      runScript(link, LEAVE, leaveNames(this.#prefix, member.pattern), argumentsOf(member, port)),
    );
    await Promise.all(left);
    const unused = interests.filter((interest) => this.#isUnused(port, interest));
    const channels = unused.map((interest) => this.#channel(port, interest));
    await subscribe(link, channels, "UN");
    this.forget(port, interests);
  }

  /** Routes nothing to a port by these interests any more. */
  forget(port: RedisPort, interests: readonly Interest[]): void {
    for (const interest of interests) this.#close(port, interest);
  }

  /** After a connect: all channels, then all leases and memberships. */
  async everything(link: RedisLink): Promise<void> {
    this.#direct.clear();
    this.#shared.clear();
    const channels: Channel[] = [];
    for (const port of this.#ports) {
      channels.push(this.#openInbox(port), ...port.interests().map((interest) => this.#open(port, interest)));
    }
    await subscribe(link, [...channels, ...this.#notices()]);
    await this.refresh(link);
  }

  /** Who consumes durable events listens to plain producers; asking for it again does no harm. */
  #notices(): Channel[] {
    return this.mailTopics().size === 0 ? [] : [{ kind: "", name: groupChangeChannel(this.#prefix) }];
  }

  /** Writes all leases and memberships once more, in one go. */
  async refresh(link: RedisLink): Promise<void> {
    const writes = [...this.#ports].flatMap((port) => [
      this.#keepLease(link, port),
      this.#write(link, port, port.interests()),
    ]);
    await Promise.all(writes);
  }

  async #write(link: RedisLink, port: RedisPort, interests: readonly Interest[]): Promise<void> {
    const writes = memberships(interests).map((member) => {
      const names = registerNames(this.#prefix, member.pattern);
      return runScript(link, REGISTER, names, [this.#lease, ...argumentsOf(member, port)]);
    });
    const entries = entriesOf(interests);
    if (entries.length > 0) {
      writes.push(runScript(link, ANNOUNCE, announceNames(this.#prefix), [this.#lease, ...entries]));
    }
    await Promise.all(writes);
  }

  #keepLease(link: RedisLink, port: RedisPort): Promise<unknown> {
    return link.call("SET", leaseKey(this.#prefix, port.instance), port.service, "PX", this.#lease);
  }

  #openInbox(port: RedisPort): Channel {
    const name = inboxChannel(this.#prefix, port.instance);
    this.#direct.set(name, (envelope) => port.receiver.onAnswer(envelope));
    return { kind: "S", name };
  }

  /** Routes what arrives on the interest's channel to the port. */
  #open(port: RedisPort, interest: Interest): Channel {
    const channel = this.#channel(port, interest);
    const { receiver } = port;
    if (interest.route === Route.REQUEST) {
      this.#direct.set(channel.name, (envelope) => receiver.onRequest(envelope));
    } else if (interest.route === Route.GROUP) {
      this.#direct.set(channel.name, (envelope) => receiver.onEvent(interest, envelope));
    } else {
      const takers = this.#shared.get(channel.name) ?? [];
      this.#shared.set(channel.name, [...takers.filter((taker) => !is(taker, port, interest)), { port, interest }]);
    }
    return channel;
  }

  #close(port: RedisPort, interest: Interest): void {
    const { name } = this.#channel(port, interest);
    if (DIRECT.has(interest.route)) {
      this.#direct.delete(name);
      return;
    }
    const others = (this.#shared.get(name) ?? []).filter((taker) => !is(taker, port, interest));
    if (others.length > 0) this.#shared.set(name, others);
    else this.#shared.delete(name);
  }

  /** Whether nobody else here needs the interest's channel. */
  #isUnused(port: RedisPort, interest: Interest): boolean {
    const { name } = this.#channel(port, interest);
    if (DIRECT.has(interest.route)) return true;
    return (this.#shared.get(name) ?? []).every((taker) => is(taker, port, interest));
  }

  #channel(port: RedisPort, { route, pattern, group }: Interest): Channel {
    if (route === Route.REQUEST) return { kind: "S", name: requestChannel(this.#prefix, pattern, port.instance) };
    if (route === Route.GROUP) return { kind: "S", name: groupChannel(this.#prefix, pattern, port.instance, group) };
    if (route === Route.MAIL) return { kind: "S", name: wakeChannel(this.#prefix, pattern) };
    const named = route === Route.EVENT ? eventChannel : observedChannel;
    return { kind: isWildcard(pattern) ? "P" : "", name: named(this.#prefix, pattern.replace(">", "*")) };
  }
}

function is(taker: Taker, port: RedisPort, interest: Interest): boolean {
  return taker.port === port && interestKey(taker.interest) === interestKey(interest);
}

function argumentsOf(member: Membership, port: RedisPort): string[] {
  return [port.instance, member.responder ? "1" : "0", ...member.groups];
}

function memberships(interests: readonly Interest[]): Membership[] {
  const found = new Map<string, Membership>();
  for (const { route, pattern, group } of interests) {
    if (route !== Route.REQUEST && route !== Route.GROUP) continue;
    const member = found.get(pattern) ?? { pattern, responder: false, groups: [] };
    if (route === Route.REQUEST) member.responder = true;
    else member.groups.push(group);
    found.set(pattern, member);
  }
  return [...found.values()];
}

/** What must be announced: wildcard groups and observers. */
function entriesOf(interests: readonly Interest[]): string[] {
  return interests.flatMap(({ route, pattern, group }) => {
    if (route === Route.OBSERVER) return [observerEntry(pattern)];
    return route === Route.GROUP && isWildcard(pattern) ? [groupEntry(pattern, group)] : [];
  });
}

/** (Un)subscribes to all channels; resolves when all are confirmed. */
async function subscribe(link: RedisLink, channels: readonly Channel[], un = ""): Promise<void> {
  const confirmed: Promise<unknown>[] = [];
  for (const kind of ["S", "P", ""]) {
    const names = [...new Set(channels.filter((channel) => channel.kind === kind).map((channel) => channel.name))];
    for (let at = 0; at < names.length; at += AT_ONCE) {
      confirmed.push(link.subscribe(`${kind}${un}SUBSCRIBE`, names.slice(at, at + AT_ONCE)));
    }
  }
  await Promise.all(confirmed);
}
