import { InvalidArgumentError } from "../errors.js";

const DAY = 86_400;
const HOP = 7 * DAY;
const NAME = /^(?!posix\/|right\/|systemv\/)[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)+$/i;

/**
 * A time zone: what a wall clock shows at a moment, and when it shows something (SPEC.md, section 16). All moments are whole
 * seconds since 1970; a wall clock is counted as if it were one in UTC.
 */
export class Zone {
  /** As it was given. */
  readonly name: string;
  /** By how much the clock is ahead of UTC at a moment. */
  readonly offset: (moment: number) => number;

  constructor(name: string, offset: (moment: number) => number) {
    this.name = name;
    this.offset = offset;
  }

  /** What the clock shows at a moment. */
  wall(moment: number): number {
    return moment + this.offset(moment);
  }

  /** The first moment at which the clock shows this, or the end of the gap if it never does. */
  moment(wall: number): number {
    const before = this.offset(wall - DAY);
    const after = this.offset(wall + DAY);
    if (before === after) return wall - before;
    for (const moment of [wall - Math.max(before, after), wall - Math.min(before, after)]) {
      if (this.wall(moment) === wall) return moment;
    }
    return this.#between(wall - DAY, wall + DAY, before);
  }

  /** The first moment after `since`, and not after `until`, at which the clock is put forward or back. */
  change(since: number, until: number): number | undefined {
    const offset = this.offset(since);
    for (let at = since; at < until; ) {
      const hop = Math.min(at + HOP, until);
      if (this.offset(hop) !== offset) return this.#between(at, hop, offset);
      at = hop;
    }
    return undefined;
  }

  #between(since: number, until: number, offset: number): number {
    let [low, high] = [since, until];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.offset(middle) === offset) low = middle;
      else high = middle;
    }
    return high;
  }
}

/** By how much the clocks of zones are ahead of UTC, by names in lower case. */
const offsets = new Map<string, (moment: number) => number>([["utc", () => 0]]);

/**
 * The zone of that name: "UTC", or one of IANA's with a slash in it; upper and lower case are the same.
 * Throws InvalidArgumentError if there is none.
 */
export function findZone(name: string): Zone {
  if (typeof name !== "string") throw noZone(`must be text, not ${name === null ? "null" : typeof name}`);
  const lower = name.toLowerCase();
  const offset = offsets.get(lower) ?? load(name);
  offsets.set(lower, offset);
  return new Zone(name, offset);
}

function load(name: string): (moment: number) => number {
  const shown = `"${name.slice(0, 80)}"`;
  if (!NAME.test(name)) throw noZone(`${shown} is none; write "UTC", or a name like "Europe/Berlin"`);
  try {
    return offsetOf(name);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw noZone(`${shown} is not known; names are those of IANA, like "Europe/Berlin"`);
  }
}

/** Formats as "12/31/2026, 23:59:59" and reads that: three times as fast as asking for the parts. */
function offsetOf(name: string): (moment: number) => number {
  const two = "2-digit";
  const date = { year: "numeric", month: two, day: two } as const;
  const clock = { hour: two, minute: two, second: two, hourCycle: "h23" } as const;
  const format = new Intl.DateTimeFormat("en-US", { timeZone: name, ...date, ...clock });
  return (moment) => {
    const text = format.format(moment * 1000);
    const at = (from: number, to: number) => Number(text.slice(from, to));
    const day = Date.UTC(at(6, 10), at(0, 2) - 1, at(3, 5));
    return day / 1000 + at(12, 14) * 3600 + at(15, 17) * 60 + at(18, 20) - moment;
  };
}

function noZone(fault: string): InvalidArgumentError {
  return new InvalidArgumentError(`zone ${fault}`, { details: { field: "zone" } });
}
