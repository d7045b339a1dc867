import { LIMIT_HEADERS, LIMIT_HEADERS_BYTES } from "./contract/contract.js";

export const TRACEPARENT = "traceparent";
export const TRACESTATE = "tracestate";

const NAMES = "-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}";
const IS_TRACEPARENT = new RegExp(`^(?:00${NAMES}|(?!00|ff)[0-9a-f]{2}${NAMES}(?:-.*)?)$`);

/** Whether it names a trace and a span in it: `00-<32 digits>-<16 digits>-<2 digits>`, or a later version's (W3C Trace Context). */
export function isTraceparent(value: string): boolean {
  return IS_TRACEPARENT.test(value);
}

/**
 * Has what a handler publishes belong to the trace of the event it handles. A `traceparent` of its own wins, one that is
 * malformed is not handed on, and nothing is where it would not fit.
 */
export function inheritTrace(headers: Record<string, string>, handled: Readonly<Record<string, string>>): void {
  const { traceparent, tracestate } = handled;
  if (!traceparent || headers[TRACEPARENT] !== undefined || !isTraceparent(traceparent)) return;
  const wanted: Record<string, string> = { traceparent };
  if (tracestate && headers[TRACESTATE] === undefined) wanted[TRACESTATE] = tracestate;
  if (fits({ ...headers, ...wanted })) Object.assign(headers, wanted);
}

/** Whether an envelope may have these headers. */
export function fits(headers: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(headers);
  const size = entries.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0);
  return entries.length <= LIMIT_HEADERS && size <= LIMIT_HEADERS_BYTES;
}
