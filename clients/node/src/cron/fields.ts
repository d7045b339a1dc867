import { InvalidArgumentError } from "../errors.js";

const DAY = 86_400;
const YEARS = 50;
/** A weekday so many later is the last of its month; as a day it is the last one … */
const LAST = 1000;
/** … and this the last from Monday to Friday. */
const LAST_WORKDAY = 1001;
/** The n-th of a weekday is that weekday and n times this. */
const NTH = 10;
/** 2000-01-01, in days since 1970. */
const SOME_DAY = 10_957;

interface Field {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** How many different values there are: Sunday is 0 and 7. */
  readonly values: number;
  readonly words: readonly string[];
}

const SECOND: Field = { name: "second", least: 0, most: 59, values: 60, words: [] };
const MINUTE: Field = { name: "minute", least: 0, most: 59, values: 60, words: [] };
const HOUR: Field = { name: "hour", least: 0, most: 23, values: 24, words: [] };
const DAY_OF_MONTH: Field = { name: "day-of-month", least: 1, most: 31, values: 31, words: [] };
const MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const MONTH: Field = { name: "month", least: 1, most: 12, values: 12, words: MONTHS };
const WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split(" ");
const WEEKDAY: Field = { name: "day-of-week", least: 0, most: 7, values: 7, words: WEEKDAYS };

/** What six fields say, as numbers. */
interface Allowed {
  /** Ascending, as are `minutes` and `hours`. */
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** Of the month; the last one and the last workday have numbers of their own. */
  readonly days: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday; the n-th and the last of a month have numbers of their own. */
  readonly weekdays: ReadonlySet<number>;
  /** A day must fit `days` and `weekdays`, not one of them: one of the two fields begins with a star. */
  readonly both: boolean;
  /** No star begins one of second, minute and hour: it is about times of a day, not about intervals. */
  readonly fixed: boolean;
}

/** What the fields of a cron line allow, and the next time on a wall clock that fits (SPEC.md, section 16). */
export class CronFields {
  readonly fixed: boolean;
  readonly #is: Allowed;

  constructor(allowed: Allowed) {
    this.fixed = allowed.fixed;
    this.#is = allowed;
  }

  /** The first second of a wall clock that fits, from this one on; undefined if there is none for 50 years. */
  next(wall: number): number | undefined {
    const day = Math.floor(wall / DAY);
    const time = this.#fits(new Date(day * DAY * 1000)) ? this.#time(wall - day * DAY) : undefined;
    if (time !== undefined) return day * DAY + time;
    const found = this.#day(day + 1);
    const { hours, minutes, seconds } = this.#is;
    return found === undefined ? undefined : found * DAY + timeOfDay(hours[0], minutes[0], seconds[0]);
  }

  /** The first time of a day, in seconds, that fits and is not before this one. */
  #time(from: number): number | undefined {
    const { hours, minutes, seconds } = this.#is;
    const [hour, minute, second] = [Math.floor(from / 3600), Math.floor(from / 60) % 60, from % 60];
    if (hours.includes(hour)) {
      const inMinute = minutes.includes(minute) ? firstFrom(seconds, second) : undefined;
      if (inMinute !== undefined) return timeOfDay(hour, minute, inMinute);
      const inHour = firstFrom(minutes, minute + 1);
      if (inHour !== undefined) return timeOfDay(hour, inHour, seconds[0]);
    }
    const later = firstFrom(hours, hour + 1);
    return later === undefined ? undefined : timeOfDay(later, minutes[0], seconds[0]);
  }

  /** The first day since 1970, from this one on, that fits. */
  #day(day: number): number | undefined {
    let at = new Date(day * DAY * 1000);
    const last = at.getUTCFullYear() + YEARS;
    while (at.getUTCFullYear() <= last) {
      if (!this.#is.months.has(at.getUTCMonth() + 1)) at = nextMonth(at);
      else if (this.#fits(at)) return at.getTime() / 1000 / DAY;
      else at = new Date(at.getTime() + DAY * 1000);
    }
    return undefined;
  }

  #fits(at: Date): boolean {
    if (!this.#is.months.has(at.getUTCMonth() + 1)) return false;
    const left = (nextMonth(at).getTime() - at.getTime()) / 1000 / DAY;
    const [day, weekday] = [at.getUTCDate(), at.getUTCDay()];
    const [byDay, byWeekday] = [this.#fitsMonth(day, weekday, left), this.#fitsWeek(day, weekday, left)];
    return this.#is.both ? byDay && byWeekday : byDay || byWeekday;
  }

  /** Whether a day of a month that ends after so many days, itself included, is one of the days. */
  #fitsMonth(day: number, weekday: number, left: number): boolean {
    const { days } = this.#is;
    if (days.has(day) || (left === 1 && days.has(LAST))) return true;
    const workday = (left === 1 && weekday >= 1 && weekday <= 5) || (left <= 3 && weekday === 5);
    return workday && days.has(LAST_WORKDAY);
  }

  #fitsWeek(day: number, weekday: number, left: number): boolean {
    const { weekdays } = this.#is;
    const nth = weekday + NTH * Math.floor((day + 6) / 7);
    return weekdays.has(weekday) || weekdays.has(nth) || (left <= 7 && weekdays.has(weekday + LAST));
  }
}

/**
 * What six fields allow, of which the first is about seconds; in capital letters.
 * Throws InvalidArgumentError if one of them is wrong, or no day ever fits; says which field.
 */
export function parseFields(texts: readonly string[]): CronFields {
  const [second = "", minute = "", hour = "", day = "", month = "", weekday = ""] = texts;
  const star = (...some: string[]) => some.some((text) => text.startsWith("*"));
  const fields = new CronFields({
    seconds: ascending(SECOND, second),
    minutes: ascending(MINUTE, minute),
    hours: ascending(HOUR, hour),
    days: new Set(parse(DAY_OF_MONTH, day)),
    months: new Set(parse(MONTH, month)),
    weekdays: new Set(parse(WEEKDAY, weekday).map((value) => (value === 7 ? 0 : value))),
    both: star(day, weekday),
    fixed: !star(second, minute, hour),
  });
  if (fields.next(SOME_DAY * DAY) === undefined) {
    throw wrong(DAY_OF_MONTH, day, "never comes together with the month and the day-of-week");
  }
  return fields;
}

function ascending(field: Field, text: string): number[] {
  return [...new Set(parse(field, text))].sort((one, other) => one - other);
}

function parse(field: Field, text: string): number[] {
  return text.split(",").flatMap((term) => termOf(field, term));
}

function termOf(field: Field, term: string): number[] {
  const special = specialOf(field, term);
  if (special !== undefined) return [special];
  const slash = term.indexOf("/");
  const [first, last] = rangeOf(field, term, slash < 0 ? term : term.slice(0, slash), slash >= 0);
  const step = slash < 0 ? 1 : stepOf(field, term, term.slice(slash + 1));
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, index) => first + index * step);
}

/** What only one of the two fields about days can say. */
function specialOf(field: Field, term: string): number | undefined {
  if (field === DAY_OF_MONTH) return { L: LAST, LW: LAST_WORKDAY }[term];
  if (field !== WEEKDAY) return undefined;
  const hash = term.indexOf("#");
  if (hash >= 0) {
    const nth = term.slice(hash + 1);
    if (!/^[1-5]$/.test(nth)) throw wrong(field, term, "has no number from 1 to 5 after its #");
    return (numberOf(field, term, term.slice(0, hash)) % 7) + NTH * Number(nth);
  }
  if (term.length > 1 && term.endsWith("L")) return (numberOf(field, term, term.slice(0, -1)) % 7) + LAST;
  return undefined;
}

function rangeOf(field: Field, term: string, base: string, openEnd: boolean): [number, number] {
  if (base === "*") return [field.least, field.least + field.values - 1];
  const dash = base.indexOf("-");
  const low = dash < 0 ? base : base.slice(0, dash);
  const first = numberOf(field, term, low);
  if (dash < 0) return [first, openEnd ? field.most : first];
  const high = base.slice(dash + 1);
  const last = high === "SUN" && first > 0 ? 7 : numberOf(field, term, high);
  if (last < first) {
    throw wrong(field, term, `ends before it begins; write ${low}-${field.most},${field.least}-${high}`);
  }
  return [first, last];
}

function stepOf(field: Field, term: string, text: string): number {
  if (!/^[0-9]+$/.test(text) || Number(text) === 0) {
    throw wrong(field, term, "has no whole number of at least 1 after its /");
  }
  if (Number(text) > field.values) {
    const rule = `has a step beyond its ${field.values} values; for an interval write "every 90m"`;
    throw wrong(field, term, rule);
  }
  return Number(text);
}

function numberOf(field: Field, term: string, text: string): number {
  const word = field.words.indexOf(text);
  if (word >= 0) return word + field.least;
  if (!/^[0-9]+$/.test(text)) {
    const names = field.words.length > 0 ? `; names are ${field.words.join(" ")}` : "";
    throw wrong(field, term, `${text === "" ? "lacks a" : "is no"} number${names}`);
  }
  if (Number(text) < field.least || Number(text) > field.most) {
    throw wrong(field, term, `is not from ${field.least} to ${field.most}`);
  }
  return Number(text);
}

function wrong(field: Field, text: string, fault: string): InvalidArgumentError {
  return new InvalidArgumentError(`${field.name} "${text.slice(0, 40)}" ${fault}`, { details: { field: field.name } });
}

function firstFrom(values: readonly number[], least: number): number | undefined {
  return values.find((value) => value >= least);
}

function timeOfDay(hour = 0, minute = 0, second = 0): number {
  return hour * 3600 + minute * 60 + second;
}

function nextMonth(at: Date): Date {
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1));
}
