import type { Call } from "./call.js";
import { type Envelope, STREAM_END } from "./envelope.js";
import {
  CallTimeoutError,
  ERROR_CLASSES,
  InternalError,
  NoRespondersError,
  OverloadedError,
  ResponderLostError,
  type TielineError,
  UnavailableError,
} from "./errors.js";

const REFUSALS: ReadonlySet<string> = new Set(["OVERLOADED", "NO_RESPONDERS", "UNAVAILABLE"]);

/** Whether somebody else may be asked instead (SPEC.md, section 6, "Refused"). */
export function isRefusal(error: TielineError): boolean {
  return error.outcome === "NOT_DELIVERED" && REFUSALS.has(error.code);
}

/** Whether the run of an idempotency key may still bring a result after this error, or has brought it. */
export function leavesRun({ code, fromWire }: TielineError): boolean {
  return code === "UNAVAILABLE" ? !fromWire : code === "HANDLER_ERROR" || code === "TIMEOUT" || code === "CANCELLED";
}

/** The process that took it is gone. */
export function lost(call: Call, why: string): ResponderLostError {
  return new ResponderLostError(
    `the responder of "${call.envelope.topic}" is gone: ${why}; whether the call ran is unknown`,
    { details: { instance: call.instance, accepted: call.accepted } },
  );
}

/** Nobody took it, and nobody else is waited for. */
export function nobodyAnswers(call: Call): NoRespondersError {
  return new NoRespondersError(
    `nobody answers "${call.envelope.topic}": start a subscriber of it, or give waitForResponders`,
  );
}

/** The deadline passed. */
export function tooLate(call: Call, sent: boolean): CallTimeoutError {
  const details: Record<string, unknown> = { accepted: call.accepted, attempts: call.attempts };
  if (call.inflow !== undefined) details.received = call.inflow.received;
  const what = call.inflow === undefined ? "reply" : "item";
  return new CallTimeoutError(`no ${what} from "${call.envelope.topic}" within ${call.envelope.ttlMs} ms`, {
    outcome: sent ? "MAY_HAVE_RUN" : "NOT_DELIVERED",
    details,
  });
}

/** The link broke. */
export function broken(call: Call): UnavailableError {
  return new UnavailableError("the connection to the broker broke while the call was out", {
    details: call.inflow === undefined ? {} : { received: call.inflow.received },
  });
}

/** Items of a stream are missing before this one, or before the end. */
export function gap(call: Call, { kind, stream }: Envelope): UnavailableError {
  const expected = (call.inflow?.received ?? 0) + 1;
  const got = stream?.sequence ?? 0;
  const what = kind === STREAM_END ? `the end of ${got}` : String(got);
  return new UnavailableError(
    `items of the stream from "${call.envelope.topic}" were lost on the way: expected ${expected}, got ${what}`,
    { details: { expected, got } },
  );
}

/** There are more items than the reader asked for. */
export function excess(call: Call): InternalError {
  return new InternalError(`the responder of "${call.envelope.topic}" sends more than it has credit for`);
}

/** A question that could not be asked, which changes nothing. */
export function unasked({ code, message, details, retryAfter, fromWire }: TielineError): TielineError {
  return new ERROR_CLASSES[code](message, { details, retryAfter, fromWire, outcome: "NOT_DELIVERED" });
}

/** The last attempt was not delivered, but an earlier one may have run. */
export function inDoubt(error: TielineError): TielineError {
  const { code, message, details, type, retryAfter, fromWire, cause, idempotent, correlationId } = error;
  const unsure = new ERROR_CLASSES[code](message, {
    details,
    type,
    retryAfter,
    fromWire,
    cause,
    outcome: "MAY_HAVE_RUN",
  });
  return Object.assign(unsure, { idempotent, correlationId });
}

/** There is no broker, and waiting was not allowed or is over. */
export function away(): UnavailableError {
  return new UnavailableError("the broker cannot be reached now; reconnecting. Try again, or allow waitForConnection", {
    outcome: "NOT_DELIVERED",
  });
}

/** As much waits for the broker as may. */
export function tooMuchWaits(bytes: number): OverloadedError {
  return new OverloadedError("too much is waiting for the broker", { details: { bytes } });
}
