import type { Step } from "../contract/envelope.js";

const ORDER = [
  "planned",
  "fired",
  "expired",
  "published",
  "stored",
  "redriven",
  "routed_local",
  "routed_remote",
  "dispatched",
  "joined",
  "received",
  "claimed",
  "accepted",
  "waiting",
  "queued",
  "running",
  "handled",
  "streamed",
  "replied",
  "completed",
  "failed",
  "retried",
  "dropped",
  "parked",
  "dead_letter",
];
const RANKS = new Map(ORDER.map((name, rank) => [name, rank]));
const SENT = new Set(["planned", "fired", "published", "stored"]);
/** An event that was sent later than that after it was handled is another one of its topic. */
const APART_MS = 5;

type Edge = readonly [cause: Step, effect: Step];

/**
 * Steps of one chain, each after what caused it, and told at no earlier moment; else by time (SPEC.md, section 13).
 *
 * Clocks of different processes agree to about a millisecond, and much happens in one. But what one process did is in the
 * order of its own clock, the two sides of a call are in that of its life, and an event is published before it is handled.
 */
export function inOrder(steps: readonly Step[]): Step[] {
  const byTime = [...steps].sort((one, other) => compare(stepMicros(one), one, stepMicros(other), other));
  const bound = new Map(byTime.map((step) => [step, new Bound(step)]));
  for (const [cause, effect] of [...ofProcesses(byTime), ...ofCalls(byTime), ...ofEvents(byTime)]) {
    bound.get(cause)?.causes(bound.get(effect) as Bound);
  }
  return told([...bound.values()]);
}

/** A step, from when on it may be told (microseconds since 1970), and what is bound to come after it. */
class Bound {
  readonly step: Step;
  readonly effects = new Set<Bound>();
  micros: number;
  left = 0;

  constructor(step: Step) {
    this.step = step;
    this.micros = stepMicros(step);
  }

  causes(effect: Bound): void {
    if (this.effects.has(effect)) return;
    this.effects.add(effect);
    effect.left += 1;
  }
}

/** Again and again the first step all of whose causes are told; the first one of all where they contradict each other. */
function told(all: readonly Bound[]): Step[] {
  const left = new Set(all);
  const steps: Step[] = [];
  while (left.size > 0) {
    const first = firstOf(left);
    left.delete(first);
    const time = Math.floor(first.micros / 1000);
    steps.push({ ...first.step, time, micros: first.micros - time * 1000 });
    for (const effect of first.effects) {
      effect.left -= 1;
      effect.micros = Math.max(effect.micros, first.micros);
    }
  }
  return steps;
}

function firstOf(left: Set<Bound>): Bound {
  let [first] = left as unknown as [Bound];
  for (const one of left) {
    const freer = Number(one.left <= 0) - Number(first.left <= 0);
    if (freer > 0 || (freer === 0 && compare(one.micros, one.step, first.micros, first.step) < 0)) first = one;
  }
  return first;
}

function compare(micros: number, one: Step, otherMicros: number, other: Step): number {
  return micros - otherMicros || rankOf(one) - rankOf(other);
}

function stepMicros({ time, micros }: Step): number {
  return time * 1000 + micros;
}

function rankOf({ name }: Step): number {
  return RANKS.get(name) ?? 0;
}

/** What one process did, in the order of its clock. */
function ofProcesses(byTime: readonly Step[]): Edge[] {
  const groups = by(byTime, ({ source }) => source);
  return groups.flatMap((group) => group.slice(1).map((step, at): Edge => [group[at] as Step, step]));
}

/** The sides of one call, in the order of its life. */
function ofCalls(byTime: readonly Step[]): Edge[] {
  return by(byTime, ({ callId }) => callId.toString("latin1")).flatMap((group) =>
    group.flatMap((cause) =>
      group
        .filter((effect) => cause.source !== effect.source && rankOf(cause) < rankOf(effect))
        .map((effect): Edge => [cause, effect]),
    ),
  );
}

/** Who sent an event comes before those who got it; where several of a topic were sent, time has to do. */
function ofEvents(byTime: readonly Step[]): Edge[] {
  return by(byTime, ({ callId, topic }) => (callId.length > 0 ? "" : topic)).flatMap((group) => {
    const [cause, another] = group.filter(({ name }) => SENT.has(name));
    if (cause === undefined || another !== undefined) return [];
    const bound = group.filter(({ source, time }) => source !== cause.source && cause.time - time <= APART_MS);
    return bound.map((effect): Edge => [cause, effect]);
  });
}

/** Steps that have something in common; those that have nothing of the kind are left out. */
function by(steps: readonly Step[], key: (step: Step) => string): Step[][] {
  const groups = new Map<string, Step[]>();
  for (const step of steps) {
    const shared = key(step);
    const group = groups.get(shared) ?? [];
    group.push(step);
    if (shared !== "") groups.set(shared, group);
  }
  return [...groups.values()];
}
