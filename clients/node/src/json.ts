import { LIMIT_PAYLOAD_BYTES, LIMIT_PAYLOAD_DEPTH } from "./contract/contract.js";
import { InvalidPayloadError, PayloadTooLargeError } from "./errors.js";
import { MOST_CONVERSIONS, pathOf } from "./packer.js";
import { Timestamp } from "./timestamp.js";

type Path = readonly (string | number)[];

const SURROGATE = /\p{Surrogate}/u;
const NO_PLACE = "cannot be said in JSON";

/** Turns a value into JSON that everyone reads the same. Throws InvalidPayloadError. */
export function encodeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(new Walk().plain(value, [])));
}

/** Reads JSON; no data is null. Throws InvalidPayloadError. */
export function decodeJson(data: Buffer): unknown {
  if (data.length === 0) return null;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  } catch (error) {
    throw new InvalidPayloadError(`the data is no JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (data.includes("\\u") || mayBeDeep(data)) new Walk().plain(value, []);
  return value;
}

function mayBeDeep(data: Buffer): boolean {
  let opened = 0;
  for (const byte of data) if (byte === 0x5b || byte === 0x7b) opened += 1;
  return opened > LIMIT_PAYLOAD_DEPTH;
}

/** One walk through a value; `budget` bounds the parts, because a value may hold itself many times. */
class Walk {
  #budget = LIMIT_PAYLOAD_BYTES;
  /** Values under way that a toJSON method gave, one within the other. */
  #conversions = 0;

  plain(value: unknown, path: Path): unknown {
    if (--this.#budget < 0) throw new PayloadTooLargeError(`the payload has more than ${LIMIT_PAYLOAD_BYTES} parts`);
    switch (typeof value) {
      case "string":
        return text(value, path);
      case "number":
        if (!Number.isFinite(value)) throw refusal(path, `${value} ${NO_PLACE}`);
        return value;
      case "boolean":
        return value;
      case "undefined":
        return null;
      case "object":
        return value === null ? null : this.#object(value, path);
      case "bigint":
        return integer(value, path);
      default:
        throw refusal(path, `a ${typeof value} cannot travel`);
    }
  }

  #object(value: object, path: Path): unknown {
    if (path.length >= LIMIT_PAYLOAD_DEPTH) throw refusal(path, `nested deeper than ${LIMIT_PAYLOAD_DEPTH}`);
    if (Array.isArray(value)) return value.map((item, index) => this.plain(item, [...path, index]));
    if (value instanceof Map) return this.#map(value, path);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.#map(Object.entries(value), path);
    if (value instanceof Uint8Array || value instanceof ArrayBuffer) throw refusal(path, `bytes ${NO_PLACE}`);
    if (value instanceof Date || value instanceof Timestamp) {
      throw refusal(path, `a time ${NO_PLACE}; send its toISOString()`);
    }
    if ("toJSON" in value && typeof value.toJSON === "function") return this.#converted(value.toJSON(), path);
    throw refusal(path, `${value.constructor?.name ?? "this object"} cannot travel: give a plain object`);
  }

  #converted(value: unknown, path: Path): unknown {
    this.#conversions += 1;
    if (this.#conversions > MOST_CONVERSIONS) throw refusal(path, "its toJSON method leads nowhere");
    const plain = this.plain(value, path);
    this.#conversions -= 1;
    return plain;
  }

  #map(entries: Iterable<[unknown, unknown]>, path: Path): unknown {
    const plain: [string, unknown][] = [];
    for (const [key, value] of entries) {
      if (typeof key !== "string") throw refusal(path, `a key of type ${typeof key}; keys must be text`);
      if (value !== undefined) plain.push([text(key, path), this.plain(value, [...path, key])]);
    }
    return Object.fromEntries(plain);
  }
}

function text(value: string, path: Path): string {
  if (SURROGATE.test(value)) throw refusal(path, "the text holds half of a surrogate pair");
  return value;
}

function integer(value: bigint, path: Path): number {
  const near = Number(value);
  if (!Number.isSafeInteger(near)) throw refusal(path, `an integer beyond 2^53-1 ${NO_PLACE}; send it as text`);
  return near;
}

function refusal(path: Path, reason: string): InvalidPayloadError {
  const where = pathOf(path);
  return new InvalidPayloadError(`${where}: ${reason}`, { details: { path: where } });
}
