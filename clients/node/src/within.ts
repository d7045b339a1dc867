import type { Clock, Timer } from "./clock.js";

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
