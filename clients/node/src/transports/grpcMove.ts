import type { Clock } from "../clock.js";
import type { Envelope } from "../contract/envelope.js";
import { callKey } from "../identity.js";
import type { Interest, Receiver } from "../transport.js";
import type { GrpcLink } from "./grpcLink.js";
import { Overlap } from "./grpcOverlap.js";

/** From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8). */

/** How long the same event may come again over a Link that is slower than the one it came over first. */
const LATE_MS = 15_000;

/** A Link on which calls have to be answered though it is not the one in use. */
export class Beside {
  readonly link: GrpcLink;
  /** Ids of these calls. */
  readonly calls: Set<string>;

  constructor(link: GrpcLink, calls: Iterable<string> = []) {
    this.link = link;
    this.calls = new Set(calls);
  }

  /** Whether what is said of this call has to be said here. */
  takes(callId: Buffer): boolean {
    return this.calls.has(callKey(callId)) && !this.link.broken;
  }
}

/** A Link whose gateway is about to stop: calls that were under way when the next one began end here. */
export class Leaving extends Beside {
  /** When the next Link began (ms, of the port's monotonic clock). */
  readonly since: number;

  constructor(link: GrpcLink, calls: Iterable<string>, since: number) {
    super(link, calls);
    this.since = since;
  }
}

/** The Links beside the one in use: the next one until it is used, and the one that was left. */
export class Moves {
  readonly #clock: Clock;
  readonly #receiver: Receiver;
  #next: Beside | undefined;
  #leaving: Leaving | undefined;
  #overlap: Overlap | undefined;
  #closed = false;

  constructor(clock: Clock, receiver: Receiver) {
    this.#clock = clock;
    this.#receiver = receiver;
  }

  // --- what is said over which Link ----------------------------------------------------------------------------------

  /** The Link over which something is to be said of a call, if it is not the one in use. */
  linkOf(callId: Buffer): GrpcLink | undefined {
    if (this.#leaving?.takes(callId)) return this.#leaving.link;
    return this.#next?.takes(callId) ? this.#next.link : undefined;
  }

  /** A call came over this Link, and is answered over it. */
  came(link: GrpcLink, callId: Buffer): void {
    for (const beside of [this.#leaving, this.#next]) {
      if (beside?.link === link) beside.calls.add(callKey(callId));
    }
  }

  /** Whether a live event is to be handed on now. */
  lets(link: GrpcLink, interest: Interest, envelope: Envelope): boolean {
    return this.#overlap?.lets(link, interest, envelope) ?? true;
  }

  // --- the course of a move ------------------------------------------------------------------------------------------

  /** This Link will be the next one in use. */
  prepare(link: GrpcLink): void {
    this.#next = new Beside(link);
  }

  /** The next Link is the one in use now, or came to nothing. */
  settle(): void {
    this.#next = undefined;
  }

  /** From now on there may be two Links that bring live events. */
  begin(old: GrpcLink): void {
    this.#endOverlap();
    this.#overlap = new Overlap(old, this.#overlap);
  }

  /** All that begins uses the next Link; what is under way ends over the old one. */
  leave(old: GrpcLink): void {
    void this.#leaving?.link.close();
    const calls = new Set(this.#receiver.underWay());
    for (const arrived of this.#next?.calls ?? []) calls.delete(arrived);
    this.#leaving = new Leaving(old, calls, this.#clock.monotonic());
    void this.#seeOff(this.#leaving);
  }

  /** The attempt to move is over; unless the old Link is being left, it is the only one, or gone. */
  end(old: GrpcLink): void {
    if (this.#leaving?.link !== old) this.#endOverlap();
  }

  /** Closes what was left, and what would be next. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#next?.link.close(), this.#leaving?.link.close()]);
  }

  async #seeOff(leaving: Leaving): Promise<void> {
    const { link, since } = leaving;
    await link.ask({ $case: "drain", value: { ref: 0 } }).catch(() => undefined); // nothing comes twice any more
    if (leaving === this.#leaving) this.#endOverlap();
    await link.ended;
    if (leaving === this.#leaving) this.#leaving = undefined;
    if (!this.#closed) this.#receiver.onLeft(since);
    await link.close();
  }

  /** The new Link alone is registered: what came over it only is handed on. */
  #endOverlap(): void {
    const overlap = this.#overlap;
    if (overlap === undefined) return;
    for (const [interest, envelope] of overlap.end()) this.#receiver.onEvent(interest, envelope);
    const forget = () => {
      if (this.#overlap === overlap) this.#overlap = undefined;
    };
    setTimeout(forget, LATE_MS).unref();
  }
}
