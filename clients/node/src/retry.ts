import { DEFAULT_ATTEMPTS, DEFAULT_RETRY_BASE_MS, DEFAULT_RETRY_CAP_MS } from "./contract/contract.js";
import { InvalidArgumentError, type TielineError } from "./errors.js";
import { checkNames } from "./optionNames.js";

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

const NAMES: Record<keyof Retry, true> = { attempts: true, base: true, cap: true, when: true };

/** Throws InvalidArgumentError if the policy makes no sense. */
export function checkRetry(retry: Retry): void {
  checkNames(retry, NAMES, "a retry policy");
  const { attempts, base, cap, when } = chosen(retry);
  if (when !== undefined && typeof when !== "function") {
    throw new InvalidArgumentError("when of a retry policy is asked about an error: a function");
  }
  const pauses = typeof base === "number" && typeof cap === "number" && base >= 0 && base <= cap && cap < DAY_MS;
  if (Number.isInteger(attempts) && attempts >= 1 && pauses) return;
  throw new InvalidArgumentError(
    `a retry policy has at least 1 attempt and pauses 0 <= base <= cap in milliseconds, not ${attempts}, ${base}, ${cap}`,
  );
}

/** How long to wait after so many tries and this error, chosen at random; undefined: do not try again. */
export function pauseAfter(retry: Retry, made: number, error: TielineError): number | undefined {
  const { attempts, base, cap, when } = chosen(retry);
  if (made >= attempts || !(error.retryable || (error.idempotent && when?.(error)))) return undefined;
  const ceiling = Math.min(cap, base * 2 ** Math.min(made - 1, 64));
  return Math.max(Math.random() * ceiling, error.retryAfter ?? 0);
}

function chosen(retry: Retry) {
  const { attempts = DEFAULT_ATTEMPTS, base = DEFAULT_RETRY_BASE_MS, cap = DEFAULT_RETRY_CAP_MS, when } = retry;
  return { attempts, base, cap, when };
}
