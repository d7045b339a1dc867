import { decode, encode } from "../codec.js";
import { type Step as WireStep, Trail as WireTrail } from "../contract/envelope.js";
import { parse } from "../envelope.js";
import { TielineError } from "../errors.js";
import { NO_CALL } from "../explain/trail.js";
import { stepsOf } from "../explain/trailBytes.js";
import type { StepName } from "../observe.js";
import type { Agenda, Planned, ScheduleStatus } from "./agenda.js";

/** Whose step it is that a planned event went out: whoever fired it does not remember it, the broker does. */
const BROKER = "broker";
const MOST = 20;
const ENDS: Readonly<Partial<Record<ScheduleStatus, StepName>>> = {
  delivered: "fired",
  cancelled: "cancelled",
  expired: "expired",
  failed: "failed",
};

/**
 * What the broker remembers of planned events, told as steps of their chains (SPEC.md, section 13): a serialized Trail of what
 * became of those that are told to be planned, and of the chain's first one.
 */
export async function plannedTrail(
  agenda: Agenda,
  correlationId: string,
  trails: readonly Uint8Array[],
): Promise<Uint8Array> {
  const told = new Map(trails.flatMap(toldIn));
  const steps: WireStep[] = [];
  for (const id of [...new Set([correlationId, ...[...told.keys()].sort()])].slice(0, MOST)) {
    try {
      const planned = await agenda.find(id);
      if (planned !== undefined) steps.push(...stepsFor(planned, correlationId, told.get(id)));
    } catch (error) {
      if (!(error instanceof TielineError)) throw error; // what is only told must not keep the rest from being told
    }
  }
  return WireTrail.encode({ steps }).finish();
}

/** Ids of events that are told to be planned, and when they are due. */
function toldIn(trail: Uint8Array): [id: string, due: unknown][] {
  return stepsOf(trail).flatMap(({ name, detail }) => {
    if (name !== "planned") return [];
    try {
      const { id, due } = decode(detail) as { id?: unknown; due?: unknown };
      return typeof id === "string" ? [[id, due]] : [];
    } catch {
      return [];
    }
  });
}

/** Steps that the broker adds; `told` is when the event is due as its planner knows it, undefined if nobody does. */
function stepsFor(planned: Planned, correlationId: string, told: unknown): WireStep[] {
  const { id, status, due, created, ended, why } = planned;
  const event = parse(planned.envelope);
  if (event === undefined || (event.correlationId || id) !== correlationId) return [];
  const step = (name: StepName, time: number, source: string, detail: object): WireStep => {
    return { name, time, micros: 0, source, topic: event.topic, callId: NO_CALL, detail: Buffer.from(encode(detail)) };
  };
  const steps: WireStep[] = [];
  if (!(told instanceof Date) || told.getTime() !== due) {
    // Nobody knows, or its planner does not: it was put off since.
    steps.push(step("planned", created, told === undefined ? event.source : BROKER, plannedDetail(id, due)));
  }
  const end = ENDS[status];
  if (end !== undefined) steps.push(step(end, ended, BROKER, end === "failed" ? { id, why } : { id }));
  return steps;
}

/** What there is to say of an event that is planned: its id, and when it is due (ms since 1970). */
function plannedDetail(id: string, due: number): object {
  return { id, due: new Date(due) };
}
