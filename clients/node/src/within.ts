import { LONGEST_PAUSE_MS } from "./clock.js";

/** Whether something ends within so many milliseconds; rejects if it rejects by then. */
export async function within(ms: number, done: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), Math.min(ms, LONGEST_PAUSE_MS));
  });
  try {
    return await Promise.race([done.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
