import { DEFAULT_ATTEMPTS, DEFAULT_RETRY_BASE_MS, DEFAULT_RETRY_CAP_MS } from "../contract/contract.js";
import { InvalidArgumentError, type TielineError } from "../errors.js";
import { checkOptions, FUNCTION, type Kinds, milliseconds, whole } from "../options.js";
import { isThenable, notAtOnce } from "../thenable.js";

const DAY_MS = 86_400_000;

/** When a failed call is tried again, and after which pause (SPEC.md, section 6, "Retries"); times in milliseconds. */
export interface Retry {
  /** Tries in all, the first one included; 3 unless given. */
  attempts?: number;
  /** The pause before the second try is at most so long, then twice as long each time …; 100 unless given. */
  base?: number;
  /** … up to this; 5,000 unless given. */
  cap?: number;
  /** Asked for other errors of an idempotent call, such as HandlerError; `retryable` errors need no permission. */
  when?: (error: TielineError) => boolean;
}

const PAUSE = milliseconds(0, DAY_MS);
const KINDS: Kinds<Retry> = { attempts: whole(1), base: PAUSE, cap: PAUSE, when: FUNCTION };

/** Throws InvalidArgumentError if the policy makes no sense. */
export function checkRetry(retry: Retry): void {
  checkOptions(retry, KINDS, "a retry policy");
  const { base, cap } = chosen(retry);
  if (base > cap) throw new InvalidArgumentError(`base of a retry policy is at most its cap, not ${base} and ${cap}`);
}

/** How long to wait after so many tries and this error, chosen at random; undefined: do not try again. */
export function pauseAfter(retry: Retry, made: number, error: TielineError): number | undefined {
  const { attempts, base, cap, when } = chosen(retry);
  if (made >= attempts || !(error.retryable || (error.idempotent && when && isWanted(when, error)))) return undefined;
  const ceiling = Math.min(cap, base * 2 ** Math.min(made - 1, 64));
  return Math.max(Math.random() * ceiling, error.retryAfter ?? 0);
}

function isWanted(when: (error: TielineError) => boolean, error: TielineError): boolean {
  const answer: unknown = when(error);
  if (isThenable(answer)) throw notAtOnce(answer, "when of a retry policy", { outcome: error.outcome, cause: error });
  return Boolean(answer);
}

function chosen(retry: Retry) {
  const { attempts = DEFAULT_ATTEMPTS, base = DEFAULT_RETRY_BASE_MS, cap = DEFAULT_RETRY_CAP_MS, when } = retry;
  return { attempts, base, cap, when };
}
