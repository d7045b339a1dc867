import { type Envelope, STREAM_END } from "../envelope.js";
import {
  CallTimeoutError,
  ERROR_CLASSES,
  InternalError,
  NoRespondersError,
  OverloadedError,
  ResponderLostError,
  type TielineError,
  UnavailableError,
} from "../errors.js";
import type { Call } from "./call.js";

const IN_PROCESS = ". This is within one process (memory://); with TIELINE_URL others are reached too";
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
    `the responder of "${call.envelope.topic}", instance ${call.instance}, is gone: ${why}; whether the call ran is unknown`,
    { details: { instance: call.instance, accepted: call.accepted } },
  );
}

/** Nobody took it, and nobody is waited for any longer; `inProcess`: nor could anybody elsewhere take it. */
export function nobodyAnswers(call: Call, inProcess: boolean): NoRespondersError {
  const waited = Math.min(call.patience, call.deadline) - call.began;
  const after = waited > 0 ? ` after ${Math.round(waited)} ms` : "";
  const or = waited > 0 ? "" : ", or give waitForResponders";
  const where = inProcess ? IN_PROCESS : "";
  return new NoRespondersError(
    `nobody answers "${call.envelope.topic}"${after}: start a subscriber of it${or}${where}`,
  );
}

/** There is nobody whom a gather could ask. */
export function nobodyToAsk(topic: string, inProcess: boolean): NoRespondersError {
  return new NoRespondersError(`nobody answers "${topic}": start a subscriber of it${inProcess ? IN_PROCESS : ""}`);
}

/** The deadline passed; `total`: that of a whole stream, which had so many milliseconds. */
export function tooLate(call: Call, sent: boolean, total = Infinity): CallTimeoutError {
  const details: Record<string, unknown> = { accepted: call.accepted, attempts: call.attempts };
  if (call.inflow !== undefined) details.received = call.inflow.received;
  const what = call.inflow === undefined ? "reply" : "item";
  const { topic, ttlMs } = call.envelope;
  const message =
    total === Infinity
      ? `no ${what} from "${topic}" within ${ttlMs} ms`
      : `the stream from "${topic}" was not over within its total of ${Math.round(total)} ms`;
  return new CallTimeoutError(message, {
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
