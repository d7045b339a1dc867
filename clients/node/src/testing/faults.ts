import { DEFAULT_LEASE_MS } from "../contract/contract.js";
import type { Envelope } from "../contract/envelope.js";
import { InvalidArgumentError } from "../errors.js";
import type { EventSystem } from "../events.js";
import { ANY, checkOptions, type Kinds, NO_OPTIONS, OBJECT } from "../options.js";
import { checkPattern, matches } from "../topics.js";
import type { Transport } from "../transport.js";
import { type Fate, type FaultyPort, FaultyTransport, type Network } from "./wire.js";

const KINDS = ["event", "request", "accepted", "reply", "cancel", "stream_item", "stream_end", "credit"] as const;
const REMEMBERED = 10_000;

/** What travels (SPEC.md, section 2); `observed` is the copy of an event or request for an observer. */
export type Kind = (typeof KINDS)[number] | "observed";

/** What a rule is about. */
export interface RuleOptions {
  /** Only this kind; everything but observers' copies unless given. */
  kind?: Kind;
  /** Only what arrives at this system. */
  to?: EventSystem;
  /** So often, then no more. */
  times?: number;
  /** The part of it that is concerned: 0.1 is one in ten, by chance. */
  share?: number;
}

const RULE_KINDS: Kinds<RuleOptions> = { kind: ANY, to: OBJECT, times: ANY, share: ANY };

/** What happens to some of what travels; `hits` counts to how many it has happened. */
export interface Rule extends Readonly<RuleOptions> {
  readonly effect: "delay" | "lose" | "duplicate";
  readonly topic: string;
  readonly ms: number;
  hits: number;
}

/**
 * What networks do: delay, lose and duplicate what travels between instances, cut links, kill processes.
 *
 * Faults act where envelopes arrive from the broker, so they are the same over every transport. What a system handles
 * itself does not travel and is not touched. Rules hold until `clear`; the later one comes after the earlier one.
 */
export class Faults {
  readonly #dice: () => number;
  readonly #calls = new Map<string, string>();
  readonly #network: Network;
  #rules: Rule[] = [];
  #ports: FaultyPort[] = [];
  #away = false;

  /** The same seed of the dice that `share` throws throws the same. */
  constructor(seed = 0) {
    this.#dice = dice(seed);
    this.#network = {
      leaseMs: DEFAULT_LEASE_MS,
      away: () => this.#away,
      ports: () => this.#ports,
      opened: (port) => {
        this.#ports = [...this.#ports.filter((other) => !other.closed), port];
      },
      called: (request) => this.#called(request),
      fate: (envelope, instance, observed) => this.#fate(envelope, instance, observed),
    };
  }

  // --- on the way ----------------------------------------------------------------------------------------------------

  /**
   * Has it arrive so many milliseconds later by the broker's clock, perhaps after what was sent later; delays of several
   * rules add up. `topic` is a topic or pattern; of what answers a call, the topic of the call.
   * Throws InvalidArgumentError or InvalidTopicError for what makes no sense.
   */
  delay(ms: number, topic = ">", options: RuleOptions = NO_OPTIONS): Rule {
    if (!(ms > 0 && ms < Infinity)) throw new InvalidArgumentError(`a delay is in milliseconds, above 0, not ${ms}`);
    return this.#add("delay", topic, ms, options);
  }

  /** Has it never arrive; see `delay`. */
  lose(topic = ">", options: RuleOptions = NO_OPTIONS): Rule {
    return this.#add("lose", topic, 0, options);
  }

  /** Has it arrive twice; see `delay`. */
  duplicate(topic = ">", options: RuleOptions = NO_OPTIONS): Rule {
    return this.#add("duplicate", topic, 0, options);
  }

  /** Forgets all rules; what is delayed already comes all the same. */
  clear(): void {
    this.#rules = [];
  }

  // --- links and processes -------------------------------------------------------------------------------------------

  /**
   * Breaks the link of a system, or takes the broker away from all of them: each is told, and sends nothing.
   * After 15 s by the clock (the lease) the others take it for gone.
   */
  async cut(events?: EventSystem): Promise<void> {
    this.#away ||= events === undefined;
    for (const port of this.#of(events)) await port.cut();
  }

  /** Mends the link of a system, or all links; subscribers are told of the gap. */
  async restore(events?: EventSystem): Promise<void> {
    this.#away &&= events !== undefined;
    const back = this.#of(events);
    for (const port of back) await port.comeBack();
    for (const port of back) port.restored();
  }

  /** Has a process die, as by `kill -9`: nothing leaves it any more and nothing reaches it, for good. */
  async kill(events: EventSystem): Promise<void> {
    for (const port of this.#of(events)) await port.kill();
  }

  /** A transport with these faults: `new EventSystem({ transport: faults.around(transport) })`; one for each system. */
  around(transport: Transport): Transport {
    return new FaultyTransport(transport, this.#network);
  }

  #add(effect: Rule["effect"], topic: string, ms: number, options: RuleOptions): Rule {
    checkOptions(options, RULE_KINDS, effect);
    const rule: Rule = { ...options, effect, topic, ms, hits: 0 };
    const { kind, share = 1, times = 1 } = rule;
    checkPattern(rule.topic);
    if (kind !== undefined && kind !== "observed" && !KINDS.includes(kind)) {
      throw new InvalidArgumentError(`kind is one of ${KINDS.join(", ")}, observed, not ${kind}`);
    }
    if (!(share > 0 && share <= 1)) throw new InvalidArgumentError(`share is above 0 and at most 1, not ${share}`);
    if (!(times >= 1)) throw new InvalidArgumentError(`times is a number of at least 1, not ${times}`);
    this.#rules.push(rule);
    return rule;
  }

  #of(events: EventSystem | undefined): FaultyPort[] {
    if (events === undefined) return this.#ports;
    const found = this.#ports.filter((port) => port.instance === events.instance);
    if (found.length > 0) return found;
    throw new InvalidArgumentError("this system has no link with these faults: make it with this broker, and start it");
  }

  /** A request leaves; what answers it bears its id only. */
  #called({ callId, topic }: Envelope): void {
    this.#calls.set(callId.toString("latin1"), topic);
    if (this.#calls.size <= REMEMBERED) return;
    for (const oldest of this.#calls.keys()) return void this.#calls.delete(oldest);
  }

  #fate(envelope: Envelope, instance: string, observed: boolean): Fate {
    const kind = observed ? "observed" : KINDS[envelope.kind - 1];
    const topic = envelope.topic || (this.#calls.get(envelope.callId.toString("latin1")) ?? "");
    let fate: Fate = { copies: 1, ms: 0 };
    for (const rule of this.#rules) {
      if (!concerns(rule, kind, topic, instance) || this.#dice() >= (rule.share ?? 1)) continue;
      rule.hits += 1;
      fate = changed(fate, rule);
    }
    return fate;
  }
}

function concerns(rule: Rule, kind: Kind | undefined, topic: string, instance: string): boolean {
  if (rule.hits >= (rule.times ?? Infinity)) return false;
  if (rule.kind !== kind && (rule.kind !== undefined || kind === "observed")) return false;
  if (rule.to !== undefined && rule.to.instance !== instance) return false;
  return rule.topic === ">" || (topic !== "" && matches(rule.topic, topic));
}

function changed({ copies, ms }: Fate, rule: Rule): Fate {
  if (rule.effect === "lose") return { copies: 0, ms };
  if (rule.effect === "duplicate") return { copies: copies * 2, ms };
  return { copies, ms: ms + rule.ms };
}

/** Numbers from 0 to 1 by chance, the same ones for the same seed: a linear congruence of 32 bits, well shaken. */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const shaken = Math.imul(state ^ (state >>> 16), 0x45d9_f3b);
    return ((shaken ^ (shaken >>> 15)) >>> 0) / 0x1_0000_0000;
  };
}
