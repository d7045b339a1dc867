import { DEFAULT_HANDLER_TIMEOUT_MS } from "../contract/contract.js";
import { InvalidArgumentError } from "../errors.js";
import { ANY, FLAG, type Kinds, milliseconds, OBJECT, oneOf, shown } from "../options.js";
import { isWildcard } from "../topics.js";
import type { IdempotencyStore } from "./idempotency.js";
import { DEFAULT_GROUP } from "./mail.js";
import { checkRetryPolicy, type RetryPolicy } from "./retryPolicy.js";

const DAY_MS = 86_400_000;

/** What a subscriber of durable events can ask for. */
export interface DurableOptions {
  /**
   * Handle events that were published with `key` or `durable`, each at least once in each group, those of a key in their
   * order; `group` is "default" unless given, and `concurrency` 10.
   */
  durable?: boolean;
  /** Where a new durable group begins: at the "earliest" event that is stored, or after the "latest". */
  start?: "earliest" | "latest";
  /** When a durable event is tried again. */
  retry?: RetryPolicy;
  /** How long the handler of a durable event may take, milliseconds; 30,000 unless given. */
  timeout?: number;
  /**
   * What becomes of a durable event that failed for the last time: "park" stops its key until somebody looks (so it is
   * unless given, where there is a key), "dead_letter" (where there is none), or "skip".
   */
  onPoison?: "park" | "skip" | "dead_letter";
  /** Remembers which events were handled, so that none is handled twice: `idempotencyStore("redis://…")`. */
  idempotency?: IdempotencyStore;
}

/** What they must be. */
export const DURABLE_KINDS: Kinds<DurableOptions> = {
  durable: FLAG,
  start: oneOf("earliest", "latest"),
  retry: OBJECT,
  timeout: milliseconds(1, DAY_MS),
  onPoison: oneOf("park", "skip", "dead_letter"),
  idempotency: ANY,
};

const ONLY_DURABLE = ["start", "retry", "timeout", "onPoison", "idempotency"] as const;
const NEVER_DURABLE = ["observe", "queue", "onGap", "byReference", "output", "outputSchema"] as const;

/** How events that were stored are handled. */
export interface Durability {
  /** The subscription group. */
  readonly group: string;
  /** A new group does not get what was stored before. */
  readonly latest: boolean;
  /** When an event is tried again. */
  readonly retry: Required<RetryPolicy>;
  /** Milliseconds that a handler may take for one event. */
  readonly timeout: number;
  /** What becomes of an event that failed for the last time; undefined: as it is with a key, or without. */
  readonly onPoison: DurableOptions["onPoison"];
  /** Remembers which events were handled; undefined if nothing does. */
  readonly idempotency: IdempotencyStore | undefined;
}

/** All options of a subscription that matter here. */
type Given = DurableOptions & { group?: string; batch?: unknown } & {
  [Name in (typeof NEVER_DURABLE)[number]]?: unknown;
};

/**
 * What the options of a subscription ask for; undefined for a live one. They are of the right kind.
 * Throws InvalidArgumentError if they make no sense together.
 */
export function durabilityOf(topic: string, options: Given): Durability | undefined {
  if (!options.durable) {
    const strange = ONLY_DURABLE.find((name) => options[name] !== undefined);
    if (strange) throw new InvalidArgumentError(`${strange} is for durable events: add durable: true`);
    return undefined;
  }
  const strange = NEVER_DURABLE.find((name) => options[name]);
  if (options.batch && options.idempotency) {
    throw new InvalidArgumentError("idempotency is for handlers of single events, and batch makes lists of them");
  }
  if (strange) throw new InvalidArgumentError(`${strange} is for live events; a durable subscription does without`);
  if (isWildcard(topic)) {
    throw new InvalidArgumentError(`a durable subscription is on one topic, not on the pattern ${shown(topic)}`);
  }
  const { group = DEFAULT_GROUP, start, retry = {}, timeout = DEFAULT_HANDLER_TIMEOUT_MS, onPoison } = options;
  const idempotency = options.idempotency === undefined ? undefined : checkStore(options.idempotency);
  return { group, latest: start === "latest", retry: checkRetryPolicy(retry), timeout, onPoison, idempotency };
}

function checkStore(store: IdempotencyStore): IdempotencyStore {
  const { begin, done, giveUp } = Object(store) as Partial<IdempotencyStore>;
  if ([begin, done, giveUp].every((method) => typeof method === "function")) return store;
  throw new InvalidArgumentError(`idempotency is a store, as in idempotencyStore("redis://…"), not ${shown(store)}`);
}
