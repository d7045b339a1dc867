import type { Envelope } from "../contract/envelope.js";
import { callKey } from "../identity.js";
import { type Interest, type Receiver, Route } from "../transport.js";
import type { GrpcLink } from "./grpcLink.js";
import { Overlap } from "./grpcOverlap.js";

/** From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8). */

/** How long the same event may come again over a Link that is slower than the one it came over first. */
const LATE_MS = 15_000;

/** A Link that is not the one in use, but over which there are things to be said of calls. */
class Beside {
  readonly link: GrpcLink;
  /** Their ids (`callKey`); of a Link that was left, those that were under way when the next one began. */
  readonly calls: Set<string>;

  constructor(link: GrpcLink, calls: Iterable<string> = []) {
    this.link = link;
    this.calls = new Set(calls);
  }
}

/** The Links beside the one in use: the next one until it is used, and those that were left and have not ended. */
export class Moves {
  readonly #receiver: Receiver;
  #next: Beside | undefined;
  readonly #left = new Map<GrpcLink, Beside>();
  #overlap: Overlap | undefined;
  #closed = false;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  // --- what is said over which Link ----------------------------------------------------------------------------------

  /** The Link over which something is to be said of a call, if it is not the one in use. */
  linkOf(callId: Buffer): GrpcLink | undefined {
    if (this.#next === undefined && this.#left.size === 0) return undefined;
    const key = callKey(callId);
    return this.#beside().find(({ link, calls }) => calls.has(key) && !link.broken)?.link;
  }

  /** A call came over this Link, and is answered over it. */
  came(link: GrpcLink, callId: Buffer): void {
    for (const beside of this.#beside()) {
      if (beside.link === link) beside.calls.add(callKey(callId));
    }
  }

  /**
   * Whether a live event is to be handed on now. What Links bring that were left before the last one came over that one,
   * too.
   */
  lets(link: GrpcLink, interest: Interest, envelope: Envelope): boolean {
    const overlap = this.#overlap;
    if (this.#left.has(link) && link !== overlap?.old) return interest.route === Route.GROUP;
    return overlap?.lets(link, interest, envelope) ?? true;
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

  /** All that begins uses the next Link; what is under way ends over the old one, or where it began before. */
  leave(old: GrpcLink): void {
    const elsewhere = this.#beside();
    const calls = [...this.#receiver.underWay()].filter((key) => !elsewhere.some((beside) => beside.calls.has(key)));
    this.#left.set(old, new Beside(old, calls));
    void this.#seeOff(old);
  }

  /** The attempt to move is over; unless the old Link is being left, it is the only one, or gone. */
  end(old: GrpcLink): void {
    if (!this.#left.has(old)) this.#endOverlap();
  }

  /** Closes what was left, and what would be next. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#beside().map(({ link }) => link.close()));
  }

  async #seeOff(old: GrpcLink): Promise<void> {
    await old.ask({ $case: "drain", value: { ref: 0 } }).catch(() => undefined); // nothing comes twice any more
    this.#endOverlapWith(old);
    await old.ended;
    const { calls = new Set<string>() } = this.#left.get(old) ?? {};
    this.#left.delete(old);
    if (!this.#closed) this.#receiver.onLeft(calls);
    await old.close();
  }

  #beside(): Beside[] {
    return this.#next === undefined ? [...this.#left.values()] : [...this.#left.values(), this.#next];
  }

  #endOverlapWith(old: GrpcLink): void {
    if (this.#overlap?.old === old) this.#endOverlap();
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
