import { PRIORITY_CRITICAL, PRIORITY_HIGH, PRIORITY_LOW, PRIORITY_NORMAL } from "./contract/contract.js";
import type { RetryPolicy } from "./durable/retryPolicy.js";
import { InvalidArgumentError } from "./errors.js";
import { ANY, checkOptions, FLAG, type Kind, type Kinds, NO_OPTIONS, OBJECT, whole } from "./options.js";
import { checkKey, MESSAGE_KINDS, type MessageOptions } from "./outgoing.js";

const MOST_REPLICAS = 100;

/** How an event is published. */
export interface PublishOptions extends MessageOptions {
  /** Resolve when the handlers in this process are done. */
  waitLocal?: boolean;
  /** Store it; events of one topic and key are handled strictly in order, by one handler at a time. */
  key?: string;
  /** Store it without a key: such events are handled side by side. A stored event has no `ttl` unless given. */
  durable?: boolean;
  /**
   * Of a stored event without key: 1, 5 (unless given), 8 or 10; the highest are handled first. Events of a key keep
   * their order, and carry it along. Of planned events that are due in the same millisecond the highest is published first.
   */
  priority?: number;
  /** An id of your own: an event of the topic with the same one is stored once within 24 hours. */
  dedupe?: string;
  /** Do not store it if its key, or its priority, holds so many events; 0 for no bound. */
  maxStored?: number;
  /** Resolve when so many replicas of Redis have it too. */
  waitReplicas?: number;
  /** Publish it after so many milliseconds, up to ten years. The `ttl` of a planned event begins when it is due; none unless given. Null is as not given. */
  delay?: number | null;
  /** Publish it then: a Date, or milliseconds since 1970. A moment in the past is now, and the receipt says `overdue`. */
  at?: Date | number | null;
  /**
   * How often, and in which pauses, to try to store a planned event if it finds no room when it is due; four times, every
   * five minutes, unless given; refused for one that is not stored. `jitter` and `redrives` have no meaning here.
   */
  retry?: RetryPolicy;
}

const PRIORITIES: readonly unknown[] = [PRIORITY_LOW, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_CRITICAL];
const ONLY_STORED = ["priority", "dedupe", "maxStored", "waitReplicas"] as const;

/** What a priority must be. */
export const PRIORITY: Kind = {
  is: "1 (low), 5 (normal), 8 (high) or 10 (critical)",
  fits: (value) => PRIORITIES.includes(value),
};

/** What a bound of stored events must be. */
export const MAX_STORED: Kind = whole(0);

const KINDS: Kinds<PublishOptions> = {
  ...MESSAGE_KINDS,
  waitLocal: FLAG,
  key: ANY,
  durable: FLAG,
  priority: PRIORITY,
  dedupe: ANY,
  maxStored: MAX_STORED,
  waitReplicas: whole(0, MOST_REPLICAS),
  delay: ANY,
  at: ANY,
  retry: OBJECT,
};

/** Throws InvalidArgumentError for options of a publish that make no sense. */
export function checkPublishOptions(options: PublishOptions): void {
  checkOptions(options, KINDS, "publish");
  if (options === NO_OPTIONS) return;
  if ((options.delay ?? options.at ?? undefined) !== undefined) return checkPlanned(options);
  if (options.retry !== undefined) {
    throw new InvalidArgumentError("retry is for what is planned: add delay or at; subscriptions have their own");
  }
  if (options.key !== undefined || options.durable) return checkStored(options);
  const strange = ONLY_STORED.find((name) => options[name] !== undefined);
  if (strange) throw new InvalidArgumentError(`${strange} is for what is stored: add key or durable: true`);
}

function checkPlanned(options: PublishOptions): void {
  if (options.waitLocal || options.waitReplicas) {
    throw new InvalidArgumentError("waitLocal and waitReplicas wait for what is published now, not later");
  }
  checkNames(options);
  const isStored = options.key !== undefined || options.durable;
  if (isStored || (options.dedupe === undefined && !options.maxStored)) return;
  throw new InvalidArgumentError("dedupe and maxStored are for what is stored: add key or durable: true");
}

function checkStored(options: PublishOptions): void {
  checkNames(options);
  if (options.waitLocal) {
    throw new InvalidArgumentError("waitLocal is for live events; a stored one is handled when its turn comes");
  }
}

/** Throws InvalidArgumentError for a key, or an id, that is none. */
export function checkNames({ key, dedupe }: Pick<PublishOptions, "key" | "dedupe">): void {
  if (key !== undefined) checkKey(key, "key");
  if (dedupe !== undefined) checkKey(dedupe, "dedupe");
}
