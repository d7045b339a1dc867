import { ASK_TOPIC, LIMIT_METRIC_GROUPS, LIMIT_METRIC_TOPICS, METRICS, type MetricName } from "../contract/contract.js";
import type { StepName } from "../observe.js";
import type { ScheduleStatus } from "../schedules/agenda.js";
import type { Subscription } from "../subscription.js";
import { Histogram } from "./histogram.js";

/** The topic or group of what has no figures of its own, as there were too many before; no topic has such a name. */
export const OTHER = "(other)";

/** What is told apart: live events, calls, durable events. */
export type Kind = "live" | "call" | "durable";

/** Counters without labels. A new one is a line in contract.toml, and `tally.count(name)` where it happens. */
export const COUNTERS = (Object.keys(METRICS) as MetricName[]).filter(
  (name) => METRICS[name].type === "counter" && METRICS[name].labels.length === 0,
);

const OF_STEP: Partial<Record<StepName, MetricName>> = {
  retried: "callsRetried",
  joined: "callsJoined",
  deduplicated: "callsDeduplicated",
  redriven: "eventsRedriven",
};

/** Where planned events are counted that this instance has seen out. */
export const ENDED: Partial<Record<ScheduleStatus, MetricName>> = {
  delivered: "schedulesDelivered",
  failed: "schedulesFailed",
  expired: "schedulesExpired",
};

/** The counters of one topic, group and kind. What is published is counted under the empty group. */
export class Series {
  readonly topic: string;
  readonly group: string;
  readonly kind: Kind;
  published = 0;
  failed = 0;
  expired = 0;
  cancelled = 0;
  dropped = 0;
  redelivered = 0;
  retried = 0;
  skipped = 0;
  dead = 0;
  parked = 0;
  readonly queue = new Histogram();
  readonly handle = new Histogram();
  readonly trip = new Histogram();

  constructor(topic = "", group = "", kind: Kind = "live") {
    this.topic = topic;
    this.group = group;
    this.kind = kind;
  }

  /** A handler has ended: its event waited for so long, if that is to be counted, and it took so long (ms). */
  ended(queued: number | undefined, ms: number): void {
    if (queued !== undefined) this.queue.record(Math.max(0, queued));
    this.handle.record(ms);
  }
}

/** Where what nobody asks for is counted: the system's own calls, and what observers see. */
export const NOWHERE = new Series();

/**
 * What an instance counts while it works, in bounds: what has no room is counted under `OTHER`. Rules: SPEC.md, section 13.
 *
 * `gauges` are asked when somebody reads: a part that knows a figure of its own puts a function there, under the name of a
 * gauge without labels in contract.toml. `since` is when it began, milliseconds since 1970.
 */
export class Tally {
  readonly since: number;
  /** Calls that failed, by the code of the error. */
  readonly errors = new Map<string, number>();
  readonly counters = new Map<MetricName, number>(COUNTERS.map((name) => [name, 0]));
  readonly gauges = new Map<MetricName, () => number>();
  readonly #live = new Map<string, Series>();
  readonly #calls = new Map<string, Series>([[ASK_TOPIC, NOWHERE]]);
  readonly #all = new Map<string, Series>();
  readonly #topics = new Set<string>();
  readonly #groups = new Set<string>();

  constructor(since: number) {
    this.since = since;
    this.gauges.set("startTimeSeconds", () => since / 1000);
  }

  /** All series. */
  all(): Series[] {
    return [...this.#all.values()];
  }

  /** Where the live events of a topic are counted that are published. */
  live(topic: string): Series {
    return this.#live.get(topic) ?? this.#remembered(this.#live, topic, "live");
  }

  /** Where the calls of a topic are counted that are made. */
  calls(topic: string): Series {
    return this.#calls.get(topic) ?? this.#remembered(this.#calls, topic, "call");
  }

  /** Where a topic is counted in a group; the empty one is that of whoever has none. */
  series(topic: string, group: string, kind: Kind): Series {
    const found = this.#all.get(nameOf(topic, group, kind));
    return found ?? this.#bounded(topic, group, kind);
  }

  /** Counts what a subscription handles; that of a pattern, by the topic of each event. */
  adopt(subscription: Subscription): void {
    const { topic, group, isPattern, observe, internal, durability } = subscription;
    if (observe || internal || durability !== undefined) return;
    subscription.events = isPattern ? undefined : this.series(topic, group, "live");
    if (!isPattern) subscription.calls = this.series(topic, group, "call");
  }

  /** Something happened that has no topic; the name is that of a counter in contract.toml. */
  count(name: MetricName): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }

  /** An envelope took a step that most do not take. */
  step(name: StepName): void {
    const counter = OF_STEP[name];
    if (counter !== undefined) this.count(counter);
  }

  /** A call failed. */
  callFailed(topic: string, code: string): void {
    if (topic !== ASK_TOPIC) this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  #remembered(known: Map<string, Series>, topic: string, kind: Kind): Series {
    const series = this.series(topic, "", kind);
    if (series.topic === topic) known.set(topic, series);
    return series;
  }

  #bounded(topic: string, group: string, kind: Kind): Series {
    const named = within(this.#topics, topic, LIMIT_METRIC_TOPICS) ? topic : OTHER;
    const grouped = group === "" || within(this.#groups, nameOf(named, group), LIMIT_METRIC_GROUPS) ? group : OTHER;
    const name = nameOf(named, grouped, kind);
    const series = this.#all.get(name) ?? new Series(named, grouped, kind);
    this.#all.set(name, series);
    return series;
  }
}

function nameOf(...parts: string[]): string {
  return parts.join("\0");
}

/** Whether something is among the first ones, or is one of them now. */
function within(known: Set<string>, name: string, most: number): boolean {
  if (known.has(name)) return true;
  if (known.size >= most) return false;
  known.add(name);
  return true;
}
