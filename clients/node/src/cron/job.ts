import { decode } from "../codec.js";
import { CronRun as WireRun } from "../contract/schedule.js";
import { errorFromWire } from "../envelope.js";
import type { TielineError } from "../errors.js";
import type { Kept } from "./roster.js";
import { decodeTask, type Misfire } from "./task.js";

/** What became of a tick, or of a run that somebody asked for. */
export interface CronRun {
  /** The moment it stands for. */
  readonly tick: Date;
  /** When it was fired. */
  readonly started: Date;
  /** When it was over; undefined: it is under way. */
  readonly ended: Date | undefined;
  /** "executed" while a call is under way, then "completed" or "failed". */
  readonly status: string;
  /** How often the call was tried. */
  readonly attempts: number;
  /** What the call failed with; undefined if it did not. */
  readonly error: TielineError | undefined;
  /** Of the call; undefined if there is none, or it was too long to be kept. */
  readonly reply: unknown;
  /** The reply was too long. */
  readonly omitted: boolean;
}

/** A cron task as `events.cron` tells of it. Durations are milliseconds. */
export interface CronJob {
  readonly name: string;
  /** When it recurs. */
  readonly expression: string;
  /** Its time zone. */
  readonly zone: string;
  /** Of its events, or of its calls. */
  readonly topic: string;
  /** Their payload. */
  readonly data: unknown;
  /** It makes calls. */
  readonly call: boolean;
  /** Its next tick, without jitter; undefined: there is none. */
  readonly next: Date | undefined;
  /** Its last run; undefined: there was none. */
  readonly last: CronRun | undefined;
  /** How many runs there were. */
  readonly runs: number;
  /** No tick comes. */
  readonly paused: boolean;
  /** A tick is late on purpose by up to this. */
  readonly jitter: number;
  /** No tick comes before; undefined: it need not wait. */
  readonly start: Date | undefined;
  /** No tick comes after; undefined: they go on. */
  readonly end: Date | undefined;
  /** What becomes of missed ticks. */
  readonly misfire: Misfire;
  /** A tick that is later than this, and the jitter, was missed. */
  readonly grace: number;
  /** Ordering key of its events; empty for none. */
  readonly key: string;
  /** Its events are stored. */
  readonly durable: boolean;
  /** Of its events. */
  readonly priority: number;
  /** Of its events or calls; undefined for the usual one. */
  readonly ttl: number | undefined;
  /** Of its events or calls. */
  readonly headers: Readonly<Record<string, string>>;
  /** Further tries of what failed. */
  readonly retries: number;
  /** Between them. */
  readonly retryDelay: number;
  /** When it was made. */
  readonly created: Date;
  /** When it was changed last. */
  readonly updated: Date;
}

/** Some cron tasks. */
export interface CronPage {
  /** In the order of their names. */
  readonly items: CronJob[];
  /** How many there are in all. */
  readonly total: number;
  /** Number of this one, from 1. */
  readonly page: number;
  /** How many a page has. */
  readonly limit: number;
}

/** What the broker keeps of a task, for people. */
export function jobOf(kept: Kept): CronJob {
  const task = decodeTask(kept.task);
  const { name, expression, zone, action, paused, jitter, misfire, grace, retries, retryDelay } = task;
  const { topic, data, contentType, ttl, headers } = action;
  const event = action.kind === "event" ? action : { key: "", durable: false, priority: 0 };
  const stored = { key: event.key, durable: event.durable || event.key !== "" };
  return {
    ...{ name, expression, zone, topic, paused, jitter, misfire, grace, retries, retryDelay, headers, ...stored },
    data: decode(data, contentType),
    call: action.kind === "call",
    priority: action.kind === "call" ? 0 : event.priority || 5,
    next: kept.expected === undefined ? undefined : new Date(kept.expected),
    last: kept.run.length === 0 ? undefined : runOf(kept.run),
    runs: kept.runs,
    start: maybe(task.start),
    end: maybe(task.end),
    ttl: ttl === 0 ? undefined : ttl,
    created: new Date(task.created),
    updated: new Date(task.updated),
  };
}

function runOf(serialized: Buffer): CronRun {
  const { tick, started, ended, status, attempts, error, contentType, reply, omitted } = WireRun.decode(serialized);
  return {
    ...{ status, attempts, omitted },
    tick: new Date(tick),
    started: new Date(started),
    ended: maybe(ended),
    error: error === undefined ? undefined : errorFromWire(error),
    reply: reply.length === 0 ? undefined : decode(reply, contentType),
  };
}

function maybe(moment: number): Date | undefined {
  return moment === 0 ? undefined : new Date(moment);
}
