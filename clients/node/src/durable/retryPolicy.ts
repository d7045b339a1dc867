import {
  DEFAULT_BACKOFF_CAP_MS,
  DEFAULT_BACKOFF_MS,
  DEFAULT_MAX_ATTEMPTS,
  DEFAULT_REDRIVE_AFTER_MS,
} from "../contract/contract.js";
import { InvalidArgumentError } from "../errors.js";
import { checkOptions, FLAG, type Kinds, milliseconds, whole } from "../options.js";

/** The longest pause before an event is handled again, milliseconds. */
export const LONGEST_DELAY_MS = 86_400_000 * 30;

/**
 * How often a durable event is tried, and how long it waits in between; its key waits with it (SPEC.md, section 14). Times
 * in milliseconds.
 */
export interface RetryPolicy {
  /** Handlings in all, the first one included; 4 unless given. */
  maxAttempts?: number;
  /** The pause before the second one is at most so long, then twice as long each time …; 5,000 unless given. */
  backoff?: number;
  /** … up to this; 300,000 unless given. */
  cap?: number;
  /** The pause is random between nothing and that, unless false: then it is all of it. */
  jitter?: boolean;
  /**
   * So often an event that became a dead letter all the same is put back by itself; 0 unless given. What came back that
   * often stays; so does what was rejected, has expired, does not fit its handler, or may end processes.
   */
  redrives?: number;
  /** So long it lies as a dead letter each time before, at least 1,000; 3,600,000 unless given. */
  redriveAfter?: number;
}

const PAUSE = milliseconds(0, LONGEST_DELAY_MS);
const KINDS: Kinds<RetryPolicy> = {
  maxAttempts: whole(1),
  backoff: PAUSE,
  cap: PAUSE,
  jitter: FLAG,
  redrives: whole(0),
  redriveAfter: milliseconds(1000, LONGEST_DELAY_MS),
};

/** The policy with all that it does not say. Throws InvalidArgumentError if it makes no sense. */
export function checkRetryPolicy(policy: RetryPolicy): Required<RetryPolicy> {
  checkOptions(policy, KINDS, "a retry policy");
  const { maxAttempts = DEFAULT_MAX_ATTEMPTS, jitter = true } = policy;
  const { backoff = DEFAULT_BACKOFF_MS, cap = DEFAULT_BACKOFF_CAP_MS } = policy;
  if (backoff > cap) {
    throw new InvalidArgumentError(`backoff of a retry policy is at most its cap, not ${backoff} and ${cap}`);
  }
  const { redrives = 0, redriveAfter = DEFAULT_REDRIVE_AFTER_MS } = policy;
  return { maxAttempts, backoff, cap, jitter, redrives, redriveAfter };
}

/** What it says of pauses. */
type Pause = Pick<Required<RetryPolicy>, "backoff" | "cap" | "jitter">;

/** How long to wait after so many failures, milliseconds. */
export function pauseOf({ backoff, cap, jitter }: Pause, failures: number): number {
  const ceiling = Math.min(cap, backoff * 2 ** Math.min(failures - 1, 64));
  return jitter ? Math.random() * ceiling : ceiling;
}
