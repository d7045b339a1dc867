import type { Envelope } from "../contract/envelope.js";
import { callKey } from "../identity.js";
import { type Interest, interestKey, Route } from "../transport.js";
import type { GrpcLink } from "./grpcLink.js";

const MOST = 100_000;

/**
 * While an old Link and a new one are both registered, live events come over both, and count once.
 *
 * They are taken from the old Link; what comes over the new one is held back until the old one is registered no more, and
 * is then handed on unless it has come already: so the order stays. The new Link may be the slower one: what was taken from
 * the old one is still known for a while after that.
 */
export class Overlap {
  /** The Link that is left. */
  readonly old: GrpcLink;
  readonly #late: Set<string>;
  #taken = new Set<string>();
  #held = new Map<string, [Interest, Envelope]>();
  #over = false;

  /** `before` is the last such time, if its copies may still come. */
  constructor(old: GrpcLink, before?: Overlap) {
    this.old = old;
    this.#late = before === undefined ? new Set() : before.#late;
  }

  /** Whether this is to be handed on now. */
  lets(link: GrpcLink, interest: Interest, envelope: Envelope): boolean {
    if (interest.route === Route.GROUP) return true;
    const copy = `${interestKey(interest)} ${envelope.id} ${callKey(envelope.callId)}`;
    if (this.#late.delete(copy)) return false;
    if (this.#over || this.#taken.size + this.#held.size > MOST) return true;
    if (link === this.old) {
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
