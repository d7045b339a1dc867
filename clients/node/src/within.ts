import type { Clock, Timer } from "./clock.js";
import { CallTimeoutError } from "./errors.js";

/** Whether something ends within so many milliseconds of a clock; rejects if it rejects by then. */
export async function within(ms: number, done: Promise<unknown>, clock: Clock): Promise<boolean> {
  let timer: Timer | undefined;
  const late = new Promise<false>((resolve) => {
    timer = clock.callLater(ms, () => resolve(false));
  });
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    timer?.cancel();
  }
}

/**
 * What the broker itself is asked for, within so many milliseconds: a broker that says nothing is no reason to be late.
 * Rejects with CallTimeoutError.
 */
export async function inTime<Answer>(ms: number, answer: Promise<Answer>, clock: Clock): Promise<Answer> {
  if (await within(ms, answer, clock)) return answer;
  throw new CallTimeoutError("the broker did not answer in time; it may be frozen or overloaded", {
    outcome: "NOT_DELIVERED",
  });
}
