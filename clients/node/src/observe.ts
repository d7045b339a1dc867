import type { Envelope } from "./contract/envelope.js";
import { harmless } from "./harmless.js";
import type { Logger } from "./log.js";

/** What happened to an envelope. */
export type StepName =
  | "routed_local"
  | "routed_remote"
  | "dispatched"
  | "received"
  | "accepted"
  | "waiting"
  | "queued"
  | "running"
  | "retried"
  | "joined"
  | "deduplicated"
  | "streamed"
  | "published"
  | "planned"
  | "fired"
  | "expired"
  | "stored"
  | "claimed"
  | "replied"
  | "completed"
  | "failed"
  | "cancelled"
  | "handled"
  | "parked"
  | "dead_letter"
  | "redriven"
  | "dropped"
  | "gap";

/** One step of an envelope's life. */
export interface Step {
  readonly name: StepName;
  /** Milliseconds since 1970, broker clock. */
  readonly time: number;
  readonly topic: string;
  /** Whose step it is. */
  readonly correlationId: string;
  /** The attempt of a call; empty for events. */
  readonly callId: Uint8Array;
  /** What else there is to say. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/**
 * The seam for metrics, tracing and explain: one function that is told each step. What it throws goes to the log.
 * With nothing attached no step is even built.
 */
export type Observer = (step: Step) => void;

/** An observer that disturbs nobody when it throws. */
export function guarded(observer: Observer, log: Logger): Observer {
  return (step) =>
    harmless(
      () => observer(step),
      (error) => log.error(`the observer threw at step "${step.name}"`, error),
    );
}

/** A step of this envelope. */
export function stepOf(
  name: StepName,
  time: number,
  envelope: Envelope,
  detail: Readonly<Record<string, unknown>> = {},
): Step {
  const correlationId = envelope.correlationId || envelope.id;
  return { name, time, topic: envelope.topic, correlationId, callId: envelope.callId, detail };
}
