import { createHash } from "node:crypto";
import {
  DEFAULT_CRON_GRACE_MS,
  DEFAULT_CRON_RETRIES,
  DEFAULT_CRON_RETRY_MS,
  LIMIT_CRON_CATCH_UP,
  LIMIT_CRON_INTERVAL_MS,
  LIMIT_CRON_JITTER_MS,
  LIMIT_CRON_NAME_BYTES,
} from "../contract/contract.js";
import { Misfire as WireMisfire, CronTask as WireTask } from "../contract/schedule.js";
import { InvalidArgumentError } from "../errors.js";
import { shown } from "../options.js";
import { type Cron, parseCron } from "./cron.js";

const NAME = new RegExp(`^[A-Za-z0-9_./-]{1,${LIMIT_CRON_NAME_BYTES}}$`);
const LATEST = 253_370_764_800_000;
const MISFIRES = {
  skip: WireMisfire.MISFIRE_SKIP,
  fire_once: WireMisfire.MISFIRE_FIRE_ONCE,
  catch_up: WireMisfire.MISFIRE_CATCH_UP,
} as const;

/** What becomes of ticks that were missed. */
export type Misfire = keyof typeof MISFIRES;

/** What events and calls of ticks have in common. */
interface Sent {
  /** A concrete topic. */
  readonly topic: string;
  /** Payload, encoded. */
  readonly data: Buffer;
  /** Of the payload; empty for MessagePack. */
  readonly contentType: string;
  /** For how long it is worth handling, or its reply is waited for, milliseconds; 0 for the usual time. */
  readonly ttl: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** An event that is published at every tick. */
export interface CronEvent extends Sent {
  readonly kind: "event";
  /** Ordering key of a durable event; empty for none. */
  readonly key: string;
  /** It is stored. */
  readonly durable: boolean;
  /** Of a durable event without key; 0 for the usual one. */
  readonly priority: number;
}

/** A request that is made at every tick. */
export interface CronCall extends Sent {
  readonly kind: "call";
}

/** What recurs, when, and what happens then (SPEC.md, section 16). Times in milliseconds; moments count from 1970. */
export interface CronTask {
  /** Names the task, and with a tick the tick's event. */
  readonly name: string;
  /** Five or six fields, "@hourly" and the like, or "every 90m". */
  readonly expression: string;
  /** What a tick does. */
  readonly action: CronEvent | CronCall;
  /** Time zone of the fields. */
  readonly zone: string;
  /** A tick is late on purpose by up to this. */
  readonly jitter: number;
  /** No tick comes before; intervals are counted from here. */
  readonly start: number;
  /** No tick comes after; 0 for no end. */
  readonly end: number;
  /** What becomes of missed ticks. */
  readonly misfire: Misfire;
  /** A tick that is later than this, and the jitter, was missed. */
  readonly grace: number;
  /** No tick comes. */
  readonly paused: boolean;
  /** Further tries of a call that failed. */
  readonly retries: number;
  /** Between tries. */
  readonly retryDelay: number;
  /** When the task was made. */
  readonly created: number;
  /** When it was changed last. */
  readonly updated: number;
  /** "service/instance" that made it. */
  readonly source: string;
}

/** What is to be done about a task now. */
export interface Due {
  /** To be fired, in this order. */
  readonly ticks: readonly number[];
  /** The tick to be looked at next; it may be due already, if there are many. Undefined: the task is over. */
  readonly next: number | undefined;
  /** The first tick that is not fired because it was missed; undefined if none was. */
  readonly missed: number | undefined;
}

/** A task with all that was not said. */
export function cronTask(given: Pick<CronTask, "name" | "expression" | "action"> & Partial<CronTask>): CronTask {
  const usual = { grace: DEFAULT_CRON_GRACE_MS, retries: DEFAULT_CRON_RETRIES, retryDelay: DEFAULT_CRON_RETRY_MS };
  const times = { jitter: 0, start: 0, end: 0, created: 0, updated: 0 };
  return { zone: "UTC", misfire: "fire_once", paused: false, source: "", ...times, ...usual, ...given };
}

/** Its first tick after a moment; undefined if there is none, or it is paused. */
export function tickAfter(task: CronTask, after: number): number | undefined {
  return task.paused ? undefined : next(task, cronOf(task), after);
}

/** Id of the event of a tick; the idempotency key of its call. */
export function tickId(task: CronTask, tick: number): string {
  return `${task.name}:${tick}`;
}

/** When a tick is fired: the same moment whoever asks, up to `jitter` after it. */
export function fireTime(task: CronTask, tick: number): number {
  if (task.jitter === 0) return tick;
  const digest = createHash("sha256").update(tickId(task, tick)).digest();
  return tick + (digest.readUIntBE(0, 6) % (task.jitter + 1));
}

/**
 * Which ticks of a task are to be fired now, given the one that comes next.
 *
 * As long as none is late by more than the grace, all are fired. If some are, `skip` fires the others; `fire_once` fires the
 * last tick that is due, for all of them; `catch_up` fires all. At most 1,000 are fired at a time. Throws
 * InvalidArgumentError if the task's expression or zone makes no sense here.
 */
export function due(task: CronTask, expected: number, now: number): Due {
  if (task.paused) return { ticks: [], next: undefined, missed: undefined };
  const cron = cronOf(task);
  const missedBefore = now - task.jitter - task.grace;
  if (expected >= missedBefore || task.misfire === "catch_up") return all(task, cron, expected, now);
  if (task.misfire === "skip") {
    return { ...all(task, cron, next(task, cron, missedBefore - 1), now), missed: expected };
  }
  const last = lastDue(task, cron, expected, now);
  return { ticks: [last], next: next(task, cron, last), missed: last === expected ? undefined : expected };
}

/**
 * Refuses what makes no sense of name, times and bounds; the action is not looked at.
 * Throws InvalidArgumentError that says which field, also as `details.field`.
 */
export function checkTask(task: CronTask): void {
  if (typeof task.name !== "string" || !NAME.test(task.name)) {
    const rule = `has 1 to ${LIMIT_CRON_NAME_BYTES} of the characters A-Z a-z 0-9 _ - / .`;
    throw wrong("name", `${rule}, not ${shown(task.name)}`);
  }
  within("jitter", task.jitter, LIMIT_CRON_JITTER_MS);
  within("grace", task.grace, LIMIT_CRON_INTERVAL_MS);
  within("start", task.start, LATEST);
  within("end", task.end, LATEST);
  within("retries", task.retries, LIMIT_CRON_CATCH_UP);
  within("retry_delay", task.retryDelay, LIMIT_CRON_INTERVAL_MS);
  if (!Object.hasOwn(MISFIRES, task.misfire)) {
    throw wrong("misfire", `is one of ${Object.keys(MISFIRES).join(", ")}, not ${shown(task.misfire)}`);
  }
  if (next(task, cronOf(task), 0) === undefined) {
    throw wrong("end", `comes before the first tick of ${shown(task.expression)}`);
  }
}

/** The task as bytes, the same in every language. */
export function encodeTask(task: CronTask): Buffer {
  const { kind, ttl: ttlMs, headers, ...action } = task.action;
  const sent = { ...action, ttlMs, headers: sorted(headers) };
  const { jitter: jitterMs, grace: graceMs, retryDelay: retryMs, misfire } = task;
  const times = { jitterMs, graceMs, retryMs, misfire: MISFIRES[misfire] };
  return Buffer.from(WireTask.encode({ ...task, ...times, action: { $case: kind, value: sent as never } }).finish());
}

/** The task that `encodeTask` made into bytes. */
export function decodeTask(serialized: Uint8Array): CronTask {
  const { jitterMs: jitter, graceMs: grace, retryMs: retryDelay, ...task } = WireTask.decode(serialized);
  const misfire = (Object.keys(MISFIRES) as Misfire[]).find((name) => MISFIRES[name] === task.misfire) ?? "fire_once";
  return { ...task, jitter, grace, retryDelay, misfire, zone: task.zone || "UTC", action: actionOf(task) };
}

function actionOf({ action }: Pick<WireTask, "action">): CronEvent | CronCall {
  const nothing = { topic: "", contentType: "", data: Buffer.alloc(0), ttlMs: 0, headers: {} };
  if (action?.$case === "call") {
    const { ttlMs: ttl, ...call } = action.value;
    return { kind: "call", ttl, ...call };
  }
  const { ttlMs: ttl, ...event } = action?.value ?? { ...nothing, key: "", durable: false, priority: 0 };
  return { kind: "event", ttl, ...event };
}

function sorted(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).sort(([one], [other]) => (one < other ? -1 : 1)));
}

function cronOf(task: CronTask): Cron {
  return parseCron(task.expression, task.zone);
}

function next(task: CronTask, cron: Cron, after: number): number | undefined {
  const found = cron.next(after, task.start);
  return found === undefined || (task.end > 0 && found > task.end) ? undefined : found;
}

function all(task: CronTask, cron: Cron, first: number | undefined, now: number): Due {
  const ticks: number[] = [];
  let tick = first;
  while (tick !== undefined && fireTime(task, tick) <= now && ticks.length < LIMIT_CRON_CATCH_UP) {
    ticks.push(tick);
    tick = next(task, cron, tick);
  }
  return { ticks, next: tick, missed: undefined };
}

/** The last tick that is due; the expected one is. */
function lastDue(task: CronTask, cron: Cron, expected: number, now: number): number {
  let found = cron.last(expected, Math.min(now, task.end || now) + 1, task.start);
  while (found > expected && fireTime(task, found) > now) found = cron.last(expected, found, task.start);
  return found;
}

function within(name: string, value: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= most) return;
  throw wrong(name, `is a whole number from 0 to ${most}, not ${shown(value)}`);
}

function wrong(field: string, fault: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field} of a cron task ${fault}`, { details: { field } });
}
