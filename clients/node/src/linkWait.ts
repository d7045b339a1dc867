import { away } from "./callErrors.js";
import { CallCancelledError } from "./errors.js";

/** Events that wait for the broker to come back, bounded in bytes. */
export class LinkWait {
  readonly #mostBytes: number;
  #bytes = 0;
  #up = true;
  readonly #waiting = new Set<() => void>();

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** The broker is back. */
  up(): void {
    this.#up = true;
    for (const go of this.#waiting) go();
  }

  /** The broker is away. */
  down(): void {
    this.#up = false;
  }

  /** Resolves when the broker is there; rejects with UnavailableError after `ms`, or with CallCancelledError. */
  async wait(size: number, ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw gaveUp(signal);
    if (this.#up) return;
    if (ms <= 0 || this.#bytes + size > this.#mostBytes) throw away();
    this.#bytes += size;
    try {
      await this.#untilUp(ms, signal);
    } finally {
      this.#bytes -= size;
    }
  }

  #untilUp(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => () => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        signal?.removeEventListener("abort", stop);
        settle();
      };
      const go = end(resolve);
      const stop = end(() => reject(gaveUp(signal)));
      const timer = setTimeout(
        end(() => reject(away())),
        ms,
      );
      this.#waiting.add(go);
      signal?.addEventListener("abort", stop, { once: true });
    });
  }
}

function gaveUp(signal: AbortSignal | undefined): CallCancelledError {
  return new CallCancelledError("the publisher gave up", { outcome: "NOT_DELIVERED", cause: signal?.reason });
}
