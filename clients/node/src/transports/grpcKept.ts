import { monotonic } from "../clock.js";
import type { Settings } from "../settings.js";
import type { GrpcOutbox } from "./grpcOutbox.js";

/** Answers that wait for a Link, bounded in bytes and in time. */
export class GrpcKept {
  readonly #settings: Settings;
  #frames: { until: number; frame: Buffer }[] = [];
  #size = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Keeps a frame if there is room. */
  add(frame: Buffer): void {
    if (this.#size + frame.length > this.#settings.offlineBuffer) return;
    this.#frames.push({ until: monotonic() + this.#settings.callTtl, frame });
    this.#size += frame.length;
  }

  /** Sends what somebody may still wait for. */
  send(outbox: GrpcOutbox): void {
    const now = monotonic();
    this.#size = 0;
    for (const { until, frame } of this.#frames.splice(0)) if (until > now) outbox.put(frame);
  }
}
