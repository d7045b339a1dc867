// The language-neutral value tree, and what JavaScript has for it.
import { Timestamp } from "tieline";
import { Odd, type Value } from "./contract/value.js";

const LAST_DATE_SECONDS = 8.64e12;
const NS_PER_MS = 1_000_000;

type Kind = NonNullable<Value["kind"]>;

/** What no payload may hold. */
class Strange {
  readonly secret = Symbol("strange");
}

/** The JavaScript value that the tree describes. */
export function toNative(value: Value): unknown {
  const { kind, items } = value;
  const times = value.times || 1;
  switch (kind?.$case) {
    case "bool":
      return kind.value;
    case "int":
      return toInteger(BigInt(kind.value));
    case "double":
      return Buffer.from(kind.value, "hex").readDoubleBE();
    case "text":
      return kind.value.repeat(times);
    case "utf16":
      return String.fromCharCode(...(kind.value.match(/..../g) ?? []).map((unit) => Number.parseInt(unit, 16)));
    case "bytes":
      return new Uint8Array(Buffer.from(kind.value.repeat(times), "hex"));
    case "list":
      return Array(times).fill(items.map(toNative)).flat(1);
    case "map":
      return Object.fromEntries(items.map((item) => [item.key, toNative(item)]));
    case "time":
      return toTime(BigInt(kind.value.seconds), kind.value.nanos);
    case "nest":
      return toNest(kind.value.lists, toNative(kind.value.inside as Value));
    case "odd":
      return toOdd(kind.value);
    default:
      return null;
  }
}

/** The tree of what arrived, each part with the name of its type. */
export function fromNative(native: unknown, key = ""): Value {
  const [type, kind] = describe(native);
  return { kind, times: 0, native: type, items: itemsOf(kind, native), key };
}

function itemsOf(kind: Kind, native: unknown): Value[] {
  if (kind.$case === "list") return (native as unknown[]).map((item) => fromNative(item));
  if (kind.$case !== "map") return [];
  return Object.entries(native as object).map(([key, item]) => fromNative(item, key));
}

function describe(native: unknown): [string, Kind] {
  if (native === null) return ["null", { $case: "nil", value: true }];
  if (native instanceof Uint8Array) {
    return [native.constructor.name, { $case: "bytes", value: Buffer.from(native).toString("hex") }];
  }
  if (native instanceof Date) return ["Date", fromDate(native.getTime())];
  if (native instanceof Timestamp) {
    return ["Timestamp", { $case: "time", value: { seconds: String(native.seconds), nanos: native.nanoseconds } }];
  }
  if (Array.isArray(native)) return ["Array", { $case: "list", value: true }];
  if (typeof native === "object") {
    return [Object.getPrototypeOf(native)?.constructor.name ?? "no prototype", { $case: "map", value: true }];
  }
  return [typeof native, describeScalar(native)];
}

function describeScalar(native: unknown): Kind {
  switch (typeof native) {
    case "boolean":
      return { $case: "bool", value: native };
    case "bigint":
      return { $case: "int", value: String(native) };
    case "string":
      return { $case: "text", value: native };
    case "number": // all there is to tell: integers are integers, except -0
      if (Number.isSafeInteger(native) && !Object.is(native, -0)) return { $case: "int", value: String(native) };
      return { $case: "double", value: doubleBits(native) };
    default:
      throw new TypeError(`no payload can be ${typeof native}`);
  }
}

function doubleBits(number: number): string {
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(number);
  return bits.toString("hex");
}

function fromDate(ms: number): Kind {
  const seconds = Math.floor(ms / 1_000);
  return { $case: "time", value: { seconds: String(seconds), nanos: (ms - seconds * 1_000) * NS_PER_MS } };
}

function toInteger(whole: bigint): number | bigint {
  const number = Number(whole);
  return Number.isSafeInteger(number) ? number : whole;
}

function toTime(seconds: bigint, nanos: number): Date | Timestamp {
  const exact = nanos % NS_PER_MS === 0 && seconds >= -LAST_DATE_SECONDS && seconds <= LAST_DATE_SECONDS;
  const date = new Date(Number(seconds) * 1_000 + nanos / NS_PER_MS);
  return exact && !Number.isNaN(date.getTime()) ? date : new Timestamp(seconds, nanos);
}

function toNest(lists: number, inside: unknown): unknown {
  let nest = inside;
  for (let level = 0; level < lists; level++) nest = [nest];
  return nest;
}

function toOdd(odd: Odd): unknown {
  if (odd === Odd.ODD_NUMBER_KEY) return new Map([[1, "one"]]);
  if (odd === Odd.ODD_BAD_TIME) return new Date(Number.NaN);
  if (odd !== Odd.ODD_CYCLE) return new Strange();
  const ring: unknown[] = [];
  ring.push(ring);
  return ring;
}
