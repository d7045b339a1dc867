import { LIMIT_CALL_TTL_MAX_MS } from "./contract/contract.js";
import { InvalidArgumentError } from "./errors.js";
import { isText } from "./wellFormed.js";

/** What the value of an option must be, in words and as a test. */
export interface Kind {
  readonly is: string;
  /** Whether the name of an option says enough: it is the same wherever it is given. */
  readonly plain?: boolean;
  fits(value: unknown): boolean;
}

/** What each option of some options must be. */
export type Kinds<Options> = { readonly [Name in keyof Required<Options>]: Kind };

/** Looked at where it is used. */
export const ANY: Kind = { is: "anything", fits: () => true };
export const TEXT: Kind = { is: "text", fits: isText };
export const FLAG: Kind = { is: "true or false", fits: (value) => typeof value === "boolean" };
export const FUNCTION: Kind = { is: "a function", fits: (value) => typeof value === "function" };
export const OBJECT: Kind = { is: "an object", fits: isObject };
export const LIST: Kind = { is: "a list", fits: Array.isArray };

/** A whole number within bounds. */
export function whole(least: number, most = Infinity): Kind {
  const fits = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most;
  return { is: `a whole number ${most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`}`, fits };
}

/** One of some texts. */
export function oneOf(...values: string[]): Kind {
  const last = values.at(-1);
  const is = `${values
    .slice(0, -1)
    .map((value) => `"${value}"`)
    .join(", ")} or "${last}"`;
  return { is, fits: (value) => values.includes(value as string) };
}

/** A time within bounds. */
export function milliseconds(least: number, most: number): Kind {
  const fits = (value: unknown) => typeof value === "number" && value >= least && value <= most;
  return { is: `in milliseconds, ${most === Infinity ? `at least ${least}` : `from ${least} to ${most}`}`, fits };
}

/** For how long something is worth handling. */
export const TTL = milliseconds(1, LIMIT_CALL_TTL_MAX_MS);

/** How long to wait for something. */
export const WAIT: Kind = { ...milliseconds(0, LIMIT_CALL_TTL_MAX_MS), plain: true };

/** What cancels; an AbortController is not one. */
export const SIGNAL: Kind = {
  is: "an AbortSignal; give controller.signal",
  fits: (value) => {
    const { aborted, addEventListener, removeEventListener } = Object(value) as Partial<AbortSignal>;
    return [typeof aborted, typeof addEventListener, typeof removeEventListener].join() === "boolean,function,function";
  },
};

/** Options that say nothing; they need not be looked at. */
export const NO_OPTIONS: Readonly<Record<string, never>> = Object.freeze({});

/** Refuses what is no options, names that are not known, and values of the wrong kind. Throws InvalidArgumentError. */
export function checkOptions<Options extends object>(given: Options, kinds: Kinds<Options>, where: string): void {
  if (given === NO_OPTIONS) return;
  if (!isObject(given)) {
    throw new InvalidArgumentError(
      `the options of ${where} are an object, not ${shown(given)}; it knows ${names(kinds)}`,
    );
  }
  const strange = Object.keys(given).filter((name) => !Object.hasOwn(kinds, name));
  if (strange.length > 0) {
    throw new InvalidArgumentError(`${where} does not know ${strange.sort().join(", ")}; it knows ${names(kinds)}`);
  }
  for (const [name, value] of Object.entries(given)) {
    const kind: Kind = kinds[name as never];
    if (value !== undefined) check(value, kind.plain ? name : `${name} of ${where}`, kind);
  }
}

/** Refuses a value of the wrong kind. Throws InvalidArgumentError. */
export function check(value: unknown, name: string, kind: Kind): void {
  if (!kind.fits(value)) throw new InvalidArgumentError(`${name} is ${kind.is}, not ${shown(value)}`);
}

/** A value as a message shows it, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (value instanceof Date && Number.isNaN(value.getTime())) return "an invalid Date";
  return Array.isArray(value) ? "a list" : "an object";
}

function names(kinds: object): string {
  return Object.keys(kinds).sort().join(", ");
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
