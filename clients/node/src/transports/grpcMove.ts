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
 * is then handed on unless it has come already: so the order stays.
 */
export class Overlap {
  readonly #old: GrpcLink;
  readonly #held = new Map<string, [Interest, Envelope]>();
  readonly #seen = new Set<string>();

  constructor(old: GrpcLink) {
    this.#old = old;
  }

  /** Whether this is to be handed on now. */
  lets(link: GrpcLink, interest: Interest, envelope: Envelope): boolean {
    if (interest.route === Route.GROUP || this.#seen.size + this.#held.size > MOST) return true;
    const copy = `${interestKey(interest)} ${envelope.id} ${callKey(envelope.callId)}`;
    if (link === this.#old) {
      this.#seen.add(copy);
      this.#held.delete(copy);
      return true;
    }
    if (!this.#seen.has(copy)) this.#held.set(copy, [interest, envelope]);
    return false;
  }

  /** What came over the new Link only, in its order. */
  held(): Iterable<[Interest, Envelope]> {
    return this.#held.values();
  }
}
