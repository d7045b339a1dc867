const MS_PER_SECOND = 1000;
const NS_PER_MS = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;
const DATE_RANGE_MS = 8.64e15;

/** A moment that a `Date` cannot hold: finer than milliseconds, or too far away. It travels unchanged. */
export class Timestamp {
  /** Whole seconds since 1970, rounded down; a bigint where a number is not exact. */
  readonly seconds: number | bigint;
  /** Nanoseconds after them, 0 … 999,999,999. */
  readonly nanoseconds: number;

  /** Throws RangeError for nanoseconds out of range or seconds that 64 bits cannot hold. */
  constructor(seconds: number | bigint, nanoseconds = 0) {
    if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds >= NS_PER_SECOND) {
      throw new RangeError(`nanoseconds must be whole, 0 to 999999999, not ${nanoseconds}`);
    }
    const whole = BigInt(seconds);
    if (BigInt.asIntN(64, whole) !== whole) throw new RangeError(`seconds must fit in 64 bits, not ${seconds}`);
    const exact = Number(whole);
    this.seconds = Number.isSafeInteger(exact) ? exact : whole;
    this.nanoseconds = nanoseconds;
  }
}

/** A moment as seconds and nanoseconds, from a valid Date. */
export function fromDate(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / MS_PER_SECOND);
  return new Timestamp(seconds, (ms - seconds * MS_PER_SECOND) * NS_PER_MS);
}

/** A Date if it can hold the moment exactly, else a Timestamp. Throws RangeError as `new Timestamp` does. */
export function toNative(seconds: number | bigint, nanoseconds: number): Date | Timestamp {
  if (nanoseconds < NS_PER_SECOND && nanoseconds % NS_PER_MS === 0 && typeof seconds === "number") {
    const ms = seconds * MS_PER_SECOND + nanoseconds / NS_PER_MS;
    if (Math.abs(ms) <= DATE_RANGE_MS) return new Date(ms);
  }
  return new Timestamp(seconds, nanoseconds);
}
