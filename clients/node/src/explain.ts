import { decode } from "./codec.js";
import { Step, type Step as WireStep } from "./contract/envelope.js";
import type { Responder } from "./gather.js";
import { stepsOf } from "./trailBytes.js";

const ORDER = [
  "published",
  "routed_local",
  "routed_remote",
  "dispatched",
  "joined",
  "received",
  "accepted",
  "handled",
  "streamed",
  "replied",
  "completed",
  "failed",
];

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
    /** In the order of their times. */
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
 * Joins what was told, as serialized Trails; what several tell alike is said once, and what one tells badly does not hide
 * what the others tell.
 */
export function explanationOf(
  correlationId: string,
  trails: readonly Uint8Array[],
  missing: readonly Responder[],
): Explanation {
  const steps = new Map<string, TrailStep>();
  for (const step of trails.flatMap(stepsOf)) {
    steps.set(Buffer.from(Step.encode(step).finish()).toString("latin1"), readable(step));
  }
  const sorted = [...steps.values()].sort((a, b) => Number(a.time) - Number(b.time) || place(a) - place(b));
  return new Explanation(correlationId, sorted, missing);
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

/** Within a millisecond steps are in the order in which things happen. */
function place({ name }: TrailStep): number {
  return Math.max(0, ORDER.indexOf(name));
}

function lineOf({ time, source, name, topic, detail }: TrailStep): string {
  const said = Object.entries(detail).map(([key, value]) => `${key}=${value}`);
  return [time.toISOString().slice(11, -1), source, name, topic, ...said].join("  ").trimEnd();
}
