import { onAbort } from "./aborting.js";
import { away, tooMuchWaits } from "./calls/callErrors.js";
import type { Clock } from "./clock.js";
import { CallCancelledError } from "./errors.js";

/** What an envelope takes besides its data, about. */
export const ENVELOPE_BYTES = 256;

/** Events that wait for the broker to come back, bounded in bytes. */
export class LinkWait {
  readonly #mostBytes: number;
  readonly #time: { readonly clock: Clock };
  #bytes = 0;
  #up = true;
  readonly #waiting = new Set<() => void>();

  constructor(mostBytes: number, time: { readonly clock: Clock }) {
    this.#mostBytes = mostBytes;
    this.#time = time;
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

  /** Resolves when the broker is there; rejects with UnavailableError after `ms`, OverloadedError or CallCancelledError. */
  async wait(dataBytes: number, ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw gaveUp(signal);
    if (this.#up) return;
    if (ms <= 0) throw away();
    const size = dataBytes + ENVELOPE_BYTES;
    if (this.#bytes + size > this.#mostBytes) throw tooMuchWaits(size);
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
        timer.cancel();
        this.#waiting.delete(go);
        release?.();
        settle();
      };
      const go = end(resolve);
      const stop = end(() => reject(gaveUp(signal)));
      const timer = this.#time.clock.callLater(
        ms,
        end(() => reject(away())),
      );
      this.#waiting.add(go);
      const release = signal && onAbort(signal, stop);
    });
  }
}

/** What a publisher is told that gave up. */
export function gaveUp(signal: AbortSignal | undefined): CallCancelledError {
  return new CallCancelledError("the publisher gave up", { outcome: "NOT_DELIVERED", cause: signal?.reason });
}
