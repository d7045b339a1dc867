// What became of a command, as the program saw it.
import { TielineError } from "tieline";
import { Answer, Failure } from "./contract/peer.js";
import { fromNative } from "./values.js";

type What = NonNullable<Answer["what"]>;

/** An answer without a number. */
export function answer(what: What): Answer {
  return Answer.fromPartial({ what });
}

/** All that can be known of an error. */
export function failure(error: unknown): Answer {
  const className = error instanceof Error ? error.constructor.name : typeof error;
  if (!(error instanceof TielineError)) {
    return answer({ $case: "failure", value: Failure.fromPartial({ className, message: String(error) }) });
  }
  const { code, message, outcome, type, fromWire, retryable, retryAfter } = error;
  const known = { code, message, outcome, type, fromWire, retryable, className, details: fromNative(error.details) };
  return answer({ $case: "failure", value: Failure.fromPartial({ ...known, retryAfterMs: retryAfter }) });
}
