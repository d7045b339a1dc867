import type { Responder } from "../calls/gather.js";
import { decode } from "../codec.js";
import { Step, type Step as WireStep } from "../contract/envelope.js";
import { inOrder } from "./causes.js";
import { stepsOf } from "./trailBytes.js";

const SAME_MS = 50;

/** One step: what happened, when by the broker's clock, in which process, and what there is to say. */
export interface TrailStep {
  readonly name: string;
  readonly time: Date;
  /** `service/instance` of the process whose step it is. */
  readonly source: string;
  readonly topic: string;
  /** Of a call's attempt, in hexadecimal digits; empty for events. */
  readonly callId: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Where an event or call went, as all processes that took part remember it (SPEC.md, section 13). */
export class Explanation {
  constructor(
    readonly correlationId: string,
    /** Each after what caused it, and else by time. */
    readonly steps: readonly TrailStep[],
    /** Instances that did not tell theirs. */
    readonly missing: readonly Responder[],
  ) {}

  /** A line for each step. */
  toString(): string {
    if (this.steps.length === 0) return `${this.correlationId}: nobody remembers anything of it`;
    return [this.correlationId, ...this.steps.map((step) => `  ${lineOf(step)}`)].join("\n");
  }
}

/**
 * Joins what the processes told, as serialized Trails; what is stored is added where none of them tells it any more. What one
 * tells badly does not hide what the others tell.
 */
export function explanationOf(
  correlationId: string,
  stored: Uint8Array,
  trails: readonly Uint8Array[],
  missing: readonly Responder[],
): Explanation {
  const steps = trails.flatMap(stepsOf);
  const known = new Map<string, number[]>();
  for (const step of steps) timesOf(known, step).push(step.time);
  for (const step of stepsOf(stored)) {
    const times = timesOf(known, step);
    if (times.some((time) => Math.abs(step.time - time) <= SAME_MS)) continue;
    times.push(step.time);
    steps.push(step);
  }
  return new Explanation(correlationId, inOrder(steps).map(readable), missing);
}

/** The times of what is this step but for its time, which changes a little with what a process knows of the broker's clock. */
function timesOf(known: Map<string, number[]>, step: WireStep): number[] {
  const what = Buffer.from(Step.encode({ ...step, time: 0, micros: 0 }).finish()).toString("latin1");
  const times = known.get(what) ?? [];
  known.set(what, times);
  return times;
}

function readable({ name, time, source, topic, callId, detail }: WireStep): TrailStep {
  return { name, time: new Date(time), source, topic, callId: callId.toString("hex"), detail: detailOf(detail) };
}

function detailOf(data: Uint8Array): Record<string, unknown> {
  try {
    const detail = decode(data);
    return typeof detail === "object" && detail !== null && !Array.isArray(detail) ? { ...detail } : {};
  } catch {
    return {};
  }
}

function lineOf({ time, source, name, topic, detail }: TrailStep): string {
  const said = Object.entries(detail).map(([key, value]) => `${key}=${value}`);
  return [time.toISOString().slice(11, -1), source, name, topic, ...said].join("  ").trimEnd();
}
