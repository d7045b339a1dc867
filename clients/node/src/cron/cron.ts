import { LIMIT_CRON_BYTES, LIMIT_CRON_INTERVAL_MS } from "../contract/contract.js";
import { InvalidArgumentError } from "../errors.js";
import { type CronFields, parseFields } from "./fields.js";
import { findZone, type Zone } from "./zone.js";

/** Nothing comes after the year 9998: seconds since 1970. */
const END = 253_370_764_800;
const NAMED: Readonly<Record<string, string>> = {
  "@YEARLY": "0 0 1 1 *",
  "@ANNUALLY": "0 0 1 1 *",
  "@MONTHLY": "0 0 1 * *",
  "@WEEKLY": "0 0 * * 0",
  "@DAILY": "0 0 * * *",
  "@MIDNIGHT": "0 0 * * *",
  "@HOURLY": "0 * * * *",
};
const UNITS: Readonly<Record<string, number>> = { S: 1, M: 60, H: 3600, D: 86_400 };
const EVERY = /^EVERY[ \t]+(.+)$/;
const INTERVAL = /^([0-9]{1,15})([SMHD])$/;
const READABLE = /^[\t -~]+$/;

/** When something recurs (SPEC.md, section 16). Told the time; all times are milliseconds since 1970. */
export class Cron {
  /** As it was given. */
  readonly expression: string;
  /** Name of its time zone, as it was given. */
  readonly zone: string;
  /** Milliseconds from one time to the next; undefined if fields say when. */
  readonly every: number | undefined;
  readonly #rules: CronFields | undefined;
  readonly #zone: Zone;

  constructor(expression: string, zone: Zone, rules: CronFields | number) {
    this.expression = expression;
    this.zone = zone.name;
    this.every = typeof rules === "number" ? rules : undefined;
    this.#rules = typeof rules === "number" ? undefined : rules;
    this.#zone = zone;
  }

  /**
   * The first time after a moment, and not before the start; undefined if there is none before the year 9999.
   *
   * Intervals are counted from the start, and the start is one of their times. By fields, a time of day that a clock put
   * forward leaves out comes when it was put forward, and one that comes twice counts once; where a star begins the second,
   * minute or hour, everything counts as the clock shows it.
   */
  next(since: number, start = 0): number | undefined {
    const after = Math.max(since, start - 1, 0);
    if (this.#rules === undefined) return nextOfInterval(after, start, this.every ?? 0);
    const second = Math.floor(after / 1000);
    const moment = this.#rules.fixed
      ? nextFixed(this.#rules, this.#zone, second)
      : nextShown(this.#rules, this.#zone, second + 1);
    return moment === undefined ? undefined : moment * 1000;
  }

  /** So many times after a moment, or fewer if no more come. */
  upcoming(after: number, count: number, start = 0): number[] {
    const times: number[] = [];
    for (let at = this.next(after, start); at !== undefined && times.length < count; at = this.next(at, start)) {
      times.push(at);
    }
    return times;
  }

  /** The last time before a moment, given one that is before it. */
  last(first: number, before: number, start = 0): number {
    let [low, high] = [first, before];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const at = this.next(middle, start);
      if (at !== undefined && at < before) low = at;
      else high = middle;
    }
    return low;
  }
}

/**
 * Reads an expression: five fields, or six with the second in front; "@hourly" and the like; "every 90m".
 * Throws InvalidArgumentError if it, or the zone, makes no sense, or it never comes; `details.field` says what is wrong.
 */
export function parseCron(expression: string, zone = "UTC"): Cron {
  const found = findZone(zone);
  if (typeof expression !== "string") {
    throw wrong("expression", `must be text, not ${expression === null ? "null" : typeof expression}`);
  }
  if (!READABLE.test(expression) || expression.length > LIMIT_CRON_BYTES) {
    throw wrong("expression", `must have 1 to ${LIMIT_CRON_BYTES} characters of ASCII`);
  }
  const text = expression.trim().toUpperCase();
  const every = EVERY.exec(text)?.[1];
  if (every !== undefined) return new Cron(expression, found, intervalOf(every));
  return new Cron(expression, found, parseFields(fieldsOf(expression, text)));
}

function fieldsOf(expression: string, text: string): string[] {
  const named = Object.hasOwn(NAMED, text) ? NAMED[text] : undefined;
  if (text.startsWith("@") && named === undefined) {
    const known = Object.keys(NAMED).join(", ").toLowerCase();
    throw wrong("expression", `"${expression.slice(0, 40)}" is not known; known are ${known}`);
  }
  const texts = (named ?? text).split(/[ \t]+/).filter(Boolean);
  if (texts.length !== 5 && texts.length !== 6) {
    const rule = "write minute, hour, day-of-month, month and day-of-week, or a second before them";
    throw wrong("expression", `"${expression.slice(0, 80)}" has ${texts.length} fields; ${rule}`);
  }
  return ["0", ...texts].slice(-6);
}

function intervalOf(text: string): number {
  const shown = `"${text.toLowerCase().slice(0, 40)}"`;
  const match = INTERVAL.exec(text);
  if (match === null) {
    throw wrong("interval", `${shown} is no whole number with s, m, h or d, like "every 90m"`);
  }
  const every = Number(match[1]) * (UNITS[match[2] ?? ""] ?? 0) * 1000;
  if (every < 1000 || every > LIMIT_CRON_INTERVAL_MS) {
    throw wrong("interval", `${shown} is not from 1s to ${LIMIT_CRON_INTERVAL_MS / 86_400_000}d`);
  }
  return every;
}

function nextOfInterval(after: number, start: number, every: number): number | undefined {
  const found = start + Math.max(0, Math.floor((after - start) / every) + 1) * every;
  return found < END * 1000 ? found : undefined;
}

/** A time of day that comes twice counts once, so what the clock shows may lie behind. */
function nextFixed(rules: CronFields, zone: Zone, after: number): number | undefined {
  for (let wall = rules.next(zone.wall(after)); wall !== undefined && wall < END; wall = rules.next(wall + 1)) {
    const moment = zone.moment(wall);
    if (moment > after) return moment;
  }
  return undefined;
}

/** Each stretch in which the clock is not put forward or back is looked through by itself. */
function nextShown(rules: CronFields, zone: Zone, from: number): number | undefined {
  for (let moment = from; moment < END; ) {
    const offset = zone.offset(moment);
    const wall = rules.next(moment + offset);
    if (wall === undefined || wall >= END) return undefined;
    const change = zone.change(moment, wall - offset);
    if (change === undefined) return wall - offset;
    moment = change;
  }
  return undefined;
}

function wrong(field: string, fault: string): InvalidArgumentError {
  const name = field === "expression" ? "cron expression" : field;
  return new InvalidArgumentError(`${name} ${fault}`, { details: { field } });
}
