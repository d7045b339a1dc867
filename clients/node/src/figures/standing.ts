import type { Envelope } from "../contract/envelope.js";
import { InvalidArgumentError } from "../errors.js";
import type { Subscription } from "../subscription.js";
import { joined } from "./histogram.js";
import type { Tally } from "./tally.js";

const MOST_CALLS = 1_000;

/** A call that is under way: its request, the instance that has it, and whether that said so. */
export interface UnderWay {
  readonly envelope: Envelope;
  readonly instance: string;
  readonly accepted: boolean;
}

/** Sums over all topics since the instance was made (SPEC.md, section 13); cheaper than `metricsOf`. */
export function figures(tally: Tally, subscriptions: readonly Subscription[], inFlight: number): object {
  const series = tally.all();
  const calls = series.filter(({ kind }) => kind === "call");
  const events = series.filter(({ kind }) => kind !== "call");
  const { sum: sum_ms, max: max_ms, buckets } = joined(series.map(({ trip }) => trip.read()));
  const working = subscriptions.filter(({ internal, observe }) => !internal && !observe);
  return {
    since: tally.since,
    published: added(events, ({ published }) => published),
    called: added(calls, ({ published }) => published),
    failed: added([...tally.errors.values()], (count) => count),
    in_flight: inFlight,
    handled: added(series, ({ handle }) => handle.read().count),
    handler_failed: added(series, ({ failed }) => failed),
    pending: added(working, ({ underWay }) => underWay),
    round_trip: { sum_ms, max_ms, buckets },
  };
}

/**
 * The oldest calls that are under way, so many at most, and how many there are. Throws InvalidArgumentError where that is
 * no number of calls.
 */
export function calls(underWay: readonly UnderWay[], most: unknown): object {
  if (!Number.isInteger(most) || (most as number) < 1 || (most as number) > MOST_CALLS) {
    throw new InvalidArgumentError(`calls is how many are told at most, from 1 to 1,000, not ${String(most)}`);
  }
  const oldest = [...underWay].sort((one, other) => one.envelope.time - other.envelope.time);
  return { calls: oldest.slice(0, most as number).map(told), total: underWay.length };
}

function told({ envelope, instance, accepted }: UnderWay): object {
  const { id, correlationId, topic, source, time, expiresAt } = envelope;
  return {
    correlation_id: correlationId || id,
    topic,
    source,
    since: time,
    until: expiresAt,
    responder: instance,
    accepted,
  };
}

function added<T>(parts: readonly T[], of: (part: T) => number): number {
  return parts.reduce((all, part) => all + of(part), 0);
}
