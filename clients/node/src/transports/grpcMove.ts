import type { Envelope } from "../contract/envelope.js";
import { callKey } from "../identity.js";
import { type Interest, interestKey, Route } from "../transport.js";
import type { GrpcLink } from "./grpcLink.js";

/** From a gateway that is about to stop to another one: two Links at a time, for a moment (SPEC.md, section 8). */

const MOST = 100_000;

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

/**
 * While an old Link and a new one are both registered, live events come over both, and count once.
 *
 * They are taken from the old Link; what comes over the new one is held back until the old one is registered no more, and
 * is then handed on unless it has come already: so the order stays. The new Link may be the slower one: what was taken from
 * the old one is still known for a while after that.
 */
export class Overlap {
  readonly #old: GrpcLink;
  readonly #late: Set<string>;
  #taken = new Set<string>();
  #held = new Map<string, [Interest, Envelope]>();
  #over = false;

  /** `before` is the last such time, if its copies may still come. */
  constructor(old: GrpcLink, before?: Overlap) {
    this.#old = old;
    this.#late = before === undefined ? new Set() : before.#late;
  }

  /** Whether this is to be handed on now. */
  lets(link: GrpcLink, interest: Interest, envelope: Envelope): boolean {
    if (interest.route === Route.GROUP) return true;
    const copy = `${interestKey(interest)} ${envelope.id} ${callKey(envelope.callId)}`;
    if (this.#late.delete(copy)) return false;
    if (this.#over || this.#taken.size + this.#held.size > MOST) return true;
    if (link === this.#old) {
      if (!this.#held.delete(copy)) this.#taken.add(copy);
      return true;
    }
    if (!this.#taken.delete(copy)) this.#held.set(copy, [interest, envelope]);
    return false;
  }

  /** The old Link is registered no more; returns what came over the new one only, in its order. */
  end(): Iterable<[Interest, Envelope]> {
    const held = this.#held;
    this.#held = new Map();
    this.#over = true;
    for (const copy of this.#taken) this.#late.add(copy);
    this.#taken = new Set();
    return held.values();
  }
}
