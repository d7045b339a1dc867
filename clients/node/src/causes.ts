import type { Step } from "./contract/envelope.js";

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
 * Steps of one chain, each after what caused it; what is not bound by that, by time (SPEC.md, section 13).
 *
 * Clocks of different processes agree to about a millisecond, and much happens in one. But what one process did is in the
 * order of its own clock, the two sides of a call are in that of its life, and an event is published before it is handled.
 */
export function inOrder(steps: readonly Step[]): Step[] {
  const byTime = [...steps].sort(compare);
  const after = new Map<Step, Set<Step>>(byTime.map((step) => [step, new Set()]));
  const causes = new Map<Step, number>(byTime.map((step) => [step, 0]));
  for (const [cause, effect] of [...ofProcesses(byTime), ...ofCalls(byTime), ...ofEvents(byTime)]) {
    const effects = after.get(cause) as Set<Step>;
    if (!effects.has(effect)) causes.set(effect, (causes.get(effect) ?? 0) + 1);
    effects.add(effect);
  }
  return freed(byTime, after, causes);
}

/** Again and again the first step all of whose causes are told; the first one of all where they contradict each other. */
function freed(byTime: readonly Step[], after: Map<Step, Set<Step>>, causes: Map<Step, number>): Step[] {
  const left = new Set(byTime);
  const told: Step[] = [];
  for (let next = freeOf(left, causes); next !== undefined; next = freeOf(left, causes)) {
    left.delete(next);
    told.push(next);
    for (const effect of after.get(next) ?? []) causes.set(effect, (causes.get(effect) ?? 0) - 1);
  }
  return told;
}

function freeOf(left: Set<Step>, causes: Map<Step, number>): Step | undefined {
  for (const step of left) if ((causes.get(step) ?? 0) <= 0) return step;
  const [first] = left;
  return first;
}

function compare(one: Step, other: Step): number {
  return one.time - other.time || one.micros - other.micros || rankOf(one) - rankOf(other);
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
