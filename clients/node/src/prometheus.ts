import { DURATION_BOUNDS_NS, DURATION_SHOWN_NS, METRICS, type MetricName } from "./contract/contract.js";
import type { Group } from "./durable/groups.js";
import { Distribution } from "./figures/histogram.js";
import type { Figures, Metrics, SeriesMetrics } from "./figures/metrics.js";
import { FLAG, type Kinds } from "./options.js";
import { SCHEDULE_STATUSES } from "./schedules/agenda.js";
import type { ScheduleFigures } from "./schedules/schedules.js";

/** What an HTTP answer with figures says it is. */
export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What is asked for besides the figures of one instance. */
export interface PrometheusOptions {
  /** How far durable groups are, in all instances. */
  readonly groups?: boolean;
  /** How many planned events wait, and ended how, in all instances. */
  readonly schedules?: boolean;
}

/** What those options are. */
export const PROMETHEUS_KINDS: Kinds<PrometheusOptions> = { groups: FLAG, schedules: FLAG };

const SHOWN = DURATION_SHOWN_NS.map((bound) => ({ le: String(bound / 1e9), at: DURATION_BOUNDS_NS.indexOf(bound) }));

const OF_SERIES: Partial<Record<MetricName, keyof Figures>> = {
  eventsPublished: "publishedEvents",
  eventsPending: "pendingEvents",
  eventsDelivered: "deliveredEvents",
  eventsFailed: "failedEvents",
  eventsExpired: "expiredEvents",
  eventsCancelled: "cancelledEvents",
  eventsDropped: "droppedEvents",
  eventsRedelivered: "redeliveredEvents",
  eventsRetried: "retriedEvents",
  eventsSkipped: "skippedEvents",
  deadLetters: "deadLetters",
  keysParked: "parkedKeys",
  eventQueueTimeSeconds: "queueTime",
  eventHandleTimeSeconds: "handleTime",
  callRoundTripSeconds: "roundTrip",
};

const OF_GROUP: Partial<Record<MetricName, (group: Group) => number>> = {
  groupKeys: ({ keys }) => keys,
  groupWaiting: ({ waiting }) => waiting,
  groupPending: ({ pending }) => pending,
  groupParked: ({ parked }) => parked,
  groupOldestSeconds: ({ oldest }) => (oldest ?? 0) / 1000,
};

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | Distribution;
}

/**
 * Figures in Prometheus's text format, with those of durable groups and of planned events, if they are given. It is written
 * here, not by a client library of Prometheus: those count by themselves, in a registry of the process.
 */
export function exposition(metrics: Metrics, groups: readonly Group[] = [], schedules?: ScheduleFigures): string {
  const lines = (Object.keys(METRICS) as MetricName[]).flatMap((name) => {
    const { exposed, type, help } = METRICS[name];
    const samples = name === "schedules" ? samplesOfSchedules(schedules) : samplesOf(name, metrics, groups);
    if (samples.length === 0) return [];
    const about = [`# HELP ${exposed} ${escaped(help)}`, `# TYPE ${exposed} ${type}`];
    return [...about, ...samples.flatMap((sample) => linesOf(exposed, sample))];
  });
  return lines.map((line) => `${line}\n`).join("");
}

function samplesOf(name: MetricName, metrics: Metrics, groups: readonly Group[]): Sample[] {
  const [ofSeries, ofGroup, { type, labels }] = [OF_SERIES[name], OF_GROUP[name], METRICS[name]];
  if (ofSeries !== undefined) {
    return metrics.series
      .filter((one) => has(name, one))
      .map((one) => ({ labels: pick(one, labels), value: one[ofSeries] }));
  }
  if (ofGroup !== undefined) {
    return groups.map((group) => ({ labels: { topic: group.topic, group: group.name }, value: ofGroup(group) }));
  }
  if (name === "callErrors") {
    return Object.entries(metrics.errors).map(([code, value]) => ({ labels: { code }, value }));
  }
  const value = (type === "counter" ? metrics.counters : metrics.gauges)[name];
  return value === undefined ? [] : [{ labels: {}, value }];
}

function samplesOfSchedules(schedules: ScheduleFigures | undefined): Sample[] {
  if (schedules === undefined) return [];
  return SCHEDULE_STATUSES.map((status) => ({ labels: { status }, value: schedules[status] }));
}

/** Whether a metric says something of a series: of publishers or of handlers, of durable events, of calls. */
function has(name: MetricName, one: SeriesMetrics): boolean {
  if (name === "eventsPublished") return one.publishedEvents > 0;
  if (name === "callRoundTripSeconds") return one.kind === "call" && one.publishedEvents > 0;
  if (!METRICS[name].labels.includes("kind") && one.kind !== "durable") return false;
  return one.totalEvents > 0;
}

function pick(one: SeriesMetrics, labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(labels.map((label) => [label, one[label as "topic" | "group" | "kind"]]));
}

function linesOf(name: string, { labels, value }: Sample): string[] {
  if (!(value instanceof Distribution)) return [`${name}${braced(labels)} ${value}`];
  const below = value.cumulative();
  return [
    ...SHOWN.map(({ le, at }) => `${name}_bucket${braced({ ...labels, le })} ${below[at]}`),
    `${name}_bucket${braced({ ...labels, le: "+Inf" })} ${value.count}`,
    `${name}_sum${braced(labels)} ${value.sum / 1000}`,
    `${name}_count${braced(labels)} ${value.count}`,
  ];
}

function braced(labels: Readonly<Record<string, string>>): string {
  const listed = Object.entries(labels).map(([name, value]) => `${name}="${quoted(value)}"`);
  return listed.length === 0 ? "" : `{${listed.join(",")}}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function quoted(text: string): string {
  return escaped(text).replaceAll('"', '\\"');
}
