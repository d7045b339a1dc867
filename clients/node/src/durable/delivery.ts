import { ConflictError } from "../errors.js";
import { check, milliseconds, TEXT } from "../options.js";
import type { Lease } from "./lease.js";
import { LONGEST_DELAY_MS } from "./retryPolicy.js";

const DELAY = milliseconds(0, LONGEST_DELAY_MS);

/**
 * One handling of a durable event, as its handler sees it: `event.delivery`.
 *
 * A handler need not say anything: returning acknowledges, throwing does not. What it says counts instead.
 */
export class DurableDelivery {
  /** Which handling of the event it is, from 1. */
  readonly attempt: number;
  /** It is acknowledged. */
  acked = false;
  /** It is to be handled again. */
  nacked = false;
  /** Why it is not to be handled again, if it is not. */
  rejected: string | undefined;
  /** What `nack` asked for, milliseconds. */
  delay: number | undefined;
  /** Why it is to be handled again, as `nack` said it. */
  reason = "";
  readonly #lease: Lease;

  constructor(lease: Lease, attempt: number) {
    this.#lease = lease;
    this.attempt = attempt;
  }

  /** The subscription group it was delivered to. */
  get group(): string {
    return this.#lease.consumer.policy.group;
  }

  /**
   * Fencing token of the lease: a later lease of the key has a greater one. Hand it to your own storage with what you
   * write, and have it refuse smaller ones than it has seen.
   */
  get token(): bigint {
    return BigInt(this.#lease.token.toString("latin1"));
  }

  /** Whether the handler said what is to become of it. */
  get said(): boolean {
    return this.acked || this.nacked || this.rejected !== undefined;
  }

  /** Whether the lease was lost, so that somebody else handles the event now. */
  get lost(): boolean {
    return this.#lease.lost;
  }

  /**
   * It is handled, whatever else the handler does; the next event of the key still waits for its end.
   * Throws ConflictError: the handling is over, or the lease was lost.
   */
  ack(): void {
    this.#check();
    if (this.acked) return;
    this.acked = true;
    this.#lease.acknowledge();
  }

  /**
   * It is to be handled again, after so many milliseconds or as the retry policy says, when the handler has ended.
   * The reason is told in the log, and by the dead letter if this was the last attempt.
   * Throws ConflictError: it was acknowledged, the handling is over, or the lease was lost; InvalidArgumentError: the delay
   * is no number of milliseconds from 0 to 30 days, or the reason no text.
   */
  nack(delay?: number, reason = ""): void {
    this.#check();
    if (delay !== undefined) check(delay, "delay", DELAY);
    check(reason, "reason", TEXT);
    this.#checkOpen();
    this.nacked = true;
    this.delay = delay;
    this.reason = reason;
  }

  /**
   * It is not to be handled again: it becomes a dead letter when the handler has ended, and its key goes on.
   * Throws ConflictError: it was acknowledged, the handling is over, or the lease was lost; InvalidArgumentError: the
   * reason is no text.
   */
  reject(reason = ""): void {
    this.#check();
    check(reason, "reason", TEXT);
    this.#checkOpen();
    this.rejected = reason || "the handler rejected it";
  }

  /**
   * The handler is still at work: its time begins anew. The lease extends by itself.
   * Throws ConflictError: the handling is over, or the lease was lost.
   */
  extend(): void {
    this.#check();
    this.#lease.begun = this.#lease.consumer.clock.monotonic();
  }

  #check(): void {
    if (this.#lease.lost) throw new ConflictError("the lease of this event was lost; somebody else handles it");
    if (this.#lease.delivery !== this) throw new ConflictError("the handling of this event is over");
  }

  #checkOpen(): void {
    if (this.acked) throw new ConflictError("the event was acknowledged already");
  }
}
