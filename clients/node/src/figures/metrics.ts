import type { MetricName } from "../contract/contract.js";
import type { Subscription } from "../subscription.js";
import { type Distribution, joined } from "./histogram.js";
import type { Kind, Series, Tally } from "./tally.js";

/**
 * Counted since the start; times in milliseconds. What handlers get is counted for each of them: an event for two handlers
 * counts twice.
 */
export interface Figures {
  /** What came to handlers here. */
  readonly totalEvents: number;
  /** Events published, calls made and events stored by this instance; each try of a call is one. */
  readonly publishedEvents: number;
  /** What handlers here have now, and what waits here for them. */
  readonly pendingEvents: number;
  /** What handlers here have ended, whether they succeeded or failed. */
  readonly deliveredEvents: number;
  /** What handlers here ended without an error. */
  readonly successEvents: number;
  /** Those that threw, or whose payload did not fit the handler. */
  readonly failedEvents: number;
  /** What expired before a handler could begin. */
  readonly expiredEvents: number;
  /** What was stopped: the caller gave up, or the instance closed. */
  readonly cancelledEvents: number;
  /** Live events that gave way to newer ones. */
  readonly droppedEvents: number;
  /** Deliveries of durable events that had failed before. */
  readonly redeliveredEvents: number;
  /** Failed deliveries of durable events that are to be tried again. */
  readonly retriedEvents: number;
  /** Durable events that failed for the last time and were skipped. */
  readonly skippedEvents: number;
  /** Durable events that became dead letters. */
  readonly deadLetters: number;
  /** Keys that stopped. */
  readonly parkedKeys: number;
  /** How long a handler takes; 0 if none has ended. */
  readonly averageLatency: number;
  /**
   * From the publish to the begin of the handler, to the millisecond, by the broker's clock; 0 for what a handler in the same
   * process gets at once. A durable event counts when it is handled for the first time.
   */
  readonly queueTime: Distribution;
  /** From the begin of a handler to its end. */
  readonly handleTime: Distribution;
  /** From a call to its reply; calls that failed and streams do not count. */
  readonly roundTrip: Distribution;
}

/** The figures of a group of a topic; how far a durable group is as a whole is said by `events.groups`. */
export interface GroupMetrics extends Figures {
  readonly topic: string;
  readonly group: string;
}

/** The figures of one kind in a group; the group is empty for whoever has none. */
export interface SeriesMetrics extends GroupMetrics {
  readonly kind: Kind;
}

/** What one instance has counted since it was made; a value that does not change. */
export interface Metrics extends Figures {
  /** When it was made. */
  readonly since: Date;
  /** Figures by topic; beyond 1,000 topics, the rest is under "(other)". */
  readonly topics: ReadonlyMap<string, Figures>;
  /** Figures of each group of a topic. */
  readonly groups: readonly GroupMetrics[];
  /** Figures of live events. */
  readonly live: Figures;
  /** Figures of calls. */
  readonly calls: Figures;
  /** Figures of durable events. */
  readonly durable: Figures;
  /** Calls of this instance that failed, by the code of the error. */
  readonly errors: Readonly<Record<string, number>>;
  /** What else was counted, by the names in docs/metrics.md in camelCase. */
  readonly counters: Readonly<Partial<Record<MetricName, number>>>;
  /** What else is so now, by the names there. */
  readonly gauges: Readonly<Partial<Record<MetricName, number>>>;
  /** What all of this was added up from. */
  readonly series: readonly SeriesMetrics[];
}

/** What was counted, and what these subscriptions have now. */
export function metricsOf(tally: Tally, subscriptions: Iterable<Subscription>): Metrics {
  const pending = pendingOf(tally, subscriptions);
  const read = tally.all().map((series) => figuresOf(series, pending.get(series) ?? 0));
  const series = read.filter((one) => one.publishedEvents > 0 || one.totalEvents > 0);
  const ofKind = (kind: Kind) => sum(series.filter((one) => one.kind === kind));
  const [live, calls, durable] = [ofKind("live"), ofKind("call"), ofKind("durable")];
  const topics = by(series, ({ topic }) => topic);
  const groups = by(
    series.filter(({ group }) => group !== ""),
    ({ topic, group }) => `${topic}\0${group}`,
  );
  return Object.freeze({
    ...sum([live, calls, durable]),
    since: new Date(tally.since),
    topics: new Map([...topics].map(([topic, found]) => [topic, sum(found)])),
    groups: Object.freeze([...groups.values()].map(groupOf)),
    live,
    calls,
    durable,
    errors: Object.freeze(Object.fromEntries(tally.errors)),
    counters: Object.freeze(Object.fromEntries(tally.counters)),
    gauges: Object.freeze(Object.fromEntries([...tally.gauges].map(([name, ask]) => [name, ask()]))),
    series: Object.freeze(series),
  });
}

function pendingOf(tally: Tally, subscriptions: Iterable<Subscription>): Map<Series, number> {
  const found = new Map<Series, number>();
  const add = (series: Series, count: number) => found.set(series, (found.get(series) ?? 0) + count);
  for (const subscription of subscriptions) {
    const { consumer, internal, observe, group } = subscription;
    if (consumer !== undefined) add(consumer.series, consumer.handling);
    else if (!internal && !observe) {
      const atWork = [...subscription.atWork().map(([delivery]) => delivery), ...subscription.collected];
      const wanted = atWork.filter(({ event }) => !event.cancelled); // the others count as cancelled
      for (const { event, isEvent } of wanted) add(tally.series(event.topic, group, isEvent ? "live" : "call"), 1);
    }
  }
  return found;
}

function figuresOf(series: Series, pending: number): SeriesMetrics {
  const { topic, group, kind } = series;
  const queueTime = series.queue.read();
  const handleTime = series.handle.read();
  const figures = completed({
    publishedEvents: series.published,
    pendingEvents: pending,
    deliveredEvents: handleTime.count,
    failedEvents: series.failed,
    expiredEvents: series.expired,
    cancelledEvents: series.cancelled,
    droppedEvents: series.dropped,
    redeliveredEvents: series.redelivered,
    retriedEvents: series.retried,
    skippedEvents: series.skipped,
    deadLetters: series.dead,
    parkedKeys: series.parked,
    queueTime,
    handleTime,
    roundTrip: series.trip.read(),
  });
  return Object.freeze({ ...figures, topic, group, kind });
}

type Derived = "totalEvents" | "successEvents" | "averageLatency";

/** With what follows from the others. */
function completed(counted: Omit<Figures, Derived>): Figures {
  const { pendingEvents, deliveredEvents, expiredEvents, cancelledEvents, droppedEvents, failedEvents } = counted;
  return Object.freeze({
    ...counted,
    totalEvents: pendingEvents + deliveredEvents + expiredEvents + cancelledEvents + droppedEvents,
    successEvents: deliveredEvents - failedEvents,
    averageLatency: counted.handleTime.average,
  });
}

function sum(parts: readonly Figures[]): Figures {
  const added = (name: keyof Figures) => parts.reduce((all, part) => all + (part[name] as number), 0);
  const together = (name: "queueTime" | "handleTime" | "roundTrip") => joined(parts.map((part) => part[name]));
  return completed({
    publishedEvents: added("publishedEvents"),
    pendingEvents: added("pendingEvents"),
    deliveredEvents: added("deliveredEvents"),
    failedEvents: added("failedEvents"),
    expiredEvents: added("expiredEvents"),
    cancelledEvents: added("cancelledEvents"),
    droppedEvents: added("droppedEvents"),
    redeliveredEvents: added("redeliveredEvents"),
    retriedEvents: added("retriedEvents"),
    skippedEvents: added("skippedEvents"),
    deadLetters: added("deadLetters"),
    parkedKeys: added("parkedKeys"),
    queueTime: together("queueTime"),
    handleTime: together("handleTime"),
    roundTrip: together("roundTrip"),
  });
}

function groupOf(found: readonly SeriesMetrics[]): GroupMetrics {
  const [{ topic, group }] = found as [SeriesMetrics];
  return Object.freeze({ ...sum(found), topic, group });
}

function by(series: readonly SeriesMetrics[], key: (one: SeriesMetrics) => string): Map<string, SeriesMetrics[]> {
  const found = new Map<string, SeriesMetrics[]>();
  for (const one of series) found.set(key(one), [...(found.get(key(one)) ?? []), one]);
  return found;
}
