import type { Clock } from "../clock.js";
import { LIMIT_CRON_CATCH_UP, LIMIT_CRON_INTERVAL_MS, LIMIT_CRON_JITTER_MS } from "../contract/contract.js";
import { EVENT } from "../envelope.js";
import { InvalidArgumentError } from "../errors.js";
import { ANY, checkOptions, FLAG, type Kind, type Kinds, milliseconds, oneOf, whole } from "../options.js";
import { checkKey, checkTtl, compose } from "../outgoing.js";
import { PRIORITY } from "../publishOptions.js";
import { parseCron } from "./cron.js";
import type { CronCall, CronEvent, CronTask, Misfire } from "./task.js";

/** What may be said of a cron task. Durations are milliseconds. */
export interface CronOptions {
  /** Time zone of the fields, as "Europe/Berlin"; UTC unless given. */
  zone?: string;
  /** A tick is late on purpose by up to this, always by the same; 0 unless given. */
  jitter?: number;
  /** No tick comes before, and intervals are counted from here; null: from now on. */
  start?: Date | null;
  /** No tick comes after; null: they go on. */
  end?: Date | null;
  /** What becomes of ticks that were missed because nobody ran; "fire_once" unless given. */
  misfire?: Misfire;
  /** A tick that is later than this, and the jitter, was missed; 60,000 unless given. */
  grace?: number;
  /** No tick comes until `resume`. */
  paused?: boolean;
  /** Make a call at each tick, and record its reply. */
  call?: boolean;
  /** Store the events, in the order of this key. */
  key?: string;
  /** Store the events. */
  durable?: boolean;
  /** Of events that are stored without key: 1, 5 (unless given), 8 or 10. */
  priority?: number;
  /** Until an event is no longer worth handling, or for which a reply is waited for; null for the usual time. */
  ttl?: number | null;
  /** Text by name. */
  headers?: Readonly<Record<string, string>>;
  /** Media type of the payload; MessagePack unless given. */
  contentType?: string;
  /** Further tries of a call that failed, or to store an event that found no room; 3 unless given. */
  retries?: number;
  /** Between them; 300,000 unless given. */
  retryDelay?: number;
}

/** What may be changed of a cron task: all that may be said of one, and what it is about. */
export interface CronChanges extends CronOptions {
  /** When it recurs. */
  expression?: string;
  /** Of its events or calls. */
  topic?: string;
  /** Their payload. */
  data?: unknown;
}

const MOMENT: Kind = {
  is: "a Date since 1970",
  fits: (value) => value === null || (value instanceof Date && value.getTime() >= 0),
};
const DURATION = milliseconds(0, LIMIT_CRON_INTERVAL_MS);
const KINDS: Kinds<CronChanges> = {
  expression: ANY,
  topic: ANY,
  data: ANY,
  zone: ANY,
  jitter: milliseconds(0, LIMIT_CRON_JITTER_MS),
  start: MOMENT,
  end: MOMENT,
  misfire: oneOf("skip", "fire_once", "catch_up"),
  grace: DURATION,
  paused: FLAG,
  call: FLAG,
  key: ANY,
  durable: FLAG,
  priority: PRIORITY,
  ttl: ANY,
  headers: ANY,
  contentType: ANY,
  retries: whole(0, LIMIT_CRON_CATCH_UP),
  retryDelay: DURATION,
};
const ACTION = ["topic", "data", "call", "key", "durable", "priority", "ttl", "headers", "contentType"] as const;
const ONLY_EVENTS = ["key", "durable", "priority"] as const;

/** Where its events are composed. */
interface Origin {
  readonly clock: Clock;
  readonly source: string;
}

/**
 * The task with what was said of it; its times are looked at by `checkTask`. Throws InvalidArgumentError for what makes no
 * sense, and InvalidTopicError, InvalidPayloadError or PayloadTooLargeError for what its events or calls would be.
 */
export function changedTask(task: CronTask, given: CronChanges, origin: Origin, now: number): CronTask {
  checkOptions(given, KINDS, "a cron task");
  const { expression = task.expression, zone = task.zone, misfire = task.misfire, paused = task.paused } = given;
  const { jitter = task.jitter, grace = task.grace, retries = task.retries, retryDelay = task.retryDelay } = given;
  const moments = { start: momentOf(given.start, task.start), end: momentOf(given.end, task.end) };
  const durations = { jitter: Math.round(jitter), grace: Math.round(grace), retryDelay: Math.round(retryDelay) };
  const isSaid = task.action.topic === "" || ACTION.some((name) => given[name] !== undefined);
  const action = isSaid ? actionOf(task.action, given, origin) : task.action;
  const changed = {
    ...task,
    expression,
    zone,
    misfire,
    paused,
    retries,
    ...moments,
    ...durations,
    action,
    updated: now,
  };
  const fromNow = changed.start === 0 && parseCron(expression, zone).every !== undefined;
  return fromNow ? { ...changed, start: now } : changed;
}

function momentOf(given: Date | null | undefined, was: number): number {
  return given === undefined ? was : (given?.getTime() ?? 0);
}

function actionOf(was: CronEvent | CronCall, given: CronChanges, origin: Origin): CronEvent | CronCall {
  const isNew = given.data !== undefined || was.topic === "";
  if (given.contentType !== undefined && !isNew) {
    throw new InvalidArgumentError("contentType is that of data: give both");
  }
  const { topic = was.topic, headers = was.headers, call = was.kind === "call" } = given;
  const { contentType = "" } = given;
  const event = compose(EVENT, topic, given.data, { headers, contentType }, 0, origin.clock, origin.source);
  const ttl = given.ttl === undefined ? was.ttl : given.ttl === null ? 0 : checkTtl(given.ttl);
  const payload = isNew ? { data: event.data, contentType } : { data: was.data, contentType: was.contentType };
  const sent = { topic, ...payload, ttl, headers: { ...headers } };
  if (call) return callOf(sent, given);
  return eventOf(sent, was.kind === "event" ? was : undefined, given);
}

type Sent = Pick<CronEvent, "topic" | "data" | "contentType" | "ttl" | "headers">;

function callOf(sent: Sent, given: CronChanges): CronCall {
  const strange = ONLY_EVENTS.find((name) => given[name]);
  if (strange) throw new InvalidArgumentError(`${strange} is for events, and call: true makes calls`);
  return { kind: "call", ...sent };
}

function eventOf(sent: Sent, was: CronEvent | undefined, given: CronChanges): CronEvent {
  const { key = was?.key ?? "", durable = was?.durable ?? false, priority = was?.priority ?? 0 } = given;
  if (given.key !== undefined) checkKey(given.key, "key");
  if (given.priority !== undefined && !durable && key === "") {
    throw new InvalidArgumentError("priority is for what is stored: add durable: true");
  }
  return { kind: "event", ...sent, key, durable, priority };
}
