import { isThenable } from "./thenable.js";

/** Runs what only looks on and must disturb nobody; `failed` gets what it throws, or rejects with. */
export function harmless(run: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = run();
    if (isThenable(result)) result.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
