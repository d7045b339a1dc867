import {
  CRON_TASK_COMPLETED,
  CRON_TASK_CREATED,
  CRON_TASK_DELETED,
  CRON_TASK_EXECUTED,
  CRON_TASK_FAILED,
  CRON_TASK_UPDATED,
} from "../contract/contract.js";
import type { TielineError } from "../errors.js";
import type { ScheduleStatus } from "../schedules/agenda.js";
import { type CronTask, tickId } from "./task.js";

/** Payload of `cron.task.created`, `updated` and `deleted` (SPEC.md, section 16). */
export interface CronTaskChanged {
  /** Its name. */
  readonly task: string;
  /** When it recurs. */
  readonly expression: string;
  /** Its time zone. */
  readonly zone: string;
  /** Of its events, or of its calls. */
  readonly topic: string;
  /** It makes calls. */
  readonly call: boolean;
  /** No tick comes. */
  readonly paused: boolean;
  /** Its next tick; null if there is none. */
  readonly next: Date | null;
}

/** Payload of `cron.task.executed`: a tick was fired. */
export interface CronTaskExecuted {
  /** Its name. */
  readonly task: string;
  /** Of the event, or of the call. */
  readonly id: string;
  /** The moment it stands for. */
  readonly tick: Date;
  /** Of the event, or of the call. */
  readonly topic: string;
  /** It is a call. */
  readonly call: boolean;
}

/** Payload of `cron.task.completed` and `failed`: the event went out, or the call was answered, or neither. */
export interface CronTaskEnded {
  /** Its name. */
  readonly task: string;
  /** Of the event, or of the call. */
  readonly id: string;
  /** The moment it stands for. */
  readonly tick: Date;
  /** It was a call. */
  readonly call: boolean;
  /** How often the call was tried. */
  readonly attempts: number;
  /** Code and message of what failed; null if it did not. */
  readonly error: { readonly code: string; readonly message: string } | null;
}

/** An event of the system: its topic and payload. */
export type Told = readonly [topic: string, payload: CronTaskChanged | CronTaskExecuted | CronTaskEnded];

const CHANGES = { created: CRON_TASK_CREATED, updated: CRON_TASK_UPDATED, deleted: CRON_TASK_DELETED } as const;

/** Tells of a task that was made, changed or deleted. */
export function changed(what: keyof typeof CHANGES, task: CronTask, following: number | undefined): Told {
  const { name, expression, zone, action, paused } = task;
  const next = following === undefined ? null : new Date(following);
  const about = { topic: action.topic, call: action.kind === "call", paused, next };
  return [CHANGES[what], { task: name, expression, zone, ...about }];
}

/** A tick was fired. */
export function executed(task: CronTask, tick: number): Told {
  const { name, action } = task;
  const about = { topic: action.topic, call: action.kind === "call" };
  return [CRON_TASK_EXECUTED, { task: name, id: tickId(task, tick), tick: new Date(tick), ...about }];
}

/** An event of a tick went out, or did not. */
export function ended(name: string, tick: number, status: ScheduleStatus): Told {
  const about = { task: name, id: `${name}:${tick}`, tick: new Date(tick), call: false, attempts: 1 };
  if (status === "delivered") return [CRON_TASK_COMPLETED, { ...about, error: null }];
  const expired = { code: "EXPIRED", message: "it was too late" };
  const error = status === "expired" ? expired : { code: "OVERLOADED", message: "no room" };
  return [CRON_TASK_FAILED, { ...about, error }];
}

/** A call of a tick was answered, or failed for the last time. */
export function callEnded(name: string, tick: number, attempts: number, failure: TielineError | undefined): Told {
  const about = { task: name, id: `${name}:${tick}`, tick: new Date(tick), call: true, attempts };
  if (failure === undefined) return [CRON_TASK_COMPLETED, { ...about, error: null }];
  return [CRON_TASK_FAILED, { ...about, error: { code: failure.code, message: failure.message } }];
}
